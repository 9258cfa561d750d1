"""What it costs and how fast it is: `make bench-collect`, `bench-send`, `bench-run`, `bench-report`, `bench-cost`."""
