"""Configuration: runs, networks and optimizers as values."""
