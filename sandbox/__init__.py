"""The whole system on one machine: an embedded AWS and a reference application. For tests, demos and trying things."""
