"""Cells: activation functions, surrogate gradients, and the state of a spiking cell."""
