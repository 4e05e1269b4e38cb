"""Online MDGL: filtered surrogate gradients for filtered readouts.

Shapes: T time, B batch, N cells, C consecutive steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import over
from tca.signals.direct import Direct
from tca.signals.signal import Buffers, DelayedSignal, DelayFunction, OnlineFunction, WindowFunction
from tca.tape.local_step import LocalStep
from tca.tape.population import Population, needs_rates, needs_synapses
from tca.tape.tape import Tape
from tca.tape.weight_estimates import SynapseMean, WeightEstimate
from tca.utils.checks import checked

__all__ = ["CausalHop"]


@checked
@dataclass(frozen=True)
class CausalHop(DelayedSignal):
    """``sum_t (gain W~)^T (psibar_t W_o^T err_t) ebar_{t-1}`` on top of the direct signal: On-MDGL.

    With a filtered readout the exact signal of a postsynaptic cell depends on later errors. Here the postsynaptic cell
    sends its present error times its filtered slope, ``psibar_t = k_o psibar_{t-1} + (1 - k_o) psi_t``, which
    multiplies the filtered trace of the presynaptic cell, ``ebar_t = k_o ebar_{t-1} + (1 - k_o) e_t``. A product of
    filters replaces the filter of a product, so that no later error is needed.

    The same sum with the plain trace, as every signal is written here, is ``L_t = l_t + slope_t h_t`` with ``h_t =
    (1 - k_o) c_{t+1} + k_o h_{t+1}`` and ``c_t = (gain W~)^T (psibar_t W_o^T err_t)``. Without a filter it is ``Hops(1,
    weights, receiver_leak=False)``.

    Args:
        weights: Estimate of the recurrent weights, default the mean over the synapses of each pair of types.

    Paper: Liu et al. (2021), PNAS 118:e2111821118 (its online approximation).
    """

    weights: WeightEstimate = field(default_factory=SynapseMean)
    local: ClassVar[bool] = False
    horizon: ClassVar[int] = 1

    @property
    def equation(self) -> str:
        return (
            f"L_t = l_t + slope_t filter of (gain W~)^T (psibar W_o^T err)_{{t+1}}, W~ = {type(self.weights).__name__}"
        )

    def check(self, population: Population) -> None:
        """Refuse a population without readout or recurrent synapses."""
        needs_synapses(type(self).__name__, population)
        if not population.alone:
            raise ValueError(f"CausalHop reports the errors of a readout, and {population.title} is one of several")
        _ = population.readout

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to the signal, its recurrent part computed beforehand."""
        direct = Direct().windowed_signal(tape, {}, eligibility)
        reported = self._reported(tape)

        def read(steps: slice) -> Tensor:
            return direct(steps).add_(tape.lift(reported[steps].clone(), steps))

        return read

    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        return Direct().online_signal(population, buffers)

    def delayed_signal(self, population: Population, readout_leak: float) -> DelayFunction:
        """Return the signal through recurrent synapses, for the previous step's traces.

        Raises:
            ValueError: The cells spike.
        """
        if not population.general:
            needs_rates("CausalHop on a stream", population)
        slope: Tensor | None = None

        def report(step: LocalStep, error: Tensor) -> Tensor:
            nonlocal slope
            now = step.response() * (1 - readout_leak)
            slope = now if slope is None else readout_leak * slope + now
            return over(error @ population.readout, slope.shape[-1]) * slope @ self.weights.of(step.recurrence)

        return report

    def _reported(self, tape: Tape) -> Tensor:
        """Return ``h`` of all steps, shape ``(T + 1, B, N)``."""
        keep = tape.readout.leak
        slope = torch.zeros_like(tape.derivative(1))
        result = over(tape.output_error @ tape.population.readout, slope.shape[-1])
        for t in range(1, tape.steps + 1):
            slope = keep * slope + (1 - keep) * tape.derivative(t)
            result[t] *= slope
        known = tape.with_recurrent(self.weights.of(tape.recurrence))
        result = (result @ known.transmission).mul_(1 - keep)
        result = torch.cat([result[1:], torch.zeros_like(result[:1])])
        for t in range(tape.steps - 2, -1, -1):
            result[t] += keep * result[t + 1]
        return result
