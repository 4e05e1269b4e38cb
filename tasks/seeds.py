"""One seed, many independent streams of random numbers."""

from __future__ import annotations

import numpy as np
import torch

from tca.utils.checks import whole

__all__ = [
    "AUGMENT", "CONDITION", "DISTORT", "FRESH", "SHUFFLE", "STREAM", "TEST", "TRAIN", "VALIDATION", "generator"
]  # fmt: skip

# Purposes of random numbers, the second line of images; draws of different purposes never share a stream.
TRAIN, TEST, STREAM, SHUFFLE = range(4)
VALIDATION, AUGMENT, FRESH, DISTORT, CONDITION = range(100, 105)


def generator(seed: int, *purpose: int) -> torch.Generator:
    """Return a new generator whose numbers depend on the seed and on what they are for.

    Nearby seeds and purposes give unrelated numbers, and the same ones always give the same bits.

    Args:
        seed: The user's seed, 0 or greater.
        purpose: Further integers of 0 or greater, for example ``TRAIN`` or an epoch.

    Raises:
        TypeError: The seed is no integer.
        ValueError: The seed is negative.

    >>> first, again, other = (torch.rand(3, generator=generator(0, purpose)) for purpose in (TRAIN, TRAIN, TEST))
    >>> bool((first == again).all()), bool((first == other).any())
    (True, False)
    """
    entropy = np.random.SeedSequence([whole("seed", seed, 0), *purpose]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(entropy[0] >> np.uint64(1)))
