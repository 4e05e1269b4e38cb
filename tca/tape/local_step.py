"""One step of a population as its synapses see it, for rules that carry traces forward.

Shapes: B batch, N or I postsynaptic cells, J presynaptic, S components of a cell's state, M = S N.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from tca.tape.weight_estimates import TypeMeans

__all__ = ["LeakyMoment", "Moment"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Moment(abc.ABC):
    """The local quantities of a single step, for rules that carry traces forward.

    Something of every state has the shape ``(B, N)`` where a state is one number per cell, else ``(B, S, N)``; what is
    the same for all trials or cells broadcasts.

    Attributes:
        pres: Presynaptic activity of every link into the population, each ``(B, J)``.
        cells: Number of cells N.
        leak: Part of ``ds_t/ds_{t-1}`` that a cell keeps to itself: ``(B, N)``, or ``(B, S, S, N)`` with the component
            it reaches before the one it comes from.
        gain: Derivative by the drive of the component that it moves, the first, ``(B, N)``.
        slope: ``dz_t/ds_t``.
        slope_before: ``dz_{t-1}/ds_{t-1}``.
        constant_gain: The part of the gain that is the same at every step.
        recurrent: Recurrent weights as the state feels them, shape ``(N, N)``; empty if there are none.
        recurrent_mask: Which recurrent synapses exist, shape ``(N, N)``; ``None`` if all do.
        types: Type of every cell, shape ``(N,)``.
        to_go: Number of steps that follow this one, one for each trial, ``(B,)``, where they end at different steps;
            ``None`` where the end of the trial is not known.
        constant_leak: Leak of the component that the drive moves, ``(N,)``, if nothing else of the cell moves it and
            neither this leak nor the gain changes; else ``None``.
        adaptive: Cells whose further components reach their rate, ``(A,)``; ``None`` where there is one component.
        root: Bound at or below which the network keeps the gated Perron root of its recurrent weights; ``None`` if it
            has none.
    """

    components: ClassVar[int]  # numbers S in the state of a cell

    pres: tuple[Tensor, ...]
    cells: int
    leak: Tensor
    gain: Tensor
    slope: Tensor
    slope_before: Tensor
    constant_gain: Tensor
    recurrent: Tensor
    recurrent_mask: Tensor | None
    types: Tensor
    to_go: int | Tensor | None = None
    constant_leak: Tensor | None = None
    adaptive: Tensor | None = None
    root: float | None = None

    @abc.abstractmethod
    def diagonal(self) -> Tensor:
        """Return the part of ``J_t`` that stays in each cell, in the shape of the leak."""

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
            states: Something of every state of the step before.
        """

    @abc.abstractmethod
    def kept_back(self, states: Tensor) -> Tensor:
        """Return ``leak_t^T states``.

        Args:
            states: Something of every state of the step.
        """

    @abc.abstractmethod
    def emitted(self, states: Tensor) -> Tensor:
        """Return ``slope_{t-1} states``, something of every rate of the step before.

        Args:
            states: Something of every state of the step before.
        """

    @abc.abstractmethod
    def emitted_back(self, rates: Tensor) -> Tensor:
        """Return ``slope_{t-1}^T rates``.

        Args:
            rates: Something of every rate of the step before.
        """

    @abc.abstractmethod
    def lifted(self, rates: Tensor) -> Tensor:
        """Return ``slope_t^T rates``, the state signal of a rate signal.

        Args:
            rates: Something of every rate of the step.
        """

    @abc.abstractmethod
    def driven(self, drives: Tensor) -> Tensor:
        """Return ``gain_t drives``, something of every state.

        Args:
            drives: Something of every drive of the step.
        """

    @abc.abstractmethod
    def driven_back(self, states: Tensor) -> Tensor:
        """Return ``gain_t^T states``, something of every drive.

        Args:
            states: Something of every state of the step.
        """

    def at(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return the moment with leak, gain and slope before the step laid out in another way.

        Args:
            change: What lays them out, acting on the axis of the cells, the last.
        """
        return replace(self, leak=change(self.leak), gain=change(self.gain), slope_before=change(self.slope_before))

    def type_means(self) -> TypeMeans:
        """Return the mean recurrent weight of every pair of cell types."""
        return TypeMeans.of(self.recurrent, self.types)


@dataclass(frozen=True, eq=False, kw_only=True)
class LeakyMoment(Moment):
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
