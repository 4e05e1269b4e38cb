"""How alike the activity of two networks is, or of a network and of recorded cells.

Shapes: M samples (times and conditions), N units, which may differ between the two, K components.

All take ``(samples, units)`` or ``(time, trials, units)``, in arrays or tensors, with the same samples in both, and
centre every unit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from analysis.representations.activity import Activity, centred, joint_uncertainty
from analysis.statistics.ties import check_cut, kept_apart
from tca.utils.checks import Count, checked

__all__ = ["canonical_correlations", "cca", "cka", "cka_distance", "procrustes_distance", "svcca"]


@checked
def procrustes_distance(x: Activity, y: Activity) -> float:
    """Return the angular Procrustes distance between two activities, from 0 (same shape) to 1.

    ``arccos(|X^T Y|_* / (|X|_F |Y|_F)) / (pi/2)`` with the nuclear norm: the angle that is left after the best
    rotation. It does not change when either is rotated, moved, scaled, or given silent units, and it is a metric. The
    angle is computed from the distance ``|X - Y Q|`` of the unit shapes, so that small ones keep their digits.

    Args:
        x: Activity, shape ``(samples, units)`` or ``(time, trials, units)``.
        y: Other activity at the same samples; its units may be others and of another number.

    Raises:
        ValueError: Samples differ, there are fewer than two, a value is not finite, or values are equal.

    Paper: Williams, Kunz, Kornblith and Linderman (2021), NeurIPS, arXiv:2110.14739, shape metrics with alpha = 1.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> procrustes_distance(x, 3 * x.flip(1) + 5) < 1e-12
    True
    """
    first, second = _pair(x, y)
    units = max(first.shape[1], second.shape[1])
    first, second = (_padded(each / each.norm(), units) for each in (first, second))
    left, _, right = torch.linalg.svd(second.mT @ first)
    apart = (first - second @ (left @ right)).norm().item()
    return 2 * math.asin(min(1.0, apart / 2)) / (math.pi / 2)


@checked
def canonical_correlations(
    x: Activity, y: Activity, *, components: Count | None = None, variance: float | None = None
) -> Tensor:
    """Return the correlations of the best matching directions of two activities, falling, float64, shape ``(K,)``.

    The singular values of ``U_x^T U_y``, U the leading principal components scaled to unit length.

    Args:
        x: Activity, shape ``(samples, units)`` or ``(time, trials, units)``.
        y: Other activity at the same samples.
        components: Principal components of each to keep, at most; ``None`` (default) for all that are more than
            round-off.
        variance: Fraction of the variance of each that the components kept must hold at least; ``None`` (default) for
            all of it. Components of equal variance are kept together.

    Raises:
        ValueError: Samples differ or are too few for so many components, which would fit anything, a number is out of
            range, or ``components`` cuts between components of equal variance, which are any basis of their space.

    >>> x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    >>> canonical_correlations(x, torch.cat([x, torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])], 1)).tolist()
    [1.0]
    """
    if variance is not None and not 0 < variance <= 1:
        raise ValueError(f"variance must be above 0 and at most 1, got {variance!r}")
    centred_pair = _pair(x, y)
    first, second = (
        _components(name, each, joint_uncertainty(given), components, variance)
        for name, each, given in zip(("x", "y"), centred_pair, (x, y), strict=True)
    )
    samples, most = len(first), max(first.shape[1], second.shape[1])
    if most >= samples - 1:
        raise ValueError(
            f"samples must be at least two more than the components kept, {most}, got {samples}: "
            "so few can be matched by anything; keep fewer components"
        )
    correlations: Tensor = torch.linalg.svdvals(first.mT @ second)
    return correlations.clamp(max=1.0)


@checked
def cca(x: Activity, y: Activity, components: Count = 20) -> float:
    """Return the mean canonical correlation of the leading principal components, from 0 to 1 (the same).

    This is SVCCA with a fixed number of components; one less it is the CCA distance. It does not change under any
    invertible map of the components of either.

    Args:
        x: Activity, shape ``(samples, units)`` or ``(time, trials, units)``.
        y: Other activity at the same samples.
        components: Principal components of each to keep, at most, default 20.

    Raises:
        ValueError: As for ``canonical_correlations``.

    >>> x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    >>> cca(x, -2 * x), cca(x, torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]))
    (1.0, 0.0)
    """
    return canonical_correlations(x, y, components=components).mean().item()


@checked
def svcca(x: Activity, y: Activity, variance: float = 0.99) -> float:
    """Return the mean canonical correlation of the components that hold most of the variance, from 0 to 1 (the same).

    Args:
        x: Activity, shape ``(samples, units)`` or ``(time, trials, units)``.
        y: Other activity at the same samples.
        variance: Fraction of the variance of each to keep, default 0.99.

    Raises:
        ValueError: As for ``canonical_correlations``.

    Paper: Raghu, Gilmer, Yosinski and Sohl-Dickstein (2017), NeurIPS, arXiv:1706.05806.

    >>> x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    >>> svcca(x, 1e-3 * torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]) + x) > 0.99
    True
    """
    return canonical_correlations(x, y, variance=variance).mean().item()


@checked
def cka(x: Activity, y: Activity, *, debiased: bool = False) -> float:
    """Return the centred kernel alignment of two activities with a linear kernel, 1 for the same.

    ``<K, L> / (|K| |L|)`` with ``K = X X^T`` and ``L = Y Y^T``. It does not change under rotations and scaling of
    either, but unlike CCA under other linear maps. With fewer samples than units it is close to 1 for anything, which
    the debiased estimate corrects; that one may be slightly negative.

    Args:
        x: Activity, shape ``(samples, units)`` or ``(time, trials, units)``.
        y: Other activity at the same samples.
        debiased: Whether to use unbiased estimates of the three products, default ``False``; needs four samples.

    Raises:
        ValueError: Samples differ, are too few, a value is not finite, or values are equal.

    Papers: Kornblith, Norouzi, Lee and Hinton (2019), ICML, arXiv:1905.00414; Song, Smola, Gretton, Bedo and Borgwardt
    (2012), Journal of Machine Learning Research 13:1393, for the unbiased estimate.

    >>> x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    >>> cka(x, 3 * x), cka(x, torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]))
    (1.0, 0.0)
    """
    first, second = _pair(x, y)
    if debiased:
        kernels = [_hollow(each @ each.mT) for each in (first, second)]
        parts = [_unbiased(kernels[i], kernels[j]) for i, j in ((0, 1), (0, 0), (1, 1))]
        for kernel, part, values, given in zip(kernels, parts[1:], (first, second), (x, y), strict=True):
            limit = 8 * joint_uncertainty(given) / values.norm() * kernel.square().sum()
            if part * len(values) * (len(values) - 3) <= limit:
                raise ValueError("samples are too few for a debiased estimate: a variance has come out not positive")
    else:
        parts = [(a.mT @ b).square().sum() for a, b in ((first, second), (first, first), (second, second))]
    both, own, other = parts
    return (both / (own * other).sqrt()).item()


@checked
def cka_distance(x: Activity, y: Activity) -> float:
    """Return the angle between two linear kernels, ``arccos(cka) / (pi/2)``, from 0 (the same) to 1.

    Unlike ``1 - cka`` it is a metric. It is computed from the distance of the unit kernels, so that small angles keep
    their digits.

    Args:
        x: Activity, shape ``(samples, units)`` or ``(time, trials, units)``.
        y: Other activity at the same samples.

    Raises:
        ValueError: Samples differ, are too few, a value is not finite, or values are equal.

    Paper: Williams, Kunz, Kornblith and Linderman (2021), NeurIPS, arXiv:2110.14739.

    >>> x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    >>> cka_distance(x, 3 * x), round(cka_distance(x, torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])), 12)
    (0.0, 1.0)
    """
    first, second = _pair(x, y)
    kernels = [each @ each.mT for each in (first, second)]
    apart = (kernels[0] / kernels[0].norm() - kernels[1] / kernels[1].norm()).norm().item()
    return 2 * math.asin(min(1.0, apart / 2)) / (math.pi / 2)


def _pair(x: Activity, y: Activity) -> tuple[Tensor, Tensor]:
    if len(x.shape) == len(y.shape) and x.shape[:-1] != y.shape[:-1]:
        raise ValueError(f"x and y must have the same samples, got {tuple(x.shape[:-1])} and {tuple(y.shape[:-1])}")
    first, second = centred("x", x), centred("y", y)
    if len(first) != len(second):
        raise ValueError(f"x and y must have the same samples, got {len(first)} and {len(second)}")
    return first, second.to(first.device)


def _padded(values: Tensor, units: int) -> Tensor:
    return torch.cat([values, values.new_zeros(len(values), units - values.shape[1])], 1)


def _components(name: str, values: Tensor, unsure: float, most: int | None, variance: float | None) -> Tensor:
    """Return the principal components that are kept, scaled to unit length, shape ``(M, K)``."""
    basis, sizes, _ = torch.linalg.svd(values, full_matrices=False)
    sizes = sizes[sizes > unsure]
    count = len(sizes)
    if variance is not None:
        held = sizes.square().cumsum(0) / sizes.square().sum()
        enough = (held >= variance - unsure / sizes[0]).tolist()
        count = next(each for each in kept_apart(sizes, unsure) if enough[each - 1])
    if most is not None and most < count:
        count = check_cut(f"components of {name}", most, sizes, unsure)
    kept: Tensor = basis[:, :count]
    return kept


def _hollow(kernel: Tensor) -> Tensor:
    return kernel - torch.diag(kernel.diag())


def _unbiased(first: Tensor, second: Tensor) -> Tensor:
    """Return the unbiased estimate of the Hilbert-Schmidt independence criterion of two hollow kernels."""
    samples = len(first)
    if samples < 4:
        raise ValueError(f"samples must be at least 4 for a debiased estimate, got {samples}")
    same = (first * second).sum()
    totals = first.sum() * second.sum() / ((samples - 1) * (samples - 2))
    sums = 2 * (first.sum(0) @ second.sum(0)) / (samples - 2)
    result: Tensor = (same + totals - sums) / (samples * (samples - 3))
    return result
