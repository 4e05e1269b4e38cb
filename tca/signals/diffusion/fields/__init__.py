"""Fields: a concentration that is released in places, spreads, decays, and is read where the cells are."""

from tca.signals.diffusion.fields.field import Field
from tca.signals.diffusion.fields.propagators import (
    Box,
    Explicit,
    Exponential,
    Implicit,
    Propagator,
    Quasistatic,
    Stepping,
)
from tca.signals.diffusion.fields.spaces import Graph, Grid, Space

__all__ = [
    "Box",
    "Explicit",
    "Exponential",
    "Field",
    "Graph",
    "Grid",
    "Implicit",
    "Propagator",
    "Quasistatic",
    "Space",
    "Stepping",
]
