"""Output errors through the transposed forward weights, within one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.signals.signal import Buffers, CausalSignal, OnlineFunction, WindowFunction
from tca.tape.population import Population
from tca.tape.tape import Tape

__all__ = ["Direct"]


@dataclass(frozen=True)
class Direct(CausalSignal):
    """``G_t = W_o^T score_t``: symmetric feedback, the direct derivative of the loss by the rates of step t.

    In a lower population ``G_t = W^T (gain_t * L_t)`` with W the weights to the next population and L the learning
    signal there: the error is backpropagated through all populations within the step.

    Papers: Bellec et al. (2020), Nature Communications 11:3625 (symmetric feedback); Rumelhart, Hinton and Williams
    (1986), Nature 323:533 (through populations).
    """

    equation: ClassVar[str] = "G_t = W_o^T score_t"

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to ``slope_t * G_t``, also backpropagated to lower populations."""

        def read(steps: slice) -> Tensor:
            signal = tape.lift(tape.errors(steps), steps)
            tape.send_back(signal)
            return signal

        return read

    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return ``W_o^T score_t``."""
        return lambda error: error @ population.readout
