"""Truncated backpropagation that ends in a learned, linear estimate of later errors: synthetic gradients.

Shapes: T time, B batch, N cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.batch import Batch
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.full import Full, Restarted
from tca.eligibilities.inverse_filter import unfilter
from tca.signals.direct import Direct
from tca.signals.signal import Buffers, StateFunction, StateSignal, WindowFunction
from tca.tape.local_step import LocalStep
from tca.tape.population import Population, needs_synapses
from tca.tape.tape import Tape
from tca.utils.checks import Count, NotNegative, checked

__all__ = ["SyntheticGradient"]


@checked
@dataclass(frozen=True)
class SyntheticGradient(StateSignal):
    """The adjoint of windows of ``window`` steps, which end in ``(A z_t + c) / B`` instead of later errors.

    ``lambda_t = l_t + J_{t+1}^T lambda_{t+1}`` within a window, ``lambda_t = l_t + (A z_t + c) / B`` at its last step
    t, a multiple of ``window`` before the end of the trial. With an eligibility of propagator ``D`` the signal is
    ``lambda_t - D_{t+1}^T lambda_{t+1}``: decoupled neural interfaces for recurrent networks.

    ``A`` and ``c`` are learned from every batch, before it is used, by gradient descent on the mean squared difference
    of ``A z_t + c`` and its target ``B J_{t+1}^T lambda_{t+1}``, the error that the next window returns, its own
    synthetic gradient included (bootstrapping). They start at zero, where the rule is truncated backpropagation, and
    are the buffers ``synthetic`` (N, N) and ``synthetic_bias`` (N,).

    Online the traces are those of every path within a window, for any eligibility, since the sum over a trial is
    the same for all of them; ``A`` and ``c`` learn at the end of the trials.

    Args:
        window: Steps of a window, default 10, at least 1.
        rate: Learning rate of ``A`` and ``c``, default 0.01, not negative; 0 holds them.

    Raises:
        ValueError: The network has several populations, no recurrent synapses, or cells that spike.

    Paper: Jaderberg, Czarnecki, Osindero, Vinyals, Graves, Silver and Kavukcuoglu (2017), Decoupled neural interfaces
    using synthetic gradients, ICML, PMLR 70:1627.
    """

    window: Count = 10
    rate: NotNegative = 0.01
    local: ClassVar[bool] = False
    unfilters: ClassVar[bool] = True
    horizon: ClassVar[None] = None

    @property
    def couples_trials(self) -> bool:
        return self.rate > 0

    @property
    def equation(self) -> str:
        return f"lambda_t, every {self.window} steps l_t + A z_t + c, A and c learned"

    def check(self, population: Population) -> None:
        needs_synapses("SyntheticGradient", population)
        if population.spiking or population.components > 1 or not population.alone:
            paired = f"has states of {population.components} numbers" if population.alone else "is one of several"
            raise ValueError(
                "SyntheticGradient predicts the errors of the states of one population of rate cells, and "
                f"{population.title} " + ("spikes" if population.spiking else paired)
            )

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Return zeros."""
        cells, like = population.cells, population.like
        return {"synthetic": like.new_zeros(cells, cells), "synthetic_bias": like.new_zeros(cells)}

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:
        """Take a step of gradient descent towards the errors that the next windows return."""
        ends = self._ends(tape)
        if not (self.rate and ends):
            return
        adjoint, trials = self._adjoint(tape, buffers), tape.rate.shape[1]
        matrix, bias, going_on, rates = buffers["synthetic"], buffers["synthetic_bias"], [], []
        missed = []
        for t in ends:
            target = torch.zeros_like(adjoint[t])
            Full().propagate_back_(tape, t + 1, target, adjoint[t + 1])
            going_on.append(_goes_on(tape, t))
            rates.append(tape.rate[t])
            missed.append((tape.rate[t] @ matrix.t() + bias - trials * target) * going_on[-1])
        scale = self.rate / torch.cat(going_on).sum().clamp(min=1)
        difference = torch.cat(missed) * scale
        matrix.sub_(difference.t() @ torch.cat(rates))
        bias.sub_(difference.sum(0))

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to ``lambda_t - D_{t+1}^T lambda_{t+1}``."""
        adjoint = self._adjoint(tape, buffers)
        kept: Tensor | None = None

        def read(steps: slice) -> Tensor:
            nonlocal kept
            signal, kept = unfilter(eligibility, tape, adjoint[steps].clone(), steps, kept)
            return signal

        return read

    def online_eligibility(self, eligibility: Eligibility) -> Eligibility:
        return Restarted(self.window)

    def state_signal(self, population: Population, buffers: Buffers, readout_leak: float) -> StateFunction:
        if readout_leak:
            raise ValueError(
                "SyntheticGradient runs online on readouts without a filter, through which errors of all later windows "
                f"would reach its estimate, got readout leak {readout_leak:.3g}: use Learner.backward"
            )
        return _OnlineEstimate(self, population, buffers).signal

    def _ends(self, tape: Tape) -> list[int]:
        """Return the last steps of the windows before the last."""
        return list(range(self.window, tape.steps, self.window))

    def _adjoint(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return ``lambda_t`` of all steps, shape ``(T + 1, B, N)``."""
        adjoint = Direct().windowed_signal(tape, {}, Full())(slice(0, tape.steps + 1))
        ends = set(self._ends(tape))
        for t in range(tape.steps - 1, -1, -1):
            if t in ends:
                synthetic = tape.rate[t] @ buffers["synthetic"].t() + buffers["synthetic_bias"]
                adjoint[t].add_(synthetic.mul_(_goes_on(tape, t)), alpha=1 / tape.rate.shape[1])
            else:
                Full().propagate_back_(tape, t + 1, adjoint[t], adjoint[t + 1])
        return adjoint


def _goes_on(tape: Tape, t: int) -> Tensor:
    """Return one for every trial that has steps after t, else zero, shape ``(B, 1)``."""
    ended = torch.zeros_like(tape.rate[0, :, 0], dtype=torch.bool) if tape.over is None else tape.over[t + 1]
    return (~ended).to(tape.rate).unsqueeze(1)


class _OnlineEstimate:
    """The estimate of one run of trials: its use at the ends of windows, and its errors, carried forwards.

    The error that the next window returns is ``sum_s M_s^T L_s`` with ``M_s = J_s M_{s-1}`` from the identity.
    """

    def __init__(self, rule: SyntheticGradient, population: Population, buffers: Buffers) -> None:
        self.rule, self.buffers, self.readout = rule, buffers, population
        self.time, self.counted = 0, population.like.new_zeros(())
        self.change = [torch.zeros_like(buffers[name]) for name in ("synthetic", "synthetic_bias")]
        self.window: tuple[Tensor, Tensor] | None = None  # rates at the last end of a window, trials that go on
        self.passed = self.returned = population.like.new_zeros(())

    def signal(self, step: LocalStep, rate: Tensor, error: Tensor, batch: Batch) -> Tensor:
        """Return the state signal of the step, and learn at the end of the trials."""
        if step.to_go is None:
            raise ValueError(
                "SyntheticGradient adds no estimate at the end of the trial: give the number of steps to stream()"
            )
        self.time += 1
        trials, to_go = len(rate), step.to_go
        signal = step.lifted(error @ self.readout.readout)
        running = to_go > 0 if isinstance(to_go, Tensor) else torch.full_like(rate[:, 0], to_go > 0)
        running = running.to(rate).unsqueeze(1)
        end = self.time % self.rule.window == 0
        if end:
            synthetic = rate @ self.buffers["synthetic"].t() + self.buffers["synthetic_bias"]
            signal = signal + synthetic * running / trials
        if not self.rule.rate:
            return signal
        if self.window is not None:
            self.passed = (step.leak_matrix() + step.transmission()) @ self.passed
            self.returned = self.returned + torch.einsum("bij,bi->bj", self.passed, signal)
        over = not running.any()
        if end or over:
            self._compare(trials)
            self.window = rate, running
            self.passed = torch.eye(rate.shape[1], dtype=rate.dtype, device=rate.device).expand(trials, -1, -1)
            self.returned = torch.zeros_like(rate)
        if over:
            self._learn()
        return signal

    def _compare(self, trials: int) -> None:
        """Add the window's errors of the estimate."""
        if self.window is None:
            return
        rate, going_on = self.window
        estimate = rate @ self.buffers["synthetic"].t() + self.buffers["synthetic_bias"]
        missed = (estimate - trials * self.returned) * going_on
        self.counted = self.counted + going_on.sum()
        self.change[0] += missed.t() @ rate
        self.change[1] += missed.sum(0)

    def _learn(self) -> None:
        """Take the step of gradient descent, once a run of trials."""
        scale = self.rule.rate / self.counted.clamp(min=1)
        for name, change in zip(("synthetic", "synthetic_bias"), self.change, strict=True):
            self.buffers[name].sub_(change * scale)
            change.zero_()
        self.counted = torch.zeros_like(self.counted)
        self.window = None
