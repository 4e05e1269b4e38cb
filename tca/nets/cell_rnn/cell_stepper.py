"""A population of general cells online.

Shapes: B batch, J presynaptic cells or inputs, N cells, S components, G drives.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.cells.local_derivatives import blocks_of, emitted, moved, slope_of
from tca.connections.connection import Initial
from tca.nets.cell_rnn.block_population import BlockPopulation
from tca.nets.stepper import Stepper
from tca.tape.block_step import BlockStep, block_step
from tca.tape.block_weights import with_autapses
from tca.tape.weight_estimates import Recurrence

__all__ = ["CellStepper"]


class CellStepper(Stepper):
    """A population of general cells online."""

    def __init__(self, cells: BlockPopulation, trials: int) -> None:
        """Start at the initial state.

        Args:
            cells: The network of the population.
            trials: Number of trials B.
        """
        size = cells.n_rec
        cell = cells.bound_cell()
        start = cells.w_in.new_zeros(size * len(cell.components)) if cells.s_0 is None else cells.s_0.detach()
        self.cells = cells
        self.state = torch.unflatten(start.expand(trials, -1), -1, (-1, size)).clone()
        self.rate = torch.cat(emitted(cell, self.state.unbind(-2)), -1)
        self.slope = slope_of(cell, self.state, cells.passed)

    @property
    def memory(self) -> Tensor:
        return self.state.flatten(1)

    def start_from(self, memory: Tensor) -> None:
        cell = self.cells.bound_cell()
        self.state = torch.unflatten(memory.to(self.state), -1, (-1, self.cells.n_rec))
        self.rate = torch.cat(emitted(cell, self.state.unbind(-2)), -1)
        self.slope = slope_of(cell, self.state, self.cells.passed)

    def advance(self, inputs: Tensor, noise: Tensor | None, to_go: int | Tensor | None) -> BlockStep:
        """Advance by one step and return its local quantities.

        Args:
            inputs: Inputs of the step, shape ``(B, J)``.
            noise: Noise in the drives, shape ``(B, G N)``; ``None`` for none.
            to_go: Number of steps that follow, or one for each trial; ``None`` if unknown.
        """
        cells, size = self.cells, self.cells.n_rec
        (cell, autapse), into = cells.bound_cell().apart(), cells.into_cells()
        weights = [each.effective() for each in into]
        recurrent = with_autapses(weights[1], autapse) if cells.reached else cells.w_rec
        drive = torch.unflatten(cells.external_drive(weights, into, inputs), -1, (-1, size))
        if cells.reached:
            drive[:, list(cells.reached)] += torch.unflatten(self.rate @ recurrent.t(), -1, (-1, size))
        if noise is not None:
            drive += torch.unflatten(noise, -1, (-1, size))
        one, zero = inputs.new_ones(1, 1), inputs.new_zeros(1, 1)
        pres = [inputs, *[self.rate] * bool(cells.reached)]
        constant = [zero if isinstance(each, Initial) else one for each in into[len(pres) :]]
        tables = blocks_of(cell, self.state, drive, cells.learned).tables(self.state)
        self.state = torch.stack(moved(cell, self.state.unbind(-2), drive.unbind(-2)), -2)
        self.rate = torch.cat(emitted(cell, self.state.unbind(-2)), -1)
        before, self.slope = self.slope, slope_of(cell, self.state, cells.passed)
        return block_step(
            tables,
            (_with_steps(before), _with_steps(self.slope)),
            pres=(*pres, *constant),
            recurrence=Recurrence(recurrent, cells.mask_rec, cells.types),
            reached=cells.reached,
            starts=cells.s_0 is not None,
            to_go=to_go,
        )


def _with_steps(slope: Tensor) -> Tensor:
    """Return the slope of a step with an axis of steps, unless it is constant."""
    return slope.unsqueeze(0) if slope.ndim == 4 else slope
