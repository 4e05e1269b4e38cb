"""The trace of an operator, estimated from its products with random vectors.

Shapes: P parameters, K probes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.checks import whole
from analysis.operators import Operator
from tca.names import lookup

__all__ = ["ESTIMATORS", "Trace", "trace"]

NEGLIGIBLE = 1e-10  # singular values of a sketch below this fraction of the largest are round-off


@dataclass(frozen=True)
class Trace:
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


def trace(operator: Operator, estimator: str = "hutchinson", *, probes: int = 32, seed: int = 0) -> Trace:
    """Return an unbiased estimate of the trace of an operator with its standard error, or the trace itself.

    With vectors z of random signs:

    - ``"hutchinson"``: the mean of ``z . A z``; its error falls as one over the root of the probes.
    - ``"hutch++"``: ``tr(Q^T A Q)`` on the range Q of a sketch ``A Z``, which is exact, and Hutchinson's estimate for the
      rest, a third of the probes each; its error falls as one over the probes.
    - ``"xtrace"``: the same with every vector used for both purposes in turn, the one in question being left out of the
      sketch. It is the most accurate for the same number of products where few eigenvalues carry the trace.

    Where there are as many probes as parameters, the matrix is written out and its trace is exact.

    Args:
        operator: The operator, symmetric or not.
        estimator: Which, default ``"hutchinson"``.
        probes: Products to spend, default 32: at least 2, for Hutch++ 6 and for XTrace 4; what does not divide is left.
        seed: Seed of the vectors.

    Raises:
        ValueError: The name is unknown or there are too few probes.

    Papers: Hutchinson (1990), Communications in Statistics 19:433; Meyer, Musco, Musco and Woodruff (2021), SOSA, for
    Hutch++; Epperly, Tropp and Webber (2024), SIAM Journal on Matrix Analysis and Applications 45:1, for XTrace.

    >>> from analysis.operators import Hessian
    >>> bowl = Hessian([lambda theta: (theta.square() * torch.arange(1.0, 101.0)).sum() / 2], torch.zeros(100))
    >>> [round(trace(bowl, name, probes=18).value, 2) for name in ("hutchinson", "hutch++")]  # the matrix is diagonal
    [5050.0, 5050.0]
    """
    estimate, least = lookup(ESTIMATORS, estimator, "estimator")
    whole("probes", probes, 1)
    if probes < least:
        raise ValueError(f"probes must be at least {least} for {estimator!r} to have a standard error, got {probes}")
    if probes >= operator.size:
        return Trace(operator.matrix().double().trace().item(), 0.0, 0, "exact")
    before = operator.products
    values = estimate(operator, probes, torch.Generator().manual_seed(seed))
    error = values.std() / math.sqrt(len(values))
    return Trace(values.mean().item(), error.item(), operator.products - before, estimator)


def _hutchinson(operator: Operator, probes: int, generator: torch.Generator) -> Tensor:
    signs = _signs(operator.size, probes, generator)
    return (signs * _apply(operator, signs)).sum(0)


def _hutch_plus_plus(operator: Operator, probes: int, generator: torch.Generator) -> Tensor:
    third = probes // 3
    basis = _range(_apply(operator, _signs(operator.size, third, generator)))
    known = (basis * _apply(operator, basis)).sum()
    signs = _signs(operator.size, third, generator)
    rest = signs - basis @ (basis.mT @ signs)
    return known + (rest * _apply(operator, rest)).sum(0)


def _xtrace(operator: Operator, probes: int, generator: torch.Generator) -> Tensor:
    """Return the estimate of every vector z from the sketch by all the others.

    With the QR decomposition ``A Z = Q R`` everything happens among few numbers: the sketch without vector i is
    ``Q R_-i``, whose range is that of an orthonormal ``B_i`` within Q.
    """
    half = probes // 2
    signs = _signs(operator.size, half, generator)
    basis, inner = torch.linalg.qr(_apply(operator, signs))
    image = _apply(operator, basis)
    core, seen, pulled = basis.mT @ image, basis.mT @ signs, image.mT @ signs
    values = []
    for index in range(half):
        others = _range(torch.cat([inner[:, :index], inner[:, index + 1 :]], 1))
        z, own = seen[:, index], inner[:, index]
        part = others @ (others.mT @ z)
        known = (others * (core @ others)).sum()
        rest = z @ own - pulled[:, index] @ part - part @ own + part @ core @ part
        values.append(known + rest)
    return torch.stack(values)


def _signs(size: int, count: int, generator: torch.Generator) -> Tensor:
    """Return random signs, one vector after the other, shape ``(P, K)``, float64."""
    drawn = torch.randint(0, 2, (count, size), generator=generator)
    return drawn.mul_(2).sub_(1).to(torch.float64).mT


def _apply(operator: Operator, vectors: Tensor) -> Tensor:
    return torch.stack([operator.product(each).to(vectors) for each in vectors.mT], 1)


def _range(columns: Tensor) -> Tensor:
    """Return an orthonormal basis of what the columns span, without what is round-off."""
    basis, sizes, _ = torch.linalg.svd(columns, full_matrices=False)
    return basis[:, sizes > NEGLIGIBLE * sizes[:1]]


ESTIMATORS: dict[str, tuple[Callable[[Operator, int, torch.Generator], Tensor], int]] = {
    "hutchinson": (_hutchinson, 2),
    "hutch++": (_hutch_plus_plus, 6),
    "xtrace": (_xtrace, 4),
}
