"""The whole system, deployed once with deploy.py to the embedded AWS."""
