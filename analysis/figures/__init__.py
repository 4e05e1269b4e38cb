"""Figures: each function takes series of numbers and returns a matplotlib figure."""

from __future__ import annotations

from analysis.figures.curve_figures import alignment_over_training, learning_curves
from analysis.figures.plots import Series, save
from analysis.figures.point_figures import gap_against_curvature
from analysis.figures.psychometric_curves import psychometric_curves

__all__ = [
    "Series",
    "alignment_over_training",
    "gap_against_curvature",
    "learning_curves",
    "psychometric_curves",
    "save",
]
