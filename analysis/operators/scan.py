"""Networks run and differentiated by hand, to second order, without a graph, many vectors at once.

Shapes: T time, B batch, O outputs, P parameters, V vectors. In a dictionary of tensors by the names of parameters, each
has the shape of its parameter, for several vectors with a leading axis of V.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from analysis.operators.expansion import Expansion
from analysis.operators.metrics import loss_hessian
from analysis.operators.pullback import Metric
from analysis.parameters import Parameters
from tca.batch import Batch
from tca.workspace import Workspace

__all__ = ["Scan", "ScanCarrier", "ScanExpansion", "Tensors", "collect", "spread"]

Tensors = dict[str, Tensor]


class Scan(abc.ABC):
    """A network on some trials at a point, with all that does not depend on a vector computed once.

    Args:
        net: The network.
        weights: Its parameters at the point by name, missing synapses at zero.
        names: The chosen parameters.
        inputs: Inputs of the trials, shape ``(T, B, I)``.
        kept: Memory for what does not depend on a vector; no one else may use it as long as the scan is used.
        scratch: Memory for one pass, which other scans may use in turn.

    Attributes:
        parameters: Names of all parameters that it can differentiate by.
    """

    parameters: ClassVar[frozenset[str]]

    @abc.abstractmethod
    def __init__(
        self,
        net: Any,
        weights: Mapping[str, Tensor],
        names: Sequence[str],
        inputs: Tensor,
        kept: Workspace,
        scratch: Workspace,
    ) -> None:
        """Run the network."""

    @property
    @abc.abstractmethod
    def outputs(self) -> Tensor:
        """Outputs, shape ``(T, B, O)``."""

    @abc.abstractmethod
    def push(self, moves: Mapping[str, Tensor]) -> Tensor:
        """Return ``J v``, how outputs change when parameters move, shape ``(V, T, B, O)``.

        Args:
            moves: The vectors; parameters that are not named do not move.
        """

    @abc.abstractmethod
    def pull(self, signals: Tensor) -> Tensors:
        """Return ``J^T u`` for the chosen parameters.

        Args:
            signals: The u, shape ``(V, T, B, O)``.
        """

    @abc.abstractmethod
    def expand(self, score: Tensor) -> Tensors:
        """Return the gradient for the chosen parameters, without an axis of vectors, and remember the adjoint.

        It may be called once.

        Args:
            score: Derivative of the loss by the outputs, shape ``(T, B, O)``.
        """

    @abc.abstractmethod
    def second(self, moves: Mapping[str, Tensor], metric: Metric) -> Tensors:
        """Return products of the Hessian for the chosen parameters; the loss must have been expanded.

        Args:
            moves: The vectors, of the chosen parameters.
            metric: The second derivative of the loss by the outputs.
        """


class ScanExpansion(Expansion):
    """The loss of a network on a chunk of trials, to second order.

    Args:
        scan: The network on these trials.
        parameters: The chosen parameters.
        part: The trials.
        trials: Number of trials of the whole set, by which the loss is divided.
    """

    def __init__(self, scan: Scan, parameters: Parameters, part: Batch, trials: int) -> None:
        """Compute the loss, its gradient and the adjoint."""
        self._scan, self._parameters = scan, parameters
        share = part.weights / trials
        self._value = float((share * part.loss.value(scan.outputs, part.targets)).sum())
        score = share.unsqueeze(-1) * part.loss.score(scan.outputs, part.targets)
        self._gradient = parameters.gather(scan.expand(score))
        self._metric = loss_hessian(scan.outputs, part, trials)

    @property
    def value(self) -> float:
        """What the chunk adds to the loss."""
        return self._value

    @property
    def gradient(self) -> Tensor:
        """What it adds to the gradient."""
        return self._gradient

    def second(self, vectors: Tensor) -> Tensor:
        """Return what it adds to ``H M``, all vectors in one pass."""
        return collect(self._parameters, self._scan.second(spread(self._parameters, vectors), self._metric))


class ScanCarrier:
    """The outputs of a network on a chunk of trials, to first order.

    Args:
        scan: The network on these trials.
        parameters: The chosen parameters.
    """

    def __init__(self, scan: Scan, parameters: Parameters) -> None:
        """Take over the network."""
        self._scan, self._parameters = scan, parameters

    @property
    def value(self) -> Tensor:
        """Outputs, shape ``(T, B, O)``."""
        return self._scan.outputs

    def carry(self, metric: Metric, vectors: Tensor) -> Tensor:
        """Return ``J^T S J M``, shape ``(P, V)``, all vectors in one pass.

        Args:
            metric: What S does.
            vectors: The vectors M, shape ``(P, V)``.
        """
        pushed = self._scan.push(spread(self._parameters, vectors))
        return collect(self._parameters, self._scan.pull(metric(pushed)))


def spread(parameters: Parameters, vectors: Tensor) -> Tensors:
    """Return vectors in the shapes of the parameters, missing synapses at zero.

    Args:
        parameters: The chosen parameters.
        vectors: The vectors, shape ``(P, V)``.
    """
    spread_out = {}
    where = parameters.slices()
    for name, value, index in zip(parameters.names, parameters.values, parameters.existing, strict=True):
        rows = vectors[where[name]].mT
        if index is not None:
            rows = rows.new_zeros(len(rows), value.numel()).index_copy_(1, index, rows)
        spread_out[name] = rows.reshape(len(rows), *value.shape)
    return spread_out


def collect(parameters: Parameters, tensors: Mapping[str, Tensor]) -> Tensor:
    """Return what belongs to the existing parameters, shape ``(P, V)``.

    Args:
        parameters: The chosen parameters.
        tensors: Tensors in the shapes of the parameters, each with a leading axis of V.
    """
    rows = []
    for name, index in zip(parameters.names, parameters.existing, strict=True):
        flat = tensors[name].flatten(1)
        rows.append(flat if index is None else flat[:, index])
    return torch.cat(rows, 1).mT
