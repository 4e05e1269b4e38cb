"""Dynamical similarity analysis: how alike two networks' dynamics are up to orthogonal changes of basis.

Shapes: T time, B trials, N units, R components kept, S starts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.representations.activity import Activity, centred, joint_uncertainty
from analysis.representations.rotations import Matrix, closest, distance
from analysis.statistics.ties import check_cut
from tca.utils.arrays import tensor_of
from tca.utils.checks import Count, NotNegative, Seed, Whole, checked
from tca.utils.tables import Tabular

__all__ = ["LinearDynamics", "dsa", "linear_dynamics", "vector_field_distance"]


@dataclass(frozen=True, eq=False)
class LinearDynamics(Tabular):
    """A linear map that carries activity from one step to the next.

    Attributes:
        matrix: The map in the coordinates of the leading delay components at unit variance, float64, ``(R, R)``.
        explained: Fraction of the variance of the components one step later that it predicts.
        persistence: Share explained by the prediction of no motion, which a map should exceed.
    """

    matrix: Tensor
    explained: float
    persistence: float

    def _columns(self) -> dict[str, Any]:
        """Return a row for each eigenvalue."""
        return {"eigenvalue": self.eigenvalues, "modulus": self.eigenvalues.abs()}

    @property
    def rank(self) -> int:
        """Number of components R."""
        return len(self.matrix)

    @property
    def eigenvalues(self) -> Tensor:
        """Eigenvalues, complex, by falling modulus, shape ``(R,)``."""
        values: Tensor = torch.linalg.eigvals(self.matrix)
        return values[values.abs().argsort(descending=True, stable=True)]


@checked
def linear_dynamics(
    activity: Activity | Sequence[Activity],
    *,
    delays: Count = 1,
    interval: Count = 1,
    rank: Count | None = None,
    ridge: NotNegative = 0.0,
) -> LinearDynamics:
    """Return the linear map that best predicts activity one step ahead: dynamic mode decomposition with delays.

    Every sample is joined with its past, ``(x_t, x_{t - interval}, ..., x_{t - (delays - 1) interval})``; the leading
    principal components of these, at unit variance, are regressed on themselves one step before, with a
    constant. With enough delays and components a nonlinear system comes out as a linear one. The map does not depend on
    the basis: under an invertible linear change of the units it is only turned, if all components are kept.

    Args:
        activity: Activity, shape ``(T, B, N)``, or a list of that of every trial, shape ``(T_b, N)``, where they differ
            in length; trials are not joined to each other.
        delays: Number of samples joined, default 1: no delay.
        interval: Steps between them, default 1.
        rank: Components to keep, at most; ``None`` (default) for all that are more than round-off.
        ridge: Penalty on the squared map relative to the variance of a component, default 0.

    Raises:
        ValueError: The shape is wrong, a number is out of range, there are too few steps for the delays or for so many
            components, or the rank cuts between components of equal variance, which are any basis of their space.

    Papers: Brunton, Brunton, Proctor, Kaiser and Kutz (2017), Nature Communications 8:19, for delays; Ostrow, Eisen,
    Kozachkov and Fiete (2023), NeurIPS, arXiv:2306.10168.

    >>> turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    >>> path = torch.stack([torch.matrix_power(turn, t)[:, :1].T for t in range(9)])
    >>> [round(each, 6) for each in linear_dynamics(path).eigenvalues.abs().tolist()]
    [1.0, 1.0]
    """
    trials = _trials(activity)
    samples, lost = torch.cat(trials), (delays - 1) * interval
    values = torch.split(centred("activity", samples), [len(each) for each in trials])
    kept = [len(each) - lost for each in values if len(each) > lost]
    if max(kept, default=0) < 2:
        raise ValueError(f"steps must be at least {2 + lost} for these delays, got {max(map(len, trials))}")
    flat = torch.cat([_joined(each, delays, interval) for each in values if len(each) > lost])
    basis, sizes, _ = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)
    unsure = math.sqrt(delays) * joint_uncertainty(samples)
    sizes = sizes[sizes > unsure]
    count = len(sizes) if rank is None else check_cut("rank", min(len(sizes), rank), sizes, unsure)
    components = torch.split(basis[:, :count] * math.sqrt(len(basis)), kept)
    before, after = torch.cat([each[:-1] for each in components]), torch.cat([each[1:] for each in components])
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


def _trials(activity: Activity | Sequence[Activity], name: str = "activity") -> list[Tensor]:
    """Return the activity of every trial, shape ``(T_b, N)``, or raise if it has no order in time."""
    if isinstance(activity, Sequence):
        trials = [tensor_of(each).detach() for each in activity]
        if not trials or any(each.ndim != 2 or each.shape[1] != trials[0].shape[1] for each in trials):
            shapes = [tuple(each.shape) for each in trials]
            raise ValueError(f"{name} of trials must have shapes (time, units) with the same units, got {shapes}")
        return trials
    if len(activity.shape) != 3:
        raise ValueError(
            f"{name} must have shape (time, trials, units), or be a list of trials of shape (time, units), "
            f"got {tuple(activity.shape)}"
        )
    return list(tensor_of(activity).detach().unbind(1))


def _joined(values: Tensor, delays: int, interval: int) -> Tensor:
    """Return every sample of a trial beside its past, the latest first, shape ``(T - lost, delays N)``."""
    kept = len(values) - (delays - 1) * interval
    return torch.cat([values[place * interval :][:kept] for place in reversed(range(delays))], -1)


@checked
def vector_field_distance(a: Tensor, b: Tensor, *, starts: Whole = 4, seed: int = 0) -> float:
    """Return the angle between two linear vector fields after the best rotation of one, from 0 (the same) to pi.

    ``min_C arccos(<A, C B C^T> / (|A| |B|))`` over orthogonal C; the smaller matrix is padded with zeros. The minimum
    is sought from several starts in both orders, see ``analysis.representations.rotations.closest``, so that the
    distance is symmetric, and zero for a matrix in other coordinates. It is the global one where matrices are
    symmetric; elsewhere it is an upper bound.

    Args:
        starts: Random starts in each order besides the others, default 4.
        seed: Seed of the random starts, default 0.

    Raises:
        ValueError: One is not square, not finite, or zero.

    Paper: Ostrow, Eisen, Kozachkov and Fiete (2023), NeurIPS, arXiv:2306.10168.

    >>> round(vector_field_distance(torch.diag(torch.tensor([1.0, 2.0])), torch.diag(torch.tensor([2.0, 1.0]))), 6)
    0.0
    """
    size = max(len(a), len(b))
    first, second = (_unit(name, each, size) for name, each in (("a", a), ("b", b)))
    apart = distance(first, second, closest(first, second, starts, seed))
    return 2 * math.asin(min(1.0, apart / 2))


@checked
def dsa(
    x: Activity | Sequence[Activity],
    y: Activity | Sequence[Activity],
    *,
    delays: Count = 1,
    interval: Count = 1,
    rank: Count | None = 10,
    ridge: NotNegative = 0.0,
    starts: Whole = 4,
    seed: Seed = 0,
) -> float:
    """Return the angle between the dynamics of two activities, in radians from 0 (the same) to pi.

    The two need not have the same samples, nor the same number of trials, steps or units.

    Args:
        x: Activity, shape ``(T, B, N)``, or that of every trial, shape ``(T_b, N)``.
        delays: Samples joined, default 1; see ``linear_dynamics``.
        interval: Steps between them, default 1.
        rank: Components to keep of each, at most, default 10; both are given as many as the poorer has.
        ridge: Penalty on the map, default 0.
        starts: Random starts of the search for the rotation, default 4.

    Raises:
        ValueError: As for ``linear_dynamics``.

    Paper: Ostrow, Eisen, Kozachkov and Fiete (2023), NeurIPS, arXiv:2306.10168.

    >>> turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    >>> path = torch.stack([torch.matrix_power(turn, t)[:, :1].T for t in range(8)])
    >>> round(dsa(path, path[:4] * 3 + 1), 6)
    0.0
    """
    x, y = _trials(x, "x"), _trials(y, "y")
    found = [linear_dynamics(each, delays=delays, interval=interval, rank=rank, ridge=ridge) for each in (x, y)]
    least = min(each.rank for each in found)
    if any(each.rank > least for each in found):
        found = [linear_dynamics(each, delays=delays, interval=interval, rank=least, ridge=ridge) for each in (x, y)]
    return vector_field_distance(found[0].matrix, found[1].matrix, starts=starts, seed=seed)


def _unit(name: str, matrix: Tensor, size: int) -> Matrix:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be a square matrix, got shape {tuple(matrix.shape)}")
    values = matrix.detach().to("cpu", torch.float64).numpy()
    norm = np.linalg.norm(values)
    if not np.isfinite(norm) or norm == 0:
        raise ValueError(f"{name} must be finite and not zero, got norm {norm}")
    padded = np.zeros((size, size))
    padded[: len(values), : len(values)] = values / norm
    return padded
