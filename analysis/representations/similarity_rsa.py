"""Representational similarity: whether two activities find the same samples alike.

Shapes: M samples, N units, P pairs of samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from analysis.representations.activity import Activity, centred, uncertainty
from analysis.statistics.ties import tied_ranks
from tca.utils.checks import checked
from tca.utils.names import lookup

__all__ = ["dissimilarities", "rsa"]


def dissimilarities(activity: Activity) -> Tensor:
    """Return the squared Euclidean distance of every pair of samples, float64, shape ``(P,)``, ``P = M (M - 1) / 2``.

    Args:
        activity: Activity, shape ``(samples, units)`` or ``(time, trials, units)``.

    Raises:
        ValueError: The shape is wrong, there are fewer than two samples, a value is not finite, or values are equal.

    >>> dissimilarities(torch.tensor([[0.0], [1.0], [3.0]])).tolist()
    [1.0, 9.0, 4.0]
    """
    values = centred("activity", activity)
    return torch.nn.functional.pdist(values).square()


@checked
def rsa(x: Activity, y: Activity, compare: str = "spearman") -> float:
    """Return the correlation of the dissimilarities of all pairs of samples in two activities, 1 for the same.

    It does not change when either is rotated, moved, scaled, or given silent units. Distances that differ by no more
    than round-off of the samples, see ``analysis.representations.activity.uncertainty``, have equal ranks.

    Args:
        x: Activity, shape ``(samples, units)`` or ``(time, trials, units)``.
        y: Other activity at the same samples; its units may be others and of another number.
        compare: ``"spearman"`` (default), which asks for the order of dissimilarities only; ``"pearson"``; or
            ``"cosine"``, for which zero stays zero.

    Raises:
        ValueError: Samples differ, are fewer than three, a value is not finite, or values are equal.

    Paper: Kriegeskorte, Mur and Bandettini (2008), Frontiers in Systems Neuroscience 2:4.

    >>> x = torch.tensor([[0.0], [1.0], [3.0]])
    >>> round(rsa(x, x.square()), 12), round(rsa(x, torch.tensor([[0.0], [5.0], [4.0]])), 12)
    (1.0, -0.5)
    """
    prepare = lookup(_COMPARISONS, compare, "compare")
    if x.shape[:-1] != y.shape[:-1] and (len(x.shape) == len(y.shape) or _samples(x) != _samples(y)):
        raise ValueError(f"x and y must have the same samples, got {tuple(x.shape[:-1])} and {tuple(y.shape[:-1])}")
    if _samples(x) < 3:
        raise ValueError(f"samples must be at least 3 for dissimilarities to be compared, got {_samples(x)}")
    first, second = (prepare(dissimilarities(each).cpu(), uncertainty(each)) for each in (x, y))
    sizes = first.norm() * second.norm()
    if sizes == 0:
        raise ValueError("dissimilarities must differ from pair to pair, got the same for all")
    correlation = float(first @ second / sizes)
    return min(1.0, max(-1.0, correlation))


def _samples(activity: Activity) -> int:
    return math.prod(activity.shape[:-1])


def _ranks(values: Tensor, unsure: float) -> Tensor:
    """Return the centred ranks of distances; zero if all are tied."""
    return _about_mean(tied_ranks(values.sqrt(), unsure))


def _moved(values: Tensor, unsure: float) -> Tensor:
    """Return the centred dissimilarities; zero if no two distances differ by more than round-off."""
    lengths = values.sqrt()
    return torch.zeros_like(values) if lengths.max() - lengths.min() <= unsure else _about_mean(values)


def _about_mean(values: Tensor) -> Tensor:
    return values - values.mean()


_COMPARISONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "spearman": _ranks,
    "pearson": _moved,
    "cosine": lambda values, unsure: values,
}
