"""Output errors through separate feedback weights, random or following the readout.

Shapes: N cells, O outputs.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.ensemble import through
from tca.signals.signal import Buffers, InstantSignal
from tca.tape.population import Population
from tca.utils.checks import Kept, Positive, checked

__all__ = ["Adaptive", "Random"]


@checked
@dataclass(frozen=True)
class _Feedback(InstantSignal, abc.ABC):
    """``G_t = F score_t`` with feedback weights ``F`` (N, O) in the buffer ``feedback``."""

    scale: Positive = 1.0

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw the feedback weights."""
        draw = torch.randn(population.cells, population.n_out, generator=generator, dtype=torch.float64, device="cpu")
        return {"feedback": (draw * self.scale / math.sqrt(population.cells)).to(population.like)}

    def rate_signal(self, error: Tensor, population: Population, buffers: Buffers) -> Tensor:
        """Return ``error F^T``."""
        return through(error, buffers["feedback"].mT)


@checked
@dataclass(frozen=True)
class Random(_Feedback):
    """``G_t = F score_t`` with fixed random feedback weights ``F`` (N, O), drawn from ``N(0, scale^2 / N)``.

    They are in the buffer ``feedback``.

    Args:
        scale: Standard deviation of the feedback times ``sqrt(N)``, default 1, positive.

    Papers: Lillicrap et al. (2016), Nature Communications 7:13276; Murray (2019), eLife 8:e43299; Bellec et al. (2020),
    Nature Communications 11:3625.
    """

    equation: ClassVar[str] = "G_t = F score_t, F random and fixed"


@checked
@dataclass(frozen=True)
class Adaptive(_Feedback):
    """``G_t = F score_t``, ``F`` receiving every change of ``W_o^T``, after which both shrink by ``1 - decay``.

    The difference ``F - W_o^T`` then shrinks by ``1 - decay`` with every update, for every optimizer.

    Args:
        scale: Standard deviation of the initial feedback times ``sqrt(N)``, default 1, positive.
        decay: Weight decay of feedback and readout per update, default 1e-3, in [0, 1).

    Raises:
        ValueError: ``scale`` is not positive and finite, or ``decay`` is not in [0, 1).

    Papers: Kolen and Pollack (1994), Proc. IEEE Int. Conf. Neural Networks; Bellec et al. (2020), Nature Communications
    11:3625; Akrout et al. (2019), NeurIPS.
    """

    decay: Kept = 1e-3
    equation: ClassVar[str] = "G_t = F score_t, F follows W_o^T"

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        return {**super().buffers(population, generator), "readout_seen": population.readout.clone()}

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:
        """Add the readout's last change to the feedback and decay both."""
        readout = population.readout
        change = readout - buffers["readout_seen"]
        unchanged = change.new_ones(())
        kept = torch.where(change.any(), (1 - self.decay) * unchanged, unchanged)  # not read: a device would stall
        buffers["feedback"].add_(change.t()).mul_(kept)
        readout.mul_(kept)
        buffers["readout_seen"].copy_(readout)
