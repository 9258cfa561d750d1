"""What the pace does for applications of many kinds, simulated: `make bench-pace`."""
