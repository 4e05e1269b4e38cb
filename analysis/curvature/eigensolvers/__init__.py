"""Eigensolvers for both ends of the spectrum of a symmetric operator."""

from __future__ import annotations

from analysis.curvature.eigensolvers import dense, lanczos, power_iteration
from analysis.curvature.eigensolvers.ends import Ends, Engine, Pair
from tca.utils.names import Table

__all__ = ["ENGINES", "Ends", "Engine", "Pair"]

ENGINES: dict[str, Engine] = Table(
    "engine",
    {
        "lanczos": lanczos.ends,
        "dense": dense.ends,
        "pyhessian": power_iteration.ends,
    },
)
