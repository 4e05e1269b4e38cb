"""Direct feedback alignment with one random matrix shared by all populations.

Shapes: N cells, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tca.signals.signal import Buffers, InstantSignal
from tca.tape.population import Population
from tca.utils.checks import Positive, checked

__all__ = ["SharedRandom"]


@checked
@dataclass(frozen=True)
class SharedRandom(InstantSignal):
    """``G_t = F score_t``, ``F`` the first N rows of one uniform random matrix.

    The numbers lie between minus and plus ``scale``, or between zero and ``scale``, without normalisation. Cell j of
    every population receives the same signal. The rows are in the buffer ``feedback`` of each population; the matrix
    depends on the learner's seed alone.

    Args:
        scale: Size of the numbers, default 1, positive.
        nonnegative: Whether no number is negative, default ``False``.

    Papers: Nokland (2016), NeurIPS, arXiv:1609.01596 (direct feedback alignment); Clark, Abbott and Chung (2021),
    NeurIPS, arXiv:2106.04089 (this matrix, as their baseline).
    """

    scale: Positive = 1.0
    nonnegative: bool = False

    @property
    def equation(self) -> str:
        least = "0" if self.nonnegative else f"-{self.scale:g}"
        return f"G_t = F score_t, F the first N rows of one matrix, uniform in [{least}, {self.scale:g}]"

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw the population's rows from the shared generator."""
        own = torch.Generator().manual_seed(generator.initial_seed())
        drawn = torch.rand(population.cells, population.n_out, generator=own, dtype=torch.float64, device="cpu")
        return {"feedback": ((drawn if self.nonnegative else 2 * drawn - 1) * self.scale).to(population.like)}

    def rate_signal(self, error: Tensor, population: Population, buffers: Buffers) -> Tensor:
        """Return ``error F^T``."""
        return error @ buffers["feedback"].t()
