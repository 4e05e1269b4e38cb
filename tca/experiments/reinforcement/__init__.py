"""Reinforcement: agents that act in environments and learn from rewards."""
