"""Eligibility traces of one connection, carried forward in time.

Shapes: B batch, I postsynaptic cells, J presynaptic, L cells influenced by a synapse (L = I), S components of a cell's
state (axis omitted if S = 1), M = S L, G groups of cells with the same leak.

Every trace obeys ``e_t = D_t e_{t-1} + gain_t (x) pre_t``. Storage differs: none if ``D = 0``, one number per
presynaptic cell if ``D`` and the gain are constants, one per synapse if ``D`` is diagonal, and one per synapse and cell
otherwise.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.tape.local_step import LocalStep

__all__ = ["InfluenceTrace", "InstantTrace", "PresynapticTrace", "ReadoutFilteredTrace", "SynapticTrace", "Trace"]


class Trace(abc.ABC):
    """The eligibility trace of one connection at one step."""

    @abc.abstractmethod
    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Advance the trace by one step.

        Args:
            step: The local quantities of the step.
            pre: Presynaptic activity of the step, shape ``(B, J)``.
        """

    @abc.abstractmethod
    def dense(self) -> Tensor:
        """Return the dense trace, shape ``(B, S, I, J)`` or ``(B, S, L, I, J)``."""

    def gradient(self, signal: Tensor) -> Tensor:
        """Return ``sum_b L_b e_b``, shape ``(I, J)``.

        Args:
            signal: State signal of this step, shape ``(B, S, I)``.
        """
        return contract(signal, self.dense())


def contract(signal: Tensor, trace: Tensor) -> Tensor:
    """Contract signal and trace over trials and states to ``(I, J)``.

    Args:
        signal: State signal, shape ``(B, S, I)``.

    >>> contract(torch.ones(2, 1), torch.full((2, 1, 3), 0.5)).tolist()
    [[1.0, 1.0, 1.0]]
    """
    if trace.ndim == signal.ndim + 1:
        return torch.einsum("bi,bij->ij", signal.flatten(0, -2), trace.flatten(0, -3))
    return torch.einsum("bl,blij->ij", signal.flatten(1), trace.flatten(1, -3))


class InstantTrace(Trace):
    """``e_t = gain_t (x) pre_t``: the present step alone (``D = 0``)."""

    def __init__(self, connection: Connection, step: LocalStep, trials: int) -> None:
        """Start at zero, an initial state at one."""
        self.components = step.components
        self.gain = connection.weight.detach().new_full((trials, connection.n_post), connection.impulse)
        self.pre = self.gain.new_ones(trials, connection.n_pre)

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Replace the trace by the present step."""
        self.gain, self.pre = step.gain.expand_as(self.gain), pre.expand_as(self.pre)

    def dense(self) -> Tensor:
        """Return the outer product in the first component, ``(B, S, I, J)``."""
        outer = self.gain.unsqueeze(-1) * self.pre.unsqueeze(-2)
        if self.components == 1:
            return outer
        return torch.stack([outer, *[torch.zeros_like(outer)] * (self.components - 1)], 1)

    def gradient(self, signal: Tensor) -> Tensor:
        """Return ``(L * gain)^T pre``."""
        signal = signal if self.components == 1 else signal[:, 0]
        return (signal * self.gain).t() @ self.pre


class PresynapticTrace(Trace):
    """``eps_gj,t = leak_g eps_gj,t-1 + pre_j,t``, ``e_ij = gain_i eps_g(i)j``: for constant leak and gain."""

    def __init__(self, connection: Connection, step: LocalStep, trials: int) -> None:
        """Start at zero, with one row per distinct leak.

        Args:
            step: The first step, with a constant leak.
        """
        assert step.constant_leak is not None, "the leak changes"
        leak = step.constant_leak.expand(connection.n_post)
        leaks, self.group = torch.unique(leak, return_inverse=True)
        self.leaks = leaks.view(-1, 1, 1)
        self.gain = step.gain.expand(connection.n_post)
        self.value = leak.new_zeros(len(leaks), trials, connection.n_pre)

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Decay every group and add the presynaptic activity."""
        self.value.mul_(self.leaks).add_(pre)

    def rows(self, cells: Tensor) -> Tensor:
        """Return the traces of some postsynaptic cells, shape ``(B, A, J)``.

        Args:
            cells: Indices of the cells, shape ``(A,)``.
        """
        return self.gain[cells].unsqueeze(-1) * self.value[self.group[cells]].transpose(0, 1)

    def dense(self) -> Tensor:
        """Return the trace of every synapse, shape ``(B, I, J)``."""
        return self.gain.unsqueeze(-1) * self.value[self.group].transpose(0, 1)

    def gradient(self, signal: Tensor) -> Tensor:
        """Return ``gain_i sum_b L_bi eps_g(i)bj``, one product per group."""
        driven = (signal * self.gain).t()
        if len(self.value) == 1:
            return driven @ self.value[0]
        result = driven.new_empty(len(driven), self.value.shape[-1])
        for index, value in enumerate(self.value):
            members = self.group == index
            result[members] = driven[members] @ value
        return result


class SynapticTrace(Trace):
    """``e_ij,t = d_i,t e_ij,t-1 + gain_i,t pre_j,t``: per synapse and trial, for a diagonal ``D``."""

    def __init__(self, connection: Connection, trials: int, decay: Callable[[LocalStep], Tensor]) -> None:
        """Start at zero, an initial state at one.

        Args:
            decay: The diagonal of the propagator at a step, broadcastable to ``(B, I)``.
        """
        shape = (trials, connection.n_post, connection.n_pre)
        self.value = connection.weight.detach().new_full(shape, connection.impulse)
        self.decay = decay

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Decay every synapse and add the outer product of the step."""
        self.value.mul_(self.decay(step).unsqueeze(-1))
        self.value.addcmul_(step.gain.unsqueeze(-1), pre.unsqueeze(-2))

    def dense(self) -> Tensor:
        """Return the trace, shape ``(B, I, J)``."""
        return self.value


class InfluenceTrace(Trace):
    """``P_lij,t = sum_m D_lm,t P_mij,t-1 + 1[l=i] gain_i,t pre_j,t``: per synapse, cell and trial, for any ``D``."""

    def __init__(
        self, connection: Connection, trials: int, propagator: Callable[[LocalStep], Tensor], components: int = 1
    ) -> None:
        """Start at zero, an initial state at one.

        Args:
            propagator: The propagator at a step, broadcastable to ``(B, M, M)``.
            components: Components S of a cell's state, default 1.
        """
        self.cells, self.components = connection.n_post, components
        states = self.cells * components
        self.value = connection.weight.detach().new_zeros(trials, states, self.cells, connection.n_pre)
        self._own().fill_(connection.impulse)
        self.propagator = propagator

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Propagate the influence and add the outer product of the step."""
        passed = self.propagator(step) @ self.value.flatten(2)
        self.value = passed.view_as(self.value)
        self._own().add_((step.gain.unsqueeze(-1) * pre.unsqueeze(-2)).transpose(-1, -2))

    def dense(self) -> Tensor:
        """Return the trace, shape ``(B, S, L, I, J)``."""
        if self.components == 1:
            return self.value
        return self.value.view(len(self.value), self.components, self.cells, *self.value.shape[2:])

    def _own(self) -> Tensor:
        """Return the influence on the postsynaptic cell's first component."""
        return self.value[:, : self.cells].diagonal(dim1=1, dim2=2)


class ReadoutFilteredTrace:
    """``ebar_t = k ebar_{t-1} + (1 - k) slope_t e_t``: the trace filtered by a leaky readout.

    It pairs with rate signals: surrogate gradient and components are contracted.
    """

    def __init__(self, trace: Trace, step: LocalStep, leak: float) -> None:
        """Start the filter at zero.

        Args:
            leak: Leak of the readout per step, in [0, 1).
        """
        self.trace, self.leak = trace, leak
        dense = trace.dense()
        self.value = torch.zeros_like(dense[:, 0] if step.components > 1 else dense)

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Advance the trace and its filter by one step."""
        self.trace.advance(step, pre)
        dense = self.trace.dense()
        paired = step.components > 1
        slope = step.slope.unsqueeze(-1) if dense.ndim == 3 + paired else step.slope[..., None, None]
        moved = (slope * dense).sum(1) if paired else slope * dense
        self.value.mul_(self.leak).add_(moved, alpha=1 - self.leak)

    def gradient(self, signal: Tensor) -> Tensor:
        """Return ``sum_b G_b ebar_b``, shape ``(I, J)``, for rate signals ``(B, I)``."""
        return contract(signal, self.value)
