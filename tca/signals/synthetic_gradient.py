"""Truncated backpropagation that ends in a learned, linear estimate of later errors: synthetic gradients.

Shapes: T time, B batch, N cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.full import Full
from tca.eligibilities.inverse_filter import unfilter
from tca.signals.direct import Direct
from tca.signals.signal import Buffers, Signal, WindowFunction
from tca.tape.population import Population, needs_synapses
from tca.tape.tape import Tape
from tca.utils.checks import Count, NotNegative, checked

__all__ = ["SyntheticGradient"]


@checked
@dataclass(frozen=True)
class SyntheticGradient(Signal):
    """The adjoint of windows of ``window`` steps, which end in ``(A z_t + c) / B`` instead of later errors.

    ``lambda_t = l_t + J_{t+1}^T lambda_{t+1}`` within a window, ``lambda_t = l_t + (A z_t + c) / B`` at its last step
    t, a multiple of ``window`` before the end of the trial. With an eligibility of propagator ``D`` the signal is
    ``lambda_t - D_{t+1}^T lambda_{t+1}``: decoupled neural interfaces for recurrent networks.

    ``A`` and ``c`` are learned from every batch, before it is used, by gradient descent on the mean squared difference
    of ``A z_t + c`` and its target ``B J_{t+1}^T lambda_{t+1}``, the error that the next window returns, its own
    synthetic gradient included (bootstrapping). They start at zero, where the rule is truncated backpropagation, and
    are the buffers ``synthetic`` (N, N) and ``synthetic_bias`` (N,).

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
