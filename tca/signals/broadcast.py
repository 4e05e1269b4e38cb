"""Output errors broadcast to all cells alike, or to few cells.

Shapes: N cells, O outputs.

A broadcast with uniform weights vanishes after a softmax: the output error of cross-entropy is ``softmax(y) - onehot``,
and both parts sum to one, so that ``sum_k score_k = 0`` at every step. A scalar broadcast needs unequal weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tca.signals.feedback_weights import FeedbackWeights, Frozen
from tca.signals.signal import Buffers, InstantSignal
from tca.tape.population import Population
from tca.utils.checks import Positive, checked

__all__ = ["Broadcast", "Sparse"]


@checked
@dataclass(frozen=True)
class Broadcast(InstantSignal):
    """``G_j,t = a . score_t / sqrt(N)``: one number for all cells.

    The weights of the errors ``a`` (O) are drawn once from ``N(0, scale^2)``, or are all ``scale``. The feedback
    weights, one row repeated N times, are in the buffer ``feedback``.

    Args:
        scale: Size of the weights, default 1, positive.
        uniform: Whether all errors have the same weight, default ``False``; then the signal is zero for cross-entropy.

    Paper: Bellec et al. (2020), Nature Communications 11:3625 (the uniform one, in its code).

    >>> population = Population("", (4,), 2, torch.zeros(1))
    >>> Broadcast(uniform=True).buffers(population, torch.Generator())["feedback"][0].tolist()
    [0.5, 0.5]
    """

    scale: Positive = 1.0
    uniform: bool = False

    @property
    def equation(self) -> str:
        return f"G_j,t = a . score_t / sqrt(N), a {'uniform' if self.uniform else 'random'} and the same for all cells"

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw the weights of the errors and repeat them for every cell."""
        drawn = torch.randn(population.n_out, generator=generator, dtype=torch.float64, device="cpu")
        weights = torch.ones_like(drawn) if self.uniform else drawn
        return {
            "feedback": (weights * self.scale / math.sqrt(population.cells))
            .to(population.like)
            .repeat(population.cells, 1)
        }

    def rate_signal(self, error: Tensor, population: Population, buffers: Buffers) -> Tensor:
        """Return ``error F^T``."""
        return error @ buffers["feedback"].t()


@checked
@dataclass(frozen=True)
class Sparse(InstantSignal):
    """``G_t = F score_t`` with sparse feedback weights; other cells receive no learning signal.

    ``F`` is in the buffer ``feedback``, its constituents in ``kept``. If it follows the readout, it does so when
    ``Learner.follow_weights_`` is called, as ``Learner.backward`` does.

    Args:
        weights: Source of the feedback weights, default a tenth of the initial readout weights.

    Paper: the baseline of Barretto-Bittar et al. (2026), arXiv:2603.08949.
    """

    weights: FeedbackWeights = field(default_factory=Frozen)

    @property
    def equation(self) -> str:
        return f"G_t = F score_t, {self.weights.equation}"

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw the feedback weights that exist."""
        readout = self.weights.beside(population)
        kept = self.weights.draw(readout, generator)
        return {"kept": kept, "feedback": self.weights.now(readout, kept).clone()}

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:
        """Update feedback weights that follow the readout."""
        if self.weights.follows:
            buffers["feedback"].copy_(self.weights.now(population.readout, buffers["kept"]))

    def rate_signal(self, error: Tensor, population: Population, buffers: Buffers) -> Tensor:
        """Return ``error F^T``."""
        return error @ buffers["feedback"].t()
