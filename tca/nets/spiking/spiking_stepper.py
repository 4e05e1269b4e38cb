"""A spiking population online.

Shapes: B batch, J presynaptic cells or inputs, N cells.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.nets.spiking.spiking_population import SpikingPopulation
from tca.nets.stepper import Stepper, carried
from tca.tape.spiking_step import SpikingStep
from tca.tape.weight_estimates import Recurrence

__all__ = ["SpikingStepper"]


class SpikingStepper(Stepper):
    """A spiking population online."""

    def __init__(self, cells: SpikingPopulation, trials: int) -> None:
        self.cells = cells
        self.constants = cells.cells
        self.state = cells.start(trials)
        self.rate = self.state.rate
        self.slope = torch.zeros_like(self.rate)

    @property
    def memory(self) -> Tensor:
        return torch.cat(self.state, -1)

    def start_from(self, memory: Tensor) -> None:
        self.state = self.cells.state_of(memory.to(self.rate))
        self.rate = self.state.rate

    def advance(self, inputs: Tensor, noise: Tensor | None, to_go: int | Tensor | None) -> SpikingStep:
        cells, constants = self.cells, self.constants
        into = cells.into_cells()
        pres, drive = carried(into, inputs, self.rate, noise)
        before = self.slope
        self.state, self.slope = cells.advance(self.state, drive)
        self.rate = self.state.rate
        synapses = Recurrence(constants.synapses(into[1].effective()), cells.mask_rec, cells.types)
        return SpikingStep.of(constants, pres, (before, self.slope), synapses, to_go)
