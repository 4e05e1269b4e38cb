"""Firing-rate regularisation of spiking networks.

Shapes: T time, B batch, N cells, C consecutive steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tca.signals.regularisers.activity_regularisers import Buffers, Regulariser, WindowFunction
from tca.tape.tape import Tape
from tca.utils.checks import NotNegative, Positive, checked

__all__ = ["FiringRate"]


@checked
@dataclass(frozen=True)
class FiringRate(Regulariser):
    """``J = weight / 2 (dt / 1 s) sum_i (f_i - target)^2``, ``f_i`` the mean rate of cell i in Hz.

    Added with `tca.signals.Regularised`, its learning signal is ``weight / (B T) (f_i - target)`` at every step and
    trial, so that with the traces ``e`` of e-prop the weight change is ``mean_B weight / T (f_i - target) sum_t
    e_ij,t``. The rate is averaged over the steps of all trials of the batch, or per trial; padding is left out, and
    where trials differ in length ``B T`` is the number of their steps. It is not filtered by the readout. The
    eligibility sets how far back the term reaches: with ``Leak`` this is the published one, with ``Direct`` and
    ``Full`` the true gradient of J. Cells of a rate network fire ``mean z_i`` times in ``dt``: with ``dt = 1000`` the
    target is one of mean activity.

    Args:
        target: Target rate in Hz, default 10.
        weight: Weight c_reg, default 0.01, at least 0.
        dt: Duration of a step in ms, default 1.
        per_trial: Whether each trial has its own rate, ``mean_B`` of the loss above; default ``False``.

    Papers: Bellec et al. (2020), Nature Communications 11:3625; Liu et al. (2021), PNAS 118:e2111821118.

    >>> FiringRate().equation
    '0.01/2 0.001 s sum_i (f_i - 10 Hz)^2'
    """

    target: float = 10.0
    weight: NotNegative = 0.01
    dt: Positive = 1.0
    per_trial: bool = False

    @property
    def couples_trials(self) -> bool:
        return not self.per_trial

    @property
    def equation(self) -> str:
        return f"{self.weight:g}/2 {self.dt / 1000:g} s sum_i (f_i - {self.target:g} Hz)^2"

    def rate(self, tape: Tape) -> Tensor:
        """Return the mean rate in Hz of batch or trial, ``(B, N)``.

        Args:
            tape: The forward pass of the population.
        """
        trials = tape.rate.shape[1]
        if not self.per_trial:
            return (tape.samples.mean(0) * (1000 / self.dt)).expand(trials, -1)
        rate = tape.rate[1:] if tape.over is None else tape.rate[1:].masked_fill(tape.over[1:].unsqueeze(-1), 0.0)
        return rate.sum(0) * (1000 / self.dt) / self._steps(tape)

    def windowed_signal(self, tape: Tape, buffers: Buffers) -> WindowFunction:
        """Return a function to ``weight / (B T) (f_i - target)``."""
        if self.per_trial:
            trials = tape.rate.shape[1] if tape.lengths is None else int((tape.lengths > 0).sum())
            count: Tensor | int = max(1, trials) * self._steps(tape)
        else:
            count = max(1, len(tape.samples))
        difference = (self.rate(tape) - self.target) * self.weight / count
        return lambda window: difference.expand(window.stop - window.start, -1, -1).clone()

    @staticmethod
    def _steps(tape: Tape) -> Tensor | int:
        """Return the steps of every trial, ``(B, 1)``, at least one."""
        return tape.steps if tape.lengths is None else tape.lengths.clamp(min=1).unsqueeze(-1)
