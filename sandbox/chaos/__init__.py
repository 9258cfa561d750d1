"""`make chaos`: breaks everything at once, then checks that nothing was lost or sent twice, and that all sums agree."""
