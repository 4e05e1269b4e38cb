"""One step of a population of general cells as its synapses see it.

Shapes: B batch, N cells, S components, G drives (those of constants and initial states behind the others), R recurrent
drives, Q rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.tape.local_step import LocalStep
from tca.tape.weight_estimates import Recurrence

__all__ = ["BlockStep", "block_step"]


@dataclass(frozen=True, eq=False, kw_only=True)
class BlockStep(LocalStep):
    """A step of a population of general cells; see `tca.tape.local_step.LocalStep` for the other attributes.

    A tensor over the recurrent drives has the shape ``(B, R, N)``.

    Attributes:
        leak: ``(B, N)`` if a state is one number, else ``(B, S, S, N)``.
        gain: ``(B, S, G, N)``.
        slope: ``(B, N)`` if states and rates are one number, else ``(B, S, N)``, or ``(B, S, Q, N)`` of several rates.
        reached: The recurrent drives.
    """

    components: int  # type: ignore[misc]
    drives: int  # type: ignore[misc]
    reached: tuple[int, ...]
    apart: ClassVar[bool] = True

    def gain_of(self, connection: Connection) -> Tensor:
        """Return the gain of the drives of a connection, shape ``(B, I)`` or ``(B, S, I)``."""
        gain = self.gain[:, :, connection.drives or ()].flatten(2)
        return gain.squeeze(1) if self.components == 1 else gain

    def gain_blocks(self) -> Tensor:
        """Return the gain."""
        return self.gain

    def diagonal(self) -> Tensor:
        """Return the diagonal blocks of ``J_t``, leak and autapses."""
        if not self.recurrent.numel():
            return self.leak
        own = torch.unflatten(self.recurrent, 0, (len(self.reached), self.cells)).diagonal(dim1=1, dim2=2)
        arriving = (self._reaching_gain * own).sum(2)
        if self.components == 1:
            return self.leak + arriving[:, 0] * self.slope_before
        return self.leak + arriving.unsqueeze(2) * self.slope_before.unsqueeze(1)

    def leak_matrix(self) -> Tensor:
        """Return the leak from state to state, shape ``(B, S N, S N)``."""
        if self.components == 1:
            return torch.diag_embed(self.leak)
        return torch.diag_embed(self.leak).transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def transmission(self) -> Tensor:
        """Return ``J_t - leak`` from state to state, shape ``(B, S N, S N)``."""
        if not self.recurrent.numel():
            return self.leak.new_zeros(())
        weights = torch.unflatten(self.recurrent, 0, (len(self.reached), self.cells))
        arriving = torch.einsum("bsgi,gij->bsij", self._reaching_gain, weights).flatten(1, 2)
        slope = self.slope_before.view(-1, 1, self.components, self.slope_before.shape[-1])
        return (arriving.unsqueeze(2) * slope).flatten(2)

    def kept(self, states: Tensor) -> Tensor:
        if self.components == 1:
            return self.leak * states
        return (self.leak * states.unsqueeze(1)).sum(2)

    def kept_back(self, states: Tensor) -> Tensor:
        if self.components == 1:
            return self.leak * states
        return (self.leak * states.unsqueeze(2)).sum(1)

    def emitted(self, states: Tensor) -> Tensor:
        """Return ``slope_{t-1} states``."""
        return self.slope_before * states if self.components == 1 else (self.slope_before * states).sum(1)

    def emitted_back(self, rates: Tensor) -> Tensor:
        return self.slope_before * (rates if self.components == 1 else rates.unsqueeze(1))

    def lifted(self, rates: Tensor) -> Tensor:
        """Return ``slope_t^T rates``."""
        if self.slope.ndim == 4:
            signal = (self.slope * torch.unflatten(rates, -1, (-1, self.cells)).unsqueeze(1)).sum(2)
            return signal.squeeze(1) if self.components == 1 else signal
        return self.slope * (rates if self.components == 1 else rates.unsqueeze(1))

    @cached_property
    def _reaching_gain(self) -> Tensor:
        """The gains of the recurrent drives; a list of places would be copied from the host."""
        return torch.stack([self.gain[:, :, each] for each in self.reached], 2)

    def driven(self, drives: Tensor) -> Tensor:
        """Return ``gain_t drives`` of recurrent drives, a tensor over the states."""
        states = (self._reaching_gain * drives.unsqueeze(1)).sum(2)
        return states.squeeze(1) if self.components == 1 else states

    def driven_back(self, states: Tensor) -> Tensor:
        """Return ``gain_t^T states``, a tensor over the recurrent drives."""
        apart = states.unsqueeze(1) if self.components == 1 else states
        return (self._reaching_gain * apart.unsqueeze(2)).sum(1)

    def response(self) -> Tensor:
        """Return ``dz_t/du_t`` by the recurrent drives, shape ``(B, R N)``."""
        gain = self._reaching_gain
        slope = self.slope.unsqueeze(1) if self.components == 1 else self.slope
        return (slope.unsqueeze(2) * gain).sum(1).flatten(1)

    def credit(self, connection: Connection, states: Tensor) -> Tensor:
        apart = states.unsqueeze(1) if self.components == 1 else states
        return (self.gain[:, :, connection.drives or ()] * apart.unsqueeze(2)).sum(1).flatten(1)

    def transmitted(self, states: Tensor) -> Tensor:
        if not self.recurrent.numel():
            return torch.zeros_like(states)
        drives = self.emitted(states) @ self.recurrent.t()
        return self.driven(torch.unflatten(drives, -1, (len(self.reached), self.cells)))


def block_step(
    tables: tuple[Tensor, Tensor],
    slopes: tuple[Tensor, Tensor],
    *,
    pres: tuple[Tensor, ...],
    recurrence: Recurrence,
    reached: tuple[int, ...],
    starts: bool,
    to_go: int | Tensor | None,
) -> BlockStep:
    """Return the local quantities of one step of general cells.

    Args:
        tables: Leak ``(B, S, S, N)`` and gain ``(B, S, G, N)`` of the step.
        slopes: Slopes of the step before and of the step, broadcastable to ``(1, B, S, Q, N)``.
        pres: Presynaptic activity of every link into the population.
        recurrence: The recurrent synapses, weights of shape ``(R N, N)``.
        reached: The recurrent drives.
        starts: Whether the initial state is learned, whose components are drives without gain.
        to_go: Number of later steps; ``None`` if unknown.
    """
    leak, gain = tables
    components = gain.shape[1]
    if starts:
        gain = torch.cat([gain, gain.new_zeros(*gain.shape[:2], components, gain.shape[-1])], 2)
    before, now = (each[0] if each.ndim == 5 else each.unsqueeze(0) for each in slopes)
    if now.shape[2] == 1:
        before, now = before.squeeze(2), now.squeeze(2)
        before, now = (before.squeeze(1), now.squeeze(1)) if components == 1 else (before, now)
    return BlockStep(
        components=components,
        drives=gain.shape[2],
        pres=pres,
        cells=gain.shape[-1],
        leak=leak[:, 0, 0] if components == 1 else leak,
        gain=gain,
        slope=now,
        slope_before=before,
        constant_gain=gain,
        recurrence=recurrence,
        reached=reached,
        to_go=to_go,
    )
