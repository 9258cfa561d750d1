"""Measurements that fail beyond their bounds: `make bench-collect`."""
