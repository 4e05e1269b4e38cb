"""How alike the dynamics of two networks are, whatever the shape of their activity: dynamical similarity analysis.

Shapes: T time, B trials, N units, R components kept, S starts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from analysis.activity import Activity, centred
from tca.checks import not_negative, whole

__all__ = ["LinearDynamics", "dsa", "linear_dynamics", "vector_field_distance"]

NEGLIGIBLE = 1e-10  # singular values below this fraction of the largest are round-off
COARSE = 1e-7  # change of the squared distance at which the search from a start ends; the best is then refined


@dataclass(frozen=True, eq=False)
class LinearDynamics:
    """A linear map that carries activity from one step to the next.

    Attributes:
        matrix: The map in the coordinates of the leading delay components at unit variance, float64, ``(R, R)``.
        explained: Fraction of the variance of the components one step later that it predicts.
        persistence: What is explained by the prediction that nothing moves: a map should do better.
    """

    matrix: Tensor
    explained: float
    persistence: float

    @property
    def rank(self) -> int:
        """Number of components R."""
        return len(self.matrix)

    @property
    def eigenvalues(self) -> Tensor:
        """Eigenvalues, complex, by falling modulus, shape ``(R,)``."""
        values: Tensor = torch.linalg.eigvals(self.matrix)
        return values[values.abs().argsort(descending=True)]


def linear_dynamics(
    activity: Activity, *, delays: int = 1, interval: int = 1, rank: int | None = None, ridge: float = 0.0
) -> LinearDynamics:
    """Return the linear map that best predicts activity one step ahead: dynamic mode decomposition with delays.

    Every sample is joined with its past, ``(x_t, x_{t - interval}, ..., x_{t - (delays - 1) interval})``; the leading
    principal components of these, at unit variance, are regressed on themselves one step before, with a
    constant. With enough delays and components a nonlinear system comes out as a linear one. The map does not depend on
    the basis: under an invertible linear change of the units it is only turned, if all components are kept.

    Args:
        activity: Activity, shape ``(T, B, N)``; trials are not joined to each other.
        delays: Number of samples joined, default 1: no delay.
        interval: Steps between them, default 1.
        rank: Components to keep, at most; ``None`` (default) for all that are more than round-off.
        ridge: Penalty on the squared map relative to the variance of a component, default 0.

    Raises:
        ValueError: The shape is wrong, a number is out of range, or there are too few steps for the delays or for so
            many components.

    Papers: Brunton, Brunton, Proctor, Kaiser and Kutz (2017), Nature Communications 8:19, for delays; Ostrow, Eisen,
    Kozachkov and Fiete (2023), NeurIPS, arXiv:2306.10168.

    >>> turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    >>> path = torch.stack([torch.matrix_power(turn, t)[:, :1].T for t in range(9)])
    >>> [round(each, 6) for each in linear_dynamics(path).eigenvalues.abs().tolist()]
    [1.0, 1.0]
    """
    if len(activity.shape) != 3:
        raise ValueError(f"activity must have shape (time, trials, units), got {tuple(activity.shape)}")
    whole("delays", delays, 1)
    whole("interval", interval, 1)
    not_negative("ridge", ridge)
    steps, trials, units = activity.shape
    kept = steps - (delays - 1) * interval
    if kept < 2:
        raise ValueError(f"steps must be at least {2 + (delays - 1) * interval} for these delays, got {steps}")
    values = centred("activity", activity).view(steps, trials, units)
    joined = torch.cat([values[place * interval :][:kept] for place in reversed(range(delays))], -1)
    flat = joined.reshape(kept * trials, -1)
    basis, sizes, _ = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    count = int((sizes > NEGLIGIBLE * sizes[0]).sum())
    count = count if rank is None else min(count, whole("rank", rank, 1))
    components = basis[:, :count].view(kept, trials, count) * math.sqrt(kept * trials)
    before, after = components[:-1].reshape(-1, count), components[1:].reshape(-1, count)
    if len(before) <= count:
        raise ValueError(f"steps and trials must give more than {count} pairs, one a component, got {len(before)}")
    still = (after - before).square().sum()
    before, after = before - before.mean(0), after - after.mean(0)
    gram = before.mT @ before + ridge * len(before) * torch.eye(count, dtype=before.dtype, device=before.device)
    matrix = torch.linalg.solve(gram, before.mT @ after).mT
    scale = after.square().sum()
    explained = 1 - (after - before @ matrix.mT).square().sum() / scale
    persistence = 1 - still / scale
    return LinearDynamics(matrix, explained.item(), persistence.item())


def vector_field_distance(a: Tensor, b: Tensor, *, starts: int = 4, seed: int = 0) -> float:
    """Return the angle between two linear vector fields after the best rotation of one, from 0 (the same) to pi.

    ``min_C arccos(<A, C B C^T> / (|A| |B|))`` over orthogonal C; the smaller matrix is padded with zeros. The minimum
    is sought from several starts, of both orientations: the eigenvectors of the symmetric parts, the Schur vectors, and
    random rotations. It is the global one where matrices are symmetric; elsewhere it is the best that was found.

    Args:
        a: A square matrix.
        b: Another.
        starts: Random starts besides the two others, default 4.
        seed: Seed of the random starts, default 0.

    Raises:
        ValueError: One is not square, not finite, or zero.

    Paper: Ostrow, Eisen, Kozachkov and Fiete (2023), NeurIPS, arXiv:2306.10168.

    >>> round(vector_field_distance(torch.diag(torch.tensor([1.0, 2.0])), torch.diag(torch.tensor([2.0, 1.0]))), 6)
    0.0
    """
    size = max(len(a), len(b))
    first, second = (_unit(name, each, size) for name, each in (("a", a), ("b", b)))
    whole("starts", starts, 0)
    ends = (_descend(first, second, start, COARSE) for start in _starts(first, second, starts, seed))
    nearest = min(ends, key=lambda end: _apart(first, second, end))
    apart = _apart(first, second, _descend(first, second, nearest, 0.0))
    return 2 * math.asin(min(1.0, apart / 2))


def dsa(
    x: Activity,
    y: Activity,
    *,
    delays: int = 1,
    interval: int = 1,
    rank: int | None = 10,
    ridge: float = 0.0,
    starts: int = 4,
    seed: int = 0,
) -> float:
    """Return the angle between the dynamics of two activities, in radians from 0 (the same) to pi.

    The two need not have the same samples, nor the same number of trials, steps or units.

    Args:
        x: Activity, shape ``(T, B, N)``.
        y: Other activity.
        delays: Samples joined, default 1; see ``linear_dynamics``.
        interval: Steps between them, default 1.
        rank: Components to keep of each, at most, default 10; both are given as many as the poorer has.
        ridge: Penalty on the map, default 0.
        starts: Random starts of the search for the rotation, default 4.
        seed: Seed of these.

    Raises:
        ValueError: As for ``linear_dynamics``.

    Paper: Ostrow, Eisen, Kozachkov and Fiete (2023), NeurIPS, arXiv:2306.10168.

    >>> turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    >>> path = torch.stack([torch.matrix_power(turn, t)[:, :1].T for t in range(8)])
    >>> round(dsa(path, path[:4] * 3 + 1), 6)
    0.0
    """
    found = [linear_dynamics(each, delays=delays, interval=interval, rank=rank, ridge=ridge) for each in (x, y)]
    least = min(each.rank for each in found)
    if any(each.rank > least for each in found):
        found = [linear_dynamics(each, delays=delays, interval=interval, rank=least, ridge=ridge) for each in (x, y)]
    return vector_field_distance(found[0].matrix, found[1].matrix, starts=starts, seed=seed)


def _unit(name: str, matrix: Tensor, size: int) -> Tensor:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be a square matrix, got shape {tuple(matrix.shape)}")
    values = matrix.detach().to("cpu", torch.float64)
    norm = values.norm()
    if not torch.isfinite(norm) or norm == 0:
        raise ValueError(f"{name} must be finite and not zero, got norm {norm.item()}")
    padded = values.new_zeros(size, size)
    padded[: len(values), : len(values)] = values / norm
    return padded


def _starts(a: Tensor, b: Tensor, count: int, seed: int) -> Iterator[Tensor]:
    """Yield orthogonal matrices, each followed by its mirror image."""
    generator = torch.Generator().manual_seed(seed)
    vectors = [[torch.linalg.eigh((each + each.mT) / 2)[1] for each in (a, b)], [_schur(each) for each in (a, b)]]
    candidates = [left @ right.mT for left, right in vectors]
    drawn = [torch.randn(len(a), len(a), generator=generator, dtype=torch.float64, device="cpu") for _ in range(count)]
    mirror = torch.ones(len(a), dtype=torch.float64, device="cpu")
    mirror[0] = -1.0
    for each in [*candidates, *(torch.linalg.qr(one)[0] for one in drawn)]:
        yield each
        yield each * mirror


def _schur(matrix: Tensor) -> Tensor:
    """Return real vectors that span the eigenspaces by falling modulus: the order in which QR meets them."""
    values, vectors = torch.linalg.eig(matrix)
    order = values.abs().argsort(descending=True)
    ordered = vectors[:, order]
    spanning = torch.where(values[order].imag >= 0, ordered.real, ordered.imag)
    basis: Tensor = torch.linalg.qr(spanning)[0]
    return basis


def _apart(a: Tensor, b: Tensor, rotation: Tensor) -> float:
    return float((a - rotation @ b @ rotation.mT).norm())


def _descend(a: Tensor, b: Tensor, start: Tensor, precision: float) -> Tensor:
    """Return the rotation at the minimum of ``|A - C B C^T|`` next to a start, C = start (1 - S)^-1 (1 + S), S skew."""
    rows, columns = torch.triu_indices(len(a), len(a), 1, device="cpu")
    one = torch.eye(len(a), dtype=a.dtype, device=a.device)

    def rotated(free: Tensor) -> Tensor:
        skew = torch.zeros_like(a).index_put((rows, columns), free)
        skew = skew - skew.mT
        turned: Tensor = start @ torch.linalg.solve(one - skew, one + skew)
        return turned

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        free = torch.tensor(flat, dtype=torch.float64, requires_grad=True, device="cpu")
        rotation = rotated(free)
        value = (a - rotation @ b @ rotation.mT).square().sum() / 2
        (slope,) = torch.autograd.grad(value, free)
        return value.item(), slope.numpy()

    if not len(rows):
        return start
    options = {"maxiter": 500, "ftol": precision, "gtol": 1e-12}
    found = minimize(loss, np.zeros(len(rows)), jac=True, method="L-BFGS-B", options=options)
    return rotated(torch.from_numpy(found.x))
