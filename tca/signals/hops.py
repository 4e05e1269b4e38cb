"""Later errors over few recurrent synapses, by exact weights or cell type.

Shapes: T time, B batch, N cells, C consecutive steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.inverse_filter import following
from tca.eligibilities.leak import Leak
from tca.signals.direct import Direct
from tca.signals.signal import Buffers, Signal, WindowFunction
from tca.tape.population import Population, needs_synapses
from tca.tape.tape import Tape
from tca.tape.weight_estimates import ExactWeights, WeightEstimate
from tca.utils.checks import Whole, checked

__all__ = ["Hops"]


@checked
@dataclass(frozen=True)
class Hops(Signal):
    """``L^r_t = l_t + (J~ - leak)_{t+1}^T S^{r-1}_{t+1}``, ``S^r_t = L^r_t + leak S^r_{t+1}``, ``L^0 = l``.

    The learning signal of a cell includes the errors of cells up to ``hops`` synapses away. With the traces of the leak
    and exact weights this is the part of the gradient through at most ``hops`` recurrent synapses: e-prop with none,
    backpropagation through time with as many as there are steps. ``J~`` is the Jacobian with an estimate of W.

    Without the postsynaptic leak, ``S^r = L^r``: errors are those of the very next steps, one step for each hop. With
    one hop and the mean weight of each pair of types this is MDGL as published. A postsynaptic cell then has no memory
    of its error, so that for a leak above zero it is not the gradient of any set of paths.

    Args:
        hops: Largest number of recurrent synapses that an error passes, default 1, not negative.
        weights: Estimate of the recurrent weights, default their exact values.
        receiver_leak: Whether errors decay with the leak of the postsynaptic cells, default ``True``.

    Paper: Liu et al. (2021), PNAS 118:e2111821118.
    """

    hops: Whole = 1
    weights: WeightEstimate = field(default_factory=ExactWeights)
    receiver_leak: bool = True
    local: ClassVar[bool] = False

    @property
    def horizon(self) -> int | None:
        return None if self.hops and self.receiver_leak else self.hops

    @property
    def equation(self) -> str:
        if not self.hops:
            return "L_t = l_t"
        source = f"S^{self.hops - 1}" if self.receiver_leak else f"L^{self.hops - 1}"
        return f"L^{self.hops}_t = l_t + (J~ - leak)_{{t+1}}^T {source}_{{t+1}}, W~ = {type(self.weights).__name__}"

    def check(self, population: Population) -> None:
        """Refuse a population without recurrent synapses."""
        needs_synapses(type(self).__name__, population)

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to the signal, one sweep per hop."""
        direct = Direct().windowed_signal(tape, {}, eligibility)
        by_type = self.weights.by_type(tape.recurrence) and not (tape.population.spiking or tape.population.general)
        known = tape if by_type else tape.with_recurrent(self.weights.of(tape.recurrence))
        after: list[Tensor | None] = [None] * self.hops  # value of each sweep at the first step after the window

        def read(steps: slice) -> Tensor:
            direct_signal = direct(steps)
            arriving = direct_signal
            for hop, later in enumerate(after):
                if self.receiver_leak:
                    arriving = arriving.clone()
                    Leak().filter_(tape, arriving, steps, later)
                after[hop] = arriving[0].clone()
                source = following(arriving, later)
                arriving = direct_signal.clone()
                if by_type:
                    _return_by_type_(tape, arriving[: len(source)], source, steps.start)
                else:
                    known.transmit_all_(arriving[: len(source)], source, steps.start + 1)
            return arriving

        return read


def _return_by_type_(tape: Tape, into: Tensor, later: Tensor, first: int) -> None:
    """Add ``(J~ - leak)^T later`` by cell types instead of cells."""
    driven = later if tape.slope_at_emission else tape.drive(later.clone(), slice(first + 1, first + 1 + len(later)))
    returned = torch.zeros_like(later)
    tape.return_by_type_(returned, driven, 1.0)
    into.add_(tape.lift(returned, slice(first, first + len(later))))
