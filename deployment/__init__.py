"""The parts of deploy.py: what `chalice deploy` does not do."""
