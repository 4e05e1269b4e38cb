"""Analysis: what trained networks and their rules are like, measured."""

from __future__ import annotations

from analysis.activity import rates, rates_of_trials
from analysis.alignment import alignment
from analysis.broadcast import broadcasting
from analysis.ceiling import noise_ceiling, reliability
from analysis.curvature import curvature
from analysis.density import density
from analysis.dimension import participation_ratio
from analysis.dynamics import dsa, linear_dynamics
from analysis.fixed_points import fixed_points, sampled_states
from analysis.generalization import generalization_gap
from analysis.iteration import check_stability, iterate
from analysis.landscape import landscape
from analysis.landscape_barrier import barrier
from analysis.landscape_matching import match_cells, permuted
from analysis.minimum import minimum
from analysis.operators import operator, update_jacobian
from analysis.sharpness import sharpness
from analysis.sharpness_random import random_sharpness
from analysis.similarity import cca, cka, cka_distance, procrustes_distance, svcca
from analysis.similarity_distances import distances
from analysis.similarity_rsa import rsa
from analysis.spectrum import spectrum
from analysis.stability import stability
from analysis.trace import trace

__all__ = [
    "alignment",
    "barrier",
    "broadcasting",
    "cca",
    "check_stability",
    "cka",
    "cka_distance",
    "curvature",
    "density",
    "distances",
    "dsa",
    "fixed_points",
    "generalization_gap",
    "iterate",
    "landscape",
    "linear_dynamics",
    "match_cells",
    "minimum",
    "noise_ceiling",
    "operator",
    "participation_ratio",
    "permuted",
    "procrustes_distance",
    "random_sharpness",
    "rates",
    "rates_of_trials",
    "reliability",
    "rsa",
    "sampled_states",
    "sharpness",
    "spectrum",
    "stability",
    "svcca",
    "trace",
    "update_jacobian",
]
