"""Eligibility traces of cells whose state has several components.

Shapes: B batch, S components, I postsynaptic cells, J presynaptic, A cells that adapt.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.traces import PresynapticTrace, SynapticTrace, Trace, add_outer_, initial_influence, over
from tca.tape.local_step import LocalStep

__all__ = ["AdaptationTrace", "BlockTrace", "synaptic_trace"]


class BlockTrace(Trace):
    """``e_sij,t = sum_r d_sri,t e_rij,t-1 + gain_si,t pre_j,t``: S numbers per synapse and trial."""

    def __init__(
        self, connection: Connection, step: LocalStep, trials: int, decay: Callable[[LocalStep], Tensor]
    ) -> None:
        """Start at zero, an initial state at one.

        Args:
            decay: The blocks of the propagator at a step, broadcastable to ``(B, S, S, N)``.
        """
        self.value = initial_influence(connection, step, trials).repeat(1, 1, 1, connection.n_pre)
        self.connection, self.decay = connection, decay

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Propagate the components and add the outer product of the step."""
        decay = over(self.decay(step), self.connection.n_post).expand(len(self.value), -1, -1, -1)
        self.value = torch.einsum("bsri,brij->bsij", decay, self.value)
        add_outer_(self.value, step.gain_of(self.connection), pre)

    def dense(self) -> Tensor:
        return self.value


class AdaptationTrace(Trace):
    """A presynaptic trace of the potential, a synaptic one of the adaptation.

    ``eps^a_ij,t = leak^aa_i,t eps^a_ij,t-1 + leak^av_i,t eps^v_ij,t-1``, stored for adaptive cells only. The potential
    needs one number per presynaptic cell and time constant.

    Paper: Bellec et al. (2020), Nature Communications 11:3625.
    """

    def __init__(self, potential: PresynapticTrace, step: LocalStep) -> None:
        """Start the adaptation at zero.

        Args:
            potential: The trace of the potential before its first step.
        """
        assert step.adaptive is not None, "a cell with one component does not adapt"
        self.potential, self.adaptive = potential, step.adaptive
        _, trials, n_pre = potential.value.shape
        self.value = potential.value.new_zeros(trials, len(self.adaptive), n_pre)

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Advance the adaptation, then the potential, by one step."""
        if len(self.adaptive):
            leak = step.leak[:, 1, :, self.adaptive].unsqueeze(-1)
            self.value.mul_(leak[:, 1]).addcmul_(leak[:, 0], self.potential.rows(self.adaptive))
        self.potential.advance(step, pre)

    def dense(self) -> Tensor:
        """Return the trace of every synapse, shape ``(B, S, I, J)``."""
        potential = self.potential.dense()
        adaptation = torch.zeros_like(potential).index_copy_(1, self.adaptive, self.value)
        return torch.stack([potential, adaptation], 1)

    def gradient(self, signal: Tensor) -> Tensor:
        result = self.potential.gradient(signal[:, 0])
        adaptive = signal[:, 1, self.adaptive]
        return result.index_add_(0, self.adaptive, torch.einsum("bi,bij->ij", adaptive, self.value))


def synaptic_trace(
    connection: Connection, step: LocalStep, trials: int, decay: Callable[[LocalStep], Tensor]
) -> SynapticTrace | BlockTrace:
    """Return the trace of a propagator that is diagonal in cells.

    Args:
        decay: The propagator of each cell at a step, in the shape of the leak.
    """
    if step.components == 1:
        return SynapticTrace(connection, trials, decay)
    return BlockTrace(connection, step, trials, decay)
