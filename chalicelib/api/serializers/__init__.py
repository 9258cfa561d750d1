"""Turns records into what the API returns."""
