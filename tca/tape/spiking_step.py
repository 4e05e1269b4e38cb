"""One step of a spiking population as its synapses see it.

Shapes: B batch, N cells, J presynaptic. The state of a cell is its potential and its adaptation; tensors over states
have the shape ``(..., 2, N)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from tca.cells.spiking_cell import SpikingCells
from tca.connections.connection import Connection
from tca.tape.local_step import LocalStep
from tca.tape.weight_estimates import Recurrence

__all__ = ["SpikingStep"]


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikingStep(LocalStep):
    """A step of a spiking population with potential and adaptation."""

    components: ClassVar[int] = 2

    @classmethod
    def of(
        cls,
        cells: SpikingCells,
        pres: tuple[Tensor, ...],
        slopes: tuple[Tensor, Tensor],
        recurrence: Recurrence,
        to_go: int | Tensor | None,
    ) -> Self:
        """Return the local quantities of a step.

        Args:
            cells: Constants of the cells.
            pres: Presynaptic activity of every link into the population, each ``(B, J)``.
            slopes: Surrogate gradients of the step before and of the step, each ``(B, N)``.
            recurrence: Recurrent weights including resets, their mask and the types of the cells.
            to_go: Number of later steps, or one number per trial; ``None`` if unknown.
        """
        before, now = (slope.unsqueeze(-2) * cells.emission for slope in slopes)
        return cls(
            pres=pres,
            cells=len(cells.leak),
            leak=torch.diag_embed(cells.decay.mT).permute(1, 2, 0) + cells.echo.unsqueeze(1) * before.unsqueeze(1),
            gain=cells.gain,
            slope=now,
            slope_before=before,
            constant_gain=cells.gain,
            recurrence=recurrence,
            to_go=to_go,
            constant_leak=None if cells.reset_in_trace else cells.leak,
            adaptive=cells.adaptive,
        )

    def diagonal(self) -> Tensor:
        """Return the diagonal blocks of ``J_t``, leak and autapses, shape ``(B, 2, 2, N)``."""
        arriving = self.gain * self.recurrent.diagonal() * self.slope_before
        return self.leak + torch.stack([arriving, torch.zeros_like(arriving)], 1)

    def leak_matrix(self) -> Tensor:
        """Return the leak from state to state, shape ``(B, 2 N, 2 N)``."""
        return _matrix(torch.diag_embed(self.leak))

    def transmission(self) -> Tensor:
        """Return ``J_t - leak`` from state to state, shape ``(B, 2 N, 2 N)``, zero into adaptations."""
        arriving = self.gain.unsqueeze(-1) * self.recurrent * self.slope_before.unsqueeze(-2)
        return _matrix(torch.stack([arriving, torch.zeros_like(arriving)], 1))

    def kept(self, states: Tensor) -> Tensor:
        return (self.leak * states.unsqueeze(1)).sum(2)

    def kept_back(self, states: Tensor) -> Tensor:
        return (self.leak * states.unsqueeze(2)).sum(1)

    def emitted(self, states: Tensor) -> Tensor:
        """Return ``slope_{t-1} states``."""
        return (self.slope_before * states).sum(1)

    def emitted_back(self, rates: Tensor) -> Tensor:
        return self.slope_before * rates.unsqueeze(1)

    def lifted(self, rates: Tensor) -> Tensor:
        """Return ``slope_t^T rates``."""
        return rates.unsqueeze(1) * self.slope

    def driven(self, drives: Tensor) -> Tensor:
        """Return ``gain drives`` for potentials and zero for adaptations."""
        potential = self.gain * drives
        return torch.stack([potential, torch.zeros_like(potential)], 1)

    def driven_back(self, states: Tensor) -> Tensor:
        """Return ``gain`` times the signal of potentials."""
        return self.gain * states[:, 0]

    def gain_of(self, connection: Connection) -> Tensor:
        """Return the gain of potentials, shape ``(1, N)``: adaptations are not driven."""
        return self.gain.unsqueeze(0)

    def gain_blocks(self) -> Tensor:
        """Return the gain of potentials and zero for adaptations, shape ``(2, 1, N)``."""
        return torch.stack([self.gain, torch.zeros_like(self.gain)]).unsqueeze(1)


def _matrix(blocks: Tensor) -> Tensor:
    """Return blocks ``(B, 2, 2, N, N)``, to and from components, as a matrix from state to state."""
    into, of, cells = blocks.shape[1], blocks.shape[2], blocks.shape[-1]
    return blocks.transpose(2, 3).reshape(len(blocks), into * cells, of * cells)
