"""Experiments: runs as values, their training, records and sweeps."""
