"""Output errors filtered by a double-exponential kernel: SuperSpike.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.signals.broadcast import Broadcast, Sparse
from tca.signals.direct import Direct
from tca.signals.feedback import Adaptive, Random
from tca.signals.signal import Buffers, CausalSignal, Signal, WindowFunction
from tca.signals.wrapped import Wrapped
from tca.tape.population import Population
from tca.tape.tape import Tape, filtered
from tca.utils.checks import Kept, checked

__all__ = ["FilteredError"]


@checked
@dataclass(frozen=True)
class FilteredError(Wrapped):
    """A learning signal from ``alpha * err`` that meets traces ``alpha * e``, ``alpha`` a double-exponential kernel.

    ``dW = sum_t (F (alpha * err)_t) (alpha * (slope e))_t``, ``alpha`` two leaky filters of gain one in series. By
    exchange of sums the signal inside and the readout use the output error ``alpha^T alpha err``, filtered forwards and
    then backwards. With the mean squared error and equal weights at all steps this is the gradient of the van Rossum
    distance of outputs and targets, ``|alpha * (y - target)|^2 / 2``.

    Args:
        signal: Learning signal of the filtered errors, default ``Direct()``; ``Random()`` and
            ``Broadcast(uniform=True)`` are the other two feedbacks of the paper.
        rise: Leak per step of the first filter, ``exp(-dt / tau_rise)``, default 0.8, in [0, 1).
        decay: Leak per step of the second, ``exp(-dt / tau_decay)``, default 0.9, in [0, 1).

    Online, errors and traces both pass ``alpha``, two more numbers per synapse and trial; the signal inside is then one
    of ``Direct``, ``Random``, ``Adaptive``, ``Sparse`` and ``Broadcast``.

    Raises:
        ValueError: The network has several populations.

    Paper: Zenke and Ganguli (2018), SuperSpike: supervised learning in multilayer spiking neural networks, Neural
    Computation 30:1514.

    >>> FilteredError(rise=0.5).equation
    'G_t = W_o^T score_t, score = alpha^T alpha err, alpha of 0.5 and 0.9'
    """

    signal: Signal = field(default_factory=Direct)
    rise: Kept = 0.8
    decay: Kept = 0.9
    horizon: ClassVar[None] = None

    @property
    def equation(self) -> str:
        return f"{self.signal.equation}, score = alpha^T alpha err, alpha of {self.rise} and {self.decay}"

    def check(self, population: Population) -> None:
        super().check(population)
        if not population.alone:
            raise ValueError(
                f"FilteredError filters the errors of a readout for the population that it reads, and "
                f"{population.title} is one of several"
            )

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:
        super().update_statistics_(self._filtered(tape), buffers)

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        return super().windowed_signal(self._filtered(tape), buffers, eligibility)

    def output_signal(self, tape: Tape, buffers: Buffers) -> tuple[Tensor, Tensor]:
        return super().output_signal(self._filtered(tape), buffers)

    def online(self) -> CausalSignal | None:
        """Return the signal inside if it is linear and has no memory, for errors and traces that both pass the kernel.

        Only then is the signal of a filtered error the filtered signal.
        """
        return self.signal if isinstance(self.signal, Direct | Random | Adaptive | Sparse | Broadcast) else None

    def kernel(self) -> tuple[float, ...]:
        return (self.rise, self.decay)

    def _filtered(self, tape: Tape) -> Tape:
        """Return the tape with errors filtered forwards, cut at the end of each trial, and filtered backwards."""
        seen = filtered(filtered(tape.output_error, self.rise), self.decay)
        if tape.over is not None:
            seen = seen.masked_fill(tape.over.unsqueeze(-1), 0.0)
        back = filtered(filtered(seen.flip(0), self.rise), self.decay).flip(0)
        back[0] = 0.0
        return replace(tape, output_error=back)
