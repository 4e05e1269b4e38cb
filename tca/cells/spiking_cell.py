"""What spiking cells do to their own state: the constants of leak, spike and adaptation, and a single step of them.

Shapes: B batch, N cells, J presynaptic. A state is two numbers per cell, the potential and the adaptation; something of
every state has the shape ``(..., 2, N)``.

    v_t = kappa v_{t-1} + gain u_t - reset z_{t-1},   a_t = rho a_{t-1} + gain_a z_{t-1},   z_t = [v_t > thr + beta a_t]

With a pseudo-derivative ``psi_t`` in the place of that of the step function, ``dz_t / d(v_t, a_t) = psi_t (1, -beta)``.
A cell keeps to itself

    leak_t = [[kappa, 0], [gain_a psi_{t-1}, rho - gain_a beta psi_{t-1}]],

its own spikes reaching its own adaptation. The reset is cut where recurrent transmission is cut: it counts as a synapse
of the cell onto itself with the weight ``-reset / gain``. Where it is kept in the traces instead, the first row of the
leak has the further part ``-reset psi_{t-1} (1, -beta)``, and there is no such synapse.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from tca.tape.local_step import Moment

__all__ = ["SpikingCells", "SpikingMoment"]


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikingMoment(Moment):
    """A step of a spiking population, whose state is its potential and its adaptation."""

    components: ClassVar[int] = 2

    def diagonal(self) -> Tensor:
        """Return the blocks of ``J_t`` in each cell, shape ``(B, 2, 2, N)``: the leak, and what autapses return."""
        arriving = self.gain * self.recurrent.diagonal() * self.slope_before
        return self.leak + torch.stack([arriving, torch.zeros_like(arriving)], 1)

    def leak_matrix(self) -> Tensor:
        """Return the leak from state to state, shape ``(B, 2 N, 2 N)``."""
        return _matrix(torch.diag_embed(self.leak))

    def transmission(self) -> Tensor:
        """Return ``J_t - leak`` from state to state, shape ``(B, 2 N, 2 N)``: what arrives moves potentials only."""
        arriving = self.gain.unsqueeze(-1) * self.recurrent * self.slope_before.unsqueeze(-2)
        return _matrix(torch.stack([arriving, torch.zeros_like(arriving)], 1))

    def kept(self, states: Tensor) -> Tensor:
        """Return the blocks of the leak times the states."""
        return (self.leak * states.unsqueeze(1)).sum(2)

    def kept_back(self, states: Tensor) -> Tensor:
        """Return the transposed blocks of the leak times the states."""
        return (self.leak * states.unsqueeze(2)).sum(1)

    def emitted(self, states: Tensor) -> Tensor:
        """Return the sum of both components times their slopes."""
        return (self.slope_before * states).sum(1)

    def emitted_back(self, rates: Tensor) -> Tensor:
        """Return the rates times both slopes."""
        return self.slope_before * rates.unsqueeze(1)

    def lifted(self, rates: Tensor) -> Tensor:
        """Return the rates times both slopes."""
        return rates.unsqueeze(1) * self.slope

    def driven(self, drives: Tensor) -> Tensor:
        """Return the drives times the gain in the potential, nothing in the adaptation."""
        potential = self.gain * drives
        return torch.stack([potential, torch.zeros_like(potential)], 1)

    def driven_back(self, states: Tensor) -> Tensor:
        """Return the potential times the gain."""
        return self.gain * states[:, 0]


def _matrix(blocks: Tensor) -> Tensor:
    """Return ``(B, 2, 2, N, N)``, into components and from components, as one matrix from state to state."""
    into, of, cells = blocks.shape[1], blocks.shape[2], blocks.shape[-1]
    return blocks.transpose(2, 3).reshape(len(blocks), into * cells, of * cells)


@dataclass(frozen=True, eq=False)
class SpikingCells:
    """The constants of spiking cells, each of shape ``(N,)``.

    Attributes:
        leak: Leak kappa of the potential per step.
        gain: What one unit of drive adds to the potential.
        adaptation_leak: Leak rho of the adaptation per step.
        adaptation_gain: What a spike adds to the adaptation.
        strength: How much adaptation raises the threshold, beta; zero for a cell that does not adapt.
        reset: What a spike takes off the potential.
        reset_in_trace: Whether the reset is a part of the leak and not of the transmission.
    """

    leak: Tensor
    gain: Tensor
    adaptation_leak: Tensor
    adaptation_gain: Tensor
    strength: Tensor
    reset: Tensor
    reset_in_trace: bool

    @cached_property
    def adaptive(self) -> Tensor:
        """Which cells adapt, shape ``(A,)``."""
        return self.strength.nonzero().squeeze(1)

    @cached_property
    def idle(self) -> bool:
        """Whether no spike reaches another through the leak."""
        return not (self.reset_in_trace or len(self.adaptive))

    @cached_property
    def decay(self) -> Tensor:
        """``(kappa, rho)``, shape ``(2, N)``."""
        return torch.stack([self.leak, self.adaptation_leak])

    @cached_property
    def emission(self) -> Tensor:
        """``(1, -beta)``: the slope of a spike but for the pseudo-derivative, shape ``(2, N)``."""
        return torch.stack([torch.ones_like(self.strength), -self.strength])

    @cached_property
    def adapted_emission(self) -> Tensor:
        """The emission times what a spike adds to the adaptation, shape ``(2, N)``."""
        return self.emission * self.adaptation_gain

    @cached_property
    def echo(self) -> Tensor:
        """What a spike does to its own cell's state one step later by the leak, shape ``(2, N)``."""
        return torch.stack([-self.reset if self.reset_in_trace else torch.zeros_like(self.reset), self.adaptation_gain])

    def synapses(self, recurrent: Tensor) -> Tensor:
        """Return recurrent weights with the reset among them, unless it is a part of the leak.

        Args:
            recurrent: Recurrent weights W, shape ``(N, N)``.
        """
        return recurrent if self.reset_in_trace else recurrent - torch.diag(self.reset / self.gain)

    def moment(
        self,
        pres: tuple[Tensor, ...],
        slopes: tuple[Tensor, Tensor],
        synapses: Tensor,
        mask: Tensor | None,
        types: Tensor,
        to_go: int | Tensor | None,
    ) -> SpikingMoment:
        """Return the local quantities of a step.

        Args:
            pres: Presynaptic activity of every link into the population, each ``(B, J)``.
            slopes: Pseudo-derivatives of the step before and of the step, each ``(B, N)``.
            synapses: Recurrent weights as the state feels them, shape ``(N, N)``.
            mask: Which recurrent synapses exist, shape ``(N, N)``; ``None`` if all do.
            types: Type of every cell, shape ``(N,)``.
            to_go: Number of steps that follow, or one for each trial; ``None`` if that is not known.
        """
        before, now = (slope.unsqueeze(-2) * self.emission for slope in slopes)
        return SpikingMoment(
            pres=pres,
            cells=len(self.leak),
            leak=torch.diag_embed(self.decay.mT).permute(1, 2, 0) + self.echo.unsqueeze(1) * before.unsqueeze(1),
            gain=self.gain,
            slope=now,
            slope_before=before,
            constant_gain=self.gain,
            recurrent=synapses,
            recurrent_mask=mask,
            types=types,
            to_go=to_go,
            constant_leak=None if self.reset_in_trace else self.leak,
            adaptive=self.adaptive,
        )
