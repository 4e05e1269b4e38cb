"""The density of a spectrum by stochastic Lanczos quadrature.

Shapes: P parameters, K probes, M Lanczos steps, X points of a grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge
from scipy.stats import norm as normal
from scipy.stats import t as student
from torch import Tensor, nn

from analysis.curvature.measured_operator import measured_operator
from analysis.curvature.operators import Operator
from analysis.fixed_data import Data
from analysis.samples import Criterion
from tca.utils.checks import Count, DType, Kept, NotNegative, Positive, Seed, checked
from tca.utils.tables import Tabular

__all__ = ["Density", "density"]

BASES = 2**30  # bytes for the vectors of iterations that share their passes


@dataclass(frozen=True, eq=False)
class Density(Tabular):
    """A spectrum as nodes and weights, one quadrature per probe; where it is exact, one row of all eigenvalues.

    Attributes:
        nodes: Where each quadrature has its weights, rising, shape ``(K, M)``, float64 on the CPU.
        weights: The weights, which sum to one for every probe, same shape.
        size: Number of parameters P.
        exact: Whether these are the eigenvalues themselves.
    """

    nodes: Tensor
    weights: Tensor
    size: int
    exact: bool

    def _columns(self) -> dict[str, Any]:
        """Return a row for each node of each probe."""
        probes = torch.arange(len(self.nodes), device=self.nodes.device).repeat_interleave(self.nodes.shape[1])
        return {"probe": probes, "node": self.nodes.flatten(), "weight": self.weights.flatten()}

    def mean(self, values: Tensor) -> tuple[float, float]:
        """Return the mean over all eigenvalues of a function of them, and its error over probes.

        ``1/P sum_i f(lambda_i)``; P times it is the trace of ``f(A)``. The error is a standard error, made larger by
        Student's t for few probes: 1.96 of it hold the mean in 95 of 100 cases, also with two or three.

        Args:
            values: The function at the nodes, shape ``(K, M)``.
        """
        per_probe = (self.weights * values).sum(1)
        return per_probe.mean().item(), 0.0 if self.exact else _error_of_mean(per_probe)

    def on(self, grid: Tensor, width: float | None = None) -> Tensor:
        """Return the density smoothed by a normal distribution, shape ``(X,)``; its integral is one.

        Args:
            grid: Where, shape ``(X,)``.
            width: Standard deviation of the smoothing, in the units of the eigenvalues; ``None`` (default) for a
                hundredth of the range of the nodes.

        Raises:
            ValueError: The width is not positive.
        """
        if width is None:
            width = 0.01 * (self.nodes.max() - self.nodes.min()).item() or 1.0
        if not 0 < width < math.inf:
            raise ValueError(f"width must be positive and finite, got {width!r}")
        distance = (grid.double().reshape(-1, 1, 1) - self.nodes) / width
        bumps = torch.exp(-0.5 * distance.square()) / (width * math.sqrt(2 * math.pi))
        return (bumps * self.weights).sum(2).mean(1)

    def negative_mass(self) -> tuple[float, float]:
        """Return the share of negative curvature and its error, see ``mean``.

        ``sum_{lambda < 0} |lambda| / sum |lambda|``, between 0 and 1: 0 for a bowl, 1/2 for a saddle that is as much up
        as down. Eigenvalues near zero, of which there are many, hardly count. The error is that of a ratio of means.
        """
        lower = (self.weights * self.nodes.clamp(max=0).abs()).sum(1)
        whole_mass = (self.weights * self.nodes.abs()).sum(1)
        if whole_mass.mean() == 0:
            return 0.0, 0.0
        ratio = (lower.mean() / whole_mass.mean()).item()
        if self.exact:
            return ratio, 0.0
        return ratio, _error_of_mean((lower - ratio * whole_mass) / whole_mass.mean())

    @checked
    def negative_fraction(self, floor: Kept = 1e-3) -> tuple[float, float]:
        """Return the fraction of eigenvalues below ``-floor`` times the largest modulus, and its error, see ``mean``.

        Args:
            floor: Modulus that counts as zero, relative to the largest modulus, default 1e-3.

        Raises:
            ValueError: The floor is not between 0 and 1.
        """
        return self.mean((self.nodes < -floor * self.nodes.abs().max()).double())


@checked
def density(
    net: nn.Module | Operator,
    trials: Data | None = None,
    parameters: str | Sequence[str] | None = None,
    kind: str = "hessian",
    *,
    probes: Annotated[int, Ge(2)] = 8,
    steps: Count = 80,
    seed: Seed = 0,
    loss: Criterion | None = None,
    l2: NotNegative = 0.0,
    chunk: Count | None = None,
    memory: Positive = 2048.0,
    dtype: DType | None = torch.float64,
) -> Density:
    """Return the density of the spectrum of a symmetric matrix.

    The matrix is the Hessian of a model on fixed trials, another of its matrices, or a symmetric operator.

    Lanczos iteration from a random vector z yields a tridiagonal matrix whose eigenvalues, weighted by the squared
    first components of its eigenvectors, are the Gauss quadrature of ``sum_i (v_i . z)^2 delta(lambda - lambda_i)``,
    exact for polynomials up to degree ``2 steps - 1``; the mean over vectors is the density. Every new vector is
    orthogonalised against all before it, twice: without this, eigenvalues that have converged come back as ghosts.

    Where probes times steps would cost more products than there are parameters, the matrix is written out and its
    eigenvalues are exact.

    Args:
        net: A network of the library, any module, or an operator, such as one from ``analysis.operator``.
        trials: Trials or samples of the model, as in `curvature`; none for an operator.
        parameters: Parameters of the model, as in `curvature`.
        kind: Which matrix of the model, as in ``analysis.operator``, default ``"hessian"``.
        probes: Random vectors K, default 8, at least 2.
        steps: Lanczos steps M a vector, default 80, each one product; memory for M vectors is needed, and for several
            times as many, up to 1 GiB, where the operator takes several vectors at once.
        seed: Seed of the vectors.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        l2: Coefficient of an L2 penalty, default 0.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``.
        memory: Memory for derivatives in MB, default 2048; an estimate.
        dtype: Type in which derivatives are computed, default ``torch.float64``; ``None`` for the network's own.

    Raises:
        ValueError: A number is too small, the operator is not symmetric, or as for `curvature`.
        TypeError: A model comes without data, or an operator with data.

    Papers: Ubaru, Chen and Saad (2017), SIAM Journal on Matrix Analysis and Applications 38:1075; Ghorbani, Krishnan
    and Xiao (2019), ICML, arXiv:1901.10159, for networks.

    >>> from analysis.curvature.operators import Hessian
    >>> saddle = Hessian([lambda theta: theta[0] ** 2 - theta[1] ** 2 + theta[2] ** 2], torch.zeros(3))
    >>> result = density(saddle)
    >>> result.nodes.tolist(), round(result.negative_mass()[0], 4)
    ([[-2.0, 2.0, 2.0]], 0.3333)
    """
    operator = measured_operator(
        net, trials, parameters=parameters, kind=kind, loss=loss, l2=l2, chunk=chunk, memory=memory, dtype=dtype
    )
    if not operator.symmetric:
        raise ValueError(f"operator must be symmetric to have a density, got {type(operator).__name__}")
    if operator.size <= probes * steps:
        values = torch.linalg.eigvalsh(operator.matrix().to("cpu", torch.float64))
        return Density(values[None], torch.full_like(values[None], 1 / operator.size), operator.size, True)
    generator = torch.Generator().manual_seed(seed)
    together = max(1, min(operator.width, BASES // (8 * steps * operator.size)))
    quadratures = []
    for start in range(0, probes, together):
        vectors = torch.randn(
            min(together, probes - start), operator.size, generator=generator, dtype=torch.float64, device="cpu"
        )
        quadratures += _quadratures(operator, vectors, steps)
    nodes, weights = (torch.stack(each) for each in zip(*quadratures, strict=True))
    return Density(nodes, weights, operator.size, False)


def _error_of_mean(values: Tensor) -> float:
    """Return the standard error of a mean, times Student's t over its value for many numbers, shape ``(K,)``."""
    count = len(values)
    few = student.ppf(0.975, count - 1) / normal.ppf(0.975)
    return float(values.std()) / math.sqrt(count) * float(few)


def _quadratures(operator: Operator, starts: Tensor, steps: int) -> list[tuple[Tensor, Tensor]]:
    """Return nodes and weights of Lanczos iterations from several vectors, which share the passes of the operator.

    Args:
        starts: The vectors, shape ``(K, P)``, float64.
        steps: Steps, at most; fewer where vectors span all they ever will, the rest of the weights being zero.
    """
    count = len(starts)
    bases = starts.new_zeros(steps, *starts.shape)
    bases[0] = starts / starts.norm(dim=1, keepdim=True)
    diagonal, beside = starts.new_zeros(count, steps), starts.new_zeros(count, steps - 1)
    ends = [steps] * count
    for step in range(steps):
        running = [index for index in range(count) if ends[index] > step]
        if not running:
            break
        products = (operator @ bases[step, running].mT).to(starts).mT
        for index, product in zip(running, products, strict=True):
            known = bases[: step + 1, index]
            diagonal[index, step] = known[-1] @ product
            rest = product
            for _ in range(2):
                rest = rest - (known @ rest) @ known
            length = rest.norm()
            if step + 1 == steps or length <= 1e-12 * product.norm():
                ends[index] = step + 1
                continue
            beside[index, step] = length
            bases[step + 1, index] = rest / length
    return [_quadrature(diagonal[index, :end], beside[index, : end - 1], steps) for index, end in enumerate(ends)]


def _quadrature(diagonal: Tensor, beside: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of a tridiagonal matrix, filled up with copies of the last node of weight zero."""
    values, vectors = torch.linalg.eigh(torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1))
    nodes, weights = values[-1].repeat(steps), values.new_zeros(steps)
    nodes[: len(values)], weights[: len(values)] = values, vectors[0].square()
    return nodes, weights
