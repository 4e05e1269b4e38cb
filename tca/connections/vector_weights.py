"""Connections of vector cells: one scalar weight for all components.

Shapes: M any number of leading steps and trials; K components of a vector, I postsynaptic cells, J presynaptic, C maps.

A population of I such cells is laid out component by component: ``N = K I``, component k of cell i at ``k I + i``. A
weight between two cells multiplies the whole vector, ``drive_ki = sum_j W_ij pre_kj``: all components share the same
connection, all-to-all, convolutional or locally connected. Scalar inputs have separate weights onto every component.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.connections.connection import Connection, Dense

__all__ = ["InputVectors", "VectorBias", "VectorConnection", "Vectors"]

SKINNY = 4  # ratio of height to width above which the transposed product takes a fifth of the time
Maker = Callable[[str, Tensor, Tensor | None], Connection]


@dataclass(frozen=True, eq=False)
class VectorConnection(Connection, abc.ABC):
    """A connection onto vector cells, with a fast gradient for signals ``gate_i score_k``.

    For such a signal ``outer_`` is a product of two factors: the gate, and ``meet`` of output error and presynaptic
    activity. No product over components of the postsynaptic cells is needed.
    """

    @abc.abstractmethod
    def meet(self, error: Tensor, pre: Tensor) -> Tensor:
        """Return the factor of the postsynaptic gates in the gradient, shape ``(..., M)``.

        Args:
            error: Output error of every component, shape ``(..., K)``.
            pre: Presynaptic activity, as for ``drive``.
        """

    @abc.abstractmethod
    def broadcast_(self, gradient: Tensor, gate: Tensor, met: Tensor) -> None:
        """Add ``outer_`` of the signal ``gate_i score_k`` to a gradient in place.

        Args:
            gradient: Accumulated gradient, in the shape of the weight.
            gate: Gate of every postsynaptic cell, shape ``(..., I)``.
            met: Result of ``meet`` for the output error and the presynaptic activity.
        """

    def fold(self, per_pair: Tensor) -> Tensor:
        return self.gather_pairs(per_pair)


@dataclass(frozen=True, eq=False)
class Vectors(VectorConnection):
    """``drive_ki = sum_j W_ij pre_kj``: one weight for all components, in the shape of the connection it repeats.

    Args:
        components: Number of components K.
        inner: Constructor of the connection of one component, default all-to-all.

    Paper: Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089.

    >>> Vectors("w", torch.tensor([[1.0, 2.0]]), components=2).drive(torch.tensor([1.0, 1.0, 3.0, 0.0])).tolist()
    [3.0, 3.0]
    """

    components: int = 1
    inner: Maker = Dense

    @property
    def plain(self) -> Connection:
        """The connection of one component."""
        return self.inner(self.name, self.weight, self.mask)

    @property
    def n_post(self) -> int:
        return self.components * self.plain.n_post

    @property
    def n_pre(self) -> int:
        return self.components * self.plain.n_pre

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        return self.plain.apply(weight, self._apart(pre)).flatten(-2)

    def back(self, signal: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return ``W^T signal``, every component on its own, shape ``(..., K J)``."""
        return self.plain.back(self._apart(signal), weight).flatten(-2)

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add the sum over components of ``signal_ki pre_kj``, one product."""
        self.plain.outer_(gradient, self._apart(signal), self._apart(pre))

    def meet(self, error: Tensor, pre: Tensor) -> Tensor:
        return (error.unsqueeze(-2) @ self._apart(pre)).squeeze(-2)

    def broadcast_(self, gradient: Tensor, gate: Tensor, met: Tensor) -> None:
        """Add ``gate_i met_j``."""
        self.plain.outer_(gradient, gate, met)

    def _apart(self, values: Tensor) -> Tensor:
        return values.reshape(*values.shape[:-1], self.components, -1)


@dataclass(frozen=True, eq=False)
class InputVectors(VectorConnection):
    """``drive_ki = sum_c W_kic x_c``: scalar inputs with separate weights onto every component.

    It equals ``Vectors`` on inputs expanded to one vector for each input and component, at a K-th of the cost.

    Args:
        inner: Constructor of the connection to ``K I`` scalar cells or ``K C`` maps, default all-to-all.

    Paper: Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089.

    >>> InputVectors("w", torch.tensor([[[1.0, 2.0]], [[0.0, 3.0]]])).drive(torch.tensor([1.0, 1.0])).tolist()
    [3.0, 3.0]
    """

    inner: Maker = Dense

    @property
    def plain(self) -> Connection:
        """The connection to the components as if they were cells."""
        mask = None if self.mask is None else self.mask.flatten(0, 1)
        return self.inner(self.name, self.weight.detach().flatten(0, 1), mask)

    @property
    def n_post(self) -> int:
        return self.plain.n_post

    @property
    def n_pre(self) -> int:
        return self.plain.n_pre

    def drive(self, pre: Tensor) -> Tensor:
        """Return the drive without a graph to the weights, computed in place."""
        weight = self.effective()
        if weight.ndim != 3 or pre.requires_grad:
            return self.apply(weight, pre)
        driven = pre.new_empty(*pre.shape[:-1], *weight.shape[:2])
        for component, each in zip(driven.view(-1, *weight.shape[:2]).unbind(1), weight.unbind(0), strict=True):
            torch.mm(pre.reshape(-1, pre.shape[-1]), each.t(), out=component)
        return driven.flatten(-2)

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        """Return the drive, shape ``(..., K I)``."""
        if weight.ndim == 3:  # matrices: a product for each component takes less time than one of K-fold width
            return torch.cat([pre @ each.t() for each in weight.unbind(0)], -1)
        return self.plain.apply(weight.flatten(0, 1), pre)

    def back(self, signal: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return ``W^T signal``, shape ``(..., J)``."""
        return self.plain.back(signal, None if weight is None else weight.flatten(0, 1))

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add ``signal_ki pre_c``."""
        if gradient.ndim == 3 and SKINNY * gradient.shape[-1] < gradient.shape[1]:
            gradient.add_(_crossed(pre, signal).view(-1, *gradient.shape[:2]).movedim(0, -1))
        else:
            self.plain.outer_(gradient.flatten(0, 1), signal, pre)

    def meet(self, error: Tensor, pre: Tensor) -> Tensor:
        return (error.unsqueeze(-1) * pre.unsqueeze(-2)).flatten(-2)

    def broadcast_(self, gradient: Tensor, gate: Tensor, met: Tensor) -> None:
        """Add ``gate_i met_kc``: one product for matrices, else component by component."""
        if gradient.ndim == 3:
            gradient.add_(_crossed(met, gate).view(len(gradient), -1, gradient.shape[1]).transpose(1, 2))
            return
        one = self.inner(self.name, self.weight.detach()[0], None)
        parts = met.reshape(*met.shape[:-1], len(gradient), -1).unbind(-2)
        for each, part in zip(gradient.unbind(0), parts, strict=True):
            one.outer_(each, gate, part)


@dataclass(frozen=True, eq=False)
class VectorBias(VectorConnection):
    """One weight per component and map, the same at every position: ``drive_kcp = b_kc``; the weight is ``(K, C)``.

    Args:
        positions: Cells that share it, default 1.

    >>> VectorBias("b", torch.tensor([[1.0], [2.0]]), positions=2).drive(torch.ones(1)).tolist()
    [1.0, 1.0, 2.0, 2.0]
    """

    positions: int = 1

    @property
    def n_post(self) -> int:
        return self.weight.numel() * self.positions

    @property
    def n_pre(self) -> int:
        """One: the activity that is always one."""
        return 1

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        return weight.flatten() if self.positions == 1 else weight.flatten().repeat_interleave(self.positions)

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add the sum of the signal over all leading axes and positions; ``pre`` is one everywhere and not read."""
        gradient.add_(signal.reshape(-1, *gradient.shape, self.positions).sum((0, 3)))

    def meet(self, error: Tensor, pre: Tensor) -> Tensor:
        """Return the output error times the constant activity: one, or a trace of ones."""
        return error * pre

    def broadcast_(self, gradient: Tensor, gate: Tensor, met: Tensor) -> None:
        """Add ``met_k gate_c``, summed over all leading axes and positions."""
        per_map = gate.reshape(*gate.shape[:-1], -1, self.positions).sum(-1) if self.positions > 1 else gate
        gradient.addmm_(met.reshape(-1, len(gradient)).t(), per_map.reshape(-1, gradient.shape[1]))


def _crossed(one: Tensor, other: Tensor) -> Tensor:
    """Return the sum of the outer products of two activities over all leading axes, shape ``(M, N)``."""
    return one.reshape(-1, one.shape[-1]).t() @ other.reshape(-1, other.shape[-1])
