"""Matrix products with spikes, which add up the rows of the few active cells.

Shapes: M steps and trials, J presynaptic cells, I columns.

``sum_j pre_mj table_jI`` is a sum of few rows of a table if few of the ``pre_mj`` are not zero. On a CPU it takes a
fraction of the full product's time if the product is large and the share of active cells small; otherwise the caller
computes the full product.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["few_times", "gather_few_"]

_Places = NDArray[np.int64]

WORTH = 2**20  # multiplications of the full product above which sparse products are faster
FEW = 1 / 8  # share of active cells below which sparse products are faster


def few_times(pre: Tensor, table: Tensor, spikes: bool = False) -> Tensor | None:
    """Return ``pre table``, shape ``(M, I)``, or ``None`` if the full product is no slower.

    Args:
        pre: Presynaptic activity, shape ``(M, J)``.
        table: Row of every presynaptic cell, shape ``(J, I)``.
        spikes: Whether activity consists of zeros and ones, default ``False``.

    >>> pre, table = torch.zeros(64, 128), torch.ones(128, 128)
    >>> pre[3, 5] = 2.0
    >>> few_times(pre, table).sum().item(), few_times(pre + 1, table)
    (256.0, None)
    """
    places = _active(pre, table.shape[1])
    if places is None:
        return None
    cells = pre.shape[1]
    factors = None if spikes else pre.numpy().take(places)
    return _rows_added(table, places % cells, places.searchsorted(_steps(len(pre), cells)), factors)


def gather_few_(gradient: Tensor, signal: Tensor, pre: Tensor) -> bool:
    """Add ``signal^T pre`` to a gradient in place if sparse products are faster.

    Returns false, without a change, if the full product is no slower.

    Args:
        gradient: Accumulated gradient, shape ``(I, J)``.
        signal: Signal to the postsynaptic cells, shape ``(M, I)``.
        pre: Presynaptic activity, shape ``(M, J)``.
    """
    places = _active(pre, signal.shape[1])
    if places is None:
        return False
    cells = pre.shape[1]
    rows, columns = np.divmod(places, cells)
    columns = columns.astype(np.int16 if cells < 2**15 else np.int64)  # sixteen bits are sorted by radix
    order = np.argsort(columns, kind="stable")
    edges = columns[order].searchsorted(_steps(cells, 1))
    gradient.add_(_rows_added(signal, rows[order], edges, pre.numpy().take(places[order])).t())
    return True


def _active(pre: Tensor, width: int) -> _Places | None:
    """Return the flat indices of nonzero entries; ``None`` if the full product is no slower."""
    if pre.device.type != "cpu" or pre.numel() * width < WORTH or pre.dtype not in (torch.float32, torch.float64):
        return None
    found = (pre.numpy() != 0).reshape(-1)
    return found.nonzero()[0] if np.count_nonzero(found) <= FEW * len(found) else None


@lru_cache(maxsize=64)
def _steps(count: int, size: int) -> _Places:
    """Return the offsets of rows of a size, and the end of the last."""
    return np.arange(count + 1) * size


def _rows_added(table: Tensor, rows: _Places, edges: _Places, factors: NDArray[Any] | None) -> Tensor:
    """Return sums of rows of a table, times optional factors, one sum from each edge to the next."""
    weights = None if factors is None else torch.from_numpy(factors)
    chosen, ends = torch.from_numpy(rows), torch.from_numpy(edges)
    summed: Tensor = torch.embedding_bag(table, chosen, ends, False, 0, False, weights, True)[0]
    return summed
