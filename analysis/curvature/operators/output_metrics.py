"""Matrices between the outputs of a batch: second derivatives of the loss, and outer products of its scores.

Shapes: T time, B batch, O outputs, C classes, N samples.

A loss ``1/B sum_b sum_t w_tb l(y_tb)`` counts every step of a trial as an observation with the weight ``w_tb``. Every
metric takes tensors of shape ``(..., T, B, O)``, several at a time. Of `Samples`, whose outputs have any shape, every
sample is an observation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from analysis.curvature.operators.pullback import Metric
from analysis.samples import Criterion, Samples, share
from tca.batch import Batch
from tca.losses import MSE, CrossEntropy, Logistic, Loss

__all__ = ["METRICS", "MODELS", "OutputMetric", "empirical_fisher", "fisher", "loss_hessian", "trial_fisher"]

OutputMetric = Callable[[Tensor, Batch | Samples, float], Metric]
"""From outputs, their chunk, and the divisor of the loss of the whole set, to the metric."""


def loss_hessian(outputs: Tensor, batch: Batch | Samples, trials: float) -> Metric:
    """Return ``S = d2 loss / d y2``, exact for every loss that can be differentiated twice.

    Args:
        outputs: Outputs of the network, shape ``(T, B, O)``, without a graph.
        batch: The trials, which may be some of more.
        trials: Number of trials of the whole set, by which the loss is divided.

    >>> batch = Batch(torch.zeros(1, 1, 1), torch.ones(1, 1, 2), torch.full((1, 1), 3.0), MSE())
    >>> loss_hessian(torch.zeros(1, 1, 2), batch, 1)(torch.tensor([[[1.0, 0.0]]])).tolist()
    [[[3.0, 0.0]]]
    """
    with torch.enable_grad():
        point = outputs.detach().clone().requires_grad_()
        value = share(batch, point, trials)
        (score,) = torch.autograd.grad(value, point, create_graph=True, materialize_grads=True)

    def one(vector: Tensor) -> Tensor:
        if not score.requires_grad:  # the loss is linear in the outputs
            return torch.zeros_like(vector)
        (product,) = torch.autograd.grad(score, point, vector, retain_graph=True)
        return product

    return lambda vectors: torch.stack([one(each) for each in vectors.reshape(-1, *point.shape)]).view(vectors.shape)


def fisher(outputs: Tensor, batch: Batch | Samples, trials: float) -> Metric:
    """Return ``S = w/B E[s s^T]``, the mean over targets drawn from the network's own prediction of each step.

    The score s is that of the drawn target. A softmax predicts one class, a logistic output yes or no independently,
    and a squared error a normal target of unit variance. For these three S equals the second derivative of the loss;
    so it does for ``nn.MSELoss``, ``nn.CrossEntropyLoss`` without class weights, with or without label smoothing, and
    ``nn.BCEWithLogitsLoss`` without ``pos_weight``, where the weight of an observation is that of the criterion.

    Args:
        outputs: Outputs of the network, shape ``(T, B, O)``, without a graph.
        batch: The trials, which may be some of more.
        trials: Number of trials of the whole set.

    Raises:
        ValueError: The loss does not say how targets are distributed.

    >>> classes = torch.zeros(1, 1, dtype=torch.int64)
    >>> batch = Batch(torch.zeros(1, 1, 1), classes, torch.full((1, 1), 3.0), CrossEntropy())
    >>> fisher(torch.zeros(1, 1, 2), batch, 1)(torch.tensor([[[1.0, 0.0]]])).tolist()
    [[[0.75, -0.75]]]
    """
    model = MODELS.get(type(batch.loss))  # type: ignore[arg-type]
    if model is None and not _predicts(batch.loss):
        known = ", ".join(sorted(each.__name__ for each in (*MODELS, *CRITERIA)))
        raise ValueError(f"the Fisher matrix needs a loss that predicts targets: {known}; got {batch.loss!r}")
    if model is None or isinstance(batch, Samples):
        return loss_hessian(outputs, batch, trials)
    weights = batch.weights.unsqueeze(-1) / trials
    second_moment = model(outputs, batch.loss)
    return lambda vector: weights * second_moment(vector)


def empirical_fisher(outputs: Tensor, batch: Batch | Samples, trials: float) -> Metric:
    """Return ``S = w/B s s^T`` with the score s of each step's own target: every step is an observation.

    Args:
        outputs: Outputs of the network, shape ``(T, B, O)``, without a graph.
        batch: The trials, which may be some of more.
        trials: Number of trials of the whole set.

    >>> batch = Batch(torch.zeros(1, 1, 1), torch.ones(1, 1, 2), torch.full((1, 1), 3.0), MSE())
    >>> empirical_fisher(torch.zeros(1, 1, 2), batch, 1)(torch.tensor([[[1.0, 0.0]]])).tolist()
    [[[3.0, 3.0]]]
    """
    if isinstance(batch, Samples):
        return _sample_fisher(outputs, batch, trials)
    score = batch.loss.output_error(outputs, batch.targets)
    weights = batch.weights.unsqueeze(-1) / trials
    return lambda vector: weights * score * (score * vector).sum(-1, keepdim=True)


def trial_fisher(outputs: Tensor, batch: Batch | Samples, trials: float) -> Metric:
    """Return ``S = 1/B s_b s_b^T`` with the weighted scores of a trial as one vector: every trial is an observation.

    Carried back it is ``1/B sum_b g_b g_b^T``, the second moment of the gradients of single trials.

    Args:
        outputs: Outputs of the network, shape ``(T, B, O)``, without a graph.
        batch: The trials, which may be some of more.
        trials: Number of trials of the whole set.

    >>> batch = Batch(torch.zeros(1, 1, 1), torch.ones(1, 1, 2), torch.full((1, 1), 3.0), MSE())
    >>> trial_fisher(torch.zeros(1, 1, 2), batch, 1)(torch.tensor([[[1.0, 0.0]]])).tolist()
    [[[9.0, 9.0]]]
    """
    if isinstance(batch, Samples):
        return _sample_fisher(outputs, batch, trials)
    score = batch.weights.unsqueeze(-1) * batch.loss.output_error(outputs, batch.targets)
    return lambda vector: score * (score * vector).sum((-3, -1), keepdim=True) / trials


def _sample_fisher(outputs: Tensor, samples: Samples, whole: float) -> Metric:
    """Sum ``s_n s_n^T`` over samples, ``s_n`` the derivative of the loss of sample n by its outputs; or their mean."""
    if samples.weight != samples.trials:
        raise ValueError(
            f"samples must have the same weight to be observations, got weights or ignored classes in {samples.loss}"
        )
    with torch.enable_grad():
        point = outputs.detach().clone().requires_grad_()
        (score,) = torch.autograd.grad(share(samples, point, whole), point, materialize_grads=True)
    others = tuple(axis for axis in range(score.ndim) if axis != samples.answers)
    factor = 1.0 if samples.summed else whole
    return lambda vector: factor * score * ((score * vector).sum(others, keepdim=True) if others else score * vector)


def _predicts(loss: Criterion) -> bool:
    """Return whether a criterion of PyTorch is the negative log likelihood of a distribution, each target alike."""
    if isinstance(loss, nn.BCEWithLogitsLoss):
        return loss.pos_weight is None
    return isinstance(loss, CRITERIA) and getattr(loss, "weight", None) is None


def _classes(outputs: Tensor, loss: Loss) -> Metric:
    """Sum over the classes that may be drawn, ``sum_c p_c s_c s_c^T``."""
    probabilities = torch.softmax(outputs, -1)

    def score(drawn: int) -> Tensor:
        return loss.output_error(
            outputs, torch.full(outputs.shape[:-1], drawn, dtype=torch.int64, device=outputs.device)
        )

    def apply(vector: Tensor) -> Tensor:
        total = torch.zeros_like(vector)
        for drawn in range(outputs.shape[-1]):
            each = score(drawn)
            total += probabilities[..., drawn : drawn + 1] * each * (each * vector).sum(-1, keepdim=True)
        return total

    return apply


def _answers(outputs: Tensor, loss: Loss) -> Metric:
    """Sum over yes and no of every output by itself, whose scores are independent with mean zero."""
    yes = torch.sigmoid(outputs)
    moment = yes * loss.output_error(outputs, torch.ones_like(outputs)).square()
    moment += (1 - yes) * loss.output_error(outputs, torch.zeros_like(outputs)).square()
    return lambda vector: moment * vector


def _normal(outputs: Tensor, loss: Loss) -> Metric:
    """Unit variance: the score is the drawn deviation."""
    return lambda vector: vector


MODELS: dict[type[Loss], Callable[[Tensor, Loss], Metric]] = {
    MSE: _normal,
    CrossEntropy: _classes,
    Logistic: _answers,
}

CRITERIA = (nn.MSELoss, nn.CrossEntropyLoss, nn.BCEWithLogitsLoss)

METRICS: dict[str, OutputMetric] = {
    "gauss_newton": loss_hessian,
    "fisher": fisher,
    "empirical_fisher": empirical_fisher,
    "trial_fisher": trial_fisher,
}
