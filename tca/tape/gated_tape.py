"""The tape of gated cells whose steps were compiled, which lead signals back in one pass over the cells.

Shapes: C consecutive steps, B batch, N cells, S components, G drives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tca.kernels.gated import GatedPasses
from tca.tape.block_tape import BlockTape
from tca.tape.last_result import LastResult

__all__ = ["GatedTape"]


@dataclass(frozen=True, eq=False, kw_only=True)
class GatedTape(BlockTape):
    """One forward pass of a population of gated cells; see `BlockTape` for the other attributes.

    The filters compute the drive signal on their way, and ``drive`` returns it for the filtered signal.

    Attributes:
        passes: The compiled passes of the cell that made the states.
    """

    passes: GatedPasses

    def drive(self, signal: Tensor, steps: slice) -> Tensor:
        driven = self._driven_by_filter.of(signal, steps)
        return super().drive(signal, steps) if driven is None else driven.flatten(-2)

    def filter_leak_(self, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        if steps.start == 0 or not signal.is_contiguous():
            return super().filter_leak_(signal, steps, later)
        if later is not None:
            self.leak_(steps.stop, signal[-1], later)
        gates = self.driven_by[steps]
        driven = torch.empty_like(gates)
        self.passes.filter_leak_(gates, self.state[_before(steps)], self.state[steps], signal, driven)
        self._driven_by_filter.keep(driven, signal, steps)
        return signal[0].clone()

    def filter_jacobian_(self, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        if steps.start == 0 or not signal.is_contiguous():
            return super().filter_jacobian_(signal, steps, later)
        entries = signal.unbind(0)
        if later is not None:
            self.return_(steps.stop, entries[-1], later)
        driven = torch.empty_like(self.driven_by[steps])
        apart, reached = driven.unbind(0), slice(self.reached[0], self.reached[-1] + 1)  # neighbours
        for t in range(steps.stop - 1, steps.start - 1, -1):
            at = t - steps.start
            into = entries[at - 1] if at else None
            self.passes.back_(self.driven_by[t], self.state[t - 1], self.state[t], entries[at], apart[at], into)
            if into is not None:
                self._emit_back_(slice(t - 1, t), into, apart[at][..., reached, :].flatten(-2) @ self.synapses)
        self._driven_by_filter.keep(driven, signal, steps)
        return signal[0].clone()

    def _driven(self, steps: slice | int, signal: Tensor, places: Sequence[int], into: Tensor | None = None) -> Tensor:
        gates = self.driven_by[steps]
        driven = torch.empty_like(gates) if places else None
        self.passes.back_(gates, self.state[_before(steps)], self.state[steps], signal, driven, into)
        return signal[..., :0] if driven is None else driven[..., places[0] : places[-1] + 1, :]  # neighbours

    @cached_property
    def _driven_by_filter(self) -> LastResult:
        return LastResult()


def _before(steps: slice | int) -> slice | int:
    """Return the steps before some."""
    return slice(steps.start - 1, steps.stop - 1) if isinstance(steps, slice) else steps - 1
