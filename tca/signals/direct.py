"""The error through the readout's own weights."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tca.signals.base import Buffers, InstantSignal

__all__ = ["Direct"]


@dataclass(frozen=True)
class Direct(InstantSignal):
    """``G_t = W_o^T score_t``: the direct derivative of the loss by the rates of step t.

    Paper: Bellec et al. (2020), Nature Communications 11:3625 (symmetric feedback).
    """

    @property
    def equation(self) -> str:
        """The signal in one line."""
        return "G_t = W_o^T score_t"

    def rate_signal(self, score: Tensor, readout: Tensor, buffers: Buffers) -> Tensor:
        """Return ``score W_o``."""
        return score @ readout
