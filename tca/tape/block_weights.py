"""Weights into cells with several drives: which rows reach which drives, and autapses of a cell.

Shapes: N cells, R drives that recurrent synapses reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tca.utils.host_values import constant

__all__ = ["runs", "with_autapses"]


def with_autapses(recurrent: Tensor, autapse: float | Tensor | None) -> Tensor:
    """Return the recurrent weights of a cell with one drive plus the autapses that belong to the cell.

    Args:
        recurrent: Recurrent weights, shape ``(N, N)``; of any shape without autapses.
        autapse: Weight of each autapse, a number or ``(N,)``; ``None`` for none.
    """
    if autapse is None:
        return recurrent
    return recurrent + torch.diag(constant(autapse, recurrent).expand(len(recurrent)))


def runs(drives: Sequence[int], cells: int) -> Iterator[tuple[slice, slice]]:
    """Yield rows of a weight and the drives that they reach, neighbours together.

    Args:
        drives: The drives in the order of the rows.
        cells: Number of cells N, the rows of each drive.

    >>> [(rows, places) for rows, places in runs((1, 2, 0), 10)]
    [(slice(0, 20, None), slice(10, 30, None)), (slice(20, 30, None), slice(0, 10, None))]
    """
    start = 0
    for index in range(1, len(drives) + 1):
        if index == len(drives) or drives[index] != drives[index - 1] + 1:
            yield slice(start * cells, index * cells), slice(drives[start] * cells, (drives[index - 1] + 1) * cells)
            start = index
