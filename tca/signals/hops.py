"""The error of later steps that comes back over a few recurrent synapses, by exact weights or by cell type.

Shapes: T time, B batch, N cells, C consecutive steps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility, following
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

    A cell is told its own error and that of cells up to ``hops`` synapses away. With the traces of the leak and exact
    weights this is the part of the gradient that has passed at most ``hops`` recurrent synapses: e-prop with none,
    backpropagation through time with as many as there are steps. ``J~`` is the Jacobian with an estimate of the
    weights in the place of W.

    Without the receiver's leak, ``S^r = L^r``: errors are those of the very next steps, one step for each hop. With one
    hop and the mean weight of each pair of types this is MDGL as published. A receiving cell then forgets its own
    error at once, so that for a leak above zero it is not the gradient of any set of paths.

    Args:
        hops: Recurrent synapses that an error passes at most, default 1, not negative.
        weights: What stands in for the recurrent weights, default their exact values.
        receiver_leak: Whether errors stay in the leak of the cells they pass, default ``True``.

    Raises:
        ValueError: ``hops`` is negative.
        TypeError: ``hops`` is not an integer.

    Paper: Liu et al. (2021), PNAS 118:e2111821118.
    """

    hops: Whole = 1
    weights: WeightEstimate = field(default_factory=ExactWeights)
    receiver_leak: bool = True
    local: ClassVar[bool] = False

    @property
    def horizon(self) -> int | None:
        """One step for each hop; the whole rest of the trial if errors stay in the leak of the receivers."""
        return None if self.hops and self.receiver_leak else self.hops

    @property
    def equation(self) -> str:
        """The equation of the signal."""
        if not self.hops:
            return "L_t = l_t"
        source = f"S^{self.hops - 1}" if self.receiver_leak else f"L^{self.hops - 1}"
        return f"L^{self.hops}_t = l_t + (J~ - leak)_{{t+1}}^T {source}_{{t+1}}, W~ = {type(self.weights).__name__}"

    def check(self, population: Population) -> None:
        """Refuse a population without recurrent synapses.

        Raises:
            ValueError: Nothing could come back.
        """
        needs_synapses(type(self).__name__, population)

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from a window of steps to the signal, one sweep through the window for each hop."""
        direct = Direct().windowed_signal(tape, {}, eligibility)
        by_type = self.weights.by_type(tape) and not tape.population.spiking
        known = tape if by_type else replace(tape, recurrent=self.weights.of(tape))
        after: list[Tensor | None] = [None] * self.hops  # what each sweep holds at the first step after the window

        def read(steps: slice) -> Tensor:
            told = direct(steps)
            arriving = told
            for hop, later in enumerate(after):
                if self.receiver_leak:
                    arriving = arriving.clone()
                    Leak().filter_(tape, arriving, steps, later)
                after[hop] = arriving[0].clone()
                source = following(arriving, later)
                arriving = told.clone()
                if by_type:
                    _return_by_type_(tape, arriving[: len(source)], source, steps.start)
                else:
                    known.transmit_all_(arriving[: len(source)], source, steps.start + 1)
            return arriving

        return read


def _return_by_type_(tape: Tape, into: Tensor, later: Tensor, first: int) -> None:
    """Add ``(J~ - leak)^T later`` by way of the types, at the cost of their number instead of that of the cells."""
    driven = later if tape.slope_at_emission else tape.drive(later.clone(), slice(first + 1, first + 1 + len(later)))
    returned = torch.zeros_like(later)
    tape.return_by_type_(returned, driven, 1.0)
    into.add_(tape.lift(returned, slice(first, first + len(later))))
