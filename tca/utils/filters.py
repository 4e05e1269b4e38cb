"""Filters along time.

Shapes: T time.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["filtered"]


def filtered(delivered: Tensor, leak: float) -> Tensor:
    """Return ``ybar_t = leak ybar_{t-1} + (1 - leak) y_t``.

    A linear readout may filter its inputs or its outputs.

    Args:
        delivered: Values of every step, shape ``(T, ...)``.
        leak: Leak per step, 0 for no filter.

    >>> filtered(torch.ones(3, 1, 1), 0.5).flatten().tolist()
    [0.5, 0.75, 0.875]
    """
    if not leak:
        return delivered
    value, values = torch.zeros_like(delivered[0]), []
    for each in delivered.unbind(0):
        value = leak * value + (1 - leak) * each
        values.append(value)
    return torch.stack(values)
