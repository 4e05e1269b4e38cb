"""Stability: where a learning rule rests, and its critical learning rate."""
