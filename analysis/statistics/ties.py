"""Numbers that are equal to round-off: their ranks, and where a falling sequence of them may be cut.

Shapes: P numbers, K singular values or eigenvalues.

Round-off is a fraction of the size of the data that enter a number, not of the number: the distance of two rows of
activity is known to a few units in the last place of the rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_cut", "kept_apart", "round_off", "tied_ranks"]

LEAST = 1e-11  # of float64: far above round-off, so that cuts that pass are right to 1e-8


def round_off(dtype: torch.dtype) -> float:
    """Return the size below which differences of numbers are round-off, as a fraction of the data.

    Eight units in the last place of the type in which the data were kept, at least 1e-11.

    Args:
        dtype: The type in which the data came; integers are exact.

    >>> round_off(torch.float64), round_off(torch.int64), round_off(torch.float32) == 2**-20
    (1e-11, 1e-11, True)
    """
    return max(LEAST, 8 * torch.finfo(dtype).eps) if dtype.is_floating_point else LEAST


def tied_ranks(values: Tensor, tolerance: float) -> Tensor:
    """Return ranks in which numbers within a tolerance of each other are tied, float64, same shape, from 1.

    A rank is the mean place of all numbers within the tolerance of its own, so that ties do not chain: numbers that are
    dense on the scale of the tolerance keep their order.

    Args:
        values: The numbers, shape ``(P,)``.
        tolerance: Largest difference of a tie, at least 0.

    >>> tied_ranks(torch.tensor([3.0, 1.0, 1.0 + 1e-6, 2.0]), 1e-5).tolist()
    [4.0, 1.5, 1.5, 3.0]
    """
    rising = values.sort().values
    below = torch.searchsorted(rising, values - tolerance)
    upto = torch.searchsorted(rising, values + tolerance, right=True)
    return (below + upto + 1).double() / 2


def kept_apart(falling: Tensor, tolerance: float) -> list[int]:
    """Return how many of the leading numbers of a falling sequence can be kept without cutting a tie.

    Args:
        falling: The numbers, shape ``(K,)``.
        tolerance: Largest difference of neighbours in a tie.

    >>> kept_apart(torch.tensor([3.0, 2.0, 2.0, 1.0]), 1e-6)
    [1, 3, 4]
    """
    gaps = falling[:-1] - falling[1:]
    return [*((gaps > tolerance).nonzero().flatten() + 1).tolist(), len(falling)]


def check_cut(name: str, count: int, falling: Tensor, tolerance: float, what: str = "singular values") -> int:
    """Return a number of leading directions to keep, having checked that it cuts no tie.

    Directions of equal values are any basis of the space they span, so that a part of them is arbitrary.

    Args:
        name: Name of the number in errors.
        falling: The values, shape ``(K,)``.
        tolerance: Largest difference of neighbours in a tie.

    Raises:
        ValueError: It cuts a tie.

    >>> check_cut("components", 1, torch.tensor([3.0, 2.0, 2.0]), 1e-6)
    1
    """
    allowed = kept_apart(falling, tolerance)
    if count < len(falling) and count not in allowed:
        fewer, more = max((0, *(each for each in allowed if each < count))), min(e for e in allowed if e > count)
        instead = f"use {fewer} or {more}" if fewer else f"use {more}"
        raise ValueError(f"{name} must not cut between {what} that are equal to round-off, got {count}: {instead}")
    return count
