"""Errors of a local readout with fixed random weights in every population: DECOLLE.

Shapes: N cells, O outputs, C consecutive steps, B batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.batch import Batch
from tca.eligibilities.eligibility import Eligibility
from tca.signals.signal import Buffers, StateFunction, StateSignal, WindowFunction
from tca.tape.local_step import LocalStep
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import Positive, checked

__all__ = ["LocalReadout"]


@checked
@dataclass(frozen=True)
class LocalReadout(StateSignal):
    """``G_t = R^T dloss/dy_t`` at the local outputs ``y_t = R z_t`` of the population, ``R`` random and fixed.

    Every population has its own readout and the loss of the batch, with the batch's targets and weights; no error
    passes between populations. The readout of the network learns from its own error. Local readouts ``R`` (O, N) are
    drawn from ``N(0, scale^2 / N)`` and are in the buffer ``local_readout``.

    Args:
        scale: Standard deviation of the local readouts times ``sqrt(N)``, default 1, positive.

    Paper: Kaiser, Mostafa and Neftci (2020), Synaptic plasticity dynamics for deep continuous local learning (DECOLLE),
    Frontiers in Neuroscience 14:424.
    """

    scale: Positive = 1.0
    local: ClassVar[bool] = True
    horizon: ClassVar[int] = 0
    equation: ClassVar[str] = "G_t = R^T dloss/dy_t, y_t = R z_t, R random and fixed"

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw the local readout."""
        shape = population.n_out, population.cells
        draw = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
        return {"local_readout": (draw * self.scale / math.sqrt(population.cells)).to(population.like)}

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to ``slope_t * G_t``, zero for an initial state."""
        readout, batch = buffers["local_readout"], tape.trials_shown

        def read(steps: slice) -> Tensor:
            rates = tape.rate[steps]
            if steps.start == 0:
                return tape.lift(torch.zeros_like(rates), steps)
            shown = slice(steps.start - 1, steps.stop - 1)
            return tape.lift(_local_error(readout, rates, batch, shown) @ readout, steps)

        return read

    def state_signal(self, population: Population, buffers: Buffers, readout_leak: float) -> StateFunction:
        readout = buffers["local_readout"]

        def read(step: LocalStep, rate: Tensor, error: Tensor, batch: Batch) -> Tensor:
            local = _local_error(readout, rate.unsqueeze(0), batch, slice(0, 1))
            return step.lifted(local[0] @ readout)

        return read


def _local_error(readout: Tensor, rates: Tensor, batch: Batch, shown: slice) -> Tensor:
    """Return the error of the local outputs of some steps, shape ``(C, B, O)``."""
    error = batch.loss.output_error(rates @ readout.t(), batch.targets[shown])
    return error.mul_(batch.weights[shown].unsqueeze(-1) / batch.trials)
