"""Later errors by cell type: ModProp as a signal to e-prop's traces.

Shapes: T time, B batch, N cells, C consecutive steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.inverse_filter import following, remembered, unfilter
from tca.eligibilities.leak import Leak
from tca.eligibilities.type_propagation import TypePropagation, check_stable
from tca.signals.direct import Direct
from tca.signals.signal import Buffers, Signal, WindowFunction
from tca.tape.population import Population, needs_rates, needs_synapses
from tca.tape.tape import Tape
from tca.utils.checks import checked
from tca.utils.names import unknown

__all__ = ["TypeReturn"]


@checked
@dataclass(frozen=True)
class TypeReturn(Signal):
    """``L_t = n_t - D_{t+1}^T n_{t+1}``: later errors by type, minus the part in the eligibility trace.

    ``n_t = l_t + leak n_{t+1} + (gain m W_ab)^T a_{t+1}`` and ``a_t = l_t + M^T a_{t+1}``.

    ``M = leak + gain m W_ab`` is the propagator of ``TypePropagation``, and for every eligibility the weight change is
    that of the direct signal with ``TypePropagation``. With ``D = 0`` this is ModProp in adjoint form, ``L_t = n_t =
    sum_q (M^T)^q l_{t+q}``, with a number of taps that sum up to there; with the traces of the leak it is an addition
    to e-prop, ``L_t = l_t + (gain m W_ab)^T a_{t+1}``.

    Args:
        slope: The constant m that replaces the slope of every activation function, default 0.25, not negative.
        sender_slope: Slope of the presynaptic cell of the last synapse, whose signal ``n`` is: ``"mean"`` (default) m;
            ``"exact"`` the cell's own slope. With the leak on the rate the presynaptic slope is in the gain of its own
            traces, exact either way, and m is the postsynaptic slope: the two are then the same.
        taps: Largest number q of later steps whose errors are used; ``None`` (default) for all.

    Raises:
        ValueError: ``slope`` is negative or not finite, ``sender_slope`` unknown, or ``taps`` negative. When used: the
            spectral radius of ``leak + gain m W_ab`` is not below one.

    Paper: Liu et al. (2022), NeurIPS, arXiv:2206.01338.
    """

    slope: float = 0.25
    sender_slope: Literal["mean", "exact"] = "mean"
    taps: int | None = None
    local: ClassVar[bool] = False
    unfilters: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and self.slope >= 0):
            raise ValueError(f"slope must be finite and not negative, got {self.slope}")
        if self.sender_slope not in ("mean", "exact"):
            raise unknown(self.sender_slope, ("mean", "exact"), "sender_slope")
        if self.taps is not None and self.taps < 0:
            raise ValueError(f"taps must not be negative, got {self.taps}")

    @property
    def horizon(self) -> int | None:
        return self.taps

    @property
    def fitted(self) -> bool:
        return self.taps is not None

    @property
    def equation(self) -> str:
        return (
            f"L_t = l_t + (leak + gain {self.slope} W_ab - D)_{{t+1}}^T n_{{t+1}}, sender's slope: {self.sender_slope}"
        )

    def check(self, population: Population) -> None:
        """Refuse a population without recurrent synapses, and one that spikes."""
        needs_synapses(type(self).__name__, population)
        needs_rates(type(self).__name__, population)

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from a window of steps to the signal.

        Raises:
            ValueError: The sum over later errors would diverge.
        """
        check_stable(tape.type_means, tape.leak, tape.gain, self.slope)
        direct = Direct().windowed_signal(tape, {}, eligibility)
        return self._all(tape, direct, eligibility) if self.taps is None else self._some(tape, direct, eligibility)

    def _all(self, tape: Tape, direct: WindowFunction, eligibility: Eligibility) -> WindowFunction:
        """Return a function that carries ``a`` and ``n`` from window to window."""
        spread = TypePropagation(self.slope)
        later: tuple[Tensor | None, ...] = (None, None, None)

        def read(steps: slice) -> Tensor:
            nonlocal later
            direct_signal = direct(steps)
            passed = direct_signal.clone()
            first = spread.filter_(tape, passed, steps, later[0])
            self._hop_(tape, direct_signal, following(passed, later[0]), steps.start)
            leaking = Leak().filter_(tape, direct_signal, steps, later[1])
            signal, kept = unfilter(eligibility, tape, direct_signal, steps, later[2])
            later = first, leaking, kept
            return signal

        return read

    def _some(self, tape: Tape, direct: WindowFunction, eligibility: Eligibility) -> WindowFunction:
        """Return a function to the truncated signal, one sweep per tap."""
        everything = slice(0, tape.steps + 1)
        errors = direct(everything)
        mean = replace(self, sender_slope="mean")

        def one_more(which: TypeReturn, passed: Tensor, leaking: Tensor) -> Tensor:
            further = errors.clone()
            which._hop_(tape, further, passed[1:], 0)
            tape.leak_(1, further[:-1], leaking[1:])
            return further

        passed, direct_signal = torch.zeros_like(errors), torch.zeros_like(errors)
        for _ in range(min(self.taps or 0, tape.steps)):
            passed, direct_signal = one_more(mean, passed, passed), one_more(self, passed, direct_signal)
        signal = one_more(self, passed, direct_signal)
        signal[:-1].sub_(remembered(eligibility, tape, direct_signal[1:], 1))
        return lambda steps: signal[steps].clone()

    def _hop_(self, tape: Tape, into: Tensor, later: Tensor, first: int) -> None:
        """Backpropagate over one synapse, from each step to the one before.

        Args:
            into: Signal of a window, shape ``(C, B, N)``, changed in place.
            later: Signal of the step after each, shape ``(C, B, N)``, or one less at the end of the trial.
            first: The first step of the window.
        """
        if self.sender_slope == "mean" or not tape.slope_at_emission:
            tape.return_by_type_(into[: len(later)], later, self.slope)
            return
        returned = torch.zeros_like(later)
        tape.return_by_type_(returned, later, 1.0)
        returned = tape.lift(returned, slice(first, first + len(later)))
        into[: len(later)].add_(returned)
