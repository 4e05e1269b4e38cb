"""Fields: concentrations that are released, spread, decay and are read."""

from tca.signals.diffusion.fields.field import Field
from tca.signals.diffusion.fields.physical_propagators import Explicit, Exponential, Implicit, Quasistatic
from tca.signals.diffusion.fields.propagators import Box, Propagator, Stepping
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
