"""What it costs and how fast it is: `make bench-collect`, `-send`, `-run`, `-report`, `-pace`, `-summary`, `-cost`."""
