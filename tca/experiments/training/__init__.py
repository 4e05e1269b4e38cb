"""Training: the loop of a run, its updates, measurements and snapshots."""
