"""Engines: ways to find both ends of the spectrum of a Hessian."""

from __future__ import annotations

from analysis.engines import dense, lanczos, linops, power
from analysis.engines.base import Ends, Engine, Pair
from tca.utils.names import Table

__all__ = ["ENGINES", "Ends", "Engine", "Pair"]

ENGINES: dict[str, Engine] = Table(
    "engine",
    {
        "lanczos": lanczos.ends,
        "dense": dense.ends,
        "pyhessian": power.ends,
        "curvlinops": linops.ends,
    },
)
