"""Representations: similarity of activity, its dimension and its noise ceiling."""
