"""Eligibility traces filtered by a leaky readout, for online runs.

Shapes: B batch, I postsynaptic cells, J presynaptic.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tca.eligibilities.traces import Trace, contract, over
from tca.tape.local_step import LocalStep

__all__ = ["LeakyFilters", "ReadoutFilteredTrace"]


class LeakyFilters:
    """``y_t = k y_{t-1} + (1 - k) x_t`` for filters in series, all zero at the start; none returns ``x_t``.

    >>> filters = LeakyFilters((0.5, 0.5))
    >>> [filters.advance(torch.ones(1)).item() for _ in range(2)]
    [0.25, 0.5]
    """

    def __init__(self, leaks: Sequence[float]) -> None:
        """Start at zero."""
        self.leaks, self.values = tuple(leaks), list[Tensor]()

    def advance(self, value: Tensor) -> Tensor:
        """Return the value after all filters, which is overwritten by the next step."""
        self.values = self.values or [torch.zeros_like(value) for _ in self.leaks]
        for leak, kept in zip(self.leaks, self.values, strict=True):
            value = kept.mul_(leak).add_(value, alpha=1 - leak)
        return value


class ReadoutFilteredTrace:
    """``ebar_t = k ebar_{t-1} + (1 - k) slope_t e_t``: the trace filtered by a leaky readout, or by filters in series.

    It pairs with rate signals: surrogate gradient and components are contracted.
    """

    def __init__(self, trace: Trace, step: LocalStep, *leaks: float) -> None:
        """Start the filters at zero.

        Args:
            leaks: Leak of each filter per step, in [0, 1).
        """
        self.trace, self.filter = trace, LeakyFilters(leaks)
        self.cells, self.several = step.cells, step.slope.ndim == 4
        self.value = torch.zeros_like(self._emitted(step))

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Advance the trace and its filters by one step."""
        self.trace.advance(step, pre)
        self.value = self.filter.advance(self._emitted(step))

    def _emitted(self, step: LocalStep) -> Tensor:
        """Return ``slope_t e_t``, with an axis of rates if cells emit several."""
        dense, slope = self.trace.dense(), step.slope
        paired = step.components > 1
        local = dense.ndim == 3 + paired
        slope = over(slope, dense.shape[-2]).unsqueeze(-1) if local else slope[..., None, None]
        if self.several:
            return (slope * (dense if paired else dense.unsqueeze(1)).unsqueeze(2)).sum(1)
        return (slope * dense).sum(1) if paired else slope * dense

    def gradient(self, signal: Tensor) -> Tensor:
        """Return ``sum_b G_b ebar_b``, shape ``(I, J)``, for rate signals ``(B, I)``."""
        return contract(torch.unflatten(signal, -1, (-1, self.cells)) if self.several else signal, self.value)
