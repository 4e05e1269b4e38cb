"""Estimates of the recurrent weights for feedback: exact, or by cell type.

Shapes: N cells (W[i, j] is the synapse from j to i), A types.

Backpropagating errors through recurrent synapses requires their weights at the postsynaptic cell. Cell types are a
cheaper substitute: a cell releases a modulator of its own type, and a receptor weighs it by one number for each pair of
types.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from tca.utils.host_values import host_value

__all__ = ["BlockMean", "ExactWeights", "SynapseMean", "TypeMeans", "WeightEstimate", "Wired"]


class Wired(Protocol):
    """A tape or a single step of one, with its recurrent weights."""

    @property
    def recurrent(self) -> Tensor:
        """Recurrent weights W, shape ``(N, N)``."""

    @property
    def recurrent_mask(self) -> Tensor | None:
        """Which synapses exist, shape ``(N, N)``; ``None`` if all do."""

    @property
    def types(self) -> Tensor:
        """Type of every cell, shape ``(N,)``."""


class TypeMeans(NamedTuple):
    """The mean recurrent weight of every pair of cell types, missing synapses counted as zero.

    Attributes:
        members: One where a cell has a type and zero elsewhere, shape ``(N, A)``.
        weights: Mean weight from type b to type a at ``[a, b]``, shape ``(A, A)``; zero where a type has no cells.

    >>> means = TypeMeans.of(torch.tensor([[1.0, 3.0], [5.0, 7.0]]), torch.tensor([0, 0]))
    >>> means.weights.tolist()
    [[4.0]]
    """

    members: Tensor
    weights: Tensor

    @classmethod
    def of(cls, recurrent: Tensor, types: Tensor) -> TypeMeans:
        """Return the means of some weights.

        Args:
            recurrent: Recurrent weights, shape ``(N, N)``.
            types: Type of every cell, shape ``(N,)``.
        """
        members = _members(recurrent, types)
        cells = members.sum(0)
        pairs = cells.unsqueeze(1) * cells
        return cls(members, members.mT @ recurrent @ members / pairs.clamp(min=1))

    def spread(self) -> Tensor:
        """Return the mean weight of every pair of cells, shape ``(N, N)``."""
        return self.members @ self.weights @ self.members.mT


@dataclass(frozen=True)
class WeightEstimate(abc.ABC):
    """Feedback weights that replace the recurrent ones."""

    @abc.abstractmethod
    def of(self, wired: Wired) -> Tensor:
        """Return the estimated weights, shape ``(N, N)``.

        Args:
            wired: A tape or a step, with weights, synapses and types.
        """

    @abc.abstractmethod
    def by_type(self, wired: Wired) -> bool:
        """Return whether they are equal for all cells of a type: the rank is the number of types.

        Args:
            wired: A tape or a step, with weights, synapses and types.
        """


@dataclass(frozen=True)
class ExactWeights(WeightEstimate):
    """The exact weight of every synapse."""

    def of(self, wired: Wired) -> Tensor:
        """Return the recurrent weights."""
        return wired.recurrent

    def by_type(self, wired: Wired) -> bool:
        """Return false."""
        return False


@dataclass(frozen=True)
class SynapseMean(WeightEstimate):
    """``w_ab A_ij``: the mean over the existing synapses from type b to type a, where a synapse exists.

    Paper: Liu et al. (2021), PNAS 118:e2111821118.

    """

    def of(self, wired: Wired) -> Tensor:
        """Return the mean of each pair of types at its existing synapses, zero elsewhere."""
        exists = torch.ones_like(wired.recurrent) if wired.recurrent_mask is None else wired.recurrent_mask
        members = _members(wired.recurrent, wired.types)
        total, synapses = (members.mT @ _by_drive(each) @ members for each in (wired.recurrent, exists))
        return (members @ (total / synapses.clamp(min=1)) @ members.mT).flatten(0, 1) * exists

    def by_type(self, wired: Wired) -> bool:
        """Return whether all synapses exist."""
        return wired.recurrent_mask is None


@dataclass(frozen=True)
class BlockMean(WeightEstimate):
    """``w_ab``: the mean over all pairs of cells of type b and a, missing synapses counted as zero, for every pair.

    A modulator that reaches every cell, with or without a synapse.

    Papers: Liu et al. (2021), PNAS 118:e2111821118 (non-local form); Liu et al. (2022), NeurIPS, arXiv:2206.01338.
    """

    def of(self, wired: Wired) -> Tensor:
        """Return the mean of each pair of types at every pair of cells."""
        return torch.cat([TypeMeans.of(each, wired.types).spread() for each in _by_drive(wired.recurrent)])

    def by_type(self, wired: Wired) -> bool:
        """Return true."""
        return True


def _by_drive(recurrent: Tensor) -> Tensor:
    """Return recurrent weights apart by the drives that they reach, shape ``(R, N, N)``."""
    return torch.unflatten(recurrent, 0, (-1, recurrent.shape[1]))


def _members(recurrent: Tensor, types: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(types, host_value(types, _kinds)).to(recurrent)


def _kinds(types: Tensor) -> int:
    return int(types.max()) + 1
