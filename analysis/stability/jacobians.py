"""Jacobians of the outputs by the parameters, and of a rule's update by the output errors, as matrices.

Shapes: T time, B batch, O outputs, N numbers among the outputs that have a weight, P parameters.

>>> from analysis.curvature.problem import problem_of
>>> from tca.losses import MSE
>>> from tca.nets import LeakyRNN
>>> net = LeakyRNN(1, 4, 1)
>>> batch = Batch(torch.zeros(2, 1, 1), torch.ones(2, 1, 1), torch.tensor([[0.0], [4.0]]), MSE())  # one counts
>>> problem = problem_of(net, batch, "b_out")
>>> output_jacobian(problem).tolist(), root_metric(problem).tolist(), scores(problem, problem.theta).tolist()
([[1.0]], [[2.0]], [-4.0])
>>> from tca.rules import RULES
>>> rule_jacobian(problem, Learner(net, RULES["eprop"])).tolist()
[[1.0]]
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from analysis.curvature.operators.output_metrics import loss_hessian
from analysis.curvature.operators.pullback import Linearization
from analysis.curvature.problem import Problem
from analysis.learners import moved
from tca.batch import Batch
from tca.learner import Learner
from tca.losses import Loss

__all__ = ["MOST_NUMBERS", "output_jacobian", "root_metric", "rule_jacobian", "scores"]

MOST_NUMBERS = 2000  # outputs that count: every one takes a pass backwards, and matrices are this number squared


@dataclass(frozen=True)
class _Given(Loss):
    """A loss that is linear in the outputs, ``l = c . y``: its output error is its target."""

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs * targets).sum(-1)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return targets.clone()

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        pass


def output_jacobian(problem: Problem) -> Tensor:
    """Return ``J = dy/d theta`` of all outputs that have a weight, shape ``(N, P)``.

    Args:
        problem: The loss as a function of the parameters.

    Raises:
        ValueError: There are more than 2,000 such outputs.
    """
    rows = []
    for part, where in zip(problem.batches, _counted(problem), strict=True):
        linear = Linearization.of(partial(problem.outputs, part), problem.theta)
        unit = torch.zeros_like(linear.outputs.detach())
        for index in where.tolist():
            unit.view(-1)[index] = 1.0
            rows.append(linear.pull(unit))
            unit.view(-1)[index] = 0.0
    return torch.stack(rows)


@torch.no_grad()
def rule_jacobian(problem: Problem, learner: Learner) -> Tensor:
    """Return the matrix ``Jh`` with which a rule takes errors back, ``gh = Jh^T s``, shape ``(N, P)``.

    s is the derivative of the loss by the outputs. For backpropagation ``Jh = J``.

    Args:
        problem: The loss as a function of the parameters.
        learner: The rule, with its feedback as it is; it is copied.

    Raises:
        ValueError: There are more than 2,000 outputs that have a weight, the rule is not linear in s, or it couples the
            trials of a batch.
    """
    if learner.rule.couples_trials and problem.batch.trials > 1:
        raise ValueError(f"the rule must take trials one by one, and {learner.rule!r} couples those of a batch")
    copy = moved(learner, problem.network)
    rows: list[Tensor] = []
    mixture: list[tuple[Tensor, Tensor, slice]] = []

    def descended(part: Batch, trials: slice, cotangent: Tensor) -> Tensor:
        chosen = part.select(trials)
        weights = chosen.inside.to(chosen.weights)
        given = replace(chosen, targets=cotangent, weights=weights, loss=_Given(), lengths=chosen.trial_lengths)
        try:
            gradients, _ = copy.grads(given)
        except ValueError as error:
            raise ValueError(
                f"the rule must be linear in the error of the outputs, and {learner.rule!r} reads more of the loss"
            ) from error
        return problem.parameters.gather(gradients) * chosen.trials

    generator = torch.Generator().manual_seed(0)
    for part, where in zip(problem.batches, _counted(problem), strict=True):
        shape = (part.steps, part.trials, problem.network.n_out)
        mixed = problem.theta.new_zeros(shape)
        mixed.view(-1)[where] = torch.randn(len(where), generator=generator, dtype=torch.float32, device="cpu").to(
            problem.theta
        )
        start = len(rows)
        for index in where.tolist():
            step, trial, output = (int(each) for each in np.unravel_index(index, shape))
            unit = problem.theta.new_zeros(part.steps, 1, shape[2])
            unit[step, 0, output] = 1.0
            rows.append(descended(part, slice(trial, trial + 1), unit))
        mixture.append((descended(part, slice(None), mixed), mixed.view(-1)[where], slice(start, len(rows))))
    jacobian = torch.stack(rows)
    for found, weights, own in mixture:
        if (found - weights @ jacobian[own]).norm() > 1e-8 * found.norm():
            raise ValueError(f"the rule must be linear in the error of the outputs, which {learner.rule!r} is not")
    return jacobian


def root_metric(problem: Problem) -> Tensor:
    """Return R with ``R^T R = d2 loss / d y2`` among the outputs that have a weight, shape ``(N, N)``.

    Args:
        problem: The loss as a function of the parameters.

    Raises:
        ValueError: There are more than 2,000 such outputs.
    """
    blocks = []
    for part, where in zip(problem.batches, _counted(problem), strict=True):
        outputs = problem.outputs(part, problem.theta)
        metric = loss_hessian(outputs, part, problem.batch.trials)
        unit, columns = torch.zeros_like(outputs), []
        for index in where.tolist():
            unit.view(-1)[index] = 1.0
            columns.append(metric(unit).reshape(-1)[where])
            unit.view(-1)[index] = 0.0
        values, vectors = torch.linalg.eigh(torch.stack(columns, 1))
        blocks.append(values.clamp(min=0).sqrt()[:, None] * vectors.mT)
    whole: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return whole


@torch.no_grad()
def scores(problem: Problem, theta: Tensor) -> Tensor:
    """Return the derivative of the loss by the outputs that have a weight, shape ``(N,)``: zero where all is learned.

    Args:
        problem: The loss as a function of the parameters.
        theta: The flat parameters, shape ``(P,)``.
    """
    found = []
    for part, where in zip(problem.batches, _counted(problem), strict=True):
        score = part.loss.output_error(problem.outputs(part, theta), part.targets)
        found.append((score * part.weights.unsqueeze(-1) / problem.batch.trials).reshape(-1)[where])
    return torch.cat(found)


def _counted(problem: Problem) -> list[Tensor]:
    """Return the flat indices of the outputs of each chunk that have a weight."""
    shape = problem.network.n_out
    found = [
        (part.weights > 0).unsqueeze(-1).expand(-1, -1, shape).reshape(-1).nonzero().squeeze(1)
        for part in problem.batches
    ]
    count = sum(map(len, found))
    if not 0 < count <= MOST_NUMBERS:
        raise ValueError(
            f"trials must have 1 to {MOST_NUMBERS} outputs with a weight (steps x trials x outputs), got {count}: "
            "choose a subset of the trials"
        )
    return found
