"""The whole system on one machine: embedded AWS and a reference application. For tests, the demo and playing."""
