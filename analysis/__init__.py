"""Analysis: what trained networks and their rules are like, measured."""

from __future__ import annotations

from analysis.alignment import alignment
from analysis.curvature import curvature
from analysis.density import density
from analysis.generalization import generalization_gap
from analysis.iteration import check_stability, iterate
from analysis.minimum import minimum
from analysis.operators import operator, update_jacobian
from analysis.sharpness import sharpness
from analysis.spectrum import spectrum
from analysis.stability import stability
from analysis.trace import trace

__all__ = [
    "alignment",
    "check_stability",
    "curvature",
    "density",
    "generalization_gap",
    "iterate",
    "minimum",
    "operator",
    "sharpness",
    "spectrum",
    "stability",
    "trace",
    "update_jacobian",
]
