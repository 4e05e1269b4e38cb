"""Figures of comparisons, one a file: each function takes series of numbers and returns a matplotlib figure."""

from __future__ import annotations

from analysis.figures.alignment_over_training import alignment_over_training
from analysis.figures.drawing import Series, save
from analysis.figures.gap_against_curvature import gap_against_curvature
from analysis.figures.learning_curves import learning_curves

__all__ = ["Series", "alignment_over_training", "gap_against_curvature", "learning_curves", "save"]
