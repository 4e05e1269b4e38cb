"""Dual-stream networks: excitatory and inhibitory streams for error diffusion."""
