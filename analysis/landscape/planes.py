"""The loss around a point, along one direction or two.

Shapes: P parameters, S and R positions along the first and the second direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn

from analysis.curvature.network_operators import hessian
from analysis.curvature.operators import Operator
from analysis.curvature.parameters import Parameters
from analysis.curvature.problem import problem_of
from analysis.curvature.spectrum import AUTO_DENSE, Eigenvalue, spectrum
from analysis.fixed_data import Data
from analysis.samples import Criterion
from tca.utils.checks import Count, DType, Positive, Seed, checked
from tca.utils.names import lookup
from tca.utils.tables import Tabular

__all__ = ["Landscape", "filter_normalised", "landscape"]

NEGLIGIBLE = 1e-10  # differences of eigenvalues below this fraction of the largest modulus are round-off
UNSURE = 10.0  # residuals by which eigenvalues must differ for a vector not to be a mixture of theirs
ROUNDED = 1e-6  # sine of the angle between two spans that is round-off


@dataclass(frozen=True, eq=False)
class Landscape(Tabular):
    """The loss on a line or a plane through the parameters of a network.

    Attributes:
        positions: Positions along the first direction, float64, shape ``(S,)``; zero is the network itself.
        second: Positions along the second, shape ``(R,)``; empty for a line.
        losses: The loss at each, shape ``(S,)``, or ``(S, R)`` on a plane.
        directions: The directions, as rows, shape ``(1, P)`` or ``(2, P)``.
        curvatures: ``d . H d / |d|^2`` of each direction, eigenvalues if they are eigenvectors; shape ``(1,)`` or
            ``(2,)``.
        slopes: ``d . gradient`` of each.
        loss: The loss of the network itself.
    """

    positions: Tensor
    second: Tensor
    losses: Tensor
    directions: Tensor
    curvatures: Tensor
    slopes: Tensor
    loss: float

    def _columns(self) -> dict[str, Any]:
        """Return a row for each position, on a line with the parabola."""
        if self.losses.ndim == 1:
            return {"position": self.positions, "loss": self.losses, "parabola": self.parabola}
        first, second = torch.meshgrid(self.positions, self.second, indexing="ij")
        return {"position": first.flatten(), "second": second.flatten(), "loss": self.losses.flatten()}

    @property
    def parabola(self) -> Tensor:
        """The loss to second order along the first direction, shape ``(S,)``."""
        bend = self.curvatures[0] * self.directions[0].square().sum()
        return self.loss + self.slopes[0] * self.positions + bend * self.positions.square() / 2


@checked
@torch.inference_mode(False)
def landscape(
    net: nn.Module,
    trials: Data,
    parameters: str | Sequence[str] | None = None,
    *,
    loss: Criterion | None = None,
    directions: str | Tensor = "sharpest",
    dimensions: Count = 1,
    reach: Positive = 1.0,
    points: Annotated[int, Ge(3)] = 41,
    normalise: bool = False,
    chunk: Count | None = None,
    dtype: DType | None = torch.float64,
    seed: Seed = 0,
) -> Landscape:
    """Return the loss on a line or a plane through a network: ``L(theta + a d_1 + b d_2)``.

    It is the loss of the un-truncated network on fixed trials, without noise, for any rule. Directions are
    of unit length unless normalised, so that ``reach`` is a distance in parameters.

    Args:
        net: A network of the library, or any module; it is copied.
        trials: A batch or a fixed set of trials; or samples, a pair or a loader of inputs and targets, see ``as_data``.
        parameters: A name, a prefix such as ``"layers.0"``, several of them, or ``"all"``; default see ``choose``.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        directions: ``"sharpest"`` (default), eigenvectors of the Hessian with the largest eigenvalues; ``"flattest"``,
            those with the smallest, which are negative where the loss bends down; ``"random"``; or vectors as rows,
            shape ``(1, P)`` or ``(2, P)``, missing synapses left out.
        dimensions: 1 (default) for a line, 2 for a plane.
        reach: How far to go to either side, in lengths of the direction, default 1.
        points: Positions along each direction, odd so that the network itself is among them, default 41.
        normalise: Whether to scale each cell's part of a direction to the norm of its weights, default no. Then 1 is as
            far as the weights are long, and networks whose weights differ in scale can be compared. An eigenvector so
            scaled is none any more.
        chunk: Trials run together; ``None`` (default) for as many as fit into memory.
        dtype: Type of the numbers, default ``torch.float64``; ``None`` for the network's own.
        seed: Seed of random directions and of the search for eigenvectors.

    Raises:
        ValueError: A name is unknown, a number is out of range, directions do not fit, or eigenvectors have not been
            found to a relative residual of 1e-4, or are not determined since other eigenvalues are equal to theirs.

    Papers: Li, Xu, Taylor, Studer and Goldstein (2018), NeurIPS, arXiv:1712.09913, for normalised directions.

    >>> from tca.batch import Batch
    >>> from tca.nets import LeakyRNN
    >>> from tca.losses import MSE
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.zeros(4, 5, 1), torch.full((4, 5), 0.25), MSE())
    >>> result = landscape(LeakyRNN(1, 4, 1), batch, "b_out", points=3)         # the loss is b_out^2 / 2
    >>> result.losses.tolist(), round(result.curvatures.item(), 9)
    ([0.5, 0.0, 0.5], 1.0)
    """
    if dimensions not in (1, 2):
        raise ValueError(f"dimensions must be 1 or 2, got {dimensions!r}")
    if points % 2 == 0:
        raise ValueError(f"points must be odd, so that the network itself is among them, got {points}")
    problem = problem_of(net, trials, parameters, loss=loss, chunk=chunk, dtype=dtype)
    curved = hessian(problem)
    rows = _directions(problem.theta, curved, directions, dimensions, seed)
    if normalise:
        rows = torch.stack([filter_normalised(problem.parameters, row) for row in rows])
    gone = rows.norm(dim=1) == 0
    if gone.any():
        raise ValueError("directions must not be zero, got one, or weights of zero that normalise to it")
    curvatures = torch.stack([row @ curved.product(row) / row.square().sum() for row in rows])
    slopes = rows @ curved.gradient
    positions = torch.linspace(-reach, reach, points, dtype=torch.float64, device="cpu")
    positions[points // 2] = 0.0
    along = [positions.to(rows)[:, None] * row for row in rows]
    if dimensions == 1:
        losses = torch.tensor(
            [problem.loss(problem.theta + step) for step in along[0]], dtype=torch.float64, device="cpu"
        )
    else:
        losses = torch.tensor(
            [[problem.loss(problem.theta + first + other) for other in along[1]] for first in along[0]],
            dtype=torch.float64,
            device="cpu",
        )
    second = positions if dimensions == 2 else positions[:0]
    here = problem.loss(problem.theta)
    return Landscape(
        positions, second.clone(), losses, rows.double().cpu(), curvatures.double().cpu(), slopes.double().cpu(), here
    )


def filter_normalised(parameters: Parameters, direction: Tensor) -> Tensor:
    """Return a direction whose part into every cell is as long as the weights into that cell.

    ``d_i <- d_i |theta_i| / |d_i|`` with i the rows of weight matrices; a vector, such as the biases, is one row.

    Args:
        parameters: The parameters, at the point in question.
        direction: The direction, shape ``(P,)``.

    Paper: Li, Xu, Taylor, Studer and Goldstein (2018), NeurIPS, arXiv:1712.09913.

    >>> from analysis.curvature.parameters import Parameters
    >>> two_cells = Parameters(("w",), (torch.tensor([[3.0, 4.0], [0.0, 1.0]]),), (None,))
    >>> filter_normalised(two_cells, torch.tensor([1.0, 0.0, 0.6, 0.8])).tolist()
    [5.0, 0.0, 0.6000000238418579, 0.800000011920929]
    """
    zero = Parameters(parameters.names, tuple(map(torch.zeros_like, parameters.values)), parameters.existing)
    moved, here = zero.unflatten(direction), zero.unflatten(parameters.flat())

    def scaled(name: str) -> Tensor:
        rows, own = ((each if each.ndim > 1 else each[None]).flatten(1) for each in (moved[name], here[name]))
        lengths = rows.norm(dim=1, keepdim=True)
        factor = torch.where(lengths > 0, own.norm(dim=1, keepdim=True) / lengths, 0.0)
        return (rows * factor).view_as(moved[name])

    return parameters.gather({name: scaled(name) for name in parameters.names})


def _directions(theta: Tensor, curved: Operator, asked: str | Tensor, count: int, seed: int) -> Tensor:
    if count > len(theta):
        raise ValueError(f"dimensions must be at most the number of parameters, {len(theta)}, got {count}")
    if isinstance(asked, str):
        return lookup(_KINDS, asked, "directions")(curved, count, seed).to(theta)
    if tuple(asked.shape) != (count, len(theta)) or not torch.isfinite(asked).all():
        raise ValueError(f"directions must be finite and have shape ({count}, {len(theta)}), got {tuple(asked.shape)}")
    return asked.to(theta)


def _random(curved: Operator, count: int, seed: int) -> Tensor:
    """Return orthonormal directions, drawn from all alike."""
    generator = torch.Generator().manual_seed(seed)
    basis: Tensor = torch.linalg.qr(
        torch.randn(curved.size, count, generator=generator, dtype=torch.float64, device="cpu")
    )[0]
    return basis.mT


def _outermost(kind: str, curved: Operator, count: int, seed: int) -> Tensor:
    """Return the eigenvectors of the outermost eigenvalues at one end as rows, if these are determined."""
    values, vectors = _end(kind, curved, min(count + 1, curved.size), seed)
    if not all(each.converged for each in values[:count]):
        raise ValueError(f"eigenvectors have not converged: {', '.join(map(str, values[:count]))}")
    if count < curved.size:
        apart = abs(values[count - 1].value - values[count].value)
        residual = max(each.residual for each in values[:count])
        unsure = UNSURE * residual + NEGLIGIBLE * max(abs(each.value) for each in values)
        if curved.size > AUTO_DENSE and apart > unsure:  # Lanczos iteration may miss copies, others from each start
            others, again = _end(kind, curved, count, seed + 1)
            cosine = torch.linalg.svdvals(again.mT @ vectors[:, :count]).min().clamp(max=1.0)
            turned = UNSURE * max(residual, *(each.residual for each in others)) / apart
            apart *= (1 - cosine.square()).sqrt().item() <= max(turned, ROUNDED)
        if apart <= unsure:
            raise ValueError(
                f"directions must be determined, but eigenvalues next to the {count} {kind} are equal to these, "
                f"{values[count - 1].value:.6g}: use 'random' or vectors of your own"
            )
    return vectors[:, :count].mT


def _end(kind: str, curved: Operator, count: int, seed: int) -> tuple[Sequence[Eigenvalue], Tensor]:
    found = spectrum(curved, k=count, tolerance=1e-4, seed=seed)
    if kind == "sharpest":
        return found.largest, found.largest_vectors
    return found.smallest, found.smallest_vectors


_KINDS: dict[str, Callable[[Operator, int, int], Tensor]] = {
    "sharpest": partial(_outermost, "sharpest"),
    "flattest": partial(_outermost, "flattest"),
    "random": _random,
}
