"""Sharpness as the rise of the loss under random perturbations of the parameters, and PAC-Bayes measures made of it.

Shapes: P parameters, K pairs of perturbations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from scipy.optimize import brentq
from torch import Tensor, nn

from analysis.curvature.network_operators import hessian
from analysis.curvature.problem import Problem, problem_of
from analysis.curvature.trace import TraceEstimate, trace
from analysis.fixed_data import Data
from analysis.samples import Criterion
from analysis.statistics.intervals import Estimate, mean
from tca.utils.checks import Count, DType, Positive, Seed, checked
from tca.utils.tables import Tabular

__all__ = ["RandomSharpness", "random_sharpness"]

SMALLEST, LARGEST = -12, 6  # powers of ten between which the size of perturbations is sought
HUGE = 1e300  # the rise where the loss is no number


@dataclass(frozen=True)
class RandomSharpness(Tabular):
    """The result of ``random_sharpness``.

    Attributes:
        loss: The loss L at the point.
        rise: ``E[L(theta + sigma z)] - L(theta)`` over normal z, with its interval over pairs.
        relative_rise: The same with each number of z times the size of its parameter, ``z |theta|``.
        pac_bayes: ``1 / sigma^2`` at the sigma at which the mean rise is ``allowed``.
        relative_pac_bayes: The same, with ``z |theta|``: magnitude-aware.
        trace: The trace of the Hessian: the mean rise is ``sigma^2 / 2`` times it for small sigma.
        sigma: The sigma of the two rises.
        allowed: The rise of the two PAC-Bayes measures.
        parameters: Names of the parameters.
    """

    loss: float
    rise: Estimate
    relative_rise: Estimate
    pac_bayes: float
    relative_pac_bayes: float
    trace: TraceEstimate
    sigma: float
    allowed: float
    parameters: tuple[str, ...]

    def __str__(self) -> str:
        """Return a small table."""
        lines = {
            "loss": f"{self.loss:.6g}",
            f"rise, sigma {self.sigma:g}": self.rise,
            f"relative, {self.sigma:g}": self.relative_rise,
            "PAC-Bayes": f"{self.pac_bayes:.6g} for a rise of {self.allowed:g}",
            "relative": f"{self.relative_pac_bayes:.6g}",
            "trace": self.trace,
            "parameters": ", ".join(self.parameters),
        }
        return "\n".join(f"{name:<20}{value}" for name, value in lines.items())


@checked
@torch.inference_mode(False)
def random_sharpness(
    net: nn.Module,
    trials: Data,
    parameters: str | Sequence[str] | None = None,
    *,
    loss: Criterion | None = None,
    sigma: Positive = 0.01,
    allowed: Positive = 0.1,
    pairs: Annotated[int, Ge(2)] = 20,
    probes: Annotated[int, Ge(2)] = 32,
    chunk: Count | None = None,
    memory: Positive = 2048.0,
    dtype: DType | None = torch.float64,
    seed: Seed = 0,
) -> RandomSharpness:
    """Return by how much the loss rises on average under normal perturbations, and how large these may be.

    Perturbations come in pairs ``theta +- sigma s z`` with z normal and ``s = 1`` or, relative, ``s = |theta|``, so
    that slopes cancel and a bowl rises by ``sigma^2 / 2 sum_i h_ii s_i^2`` in the mean. The same z serve all sizes, and
    ``1 / sigma^2`` of the PAC-Bayes measures is that at which their mean rise is ``allowed``; it is zero if none up to
    1e6 raises the loss so far, infinity if already 1e-12 does.

    Args:
        net: A network of the library, or any module; it is copied.
        trials: A batch or a fixed set of trials; or samples, a pair or a loader of inputs and targets, see ``as_data``.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        sigma: Standard deviation of the perturbations whose rise is reported, default 0.01.
        allowed: Mean rise of the loss at which the PAC-Bayes measures take sigma, default 0.1.
        pairs: Pairs of perturbations K, default 20, at least 2.
        probes: Products for the trace of the Hessian, default 32, at least 2.
        chunk: Trials run together; ``None`` (default) for as many as fit into ``memory``.
        memory: Memory for derivatives in MB, default 2048; an estimate.
        dtype: Type in which all is computed, default ``torch.float64``; ``None`` for the network's own.
        seed: Seed of perturbations, probes and intervals.

    Raises:
        ValueError: A name is unknown, a number is out of range, or the loss is not finite at ``sigma``.
        TypeError: The trials are no fixed set.

    Papers: Jiang, Neyshabur, Mobahi, Krishnan and Bengio (2020), ICLR, arXiv:1912.02178, and Neyshabur, Bhojanapalli,
    McAllester and Srebro (2017), NeurIPS, arXiv:1706.08947, for the PAC-Bayes measures; those papers bound the error of
    classification where this bounds the loss.

    >>> from tca.batch import Batch
    >>> from tca.losses import MSE
    >>> from tca.nets import LeakyRNN
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.zeros(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> result = random_sharpness(LeakyRNN(1, 4, 2), batch, "b_out", allowed=0.5)     # the loss is |b_out|^2 / 2
    >>> round(result.rise.value / result.pac_bayes / (0.01**2 * 0.5), 6), result.relative_pac_bayes, result.trace.value
    (1.0, 0.0, 2.0)
    """
    problem = problem_of(net, trials, parameters, loss=loss, chunk=chunk, memory=memory, dtype=dtype)
    here = hessian(problem)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(pairs, len(problem.theta), generator=generator, dtype=torch.float64, device="cpu")
    plain = drawn.to(problem.theta)
    relative = plain * problem.theta.abs()
    return RandomSharpness(
        loss=here.loss,
        rise=_estimate(problem, here.loss, plain, sigma),
        relative_rise=_estimate(problem, here.loss, relative, sigma),
        pac_bayes=_precision(problem, here.loss, plain, allowed),
        relative_pac_bayes=_precision(problem, here.loss, relative, allowed),
        trace=trace(here, probes=probes, seed=seed),
        sigma=sigma,
        allowed=allowed,
        parameters=problem.parameters.names,
    )


def _rises(problem: Problem, loss: float, directions: Tensor, size: float) -> list[float]:
    """Return the mean rise of the loss of every pair of opposite perturbations."""
    both = [[problem.loss(problem.theta + sign * size * each) for sign in (1, -1)] for each in directions]
    return [(one + other) / 2 - loss for one, other in both]


def _estimate(problem: Problem, loss: float, directions: Tensor, size: float) -> Estimate:
    rises = _rises(problem, loss, directions, size)
    if not all(map(math.isfinite, rises)):
        raise ValueError(f"sigma must be small enough for the loss to stay finite, got {size:g}")
    return mean(rises)


def _precision(problem: Problem, loss: float, directions: Tensor, allowed: float) -> float:
    """Return ``1 / sigma^2`` of the sigma at which the mean rise first comes to the one allowed, by powers of ten."""

    def excess(power: float) -> float:
        rises = _rises(problem, loss, directions, 10.0**power)
        found = sum(rises) / len(rises) - allowed
        return min(found, HUGE) if not math.isnan(found) else HUGE

    if not directions.any():
        return 0.0
    for power in range(SMALLEST, LARGEST):
        if excess(power + 1) >= 0:
            if excess(power) >= 0:
                return math.inf
            return float(10.0 ** (-2 * brentq(excess, power, power + 1, xtol=1e-11, rtol=1e-12)))
    return 0.0
