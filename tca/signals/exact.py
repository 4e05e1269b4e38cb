"""The signal that makes an eligibility exact, whole or truncated.

Shapes: T time, B batch, N cells, C consecutive steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.full import Full
from tca.eligibilities.inverse_filter import remembered, unfilter
from tca.signals.direct import Direct
from tca.signals.signal import Buffers, Signal, WindowFunction
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import Whole, checked

__all__ = ["Exact", "Horizon"]


@dataclass(frozen=True)
class Exact(Signal):
    """``mu_t = l_t + (J - D)_{t+1}^T lambda_{t+1} = lambda_t - D_{t+1}^T lambda_{t+1}``, ``lambda`` the full adjoint.

    ``sum_t mu_t e_t`` is the true gradient for every propagator ``D``: with ``D = 0`` this is backpropagation through
    time (``mu = lambda``), with ``D = J`` real-time recurrent learning (``mu = l``).
    """

    local: ClassVar[bool] = False
    unfilters: ClassVar[bool] = True
    horizon: ClassVar[None] = None
    equation: ClassVar[str] = "mu_t = l_t + (J - D)_{t+1}^T lambda_{t+1}"

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from windows of steps to ``mu``."""
        direct = Direct().windowed_signal(tape, {}, eligibility)
        later: Tensor | None = None
        kept: Tensor | None = None

        def read(steps: slice) -> Tensor:
            nonlocal later, kept
            adjoint = direct(steps)
            later = Full().filter_(tape, adjoint, steps, later)
            tape.send_back(adjoint)
            signal, kept = unfilter(eligibility, tape, adjoint, steps, kept)
            return signal

        return read


@checked
@dataclass(frozen=True)
class Horizon(Signal):
    """``L_t = l_t + (J - D)_{t+1}^T lambda^k_{t+1}``: the exact signal, its adjoint truncated to ``k`` later errors.

    ``lambda^k_t = sum_{q=t}^{t+k-1} (J_q ... J_{t+1})^T l_q``. With ``k = 0`` it is the direct signal, with ``k = T``
    the exact one; with ``D = 0`` it is future-facing truncated backpropagation, each step receiving the errors from t
    to t + k.

    Args:
        steps: Steps ``k`` of later error, default 10, not negative.

    Paper: Marschall, Cho and Savin (2020), Journal of Machine Learning Research 21:135.
    """

    steps: Whole = 10
    local: ClassVar[bool] = False
    fitted: ClassVar[bool] = True

    @property
    def horizon(self) -> int:
        return self.steps

    @property
    def equation(self) -> str:
        return f"L_t = l_t + (J - D)_{{t+1}}^T lambda_{{t+1}}, errors up to t + {self.steps}"

    def check(self, population: Population) -> None:
        """Refuse networks of several populations."""
        if not population.alone:
            raise ValueError(
                f"Horizon counts later errors within one population, and {population.title} is one of several"
            )

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to the signal, computed for all steps beforehand."""
        everything = slice(0, tape.steps + 1)
        direct = Direct().windowed_signal(tape, {}, eligibility)(everything)
        adjoint = torch.zeros_like(direct)
        for _ in range(min(self.steps, tape.steps)):
            adjoint = _one_step_further(tape, direct, adjoint)
        signal = _one_step_further(tape, direct, adjoint)
        signal[:-1].sub_(remembered(eligibility, tape, adjoint[1:], 1))
        return lambda steps: signal[steps].clone()


def _one_step_further(tape: Tape, direct: Tensor, adjoint: Tensor) -> Tensor:
    further = direct.clone()
    tape.leak_(1, further[:-1], adjoint[1:])
    tape.transmit_all_(further[:-1], adjoint[1:])
    return further
