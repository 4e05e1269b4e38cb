"""Operators of networks on fixed trials, by name.

Shapes: P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from analysis.curvature.analytic.derivative_plan import plan
from analysis.curvature.operators.hessian import Hessian
from analysis.curvature.operators.operator import Operator
from analysis.curvature.operators.output_metrics import METRICS, OutputMetric
from analysis.curvature.operators.pullback import Metric, Pullback
from analysis.curvature.operators.update_derivative import UpdateJacobian
from analysis.curvature.problem import Problem, problem_of
from analysis.fixed_data import Data, Trials
from analysis.learners import moved, named
from analysis.samples import Criterion, Samples, total
from tca.batch import Batch
from tca.learner import Learner
from tca.nets.network import Network
from tca.rule import Rule
from tca.utils.checks import Count, DType, NotNegative, Positive, Seed, checked
from tca.utils.names import Table, lookup

__all__ = ["OPERATORS", "hessian", "operator", "pullback", "rule_field", "update_jacobian"]


def hessian(problem: Problem, *, l2: float = 0.0) -> Hessian:
    """Return the Hessian of the loss.

    Args:
        problem: The loss as a function of the parameters.
        l2: Coefficient of an L2 penalty, default 0.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.ones(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> result = hessian(problem_of(LeakyRNN(1, 4, 2), batch, "b_out"))
    >>> result.loss, result.gradient.tolist()
    (1.0, [-1.0, -1.0])
    """
    means = plan(problem)
    return Hessian(
        problem.losses(), problem.theta, l2=l2, keep=means.keep, expansions=means.expansions, width=means.width
    )


def pullback(problem: Problem, metric: OutputMetric, *, l2: float = 0.0) -> Pullback:
    """Return a metric of the outputs carried back to the parameters.

    Args:
        problem: The loss as a function of the parameters.
        metric: Returns the metric, such as one of ``METRICS``.
        l2: Coefficient of an L2 penalty, default 0.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.ones(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> result = pullback(problem_of(LeakyRNN(1, 4, 2), batch, "b_out"), METRICS["gauss_newton"], l2=1.0)
    >>> result.matrix().tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """

    def metric_of(part: Batch | Samples, outputs: Tensor) -> Metric:
        return metric(outputs, part, total(problem.batch))

    def outputs_of(part: Batch | Samples, theta: Tensor) -> Tensor:
        outputs = problem.outputs(part, theta)
        if not isinstance(outputs, Tensor):
            raise TypeError(f"outputs must be one tensor to have a matrix of their own, got a {type(outputs).__name__}")
        return outputs

    means = plan(problem)
    return Pullback(
        [partial(outputs_of, part) for part in problem.parts],
        [partial(metric_of, part) for part in problem.parts],
        problem.theta,
        l2=l2,
        keep=means.keep,
        carriers=means.carriers,
        width=means.width,
    )


OPERATORS: dict[str, Callable[..., Operator]] = Table(
    "kind of operator",
    {
        "hessian": hessian,
        **{name: partial(pullback, metric=metric) for name, metric in METRICS.items()},
    },
)


@checked
@torch.inference_mode(False)
def operator(
    net: nn.Module,
    trials: Data,
    parameters: str | Sequence[str] | None = None,
    kind: str = "hessian",
    *,
    loss: Criterion | None = None,
    l2: NotNegative = 0.0,
    chunk: Count | None = None,
    memory: Positive = 2048.0,
    dtype: DType | None = torch.float64,
) -> Operator:
    """Return a matrix of the loss in chosen parameters as an operator, on which the measures of ``analysis`` work.

    The loss is ``1/B sum_b sum_t w_tb l_tb`` of all trials given, at the network's present weights, the rest of the
    network fixed, without noise and without any path cut, for any learning rule. With J the Jacobian of the
    outputs:

    - ``"hessian"``: its second derivative.
    - ``"gauss_newton"``: ``J^T (d2 loss/d y2) J``, the Hessian less the curvature of the network itself;
      never negative, and equal to the Hessian where every step's error is zero.
    - ``"fisher"``: ``1/B sum_tb w_tb E[g g^T]``, g the gradient of a step whose target is drawn from the network's own
      prediction. It equals the Gauss-Newton matrix for the squared error, cross-entropy and logistic losses.
    - ``"empirical_fisher"``: the same with every step's given target.
    - ``"trial_fisher"``: ``1/B sum_b g_b g_b^T``, g_b the gradient of a whole trial.

    ``operator @ matrix`` multiplies several vectors at once. The recurrent networks of the library are differentiated
    by hand, in a quarter to a half of the time that autograd takes, which differentiates all others, subclasses among
    them; see ``analysis.curvature.analytic.derivative_plan.SCANNED``.

    All is done on a copy of the network. Trials that are drawn or shuffled anew, and a network that does not repeat
    itself, are refused.

    Args:
        net: A network of the library, or any module; it is copied.
        trials: A batch or a fixed set of trials; or samples, a pair or a loader of inputs and targets, see ``as_data``.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        kind: Which matrix, default ``"hessian"``.
        l2: Coefficient c of an L2 penalty ``c/2 |theta|^2``, default 0; it adds c to every eigenvalue.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``. Chunks add up to
            the same matrix, but for round-off. Values that do not fit into ``memory`` is computed anew for every
            product.
        memory: Memory for derivatives in MB, default 2048; an estimate.
        dtype: Type in which derivatives are computed, default ``torch.float64`` for any network; ``None``
            for the network's own.

    Raises:
        ValueError: A name is unknown, a number is out of range, the batch does not fit the network, trials or outputs
            differ from one call to the next, or the loss is not finite.
        TypeError: The trials are no fixed set.

    Papers: Pearlmutter (1994), Neural Computation 6:147; Schraudolph (2002), Neural Computation 14:1723; Kunstner,
    Balles and Hennig (2019), NeurIPS, for the limits of the empirical Fisher matrix.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.ones(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> operator(LeakyRNN(1, 4, 2), batch, "b_out").matrix().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    >>> operator(LeakyRNN(1, 4, 2), batch, "b_out", "empirical_fisher").matrix().tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    build = lookup(OPERATORS, kind, "kind of operator")
    problem = problem_of(net, trials, parameters, loss=loss, chunk=chunk, memory=memory, dtype=dtype)
    built = build(problem, l2=l2)
    built.groups = problem.parameters.slices()
    return built


@checked
@torch.inference_mode(False)
def update_jacobian(
    net: Network,
    trials: Trials | Batch,
    rule: str | Rule | Learner,
    parameters: str | Sequence[str] | None = None,
    *,
    chunk: Count | None = None,
    memory: Positive = 2048.0,
    seed: Seed = 0,
) -> UpdateJacobian:
    """Return how the gradient that a rule descends changes with the parameters, as an operator in float64.

    Adaptive feedback is held as it is. For ``"bptt"`` this is the Hessian. State that a rule updates before
    it makes the signal moves with the parameters: for SBD ``gh`` depends on them by the correlation R, averaged
    with the batch, so that K contains ``dR / dtheta``, of the order ``1 - lam``; with ``Decay(1.0)`` R is held.

    A rule that couples the trials of a batch (``Rule.couples_trials``) is run on all of them at once.

    Args:
        trials: A fixed set of trials, or a batch.
        rule: The rule by name, as ``Rule``, or as a ``Learner`` of this network, whose feedback is then used.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        chunk: Trials run together; ``None`` (default) for as many as fit into ``memory``.
        memory: Memory in MB, default 2048; an estimate.
        seed: Seed of the feedback that a rule draws, default 0.

    Raises:
        ValueError: As for ``operator``, the learner belongs to another network, or the rule couples trials that do not
            fit into ``memory`` together, or are not to be run together by ``chunk``.
        TypeError: The trials are no fixed set.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.ones(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> update_jacobian(LeakyRNN(1, 4, 2), batch, "eprop_random", "b_out").matrix().round(decimals=9).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    ((_, learner),) = named(net, rule, seed).items()
    problem = problem_of(net, trials, parameters, chunk=chunk, memory=memory)
    built = UpdateJacobian(rule_field(problem, learner), problem.theta)
    built.groups = problem.parameters.slices()
    return built


def rule_field(problem: Problem, learner: Learner) -> Callable[[Tensor], Tensor]:
    """Return the gradient that a rule descends, as a function of the flat parameters.

    Args:
        problem: The loss as a function of the parameters.
        learner: The rule, with its feedback as it is; it is copied.

    Raises:
        ValueError: The rule couples trials, and these are in several chunks.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> from tca.rules import RULES
    >>> net = LeakyRNN(1, 4, 2)
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.ones(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> field = rule_field(problem_of(net, batch, "b_out"), Learner(net, RULES["eprop"]))
    >>> field(torch.tensor([3.0, 1.0]).double()).tolist()
    [2.0, 0.0]
    """
    if learner.rule.couples_trials and len(problem.parts) > 1:
        raise ValueError(
            f"{learner.rule!r} couples the trials of a batch, so that all {problem.batch.trials} must be run together, "
            f"got chunks of {problem.parts[0].trials}: give chunk=None and memory of at least {problem.needed:.0f} MB, "
            "or fewer trials"
        )
    copy = moved(learner, problem.network)
    home = {name: parameter for name, parameter in problem.net.named_parameters() if name in problem.parameters.names}

    @torch.no_grad()
    def field(theta: Tensor) -> Tensor:
        own = {name: parameter.clone() for name, parameter in home.items()}
        try:
            _write(home, problem.parameters.unflatten(theta))
            total = torch.zeros_like(theta)
            for part in problem.batches:
                gradients, _ = copy.grads(part)
                total += problem.parameters.gather(gradients) * (part.trials / problem.batch.trials)
        finally:
            _write(home, own)
        return total

    return field


def _write(into: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, parameter in into.items():
        parameter.copy_(values[name])
