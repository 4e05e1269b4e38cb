"""Sharpness of a loss at a point, in the measures that papers report.

Shapes: P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from analysis.curvature.network_operators import hessian, pullback
from analysis.curvature.operators.hessian import Hessian
from analysis.curvature.operators.output_metrics import fisher
from analysis.curvature.problem import Problem, problem_of
from analysis.fixed_data import Data
from analysis.samples import Criterion
from tca.utils.checks import Count, DType, NotNegative, Positive, checked
from tca.utils.tables import Tabular

__all__ = ["Sharpness", "sharpness"]


@dataclass(frozen=True)
class Sharpness(Tabular):
    """The result of ``sharpness``.

    Attributes:
        loss: The loss L at the point.
        gradient_norm: ``|g|``, zero at a minimum.
        ascent: ``max L(theta + d) - L(theta)`` over ``|d| <= radius``, by ascent: a lower bound.
        adaptive: The same over ``|d / (|theta| + eta)| <= radius``, each parameter measured by its own size: with
            ``eta = 0`` it does not change when weights are rescaled without changing the outputs.
        box: ``100 max (L(theta + d) - L(theta)) / (1 + L(theta))`` over ``|d_i| <= epsilon (|theta_i| + 1)``, in
            percent.
        grouped: Mean of ``ascent`` over groups of ``group`` trials, each with its own loss and d; equal to ``ascent``
            where no group is asked for.
        fisher_rao: ``sqrt(theta . F theta)`` with the Fisher matrix F, the length of the parameters as the network's
            predictions see it.
        radius: The radius.
        parameters: Names of the parameters.
    """

    loss: float
    gradient_norm: float
    ascent: float
    adaptive: float
    box: float
    grouped: float
    fisher_rao: float
    radius: float
    parameters: tuple[str, ...]

    def __str__(self) -> str:
        """Return a small table."""
        names = ("loss", "gradient_norm", "ascent", "adaptive", "box", "grouped", "fisher_rao", "radius")
        lines = [f"{name.replace('_', ' '):<16}{getattr(self, name):.6g}" for name in names]
        return "\n".join([*lines, f"{'parameters':<16}{', '.join(self.parameters)}"])


@checked
@torch.inference_mode(False)
def sharpness(
    net: nn.Module,
    trials: Data,
    parameters: str | Sequence[str] | None = None,
    *,
    loss: Criterion | None = None,
    radius: Positive = 0.05,
    steps: Count = 1,
    eta: NotNegative = 0.0,
    epsilon: Positive = 1e-3,
    group: Count | None = None,
    chunk: Count | None = None,
    memory: Positive = 2048.0,
    dtype: DType | None = torch.float64,
) -> Sharpness:
    """Return how much the loss can rise within a small distance, and the lengths of gradient and parameters.

    With one step the point looked at is the one that sharpness-aware minimisation uses: with ``T = 1`` for ``ascent``
    and ``T = diag(|theta| + eta)`` for ``adaptive``, ``d = radius T (T g) / |T g|``; for ``box`` it is the corner
    ``d = epsilon (|theta| + 1) sign g``. All are the point of the set that lies furthest along g. Every further step
    takes g at the point reached and goes to that point; the highest loss met counts, which for a bowl and a ball is the
    maximum in the end. Where the gradient is exactly zero no direction is singled out and the rise is zero: look at the
    eigenvalues there, or at ``random_sharpness``.

    Args:
        net: A network of the library, or any module; it is copied.
        trials: A batch or a fixed set of trials; or samples, a pair or a loader of inputs and targets, see ``as_data``.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        radius: The radius, default 0.05: for ``adaptive`` relative to each parameter.
        steps: Steps of ascent, default 1.
        eta: Constant added to the size of each parameter for ``adaptive``, default 0; the paper takes 0.01.
        epsilon: Size of the box, default 1e-3.
        group: Trials m of a group of ``grouped``, in their order, the last one with the rest, weighted by its
            trials; ``None`` (default) for all in one.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``.
        memory: Memory for derivatives in MB, default 2048; an estimate.
        dtype: Type in which all is computed, default ``torch.float64``; ``None`` for the network's own.

    Raises:
        ValueError: A name is unknown, a number is out of range, or the loss does not predict targets.
        TypeError: The trials are no fixed set.

    Papers: Foret, Kleiner, Mobahi and Neyshabur (2021), ICLR, arXiv:2010.01412, for the ascent, also in groups
    (m-sharpness); Kwon, Kim, Park and Choi (2021), ICML, arXiv:2102.11600, for the adaptive one; Keskar, Mudigere,
    Nocedal, Smelyanskiy and Tang (2017), ICLR, arXiv:1609.04836, for the box, whose maximum they seek with L-BFGS-B;
    Liang, Poggio, Rakhlin and Stokes (2019), AISTATS, for the Fisher-Rao norm.

    >>> from tca.batch import Batch
    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.ones(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> result = sharpness(LeakyRNN(1, 4, 2), batch, "b_out", radius=1.0)   # the loss is |b_out - (1, 1)|^2 / 2 at zero
    >>> round(result.gradient_norm**2, 9), round((result.loss + result.ascent - 1.5) ** 2, 9), result.fisher_rao
    (2.0, 2.0, 0.0)
    """
    problem = problem_of(net, trials, parameters, loss=loss, chunk=chunk, memory=memory, dtype=dtype)
    theta, here = problem.theta, hessian(problem)
    ball, adaptive = _ball(torch.ones_like(theta), radius), _ball(theta.abs() + eta, radius)
    box = epsilon * (theta.abs() + 1)
    ascent = _rise(problem, here, ball, steps)
    return Sharpness(
        loss=here.loss,
        gradient_norm=here.gradient.norm().item(),
        ascent=ascent,
        adaptive=_rise(problem, here, adaptive, steps),
        box=100 * _rise(problem, here, lambda gradient: box * gradient.sign(), steps) / (1 + here.loss),
        grouped=ascent if group is None else _grouped(problem, ball, steps, group),
        fisher_rao=math.sqrt(max(0.0, (theta @ pullback(problem, fisher).product(theta)).item())),
        radius=radius,
        parameters=problem.parameters.names,
    )


Furthest = Callable[[Tensor], Tensor]  # from a gradient to the point of a set that lies furthest along it


def _ball(scale: Tensor, radius: float) -> Furthest:
    """Return the furthest point of a ball whose axes have the lengths of the scale."""

    def furthest(gradient: Tensor) -> Tensor:
        direction = scale * gradient
        length = direction.norm()
        return radius * scale * direction / length if length > 0 else torch.zeros_like(scale)

    return furthest


def _rise(problem: Problem, here: Hessian, furthest: Furthest, steps: int) -> float:
    """Return by how much the highest loss met by ascent within a set exceeds the loss."""
    highest, gradient = here.loss, here.gradient
    for _ in range(steps):
        move = furthest(gradient)
        if not move.any():
            break
        there = problem.theta + move
        highest = max(highest, problem.loss(there))
        gradient = hessian(replace(problem, theta=there)).gradient if steps > 1 else gradient
    return highest - here.loss


def _grouped(problem: Problem, furthest: Furthest, steps: int, size: int) -> float:
    """Return the mean rise over groups of trials, each climbing the loss of its own."""
    total, own = 0.0, problem.batch.to(problem.theta.device, problem.theta.dtype)
    for start in range(0, own.trials, size):
        few = own.select(slice(start, start + size))
        part = problem.on(few, problem.parts[0].trials)
        total += _rise(part, hessian(part), furthest, steps) * few.trials / own.trials
    return total
