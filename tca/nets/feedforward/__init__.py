"""Feedforward networks: layers of populations without memory between steps."""
