"""Dynamics: state maps, fixed points and dynamical similarity."""
