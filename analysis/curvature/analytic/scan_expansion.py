"""Recurrent networks differentiated by hand for the operators: the loss to second order, outputs to first.

Shapes: T time, B batch, O outputs, P parameters, V vectors.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from analysis.curvature.analytic.scan import Scan, Tensors
from analysis.curvature.operators.output_metrics import loss_hessian
from analysis.curvature.operators.pullback import Metric
from analysis.curvature.operators.second_order import LossExpansion
from analysis.curvature.parameters import Parameters
from tca.batch import Batch

__all__ = ["ScanCarrier", "ScanExpansion", "collect", "spread"]


class ScanExpansion(LossExpansion):
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
        error = share.unsqueeze(-1) * part.loss.output_error(scan.outputs, part.targets)
        self._gradient = parameters.gather(scan.expand(error))
        self._metric = loss_hessian(scan.outputs, part, trials)

    @property
    def value(self) -> float:
        """The share of the chunk in the loss."""
        return self._value

    @property
    def gradient(self) -> Tensor:
        return self._gradient

    def second(self, vectors: Tensor) -> Tensor:
        """Return its share in ``H M``, all vectors in one pass."""
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
            metric: The product with S.
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
    """Return the entries of existing parameters, shape ``(P, V)``.

    Args:
        parameters: The chosen parameters.
        tensors: Tensors in the shapes of the parameters, each with a leading axis of V.
    """
    rows = []
    for name, index in zip(parameters.names, parameters.existing, strict=True):
        flat = tensors[name].flatten(1)
        rows.append(flat if index is None else flat[:, index])
    return torch.cat(rows, 1).mT
