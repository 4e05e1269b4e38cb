"""Both ends of the spectrum of an operator or of a model.

Shapes: P parameters, k eigenvalues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.curvature.eigensolvers import ENGINES, Pair, lanczos
from analysis.curvature.measured_operator import measured_operator
from analysis.curvature.operators import Operator
from analysis.fixed_data import Data
from analysis.samples import Criterion
from tca.utils.checks import Count, DType, Kept, NotNegative, Positive, Seed, checked
from tca.utils.names import lookup
from tca.utils.tables import Tabular, columns_of, row_of

__all__ = ["AUTO_DENSE", "Eigenvalue", "Spectrum", "spectrum"]

AUTO_DENSE = 100  # parameters up to which writing the matrix out costs no more products than Lanczos and probes do


@dataclass(frozen=True)
class Eigenvalue:
    """An eigenvalue with its residual and convergence.

    Attributes:
        value: The eigenvalue with its sign, ``lambda = v . A v``.
        residual: ``|A v - lambda v|`` of the unit vector: an eigenvalue lies within this distance of ``value``.
        converged: Whether the residual, or the error if values were asked for, is at most the tolerance times the
            largest modulus of the spectrum.
        error: Estimate of the error of the value: ``residual^2 / gap``, with the gap to the other eigenvalues estimated
            by Lanczos iteration; the residual, a bound, where the gap is not known.
    """

    value: float
    residual: float
    converged: bool
    error: float

    def __str__(self) -> str:
        """Return the value and its residual in one line."""
        return f"{self.value:.6g} (residual {self.residual:.1e}{'' if self.converged else ', NOT CONVERGED'})"


@dataclass(frozen=True, eq=False)
class Spectrum(Tabular):
    """The result of ``spectrum``.

    Attributes:
        largest: The largest algebraic eigenvalues, falling.
        smallest: The smallest algebraic eigenvalues, rising.
        largest_vectors: Unit eigenvectors of the largest, as columns, float64 on the CPU, shape ``(P, k)``. Those of
            equal eigenvalues are any basis of their space, and arbitrary where k cuts between equal ones.
        smallest_vectors: Those of the smallest.
        size: Number of parameters P.
        engine: The eigensolver.
        tolerance: Relative tolerance.
        trace: The exact trace where the engine computes it, else ``None``.
    """

    largest: tuple[Eigenvalue, ...]
    smallest: tuple[Eigenvalue, ...]
    largest_vectors: Tensor
    smallest_vectors: Tensor
    size: int
    engine: str
    tolerance: float
    trace: float | None

    def _columns(self) -> dict[str, Any]:
        """Return a row for each eigenvalue."""
        ends = {"largest": self.largest, "smallest": self.smallest}
        return columns_of({"end": end, **row_of(each)} for end, values in ends.items() for each in values)

    @property
    def largest_magnitude(self) -> Eigenvalue:
        """The eigenvalue of largest modulus, sign kept."""
        return max(self.largest[0], self.smallest[0], key=lambda each: abs(each.value))

    @property
    def converged(self) -> bool:
        """Whether all have converged."""
        return all(each.converged for each in (*self.largest, *self.smallest))

    def __str__(self) -> str:
        """Return a small table."""
        lines = [f"{'engine':<16}{self.engine}, {self.size} parameters, tolerance {self.tolerance:g}"]
        for name, values in (("largest", self.largest), ("smallest", self.smallest)):
            lines += [f"{name if index == 0 else '':<16}{value}" for index, value in enumerate(values)]
        return "\n".join(lines)


@checked
def spectrum(
    net: nn.Module | Operator,
    trials: Data | None = None,
    parameters: str | Sequence[str] | None = None,
    kind: str = "hessian",
    *,
    k: Count = 5,
    engine: str = "auto",
    tolerance: Kept = 1e-6,
    products: Count = 2000,
    seed: Seed = 0,
    only_largest: bool = False,
    of_values: bool = False,
    loss: Criterion | None = None,
    l2: NotNegative = 0.0,
    chunk: Count | None = None,
    memory: Positive = 2048.0,
    dtype: DType | None = torch.float64,
) -> Spectrum:
    """Return the k largest and k smallest eigenvalues with their vectors.

    The matrix is the Hessian of a model on fixed trials, another of its matrices, or a symmetric operator.

    ``A v = lambda v``. Every value comes with the residual of its vector, so that values that have not converged are
    marked. Lanczos iteration may miss copies of a value that occurs several times, and then takes the next ones for the
    outermost; the dense engine counts right.

    Args:
        net: A network of the library, any module, or an operator, such as one from ``analysis.operator``.
        trials: Trials or samples of the model, as in `curvature`; none for an operator.
        parameters: Parameters of the model, as in `curvature`.
        kind: Which matrix of the model, as in ``analysis.operator``, default ``"hessian"``.
        k: How many at each end, default 5.
        engine: ``"lanczos"``; ``"dense"``, for up to 2,000 parameters; of a Hessian also ``"pyhessian"``, for one
            eigenvalue at each end; or ``"auto"`` (default), dense for up to 100 parameters and Lanczos for more.
        tolerance: Residual to reach, relative to the largest modulus of the spectrum, default 1e-6.
        products: Products after which to stop, default 2000. The estimates of then are returned, not converged.
        seed: Seed of starting vectors.
        only_largest: Whether Lanczos iteration stops when the largest have converged, default ``False``; the smallest
            are then estimates with a residual. It takes at most the products of power iteration, and a fraction where
            the smallest are close together.
        of_values: Whether the tolerance is for the estimated errors of the values instead of the residuals of the
            vectors, default ``False``: Lanczos iteration then takes a fraction of the products.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        l2: Coefficient of an L2 penalty, default 0.
        chunk: Trials differentiated together; ``None`` (default) for as many as fit into ``memory``.
        memory: Memory for derivatives in MB, default 2048; an estimate.
        dtype: Type in which derivatives are computed, default ``torch.float64``; ``None`` for the network's own.

    Raises:
        ValueError: A name is unknown, a number is out of range, the operator is not symmetric, or as for `curvature`.
        TypeError: A model comes without data, or an operator with data.

    >>> from analysis.curvature.operators import Hessian
    >>> bowl = Hessian([lambda theta: (theta.square() * torch.arange(1.0, 5.0)).sum() / 2], torch.zeros(4))
    >>> result = spectrum(bowl, k=2)
    >>> [each.value for each in result.largest], [each.value for each in result.smallest], result.converged
    ([4.0, 3.0], [1.0, 2.0], True)
    """
    lookup({**ENGINES, "auto": None}, engine, "engine")
    operator = measured_operator(
        net, trials, parameters=parameters, kind=kind, loss=loss, l2=l2, chunk=chunk, memory=memory, dtype=dtype
    )
    if k > operator.size:
        raise ValueError(f"k must be at most the number of parameters, {operator.size}, got {k}")
    if not operator.symmetric:
        raise ValueError(
            f"operator must be symmetric, got {type(operator).__name__}: "
            "write it out with matrix() and use torch.linalg.eigvals"
        )
    if engine == "auto":
        engine = "dense" if operator.size <= AUTO_DENSE else "lanczos"
    if engine == "lanczos":
        ends = lanczos.ends(operator, tolerance, products, seed, k, only_largest=only_largest, of_values=of_values)
    else:
        ends = ENGINES[engine](operator, tolerance, products, seed, k)

    def judged(pair: Pair) -> Eigenvalue:
        missing = pair.error if of_values else pair.residual
        return Eigenvalue(pair.value, pair.residual, missing <= tolerance * ends.magnitude, pair.error)

    return Spectrum(
        largest=tuple(map(judged, ends.tops)),
        smallest=tuple(map(judged, ends.bottoms)),
        largest_vectors=torch.stack([each.vector.cpu() for each in ends.tops], 1),
        smallest_vectors=torch.stack([each.vector.cpu() for each in ends.bottoms], 1),
        size=operator.size,
        engine=engine,
        tolerance=tolerance,
        trace=ends.trace,
    )
