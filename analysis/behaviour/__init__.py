"""Behaviour: choices as a function of graded variables of a task."""
