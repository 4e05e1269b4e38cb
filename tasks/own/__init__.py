"""Tasks of the user: arrays, datasets, environments and classes by import path."""
