"""Connections of an ensemble: networks of one architecture, whose weights have a leading axis.

Shapes: S networks, C consecutive steps, B batch, I postsynaptic, J presynaptic.

Activity and signals have the shape ``(C, S, B, I)``. Products copy nothing where networks
come first in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tca.connections.connection import Bias, Connection, Dense, Initial

__all__ = ["EnsembleBias", "EnsembleDense", "EnsembleInitial", "through"]


def through(values: Tensor, weights: Tensor) -> Tensor:
    """Return ``values @ weights``, network by network if the weights have an axis of networks.

    Args:
        values: Values, shape ``(..., B, J)``; ``(C, S, B, J)`` of an ensemble.
        weights: Weights, shape ``(J, I)``; ``(S, J, I)`` of an ensemble.

    >>> weights = torch.tensor([[[2.0]], [[3.0]]])
    >>> through(torch.ones(1, 2, 1, 1), weights).flatten().tolist()
    [2.0, 3.0]
    """
    if weights.ndim == 2:
        return values @ weights
    steps, networks, trials, _ = values.shape
    return torch.bmm(rows(values), weights).view(networks, steps, trials, -1).transpose(0, 1)


def rows(values: Tensor) -> Tensor:
    """Return the values of each network as a matrix, shape ``(S, C B, I)``.

    Args:
        values: Values, shape ``(C, S, B, I)``.
    """
    return values.transpose(0, 1).flatten(1, 2)


@dataclass(frozen=True, eq=False)
class EnsembleDense(Dense):
    """All-to-all weights of every network, shape ``(S, I, J)``."""

    def gradient(self) -> Tensor:
        """Return zero gradients, in memory along their long side as those of one network."""
        _, n_post, n_pre = self.weight.shape
        if 4 * n_pre < n_post:
            return self.weight.detach().new_zeros(len(self.weight), n_pre, n_post).mT
        return Connection.gradient(self)

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        return through(pre, weight.mT)

    def back(self, signal: Tensor, weight: Tensor | None = None) -> Tensor:
        return through(signal, self.effective() if weight is None else weight)

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add ``signal^T pre`` of every network to its ``gradient``.

        On a CPU network by network: batched products of narrow matrices take several times as long.
        """
        signals, pres = rows(signal), rows(pre)
        if not gradient.is_cpu:
            gradient.baddbmm_(signals.mT, pres)
            return
        for its, each, before in zip(gradient.unbind(0), signals.unbind(0), pres.unbind(0), strict=True):
            its.addmm_(each.t(), before)


@dataclass(frozen=True, eq=False)
class EnsembleBias(Bias):
    """Biases of every network, shape ``(S, I)``."""

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        return weight.unsqueeze(1)

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        gradient.add_(rows(signal).sum(1))


@dataclass(frozen=True, eq=False)
class EnsembleInitial(EnsembleBias, Initial):
    """States at time zero of every network, shape ``(S, I)``."""
