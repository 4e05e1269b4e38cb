"""Sharpness of a loss at a point, in the measures that papers report.

Shapes: P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.checks import at_least
from analysis.operators.build import hessian, pullback
from analysis.operators.metrics import fisher
from analysis.problem import Problem, Trials, problem_of
from tca.batch import Batch
from tca.checks import Count, DType, Positive, checked
from tca.nets.network import Network

__all__ = ["Sharpness", "sharpness"]


@dataclass(frozen=True)
class Sharpness:
    """What ``sharpness`` has found.

    Attributes:
        loss: The loss L at the point.
        gradient_norm: ``|g|``, zero at a minimum.
        ascent: ``max L(theta + d) - L(theta)`` over ``|d| <= radius``, as found by ascent: a lower bound.
        adaptive: The same over ``|d / |theta|| <= radius``, each parameter measured by its own size: it does not change
            when weights are rescaled without changing what the network does.
        fisher_rao: ``sqrt(theta . F theta)`` with the Fisher matrix F, the length of the parameters as the network's
            predictions see it.
        radius: The radius.
        parameters: Names of the parameters.
    """

    loss: float
    gradient_norm: float
    ascent: float
    adaptive: float
    fisher_rao: float
    radius: float
    parameters: tuple[str, ...]

    def __str__(self) -> str:
        """Return a small table."""
        names = ("loss", "gradient_norm", "ascent", "adaptive", "fisher_rao", "radius")
        lines = [f"{name.replace('_', ' '):<16}{getattr(self, name):.6g}" for name in names]
        return "\n".join([*lines, f"{'parameters':<16}{', '.join(self.parameters)}"])


@checked
def sharpness(
    net: Network,
    trials: Trials | Batch,
    parameters: str | Sequence[str] = "w_rec",
    *,
    radius: float = 0.05,
    steps: Count = 1,
    chunk: Count | None = None,
    memory: Positive = 2048.0,
    dtype: DType | None = torch.float64,
) -> Sharpness:
    """Return how much the loss can rise within a small distance, and the lengths of gradient and parameters.

    With one step the point looked at is the one that sharpness-aware minimisation uses: with ``T = 1`` for ``ascent``
    and ``T = diag(|theta|)`` for ``adaptive``, ``d = radius T (T g) / |T g|``. Every further step takes g at the point
    reached and goes to the edge of the ball in that direction; the highest loss met counts, which for a bowl is the
    maximum in the end. Where the gradient is exactly zero no direction is singled out and the rise is zero: look at the
    eigenvalues there.

    Args:
        net: The network.
        trials: A fixed set of trials, or a batch.
        parameters: Name of a parameter, several names, or ``"all"``; default the recurrent weights.
        radius: The radius, default 0.05: for ``adaptive`` relative to each parameter.
        steps: Steps of ascent, default 1.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``.
        memory: Memory for derivatives in MB, default 2048; an estimate.
        dtype: Type in which all is computed, default ``torch.float64``; ``None`` for the network's own.

    Raises:
        ValueError: A name is unknown, a number is out of range, or the loss does not predict targets.
        TypeError: The trials are no fixed set.

    Papers: Foret, Kleiner, Mobahi and Neyshabur (2021), ICLR, arXiv:2010.01412, for the ascent; Kwon, Kim, Park and
        Choi
    (2021), ICML, arXiv:2102.11600, for the adaptive one; Liang, Poggio, Rakhlin and Stokes (2019), AISTATS, for the
    Fisher-Rao norm.

    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.ones(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> found = sharpness(LeakyRNN(1, 4, 2), batch, "b_out", radius=1.0)    # the loss is |b_out - (1, 1)|^2 / 2 at zero
    >>> round(found.gradient_norm**2, 9), round((found.loss + found.ascent - 1.5) ** 2, 9), found.fisher_rao
    (2.0, 2.0, 0.0)
    """
    if at_least("radius", radius, 0.0) == 0:
        raise ValueError("radius must be greater than 0, got 0")
    problem = problem_of(net, trials, parameters, chunk=chunk, memory=memory, dtype=dtype)
    theta, here = problem.theta, hessian(problem)
    return Sharpness(
        loss=here.loss,
        gradient_norm=here.gradient.norm().item(),
        ascent=_rise(problem, here.gradient, torch.ones_like(theta), radius, steps) - here.loss,
        adaptive=_rise(problem, here.gradient, theta.abs(), radius, steps) - here.loss,
        fisher_rao=math.sqrt(max(0.0, (theta @ pullback(problem, fisher).product(theta)).item())),
        radius=radius,
        parameters=problem.parameters.names,
    )


def _rise(problem: Problem, gradient: Tensor, scale: Tensor, radius: float, steps: int) -> float:
    """Return the highest loss met by ascent within a ball whose axes have the lengths of the scale."""
    highest = problem.loss(problem.theta)
    for _ in range(steps):
        direction = scale * gradient
        if not direction.any():
            break
        there = problem.theta + radius * scale * direction / direction.norm()
        highest = max(highest, problem.loss(there))
        gradient = hessian(replace(problem, theta=there)).gradient if steps > 1 else gradient
    return highest
