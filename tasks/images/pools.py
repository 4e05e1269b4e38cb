"""Random subsets of images by size and seed.

Shapes: N images of a pool.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tca.utils.checks import whole

__all__ = ["chosen", "order"]


def order(labels_N: Tensor, balanced: bool, source: torch.Generator) -> Tensor:
    """Return a random order of a pool, any beginning of which is a random subset, shape ``(N,)``.

    Args:
        balanced: Whether classes take turns: in any beginning, up to where a class runs out, the numbers of images
            of two classes differ by one at most.

    >>> labels_N = torch.tensor([0, 0, 0, 0, 1, 1])
    >>> labels_N[order(labels_N, True, torch.Generator().manual_seed(0))][:4].sort().values.tolist()
    [0, 0, 1, 1]
    """
    order_N = torch.randperm(len(labels_N), generator=source, device="cpu")
    if not balanced:
        return order_N
    by_class_N = torch.argsort(labels_N[order_N], stable=True)
    counts = torch.bincount(labels_N)
    turn_N = torch.empty_like(order_N)
    turn_N[by_class_N] = torch.arange(len(order_N), device="cpu") - (counts.cumsum(0) - counts).repeat_interleave(
        counts
    )
    return order_N[torch.argsort(turn_N, stable=True)]


def chosen(
    argument: str, count: int, labels_N: Tensor, *, balanced: bool, repeat: bool, source: torch.Generator
) -> Tensor:
    """Return the numbers of the images that make up a set, in random order.

    Args:
        argument: Name of the argument, for the message.
        count: How many, at least 1.
        labels_N: Classes of the images of the pool.
        balanced: Whether every class of the pool must come as often, give or take one.
        repeat: Whether images are drawn with replacement, so that there may be more than in the pool.

    Raises:
        ValueError: The pool does not have that many, or a class has too few of them.
    """
    whole(argument, count, 1)
    if repeat:
        return torch.randint(len(labels_N), (count,), generator=source, device="cpu")
    if count > len(labels_N):
        raise ValueError(f"{argument} must be at most {len(labels_N)}, the images in its pool, got {count}")
    first, pool = order(labels_N, balanced, source)[:count], torch.bincount(labels_N)
    counts = torch.bincount(labels_N[first], minlength=len(pool))[pool > 0]
    if balanced and counts.max() - counts.min() > 1:
        least = int(pool[pool > 0].min())
        raise ValueError(
            f"{argument} must be at most {least * len(counts) + int((pool > least).sum())} for balanced classes, "
            f"as the rarest of {len(counts)} has {least} images, got {count}"
        )
    return first
