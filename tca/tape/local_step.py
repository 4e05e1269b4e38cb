"""Local quantities of one step of a population, for rules that carry traces forward.

Shapes: B batch, N or I postsynaptic cells, J presynaptic, S components of a cell's state, M = S N.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.tape.weight_estimates import Recurrence, TypeMeans

__all__ = ["LeakyStep", "LocalStep"]


@dataclass(frozen=True, eq=False, kw_only=True)
class LocalStep(abc.ABC):
    """The local quantities of a single step, for rules that carry traces forward.

    A tensor over states has the shape ``(B, N)`` if a state is one number per cell, else ``(B, S, N)``; values shared
    by all trials or cells broadcast.

    Attributes:
        pres: Presynaptic activity of every link into the population, each ``(B, J)``.
        cells: Number of cells N.
        leak: Part of ``ds_t/ds_{t-1}`` within a cell: ``(B, N)``, or ``(B, S, S, N)``, the target component first.
        gain: Derivative of the first component, the driven one, with respect to the drive, ``(B, N)``.
        slope: ``dz_t/ds_t``.
        slope_before: ``dz_{t-1}/ds_{t-1}``.
        constant_gain: The part of the gain that is the same at every step.
        recurrence: Recurrent weights including the reset, their mask and the types of the cells.
        to_go: Number of steps that follow this one, one for each trial, ``(B,)``, if they end at different steps;
            ``None`` if the end of the trial is unknown.
        constant_leak: Leak of the driven component, ``(N,)``, if no other component of the cell acts on it and neither
            this leak nor the gain changes; else ``None``.
        adaptive: Cells whose further components act on their rate, ``(A,)``; ``None`` if there is one component.
        perron_root_bound: Bound at or below which the network keeps the gated Perron root of its recurrent weights;
            ``None`` if it has none.
    """

    components: ClassVar[int]  # numbers S in the state of a cell
    drives: ClassVar[int] = 1  # numbers G that drive a cell
    apart: ClassVar[bool] = False  # whether a tensor over recurrent drives has an axis of drives, ``(B, R, N)``

    pres: tuple[Tensor, ...]
    cells: int
    leak: Tensor
    gain: Tensor
    slope: Tensor
    slope_before: Tensor
    constant_gain: Tensor
    recurrence: Recurrence
    to_go: int | Tensor | None = None
    constant_leak: Tensor | None = None
    adaptive: Tensor | None = None
    perron_root_bound: float | None = None

    @property
    def recurrent(self) -> Tensor:
        """Recurrent weights including the reset."""
        return self.recurrence.weights

    @abc.abstractmethod
    def diagonal(self) -> Tensor:
        """Return the part of ``J_t`` within each cell, in the shape of the leak."""

    @abc.abstractmethod
    def leak_matrix(self) -> Tensor:
        """Return the leak from state to state, broadcastable to ``(B, M, M)``."""

    @abc.abstractmethod
    def transmission(self) -> Tensor:
        """Return ``J_t - leak`` from state to state, broadcastable to ``(B, M, M)``."""

    @abc.abstractmethod
    def kept(self, states: Tensor) -> Tensor:
        """Return ``leak_t states``.

        Args:
            states: Tensor over the states of the step before.
        """

    @abc.abstractmethod
    def kept_back(self, states: Tensor) -> Tensor:
        """Return ``leak_t^T states``.

        Args:
            states: Tensor over the states of the step.
        """

    @abc.abstractmethod
    def emitted(self, states: Tensor) -> Tensor:
        """Return ``slope_{t-1} states``, a tensor over the rates of the step before.

        Args:
            states: Tensor over the states of the step before.
        """

    @abc.abstractmethod
    def emitted_back(self, rates: Tensor) -> Tensor:
        """Return ``slope_{t-1}^T rates``.

        Args:
            rates: Tensor over the rates of the step before.
        """

    @abc.abstractmethod
    def lifted(self, rates: Tensor) -> Tensor:
        """Return ``slope_t^T rates``, the state signal of a rate signal.

        Args:
            rates: Tensor over the rates of the step.
        """

    @abc.abstractmethod
    def driven(self, drives: Tensor) -> Tensor:
        """Return ``gain_t drives``, a tensor over the states.

        Args:
            drives: Tensor over the drives of the step.
        """

    @abc.abstractmethod
    def driven_back(self, states: Tensor) -> Tensor:
        """Return ``gain_t^T states``, a tensor over the drives.

        Args:
            states: Tensor over the states of the step.
        """

    def gain_of(self, connection: Connection) -> Tensor:
        """Return the derivative of the state by the drives of a connection, ``(B, I)`` or ``(B, R, I)``.

        The first R components are driven.
        """
        return self.gain

    @abc.abstractmethod
    def gain_blocks(self) -> Tensor:
        """Return the derivative of every component by every drive, broadcastable to ``(B, S, G, N)``."""

    def credit(self, connection: Connection, states: Tensor) -> Tensor:
        """Return ``gain_t^T states``, a tensor over the drives of a connection, shape ``(B, I)``.

        Args:
            states: Tensor over the states of the step.
        """
        return self.driven_back(states)

    def response(self) -> Tensor:
        """Return ``dz_t/du_t`` by the recurrent drives, ``(B, N)``, or ``(B, R N)`` of several."""
        return self.slope * self.gain

    def transmitted(self, states: Tensor) -> Tensor:
        """Return ``(J_t - leak) states``; zero without recurrent synapses.

        Args:
            states: Tensor over the states of the step before.
        """
        if not self.recurrent.numel():
            return torch.zeros_like(states)
        return self.driven(self.emitted(states) @ self.recurrent.t())

    def at(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the step with leak, gain and previous slope in another layout.

        Args:
            change: Function of a tensor that acts on its last axis, the cells.
        """
        return replace(self, leak=change(self.leak), gain=change(self.gain), slope_before=change(self.slope_before))

    def type_means(self) -> TypeMeans:
        """Return the mean recurrent weight of every pair of cell types."""
        return TypeMeans.of(self.recurrence.weights, self.recurrence.types)


@dataclass(frozen=True, eq=False, kw_only=True)
class LeakyStep(LocalStep):
    """A step of a leaky population, whose state is one number per cell."""

    components: ClassVar[int] = 1

    def diagonal(self) -> Tensor:
        """Return ``diag J_t = leak + gain_t W_ii slope_{t-1}``."""
        if not self.recurrent.numel():
            return self.leak
        return self.leak + self.gain * self.recurrent.diagonal() * self.slope_before

    def leak_matrix(self) -> Tensor:
        """Return the leak on the diagonal, shape ``(N, N)``."""
        return torch.diag_embed(self.leak.expand(self.cells))

    def transmission(self) -> Tensor:
        """Return ``J_t - leak = diag(gain_t) W diag(slope_{t-1})``, broadcastable to ``(B, N, N)``."""
        if not self.recurrent.numel():
            return self.leak.new_zeros(())
        return self.gain.unsqueeze(-1) * self.recurrent * self.slope_before.unsqueeze(-2)

    def kept(self, states: Tensor) -> Tensor:
        """Return the states times the leak."""
        return self.leak * states

    def kept_back(self, states: Tensor) -> Tensor:
        """Return the states times the leak."""
        return self.leak * states

    def emitted(self, states: Tensor) -> Tensor:
        """Return the states times the slope."""
        return self.slope_before * states

    def emitted_back(self, rates: Tensor) -> Tensor:
        """Return the rates times the slope."""
        return self.slope_before * rates

    def lifted(self, rates: Tensor) -> Tensor:
        """Return the rates times the slope."""
        return rates * self.slope

    def driven(self, drives: Tensor) -> Tensor:
        """Return the drives times the gain."""
        return self.gain * drives

    def driven_back(self, states: Tensor) -> Tensor:
        """Return the states times the gain."""
        return self.gain * states

    def gain_blocks(self) -> Tensor:
        """Return the gain."""
        return self.gain.expand(self.cells)[..., None, None, :] if self.gain.ndim == 1 else self.gain[:, None, None]
