"""One seed, many independent streams of random numbers."""

from __future__ import annotations

import numpy as np
import torch

from tca.utils.checks import whole

__all__ = [
    "AUGMENT", "CONDITION", "DISTORT", "FRESH", "SHUFFLE", "STREAM", "TEST", "TRAIN", "VALIDATION", "generator"
]  # fmt: skip

# Purposes of random numbers, the second line for images; different purposes have independent streams.
TRAIN, TEST, STREAM, SHUFFLE = range(4)
VALIDATION, AUGMENT, FRESH, DISTORT, CONDITION = range(100, 105)


def generator(seed: int, *purpose: int) -> torch.Generator:
    """Return a new generator of a seed and a purpose.

    Nearby seeds and purposes give independent numbers, equal ones the same bits.

    Args:
        seed: The user's seed, 0 or greater.
        purpose: Further integers of 0 or greater, for example ``TRAIN`` or an epoch.

    >>> first, again, other = (torch.rand(3, generator=generator(0, purpose)) for purpose in (TRAIN, TRAIN, TEST))
    >>> bool((first == again).all()), bool((first == other).any())
    (True, False)
    """
    entropy = np.random.SeedSequence([whole("seed", seed, 0), *purpose]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(entropy[0] >> np.uint64(1)))
