"""The trace of an operator or of a model, estimated from its products with random vectors.

Shapes: P parameters, K probes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from analysis.curvature.measured_operator import measured_operator
from analysis.curvature.operators import Operator
from analysis.fixed_data import Data
from analysis.samples import Criterion
from tca.utils.checks import Count, DType, NotNegative, Positive, Seed, checked
from tca.utils.names import lookup
from tca.utils.tables import Tabular

__all__ = ["ESTIMATORS", "TraceEstimate", "trace"]

NEGLIGIBLE = 1e-10  # singular values of a sketch below this fraction of the largest are round-off


@dataclass(frozen=True)
class TraceEstimate(Tabular):
    """An estimate of a trace.

    Attributes:
        value: The estimate; the exact trace if there were no probes.
        standard_error: Its standard error as the estimator itself sees it; 0 if exact.
        probes: Number of products that it took, 0 if exact.
        estimator: How it was estimated, ``"exact"`` if exact.
    """

    value: float
    standard_error: float
    probes: int
    estimator: str = "hutchinson"

    def __str__(self) -> str:
        """Return the value and its error in one line."""
        if not self.probes:
            return f"{self.value:.6g} (exact)"
        return f"{self.value:.6g} +- {self.standard_error:.2g} ({self.estimator}, {self.probes} probes)"


@checked
def trace(
    net: nn.Module | Operator,
    trials: Data | None = None,
    parameters: str | Sequence[str] | None = None,
    kind: str = "hessian",
    *,
    estimator: str = "hutchinson",
    probes: Count = 32,
    rtol: Positive | None = None,
    most: Count = 10_000,
    seed: Seed = 0,
    loss: Criterion | None = None,
    l2: NotNegative = 0.0,
    chunk: Count | None = None,
    memory: Positive = 2048.0,
    dtype: DType | None = torch.float64,
) -> TraceEstimate:
    """Return an unbiased estimate of a trace with its standard error, or the trace.

    The matrix is the Hessian of a model on fixed trials, another of its matrices, or any operator, symmetric or not.

    With vectors z of random signs:

    - ``"hutchinson"``: the mean of ``z . A z``; its error falls as one over the root of the probes.
    - ``"hutch++"``: ``tr(Q^T A Q)`` on the range Q of a sketch ``A Z``, which is exact, and Hutchinson's estimate for
      the rest, a third of the probes each; its error falls as one over the probes.
    - ``"xtrace"``: the same with every vector used for both purposes in turn, the one in question being left out of the
      sketch. It is the most accurate for the same number of products where few eigenvalues carry the trace. Its
      estimates are not independent; its standard error is a jackknife, two to four times too large where the spectrum
      falls steeply, and never too small on average.

    Where there are as many probes as parameters, the matrix is written out and its trace is exact.

    Args:
        net: A network of the library, any module, or an operator, such as one from ``analysis.operator``.
        trials: Trials or samples of the model, as in `curvature`; none for an operator.
        parameters: Parameters of the model, as in `curvature`.
        kind: Which matrix of the model, as in ``analysis.operator``, default ``"hessian"``.
        estimator: Which, default ``"hutchinson"``.
        probes: Products to spend, default 32: at least 2, for Hutch++ 6 and for XTrace 4; a remainder is not spent. The
            standard error shows what they are worth: where few eigenvalues are large, half the trace with Hutchinson.
        rtol: Standard error, relative to the trace, at which to stop; ``None`` (default) for ``probes`` products. Until
            it is reached, the number of probes doubles: Hutchinson goes on, the others begin anew.
        most: Probes after which to stop short of ``rtol``, default 10,000.
        seed: Seed of the vectors.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        l2: Coefficient of an L2 penalty, default 0.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``.
        memory: Memory for derivatives in MB, default 2048; an estimate.
        dtype: Type in which derivatives are computed, default ``torch.float64``; ``None`` for the network's own.

    Raises:
        ValueError: The name is unknown, there are too few probes, or as for `curvature`.
        TypeError: A model comes without data, or an operator with data.

    Papers: Hutchinson (1990), Communications in Statistics 19:433; Meyer, Musco, Musco and Woodruff (2021), SOSA, for
    Hutch++; Epperly, Tropp and Webber (2024), SIAM Journal on Matrix Analysis and Applications 45:1, for XTrace; Efron
    and Stein (1981), Annals of Statistics 9:586, for the jackknife.

    >>> from analysis.curvature.operators import Hessian
    >>> valley = Hessian([lambda theta: theta.sum() ** 2 / 2], torch.zeros(100))  # one eigenvalue, 100
    >>> [round(trace(valley, estimator=name, probes=18).value, 3) for name in ("hutchinson", "hutch++", "xtrace")]
    [95.111, 100.0, 100.0]
    """
    estimate, least = lookup(ESTIMATORS, estimator, "estimator")
    if probes < least:
        raise ValueError(f"probes must be at least {least} for {estimator!r} to have a standard error, got {probes}")
    operator = measured_operator(
        net, trials, parameters=parameters, kind=kind, loss=loss, l2=l2, chunk=chunk, memory=memory, dtype=dtype
    )
    generator, kept, before = torch.Generator().manual_seed(seed), list[Tensor](), operator.products
    while probes < operator.size:
        value, error = estimate(operator, probes, generator, kept)
        if rtol is None or error <= rtol * abs(value) or probes >= most:
            return TraceEstimate(value, error, operator.products - before, estimator)
        probes = min(2 * probes, most)
    return TraceEstimate(operator.matrix().double().trace().item(), 0.0, 0, "exact")


def _mean(values: Tensor) -> tuple[float, float]:
    """Return the mean of independent estimates and its standard error."""
    return values.mean().item(), (values.std() / math.sqrt(len(values))).item()


def _hutchinson(operator: Operator, probes: int, generator: torch.Generator, kept: list[Tensor]) -> tuple[float, float]:
    """Return the mean over probes, of which only as many are held as the operator takes at once.

    Args:
        kept: Values of earlier probes, to which further ones are added.
    """
    for start in range(sum(map(len, kept)), probes, operator.width):
        signs = _signs(operator.size, min(operator.width, probes - start), generator)
        kept.append((signs * _apply(operator, signs)).sum(0))
    return _mean(torch.cat(kept))


def _hutch_plus_plus(
    operator: Operator, probes: int, generator: torch.Generator, _: list[Tensor]
) -> tuple[float, float]:
    third = probes // 3
    basis = _range(_apply(operator, _signs(operator.size, third, generator)))
    known = (basis * _apply(operator, basis)).sum()
    signs = _signs(operator.size, third, generator)
    rest = signs - basis @ (basis.t() @ signs)
    return _mean(known + (rest * _apply(operator, rest)).sum(0))


def _xtrace(operator: Operator, probes: int, generator: torch.Generator, _: list[Tensor]) -> tuple[float, float]:
    """Return the mean of the estimates of every vector from the sketch by all the others, and its jackknife error.

    The estimates share their sketches, so their scatter by itself would understate the error; leaving each vector out
    altogether does not. With ``A Z = Q R`` all happens among few numbers: the range of the sketch without vector i is
    the part of Q orthogonal to ``s_i``, the i-th column of ``R^-T``.
    """
    half = probes // 2
    signs = _signs(operator.size, half, generator)
    sketch = _apply(operator, signs)
    basis = _range(sketch)
    image = _apply(operator, basis)
    core, own = basis.t() @ image, basis.t() @ sketch
    if len(core) < half:  # the sketch holds all that the operator can yield
        return core.trace().item(), 0.0
    seen, pulled = basis.t() @ signs, image.t() @ signs
    without = functional.normalize(torch.linalg.inv(own).t(), dim=0)

    def estimates(vectors: Tensor, *left_out: Tensor) -> Tensor:
        """Return the estimate of each vector where these orthonormal directions are left out of its sketch."""
        z, image_z, back = seen[:, vectors], own[:, vectors], pulled[:, vectors]
        part, known = z, core.trace()
        for each in left_out:
            part = part - each * (each * z).sum(0)
            known = known - (each * (core @ each)).sum(0)
        return known + (image_z * (z - part)).sum(0) + (part * (core @ part - back)).sum(0)

    everything = torch.arange(half, device="cpu")
    value = estimates(everything, without).mean()
    shorter = torch.empty(half, dtype=torch.float64, device="cpu")
    for index in range(half):
        others = everything[everything != index]
        first = without[:, index : index + 1]
        second = functional.normalize(without[:, others] - first * (first * without[:, others]).sum(0), dim=0)
        shorter[index] = estimates(others, first, second).mean()
    return value.item(), math.sqrt((half - 1) / half * (shorter - shorter.mean()).square().sum().item())


def _signs(size: int, count: int, generator: torch.Generator) -> Tensor:
    """Return random signs, one vector after the other, shape ``(P, K)``, float64."""
    drawn = torch.randint(0, 2, (count, size), generator=generator, device="cpu")
    return drawn.mul_(2).sub_(1).to(torch.float64).t()


def _apply(operator: Operator, vectors: Tensor) -> Tensor:
    return (operator @ vectors).to(vectors)


def _range(columns: Tensor) -> Tensor:
    """Return an orthonormal basis of the span of the columns, without round-off."""
    basis, sizes, _ = torch.linalg.svd(columns, full_matrices=False)
    kept: Tensor = basis[:, sizes > NEGLIGIBLE * sizes[:1]]
    return kept


Estimate = Callable[[Operator, int, torch.Generator, list[Tensor]], tuple[float, float]]
ESTIMATORS: dict[str, tuple[Estimate, int]] = {
    "hutchinson": (_hutchinson, 2),
    "hutch++": (_hutch_plus_plus, 6),
    "xtrace": (_xtrace, 4),
}
