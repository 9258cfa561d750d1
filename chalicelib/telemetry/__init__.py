"""What the functions report about themselves: log lines and metrics."""
