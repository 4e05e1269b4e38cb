"""Estimates of the recurrent weights for feedback: exact, or by cell type.

Shapes: N cells (W[i, j] is the synapse from j to i), A types.

Backpropagating errors through recurrent synapses requires their weights at the postsynaptic cell. Cell types are a
cheaper substitute: a cell releases a modulator of its own type, and a receptor weighs it by one number for each pair of
types.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from tca.utils.host_values import host_value

__all__ = ["BlockMean", "ExactWeights", "Recurrence", "SynapseMean", "TypeMeans", "WeightEstimate"]


class Recurrence(NamedTuple):
    """The recurrent synapses of a population.

    Attributes:
        weights: Recurrent weights W, shape ``(N, N)``, or ``(R N, N)`` with a block of rows for each of R drives; empty
            if there are none.
        mask: Which synapses exist, in the shape of the weights; ``None`` if all do.
        types: Type of every cell, shape ``(N,)``.
    """

    weights: Tensor
    mask: Tensor | None
    types: Tensor

    @classmethod
    def none(cls, rate: Tensor) -> Recurrence:
        """Return no synapses between cells of one type.

        Args:
            rate: Rates of the cells, shape ``(..., N)``.
        """
        return cls(rate.new_empty(0, 0), None, torch.zeros(rate.shape[-1], dtype=torch.int64, device=rate.device))


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
    def of(self, synapses: Recurrence) -> Tensor:
        """Return the estimated weights, shape ``(N, N)``.

        Args:
            synapses: The recurrent synapses.
        """

    @abc.abstractmethod
    def by_type(self, synapses: Recurrence) -> bool:
        """Return whether they are equal for all cells of a type: the rank is the number of types.

        Args:
            synapses: The recurrent synapses.
        """


@dataclass(frozen=True)
class ExactWeights(WeightEstimate):
    """The exact weight of every synapse."""

    def of(self, synapses: Recurrence) -> Tensor:
        """Return the recurrent weights."""
        return synapses.weights

    def by_type(self, synapses: Recurrence) -> bool:
        """Return false."""
        return False


@dataclass(frozen=True)
class SynapseMean(WeightEstimate):
    """``w_ab A_ij``: the mean over the existing synapses from type b to type a, where a synapse exists.

    Paper: Liu et al. (2021), PNAS 118:e2111821118.

    """

    def of(self, synapses: Recurrence) -> Tensor:
        """Return the mean of each pair of types at its existing synapses, zero elsewhere."""
        exists = torch.ones_like(synapses.weights) if synapses.mask is None else synapses.mask
        members = _members(synapses.weights, synapses.types)
        total, number = (members.mT @ _by_drive(each) @ members for each in (synapses.weights, exists))
        return (members @ (total / number.clamp(min=1)) @ members.mT).flatten(0, 1) * exists

    def by_type(self, synapses: Recurrence) -> bool:
        """Return whether all synapses exist."""
        return synapses.mask is None


@dataclass(frozen=True)
class BlockMean(WeightEstimate):
    """``w_ab``: the mean over all pairs of cells of type b and a, missing synapses counted as zero, for every pair.

    A modulator that reaches every cell, with or without a synapse.

    Papers: Liu et al. (2021), PNAS 118:e2111821118 (non-local form); Liu et al. (2022), NeurIPS, arXiv:2206.01338.
    """

    def of(self, synapses: Recurrence) -> Tensor:
        """Return the mean of each pair of types at every pair of cells."""
        return torch.cat([TypeMeans.of(each, synapses.types).spread() for each in _by_drive(synapses.weights)])

    def by_type(self, synapses: Recurrence) -> bool:
        """Return true."""
        return True


def _by_drive(recurrent: Tensor) -> Tensor:
    """Return recurrent weights apart by the drives that they reach, shape ``(R, N, N)``."""
    return torch.unflatten(recurrent, 0, (-1, recurrent.shape[1]))


def _members(recurrent: Tensor, types: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(types, host_value(types, _kinds)).to(recurrent)


def _kinds(types: Tensor) -> int:
    return int(types.max()) + 1
