"""How close to recorded activity any model could come: reliability of the data, and trivial models of it.

Shapes: K repeats of the same trials, T time, C conditions, N units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.representations.activity import Activity, about_mean
from analysis.representations.similarity import procrustes_distance
from analysis.statistics.ties import round_off
from tca.utils.arrays import tensor_of
from tca.utils.checks import Count, Seed, checked
from tca.utils.tables import Tabular

__all__ = ["NoiseCeiling", "conditions_averaged", "noise_ceiling", "reliability", "spearman_brown"]


def spearman_brown(correlation: float, factor: float = 2.0) -> float:
    """Return the reliability of the mean of more repeats, ``k r / (1 + (k - 1) r)``.

    Args:
        correlation: Correlation r of two means of equally many repeats each.
        factor: How many times more repeats there are, k, default 2: from two halves to the whole.

    Raises:
        ValueError: The correlation is not between -1 and 1, the factor is not positive, or their combination has no
            answer.

    Papers: Spearman (1910) and Brown (1910), British Journal of Psychology 3:271 and 3:296.

    >>> spearman_brown(0.5), spearman_brown(0.5, 1.0)
    (0.6666666666666666, 0.5)
    """
    if not -1 <= correlation <= 1:
        raise ValueError(f"correlation must lie between -1 and 1, got {correlation!r}")
    if not factor > 0 or 1 + (factor - 1) * correlation <= 0:
        raise ValueError(f"factor must be positive and small enough for correlation {correlation:g}, got {factor!r}")
    return factor * correlation / (1 + (factor - 1) * correlation)


def conditions_averaged(recorded: Activity) -> Tensor:
    """Return activity in which every condition is the mean over conditions, float64, shape ``(T, C, N)``.

    Its distance from the recording is that of a model of the time course alone: a model that explains less
    than this explains no difference between conditions.

    Args:
        recorded: Activity, shape ``(T, C, N)``.

    Raises:
        ValueError: The shape is wrong.

    >>> conditions_averaged(torch.tensor([[[1.0], [3.0]]])).tolist()
    [[[2.0], [2.0]]]
    """
    values = tensor_of(recorded).detach().to(torch.float64)
    if values.ndim != 3:
        raise ValueError(f"recorded must have shape (time, conditions, units), got {tuple(values.shape)}")
    return values.mean(1, keepdim=True).expand_as(values).clone()


@checked
def reliability(repeats: Activity, *, splits: Count = 100, seed: Seed = 0) -> Tensor:
    """Return how far the mean response of each unit repeats itself, by its split-half correlation.

    The correlation over time and conditions of the means of two random halves, averaged over splits, and extrapolated
    to all repeats by Spearman-Brown. With an odd number of repeats one is left out of each split, another each time.

    Args:
        repeats: Activity, shape ``(K, T, C, N)``, at least two repeats.
        splits: Number of random splits, default 100.
        seed: Seed of the splits, default 0.

    Returns:
        One number a unit, float64, shape ``(N,)``; NaN for a unit that never varies, and where halves are too opposed
        for an extrapolation.

    Raises:
        ValueError: The shape is wrong, or a value is not finite.

    >>> trials = torch.randn(1, 20, 3, 2, generator=torch.Generator().manual_seed(0)).expand(4, -1, -1, -1)
    >>> [round(each, 9) for each in reliability(trials).tolist()]
    [1.0, 1.0]
    """
    total = torch.zeros((), dtype=torch.float64, device="cpu")
    exact = round_off(tensor_of(repeats).dtype)
    for first, second in _halves(repeats, splits, seed):
        a, b = (about_mean(each.flatten(0, 1), exact) for each in (first, second))
        total = total + (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0))
    mean = total / splits
    return torch.where(mean > -1 / 3, 2 * mean / (1 + mean), math.nan)


@dataclass(frozen=True)
class NoiseCeiling(Tabular):
    """How close to the mean of all repeats a perfect model can come, by a measure of similarity.

    Attributes:
        half: Mean distance of the means of two halves over random splits.
        spread: Its standard deviation over splits.
        repeat: Distance to expect between the mean of all repeats and that of as many new ones.
        truth: Distance to expect between the mean of all repeats and the noiseless activity: the ceiling.
    """

    half: float
    spread: float
    repeat: float
    truth: float

    def __str__(self) -> str:
        return (
            f"noise ceiling {self.truth:.4f} (halves {self.half:.4f} +- {self.spread:.4f}, new repeats "
            f"{self.repeat:.4f})"
        )


@checked
def noise_ceiling(
    repeats: Activity,
    distance: Callable[[Activity, Activity], float] = procrustes_distance,
    *,
    splits: Count = 20,
    seed: Seed = 0,
) -> NoiseCeiling:
    """Return the angular distance from recorded activity that noise alone leaves to a perfect model.

    The cosine of the angle between the means of two halves is taken as a reliability r: the mean of all repeats and
    that of as many new ones are ``R = 2 r / (1 + r)`` alike (Spearman-Brown), the mean of all repeats and the truth
    ``sqrt(R)``. A distance that fits a rotation fits some of the noise with it, so the ceiling is optimistic where
    units are many and samples few.

    Args:
        repeats: Activity, shape ``(K, T, C, N)``, at least two repeats.
        distance: An angle between two activities divided by a right angle, default ``procrustes_distance``; another is
            ``cka_distance``.
        splits: Number of random splits, default 20.
        seed: Seed of the splits, default 0.

    Raises:
        ValueError: The shape is wrong, a value is not finite, or values are equal.

    >>> trials = torch.randn(1, 20, 3, 2, generator=torch.Generator().manual_seed(0)).expand(4, -1, -1, -1)
    >>> round(noise_ceiling(trials).truth, 6)
    0.0
    """
    found = torch.tensor([distance(a, b) for a, b in _halves(repeats, splits, seed)], dtype=torch.float64, device="cpu")
    half = found.mean().item()
    likeness = max(0.0, math.cos(min(1.0, half) * math.pi / 2))
    whole_likeness = spearman_brown(likeness)
    repeat, truth = (math.acos(min(1.0, each)) / (math.pi / 2) for each in (whole_likeness, math.sqrt(whole_likeness)))
    return NoiseCeiling(half, found.std().item() if splits > 1 else 0.0, repeat, truth)


def _halves(repeats: Activity, splits: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Return the means of two random halves of the repeats, each ``(T, C, N)``, for every split."""
    values = tensor_of(repeats).detach().to("cpu", torch.float64)
    if values.ndim != 4 or len(values) < 2:
        raise ValueError(
            f"repeats must have shape (repeats, time, conditions, units) with at least two repeats, "
            f"got {tuple(values.shape)}"
        )
    if not torch.isfinite(values).all():
        raise ValueError("repeats must be finite, got NaN or infinity")
    generator = torch.Generator().manual_seed(seed)
    size = len(values) // 2
    orders = [torch.randperm(len(values), generator=generator, device="cpu") for _ in range(splits)]
    return [(values[order[:size]].mean(0), values[order[size : 2 * size]].mean(0)) for order in orders]
