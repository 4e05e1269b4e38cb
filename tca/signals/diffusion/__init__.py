"""Diffusion of neuromodulators: learning signals released, diffused and read at each cell."""
