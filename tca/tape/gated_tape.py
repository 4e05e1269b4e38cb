"""The tape of gated cells whose steps were compiled, which lead signals back in one pass over the cells.

Shapes: C consecutive steps, B batch, N cells, S components, G drives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.kernels.gated import GatedPasses
from tca.tape.block_tape import BlockTape

__all__ = ["GatedTape"]


@dataclass(frozen=True, eq=False, kw_only=True)
class GatedTape(BlockTape):
    """One forward pass of a population of gated cells; see `BlockTape` for the other attributes.

    Attributes:
        passes: The compiled passes of the cell that made the states.
    """

    passes: GatedPasses

    def _driven(self, steps: slice | int, signal: Tensor, places: Sequence[int], into: Tensor | None = None) -> Tensor:
        gates = self.driven_by[steps]
        before = slice(steps.start - 1, steps.stop - 1) if isinstance(steps, slice) else steps - 1
        driven = torch.empty_like(gates) if places else None
        self.passes.back_(gates, self.state[before], self.state[steps], signal, driven, into)
        return signal[..., :0] if driven is None else driven[..., places[0] : places[-1] + 1, :]  # neighbours
