"""Choosing images: parts that do not overlap, and subsets of them by size and seed.

Shapes: N images of a pool.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.utils.checks import whole

__all__ = ["chosen", "held_out", "order"]


def order(labels_N: Tensor, balanced: bool, source: torch.Generator) -> Tensor:
    """Return a random order of the images of a pool, any beginning of which is a random subset, shape ``(N,)``.

    Args:
        labels_N: Their classes.
        balanced: Whether classes take turns, so that in any beginning, up to where a class runs out, the numbers of
            images of two classes differ by one at most.
        source: Where the randomness comes from.

    >>> labels_N = torch.tensor([0, 0, 0, 0, 1, 1])
    >>> labels_N[order(labels_N, True, torch.Generator().manual_seed(0))][:4].sort().values.tolist()
    [0, 0, 1, 1]
    """
    order_N = torch.randperm(len(labels_N), generator=source, device="cpu")
    if not balanced:
        return order_N
    by_class_N = torch.argsort(labels_N[order_N], stable=True)
    counts = torch.bincount(labels_N)
    starts = counts.cumsum(0) - counts
    turn_N = torch.empty_like(order_N)
    turn_N[by_class_N] = torch.arange(len(order_N), device="cpu") - starts.repeat_interleave(counts)
    return order_N[torch.argsort(turn_N, stable=True)]


def chosen(
    argument: str, count: int, labels_N: Tensor, *, balanced: bool, repeat: bool, source: torch.Generator
) -> Tensor:
    """Return which images of a pool make up a set, in random order.

    Args:
        argument: Name of the argument, for the message.
        count: How many, at least 1.
        labels_N: Classes of the images of the pool.
        balanced: Whether every class that the pool has must come as often, give or take one.
        repeat: Whether images are drawn with replacement, so that there may be more than the pool has.
        source: Where the randomness comes from.

    Raises:
        ValueError: The pool does not have that many, or a class has too few of them.
        TypeError: ``count`` is no integer.
    """
    whole(argument, count, 1)
    if repeat:
        return torch.randint(len(labels_N), (count,), generator=source, device="cpu")
    if count > len(labels_N):
        raise ValueError(f"{argument} must be at most {len(labels_N)}, the images in its pool, got {count}")
    first = order(labels_N, balanced, source)[:count]
    if balanced:
        present = torch.bincount(labels_N) > 0
        counts = torch.bincount(labels_N[first], minlength=len(present))[present]
        if counts.max() - counts.min() > 1:
            least = int(torch.bincount(labels_N)[present].min())
            raise ValueError(
                f"{argument} must be at most {least * len(counts) + int((torch.bincount(labels_N) > least).sum())} "
                f"for balanced classes, as the rarest of {len(counts)} has {least} images, got {count}"
            )
    return first


def held_out(labels_N: Tensor, count: int, balanced: bool, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the images that are kept and those that are held out, each in ascending order; none is in both.

    Args:
        labels_N: Classes of the images.
        count: How many to hold out, fewer than there are.
        balanced: Whether classes take turns.
        source: Where the randomness comes from.
    """
    order_N = order(labels_N, balanced, source)
    return order_N[count:].sort().values, order_N[:count].sort().values
