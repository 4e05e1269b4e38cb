"""A spiking population of a stack, described."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from tca.cells.surrogate_gradients import PSEUDO_DERIVATIVES, PseudoDerivative
from tca.nets.options import LEAKS
from tca.nets.spiking.spiking_population import SpikingPopulation
from tca.utils.checks import Fraction, Mask, Named, NotNegative, Positive, Size, checked

__all__ = ["SpikingLayer"]


@checked
@dataclass(frozen=True, eq=False)
class SpikingLayer:
    """A spiking population of a `StackedRNN`, described; see `tca.nets.SpikingRNN` for what the options mean.

    Args:
        size: Number of cells.
        tau: Time constant of the potential in ms, default 20: a number, or one for each cell.
        tau_adaptation: Time constant of the adaptation in ms, default 2000: a number, or one for each cell.
        threshold: The threshold at rest, default 0.03.
        beta: How much adaptation raises the threshold, default 1.8: a number, or one for each cell.
        adaptive: Fraction of the cells that adapt, the last of them, default 0.5.
        refractory: How long a cell is silent after a spike in ms, default 5.
        pseudo: Pseudo-derivative, default ``"triangular"``.
        leak: ``"exponential"`` (default) or ``"euler"``.
        scaled_drive: Whether the drive enters with one minus the leak, default ``True``.
        scaled_adaptation: Whether a spike enters the adaptation with one minus its leak, default ``True``.
        reset_in_trace: Whether traces keep the reset, default ``False``.
        noise: Standard deviation of private noise, default 0.
        learn_initial: Refused: cells begin at rest.
        bias: Whether cells have biases, default ``False``.
        autapses: Whether cells may have synapses onto themselves, default ``False``.
        mask_in: Which synapses from below exist; ``None`` (default) for all.
        mask_rec: Which recurrent synapses exist; ``None`` (default) for all.
        types: Type of every cell, or fractions; ``None`` (default) for one type.
        dale: Sign of the recurrent synapses of each type; ``None`` (default) for both.
        gain_in: Factor of the weights from below, default 1.
        gain_rec: Factor of the recurrent weights, default 1.
    """

    size: Size
    tau: float | Sequence[float] | Tensor = 20.0
    tau_adaptation: float | Sequence[float] | Tensor = 2000.0
    threshold: Positive = 0.03
    beta: float | Sequence[float] | Tensor = 1.8
    adaptive: Fraction = 0.5
    refractory: NotNegative = 5.0
    pseudo: Annotated[str, Named(PSEUDO_DERIVATIVES)] | PseudoDerivative = "triangular"
    leak: Annotated[str, Named(LEAKS)] = "exponential"
    scaled_drive: bool = True
    scaled_adaptation: bool = True
    reset_in_trace: bool = False
    noise: NotNegative = 0.0
    learn_initial: bool = False
    bias: bool = False
    autapses: bool = False
    mask_in: Mask | None = None
    mask_rec: Mask | None = None
    types: Sequence[float] | Tensor | None = None
    dale: Sequence[int] | None = None
    gain_in: NotNegative = 1.0
    gain_rec: NotNegative = 1.0

    def make(self, n_pre: int, dt: float, generator: torch.Generator) -> SpikingPopulation:
        """Return the population.

        Args:
            n_pre: Number of inputs, or of cells below.
            dt: Duration of a step in ms.
            generator: Source of the weights.

        Raises:
            ValueError: A value is not allowed.
        """
        options = {name: value for name, value in vars(self).items() if name != "size"}
        return SpikingPopulation(n_pre, self.size, generator=generator, dt=dt, **options)
