"""The theorem put to the test: a rule's update map run close to a minimum, below and above its critical rate.

Shapes: N outputs that have a weight, P parameters, K steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.curvature.network_operators import rule_field
from analysis.curvature.problem import Problem, problem_of
from analysis.fixed_data import Trials
from analysis.learners import Rules, named
from analysis.stability.critical_rate import critical_rate, critical_rates
from analysis.stability.jacobians import output_jacobian, root_metric, rule_jacobian, scores
from tca.batch import Batch
from tca.learner import Learner
from tca.nets import Network
from tca.rule import Rule
from tca.utils.checks import Count, Kept, NotNegative, Seed, checked
from tca.utils.tables import Tabular, columns_of

__all__ = ["Check", "Iteration", "check_stability", "iterate"]


@dataclass(frozen=True, eq=False)
class Iteration(Tabular):
    """A rule's update map run for some steps from close to a place.

    Attributes:
        rate: The learning rate.
        errors: Norm of the derivative of the loss by the outputs before every step and after the last, ``(K + 1,)``.
        predicted: ``|1 - eta mu|^K`` of the eigenvalue along which the start was moved.
    """

    rate: float
    errors: Tensor
    predicted: float

    def _columns(self) -> dict[str, Any]:
        """Return a row for each step."""
        return {"step": range(len(self.errors)), "error": self.errors}

    @property
    def ratio(self) -> float:
        """Last error divided by the first."""
        return (self.errors[-1] / self.errors[0]).item()


@dataclass(frozen=True, eq=False)
class Check(Tabular):
    """A rule's map just below and just above its critical rate.

    Attributes:
        critical_rate: The critical rate.
        lower: The map run below it.
        upper: The map run above it.
    """

    critical_rate: float
    lower: Iteration
    upper: Iteration

    def _columns(self) -> dict[str, Any]:
        """Return a row for each of the two rates."""
        names = ("rate", "ratio", "predicted")
        runs = {"below": self.lower, "above": self.upper}
        return columns_of({"side": side, **{name: getattr(run, name) for name in names}} for side, run in runs.items())

    @property
    def holds(self) -> bool:
        """Whether errors shrink below and grow above; a mode that mostly turns needs many steps to show it."""
        return self.lower.ratio < 1 < self.upper.ratio


@checked
@torch.inference_mode(False)
def iterate(
    net: Network,
    trials: Trials | Batch,
    rule: str | Rule | Learner,
    rate: NotNegative,
    parameters: str | Sequence[str] | None = None,
    *,
    start: NotNegative = 1e-6,
    steps: Count = 60,
    seed: Seed = 0,
) -> Iteration:
    """Run ``theta <- theta - eta gh(theta)`` from close to where the network is, a minimum without error.

    The start is moved by a small distance along the eigenvector ``Jh^T R^T w`` of the map that is the first to grow
    when the rate rises, w being the eigenvector of ``R J Jh^T R^T``; its real part if it is complex.

    Args:
        net: The network; it is not changed.
        trials: A fixed set of trials, or a batch.
        rule: The rule by name, as ``Rule``, or as a ``Learner`` of this network.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        start: Distance of the start, default 1e-6.
        steps: Number of steps K, default 60.
        seed: Seed of the feedback that the rule draws, default 0.

    Raises:
        ValueError: As for ``stability``, or a number is out of range.
        TypeError: The trials are no fixed set.

    >>> from tca.nets import LeakyRNN
    >>> from analysis.stability.gauss_newton_minimum import minimum
    >>> from tca.losses import MSE
    >>> batch = Batch(torch.ones(4, 1, 1), torch.full((4, 1, 1), 0.25), torch.eye(4)[3:].t(), MSE())
    >>> net = minimum(LeakyRNN(1, 4, 1), batch)
    >>> result = iterate(net, batch, "bptt", rate=0.5, steps=10)
    >>> abs(result.ratio / result.predicted - 1) < 1e-3
    True
    """
    ((_, learner),) = named(net, rule, seed).items()
    problem = problem_of(net, trials, parameters)
    return _run(problem, learner, rate, *_modes(problem, learner), start=start, steps=steps)


@checked
@torch.inference_mode(False)
def check_stability(
    net: Network,
    trials: Trials | Batch,
    rules: Rules,
    parameters: str | Sequence[str] | None = None,
    *,
    margin: Kept = 0.05,
    start: NotNegative = 1e-6,
    steps: Count = 60,
    seed: Seed = 0,
) -> dict[str, Check]:
    """Run the map of every rule a little below and a little above its critical rate.

    Args:
        net: The network, at a minimum without error; it is not changed.
        trials: A fixed set of trials, or a batch.
        rules: Rules by name, as ``Rule``, or as a ``Learner`` of this network; one by itself is allowed.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        margin: How much below and above, relative to the critical rate, default 0.05.
        start: Distance of the start, default 1e-6.
        steps: Number of steps, default 60.
        seed: Seed of the feedback that rules draw, default 0.

    Raises:
        ValueError: As for ``stability``, a number is out of range, or a rule has no critical rate since the place
            attracts it at none.
        TypeError: The trials are no fixed set.

    >>> from tca.nets import LeakyRNN
    >>> from analysis.stability.gauss_newton_minimum import minimum
    >>> from tca.losses import MSE
    >>> batch = Batch(torch.ones(4, 1, 1), torch.full((4, 1, 1), 0.25), torch.eye(4)[3:].t(), MSE())
    >>> result = check_stability(minimum(LeakyRNN(1, 4, 1), batch), batch, ["bptt", "eprop"])
    >>> [each.holds for each in result.values()]
    [True, True]
    """
    learners = named(net, rules, seed)
    problem = problem_of(net, trials, parameters)
    found = {}
    for name, learner in learners.items():
        values, vectors = _modes(problem, learner)
        critical = critical_rate(values)
        if not 0 < critical < float("inf"):
            raise ValueError(f"rule {name!r} has no critical rate here, as it is {critical:g}")
        lower, upper = (
            _run(problem, learner, critical * (1 + sign * margin), values, vectors, start=start, steps=steps)
            for sign in (-1, 1)
        )
        found[name] = Check(critical, lower, upper)
    return found


def _modes(problem: Problem, learner: Learner) -> tuple[Tensor, Tensor]:
    """Return the mu of the map's eigenvalues ``1 - eta mu`` and its eigenvectors, as columns, shape ``(P, N)``."""
    root, back = root_metric(problem), rule_jacobian(problem, learner)
    values, vectors = torch.linalg.eig(root @ output_jacobian(problem) @ back.mT @ root.mT)
    return values, (root @ back).mT.to(vectors) @ vectors


def _run(
    problem: Problem, learner: Learner, rate: float, values: Tensor, vectors: Tensor, *, start: float, steps: int
) -> Iteration:
    leading = int(critical_rates(values).argmin())
    direction = vectors[:, leading].real
    field, theta = rule_field(problem, learner), problem.theta + start * direction / direction.norm()
    errors = [scores(problem, theta).norm()]
    for _ in range(steps):
        theta = theta - rate * field(theta)
        errors.append(scores(problem, theta).norm())
    return Iteration(rate, torch.stack(errors).cpu(), float((1 - rate * values[leading]).abs() ** steps))
