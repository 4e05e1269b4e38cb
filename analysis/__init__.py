"""Analysis: what trained networks and their rules are like, measured."""

from __future__ import annotations

from analysis.alignment import alignment
from analysis.curvature import curvature
from analysis.generalization import generalization_gap

__all__ = ["alignment", "curvature", "generalization_gap"]
