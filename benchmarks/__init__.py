"""What it costs, and how fast it is: `python benchmarks/cost.py` and `make bench-collect`."""
