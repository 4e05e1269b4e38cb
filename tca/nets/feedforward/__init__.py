"""Feedforward networks: layers of populations, each step an instant."""
