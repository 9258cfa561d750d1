"""What it costs and how fast it is: `make bench-collect`, `make bench-report` and `make bench-cost`."""
