"""Numbers from outside as tensors, the same under every default of torch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["tensor_of"]


def tensor_of(values: object) -> Tensor:
    """Return a tensor as it is, and other numbers as NumPy reads them.

    Real numbers become float64, integers int64, on the CPU: torch's default type and device have no say.

    Args:
        values: A tensor, an array, a number, or nested sequences of numbers.

    Raises:
        TypeError: It holds something else than numbers.
        ValueError: Nested sequences are of unequal length.

    >>> tensor_of([0.8, 0.2]).dtype, tensor_of([1, 2]).dtype
    (torch.float64, torch.int64)
    """
    return values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
