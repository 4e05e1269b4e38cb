"""Analysis: what trained networks and their rules are like, measured."""

from __future__ import annotations

from analysis.alignment import alignment
from analysis.curvature import curvature
from analysis.density import density
from analysis.dimension import participation_ratio
from analysis.generalization import generalization_gap
from analysis.iteration import check_stability, iterate
from analysis.minimum import minimum
from analysis.operators import operator, update_jacobian
from analysis.sharpness import sharpness
from analysis.similarity import cca, cka, procrustes_distance, svcca
from analysis.spectrum import spectrum
from analysis.stability import stability
from analysis.trace import trace

__all__ = [
    "alignment",
    "cca",
    "check_stability",
    "cka",
    "curvature",
    "density",
    "generalization_gap",
    "iterate",
    "minimum",
    "operator",
    "participation_ratio",
    "procrustes_distance",
    "sharpness",
    "spectrum",
    "stability",
    "svcca",
    "trace",
    "update_jacobian",
]
