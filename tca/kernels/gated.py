"""The compiled steps of gated cells on tensors, and the signals that return through them.

Shapes: L leading axes (steps, trials), B batch, N cells, S components, G drives.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tca.cells.cell import Cell
from tca.cells.gated_cells import GRU, LSTM
from tca.kernels.compiled import Library

__all__ = ["GATED", "GatedPasses"]

GATED: dict[type[Cell], int] = {GRU: 0, LSTM: 1}


@dataclass(frozen=True, eq=False)
class GatedPasses:
    """Steps of a gated cell and what returns through them, in one pass over the cells each.

    They equal the closed forms of the cell to round-off.

    Attributes:
        library: The compiled library.
        cell: Number of the cell, see `GATED`.
    """

    library: Library
    cell: int

    def advance_(self, drive: Tensor, before: Tensor, after: Tensor) -> None:
        """Write the next state, and gate values over the drives, as ``Cell.advance_`` does.

        Args:
            drive: Drives, shape ``(B, G, N)``, contiguous.
            before: State, shape ``(B, S, N)``, contiguous.
            after: Memory of the next state, same shape, contiguous.
        """
        trials, _, cells = drive.shape
        self.library.call("gated_advance", drive.dtype, self.cell, trials, cells, drive, before, after)

    def back_(
        self, gates: Tensor, before: Tensor, after: Tensor, signal: Tensor, driven: Tensor | None, kept: Tensor | None
    ) -> None:
        """Write ``gain^T signal``, and add ``leak^T signal`` to another signal.

        Args:
            gates: Gate values, shape ``(L, G, N)``, contiguous.
            before: States before the steps, shape ``(L, S, N)``, contiguous.
            after: States after them, same shape, contiguous.
            signal: State signal, as many numbers.
            driven: Memory of the drive signal, shape ``(L, G, N)``, contiguous; ``None`` for none.
            kept: The other signal, as many numbers as ``signal``; ``None`` for none.
        """
        cells = gates.shape[-1]
        rows = gates.numel() // (gates.shape[-2] * cells)
        total = kept if kept is None else kept.contiguous()
        self.library.call(
            "gated_back", gates.dtype, self.cell, rows, cells, gates, before, after, signal.contiguous(), driven, total
        )
        if kept is not None and total is not None and total is not kept:
            kept.copy_(total)

    def filter_leak_(self, gates: Tensor, before: Tensor, after: Tensor, signal: Tensor, driven: Tensor) -> None:
        """Filter ``nu_t = L_t + leak_{t+1}^T nu_{t+1}`` in place over consecutive steps, and write ``gain_t^T nu_t``.

        Args:
            gates: Gate values, shape ``(C, B, G, N)``, contiguous.
            before: States before the steps, shape ``(C, B, S, N)``, contiguous.
            after: States after them, same shape, contiguous.
            signal: State signal, as many numbers, contiguous.
            driven: Memory of the drive signal, shape ``(C, B, G, N)``, contiguous.
        """
        steps, trials, _, cells = gates.shape
        self.library.call(
            "gated_filter_leak", gates.dtype, self.cell, steps, trials, cells, gates, before, after, signal, driven
        )
