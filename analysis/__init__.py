"""Measurements of trained networks and of their learning rules."""

from __future__ import annotations

from analysis.alignment import alignment
from analysis.behaviour.psychometric import psychometric, psychometric_by
from analysis.broadcast_measures import broadcasting
from analysis.curvature.curvature import curvature
from analysis.curvature.density import density
from analysis.curvature.gradient_share import gradient_share
from analysis.curvature.network_operators import operator, update_jacobian
from analysis.curvature.sharpness import sharpness
from analysis.curvature.sharpness_random import random_sharpness
from analysis.curvature.spectrum import spectrum
from analysis.curvature.trace import trace
from analysis.dynamics.dsa import dsa, linear_dynamics
from analysis.dynamics.fixed_points import fixed_points
from analysis.dynamics.lyapunov import lyapunov
from analysis.dynamics.visited_states import sampled_states
from analysis.generalization.gap import generalization_gap
from analysis.landscape.barrier import barrier
from analysis.landscape.permutation_alignment import match_cells, permuted
from analysis.landscape.planes import landscape
from analysis.learning_regime import learning_regime, tangent_kernel
from analysis.ranks import ranks, weight_changes
from analysis.representations.activity import rates, rates_of_trials
from analysis.representations.dimension import participation_ratio
from analysis.representations.noise_ceiling import noise_ceiling, reliability
from analysis.representations.recordings import load_recording
from analysis.representations.similarity import cca, cka, cka_distance, procrustes_distance, svcca
from analysis.representations.similarity_distances import distances
from analysis.representations.similarity_rsa import rsa
from analysis.run_table import load, load_curves
from analysis.stability.critical_rate import stability
from analysis.stability.critical_rate_check import check_stability, iterate
from analysis.stability.gauss_newton_minimum import minimum

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
    "gradient_share",
    "iterate",
    "landscape",
    "learning_regime",
    "linear_dynamics",
    "load",
    "load_curves",
    "load_recording",
    "lyapunov",
    "match_cells",
    "minimum",
    "noise_ceiling",
    "operator",
    "participation_ratio",
    "permuted",
    "procrustes_distance",
    "psychometric",
    "psychometric_by",
    "random_sharpness",
    "ranks",
    "rates",
    "rates_of_trials",
    "reliability",
    "rsa",
    "sampled_states",
    "sharpness",
    "spectrum",
    "stability",
    "svcca",
    "tangent_kernel",
    "trace",
    "update_jacobian",
    "weight_changes",
]
