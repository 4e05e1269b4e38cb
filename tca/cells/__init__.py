"""Cells: activation functions, surrogate gradients and spiking dynamics."""
