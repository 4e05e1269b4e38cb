"""Feedback weights that learn the forward weights from noise: weight mirrors.

Shapes: M samples of noise, I postsynaptic cells, J presynaptic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Dense
from tca.eligibilities.draws import DRAWS, fresh, move_on_
from tca.signals.backward import BackwardWeights
from tca.signals.signal import Buffers
from tca.tape.population import Population
from tca.utils.checks import Count, Kept, Positive, checked
from tca.utils.noise import NoiseDistribution, Normal, source

__all__ = ["WeightMirror"]


@checked
@dataclass(frozen=True)
class WeightMirror(BackwardWeights):
    """``G_p = B_p^T (gain * L_{p+1})``, ``B_p`` learned from noise that passes the forward weights ``W_p``.

    Before every batch, online before every step, each population is driven by noise ``x`` of M samples, which the
    connection onwards turns into ``y = W_p x``: ``B_p <- (1 - decay) B_p + rate mean_m y_m x_m^T``. Noise of variance
    one has the mean ``W_p``, so that fixed forward weights are learned up to scale, ``B_p -> (rate / decay) W_p``,
    without weight transport.

    Feedback weights are in the buffer ``backward``, the seed of the noise in ``draws``.

    Args:
        scale: Size of the initial feedback weights in units of the root mean square of the forward weights, default 1.
        rate: Learning rate of the feedback weights, default 0.01, positive.
        decay: Decay of the feedback weights, default 0.01, in [0, 1); 0 lets them grow.
        samples: Samples of noise M before every batch, default 32, at least 1.
        noise: Distribution of the noise, default normal. Its variance should be one: it scales the result.

    Raises:
        ValueError: The connection onwards is not all-to-all.

    Paper: Akrout, Wilson, Humphreys, Lillicrap and Tweed (2019), Deep learning without weight transport, NeurIPS,
    arXiv:1904.05391.
    """

    rate: Positive = 0.01
    decay: Kept = 0.01
    samples: Count = 32
    noise: NoiseDistribution = field(default_factory=Normal)
    capturable: ClassVar[bool] = False  # noise is drawn on the host
    equation: ClassVar[str] = "G_p = B_p^T (gain L)_{p+1}, B_p learned from noise through W_p"

    def backward(self, weight: Tensor, drawn: Tensor) -> Tensor:
        return drawn

    def check(self, population: Population) -> None:
        if type(population.onwards) is not Dense:
            raise ValueError(
                f"WeightMirror needs all-to-all weights (Dense) from {population.title} onwards, got "
                f"{type(population.onwards).__name__}: weights that are shared learn one another's noise"
            )

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        return super().buffers(population, generator) | fresh(generator)

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:
        onwards, backward = population.onwards, buffers["backward"]
        assert onwards is not None
        move_on_(buffers)
        x = self.noise.draw((self.samples, onwards.n_pre), source(buffers[DRAWS])).to(backward)
        learned = onwards.drive(x).t() @ x
        backward.mul_(1 - self.decay).add_(onwards.masked(learned), alpha=self.rate / self.samples)
