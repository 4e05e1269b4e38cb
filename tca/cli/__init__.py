"""The command line, the only part of `tca` that imports `analysis`."""
