"""Lazy or rich learning: by how much weights, tangent kernel and representations change.

Shapes: N outputs that have a weight, P parameters, M samples of activity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.curvature.problem import problem_of
from analysis.fixed_data import Trials
from analysis.ranks import weight_changes
from analysis.representations.activity import rates
from analysis.stability.jacobians import output_jacobian
from tca.batch import Batch
from tca.nets import Network
from tca.utils.checks import checked
from tca.utils.tables import Tabular

__all__ = ["LearningRegime", "learning_regime", "tangent_kernel"]


@dataclass(frozen=True)
class LearningRegime(Tabular):
    """Changes from one state of a network to another; all near zero in the lazy regime, large in the rich one.

    Attributes:
        weights: ``|theta_1 - theta_0| / |theta_0|`` of the chosen parameters.
        tangent_kernel: ``1 - <K_0, K_1> / (|K_0| |K_1|)``, K the neural tangent kernel, from 0 (the same but for a
            factor) to 1.
        tangent_kernel_size: ``|K_1| / |K_0|``, which the line before leaves out.
        representations: The same distance of the kernels ``R R^T`` of hidden rates R, samples by cells; NaN for a
            whole model, which shows none.
    """

    weights: float
    tangent_kernel: float
    tangent_kernel_size: float
    representations: float


@checked
@torch.inference_mode(False)
def tangent_kernel(net: Network, trials: Trials | Batch, parameters: str | Sequence[str] = "all") -> Tensor:
    """Return the neural tangent kernel ``K = J J^T``, ``J = dy / d theta``, float64, shape ``(N, N)``.

    The rows are all outputs at all steps that have a weight, in the order of steps, trials, outputs.

    Args:
        trials: A fixed set of trials, or a batch.
        parameters: Names as in `curvature`; default all.

    Raises:
        ValueError: There are more than 2,000 such outputs, or the trials do not fit.

    Paper: Jacot, Gabriel and Hongler (2018), NeurIPS, arXiv:1806.07572.

    >>> from tca.losses import MSE
    >>> from tca.nets import wrap
    >>> batch = Batch(torch.tensor([[[1.0], [2.0]]]), torch.zeros(1, 2, 1), torch.ones(1, 2), MSE())
    >>> tangent_kernel(wrap(torch.nn.Linear(1, 1)), batch).tolist()  # x x' + 1
    [[2.0, 3.0], [3.0, 5.0]]
    """
    jacobian = output_jacobian(problem_of(net, trials, parameters))
    return (jacobian @ jacobian.mT).cpu()


@checked
@torch.inference_mode(False)
def learning_regime(
    before: Network, after: Network, trials: Trials | Batch, parameters: str | Sequence[str] = "all"
) -> LearningRegime:
    """Return by how much weights, tangent kernel and representations have changed: lazy or rich learning.

    Args:
        before: The network before training, such as a deep copy.
        after: The same after training.
        trials: A fixed set of trials, or a batch, on which kernel and representations are compared.
        parameters: Names of the parameters of the kernel and of the change of weights, as in `curvature`; default all.

    Raises:
        ValueError: The networks differ in their parameters, there are more than 2,000 outputs that have a weight, or
            the trials do not fit.

    Papers: Chizat, Oyallon and Bach (2019), NeurIPS, arXiv:1812.07956 (lazy training); Liu, Baratin, Cornford, Mihalas,
    Shea-Brown and Lajoie (2024), ICLR, arXiv:2310.08513 (the three measures in recurrent networks).

    >>> import copy
    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.ones(4, 2, 1), torch.zeros(4, 2, 1), torch.ones(4, 2), MSE())
    >>> net = LeakyRNN(1, 5, 1)
    >>> regime = learning_regime(net, copy.deepcopy(net), batch)
    >>> [round(each, 9) for each in (regime.weights, regime.tangent_kernel, regime.representations)]
    [0.0, 0.0, 0.0]
    """
    problem = problem_of(before, trials, parameters)
    change = problem.parameters.gather(weight_changes(before, after)).norm().cpu()
    first, second = (tangent_kernel(net, trials, parameters) for net in (before, after))
    size = float(second.norm() / first.norm())
    hidden = not any(population.module == "model" for population in before.populations())
    features = [rates(net, trials).double().flatten(0, -2).cpu() for net in (before, after)] if hidden else []
    weights = float(change / problem.theta.norm().cpu())
    return LearningRegime(weights, _distance(first, second), size, _gram_distance(*features) if hidden else torch.nan)


def _distance(first: Tensor, second: Tensor) -> float:
    return max(0.0, 1 - float((first * second).sum() / (first.norm() * second.norm())))


def _gram_distance(first: Tensor, second: Tensor) -> float:
    """Return ``1 - cos`` of the matrices ``R R^T`` of samples, by products over cells."""
    inner = (first.mT @ second).square().sum()
    return max(0.0, 1 - float(inner / ((first.mT @ first).norm() * (second.mT @ second).norm())))
