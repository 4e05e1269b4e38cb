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

__all__ = [
    "InfluenceTrace",
    "InstantTrace",
    "PresynapticTrace",
    "SynapticTrace",
    "Trace",
    "add_initial_",
    "add_outer_",
    "initial_influence",
]


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
            signal: State signal of this step, shape ``(B, S, N)``.
        """
        return contract(signal, self.dense())


def contract(signal: Tensor, trace: Tensor) -> Tensor:
    """Contract signal and trace over trials and states to ``(I, J)``.

    Args:
        signal: State signal, shape ``(B, S, L)``; a trace of a connection with several drives repeats the cells.

    >>> contract(torch.ones(2, 1), torch.full((2, 1, 3), 0.5)).tolist()
    [[1.0, 1.0, 1.0]]
    """
    if trace.ndim == signal.ndim + 1:
        signal = over(signal, trace.shape[-2])
        return torch.einsum("bi,bij->ij", signal.flatten(0, -2), trace.flatten(0, -3))
    return torch.einsum("bl,blij->ij", signal.flatten(1), trace.flatten(1, -3))


def over(values: Tensor, rows: int) -> Tensor:
    """Return values of cells repeated to a number of rows; one value for all cells stays one.

    Args:
        values: One value per cell, or one for all, last axis.
        rows: Number of rows, a multiple of the cells.
    """
    copies = rows // values.shape[-1]
    return values if copies == 1 or values.shape[-1] == 1 else values.repeat(*[1] * (values.ndim - 1), copies)


def add_outer_(value: Tensor, gain: Tensor, pre: Tensor) -> None:
    """Add ``gain (x) pre`` to a trace in place.

    Args:
        value: Trace, shape ``(B, I, J)`` or ``(B, S, I, J)``.
        gain: Derivative of the state by the drives of the connection, ``(B, I)``, or ``(B, R, I)`` of the first R
            components.
        pre: Presynaptic activity, shape ``(B, J)``.
    """
    if value.ndim == 3:
        value.addcmul_(gain.unsqueeze(-1), pre.unsqueeze(-2))
    else:
        value[:, : gain.shape[-2]].addcmul_(gain.unsqueeze(-1), pre[:, None, None])


def add_initial_(own: Tensor, connection: Connection) -> None:
    """Add the influence of an initial state on itself at time zero, in place.

    Args:
        own: Influence of a connection on its own postsynaptic cells, shape ``(B, S, drives, N, J)``.
        connection: The initial state.
    """
    for component in range(own.shape[2]):
        own[:, component, component] += connection.impulse


def initial_influence(connection: Connection, step: LocalStep, trials: int) -> Tensor:
    """Return the influence of a connection on its own cells at time zero, shape ``(B, S, I, 1)``.

    Zero but for an initial state, of which each block of rows is a component.

    Args:
        step: The first step.
        trials: Number of trials B.
    """
    blocks = len(connection.drives or (0,))
    own = connection.weight.detach().new_zeros(trials, step.components, blocks, connection.n_post // blocks, 1)
    if connection.impulse:
        add_initial_(own, connection)
    return own.flatten(2, 3) if step.components > 1 else own.flatten(1, 3)


class InstantTrace(Trace):
    """``e_t = gain_t (x) pre_t``: the present step alone (``D = 0``)."""

    def __init__(self, connection: Connection, step: LocalStep, trials: int) -> None:
        self.connection, self.components = connection, step.components
        self.gain = initial_influence(connection, step, trials).squeeze(-1)
        self.pre = self.gain.new_ones(trials, connection.n_pre)

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Replace the trace by the present step."""
        self.gain, self.pre = step.gain_of(self.connection), pre.expand_as(self.pre)

    def dense(self) -> Tensor:
        """Return the outer product, ``(B, S, I, J)``, zero in components that are not driven."""
        shape = (len(self.pre), *[self.components] * (self.components > 1), self.connection.n_post, self.pre.shape[-1])
        dense = self.pre.new_zeros(shape)
        add_outer_(dense, self.gain, self.pre)
        return dense

    def gradient(self, signal: Tensor) -> Tensor:
        """Return ``(L * gain)^T pre``, summed over the driven components."""
        signal = over(signal, self.connection.n_post)
        if self.components == 1:
            return (signal * self.gain).t() @ self.pre
        return (signal[:, : self.gain.shape[-2]] * self.gain).sum(1).t() @ self.pre


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
        self.connection, self.decay = connection, decay

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Decay every synapse and add the outer product of the step."""
        self.value.mul_(over(self.decay(step), self.connection.n_post).unsqueeze(-1))
        add_outer_(self.value, step.gain_of(self.connection), pre)

    def dense(self) -> Tensor:
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
        self.connection, self.components = connection, components
        self.cells = connection.n_post // len(connection.drives or (0,))
        states = self.cells * components
        self.value = connection.weight.detach().new_zeros(trials, states, connection.n_post, connection.n_pre)
        if connection.impulse:
            add_initial_(self._own(), connection)
        self.propagator = propagator

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Propagate the influence and add the outer product of the step."""
        passed = self.propagator(step) @ self.value.flatten(2)
        self.value = passed.view_as(self.value)
        gain = step.gain_of(self.connection)
        gain = torch.unflatten(gain, -1, (-1, self.cells)) if gain.shape[-1] > 1 else gain.unsqueeze(-1)
        own = self._own()
        own = own[:, 0] if self.components == 1 else own[:, : gain.shape[-3]]
        own.add_(gain.unsqueeze(-1) * pre.reshape(-1, *[1] * (own.ndim - 2), pre.shape[-1]))

    def dense(self) -> Tensor:
        if self.components == 1:
            return self.value
        return self.value.view(len(self.value), self.components, self.cells, *self.value.shape[2:])

    def _own(self) -> Tensor:
        """Return the influence on the postsynaptic cell itself, a view of shape ``(B, S, drives, N, J)``."""
        apart = torch.unflatten(torch.unflatten(self.value, 2, (-1, self.cells)), 1, (self.components, self.cells))
        return apart.diagonal(dim1=2, dim2=4).transpose(-1, -2)
