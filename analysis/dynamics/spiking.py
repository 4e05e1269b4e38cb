"""Cells that spike, whose state has no derivative along its trajectory.

Shapes: N cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.cells.cell import Cell
from tca.cells.local_derivatives import emitted, slope_of

__all__ = ["SPIKES", "spikes"]

SPIKES = "net must not spike: the derivative of a spike is zero or infinite, and a surrogate is none of its own"
SCALES = (100.0, 10.0, 1.0, 0.1, 0.01)  # of states, beside thresholds of these sizes
STATES, STEP = 200, 1e-7


@torch.no_grad()
def spikes(cell: Cell, cells: int = 1) -> bool:
    """Return whether rates have surrogate gradients: derivatives by autograd that differences of rates do not show.

    Args:
        cell: The cell with its constants, in float64.
        cells: Number of neurons N, default 1.

    >>> from tca.cells import ALIF, GRU
    >>> spikes(ALIF()), spikes(GRU())
    (True, False)
    """
    source = torch.Generator().manual_seed(0)
    drawn = torch.randn(STATES, len(cell.components), cells, generator=source, dtype=torch.float64, device="cpu")
    states = torch.cat([scale * drawn for scale in SCALES]).to(_device(cell))

    def rates(moved: Tensor) -> Tensor:
        return torch.stack(emitted(cell, moved.unbind(-2)), -2)

    slopes = slope_of(cell, states, None)
    for component in range(len(cell.components)):
        step = torch.zeros_like(states)
        step[:, component] = STEP
        change = (rates(states + step) - rates(states - step)) / (2 * STEP)
        unlike = (change - slopes[:, component]).abs() > 1e-3 * (1 + slopes[:, component].abs())
        if unlike.double().mean() > 0.01:  # more than kinks
            return True
    return False


def _device(cell: Cell) -> torch.device:
    """Return the device of the constants of a cell, the CPU if they are numbers."""
    found = (getattr(cell, name) for name in cell.bounds())
    return next((each.device for each in found if isinstance(each, Tensor)), torch.device("cpu"))
