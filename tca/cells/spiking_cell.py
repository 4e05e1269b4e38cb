"""Spiking dynamics: constants of leak, spike, reset and adaptation.

Shapes: N cells. The state of a cell is its potential and its adaptation; tensors over states have the shape
``(..., 2, N)``.

    v_t = kappa v_{t-1} + gain u_t - reset z_{t-1},   a_t = rho a_{t-1} + gain_a z_{t-1},   z_t = [v_t > thr + beta a_t]

With the surrogate gradient ``psi_t``, ``dz_t / d(v_t, a_t) = psi_t (1, -beta)``. The leak includes the effect of own
spikes on the adaptation,

    leak_t = [[kappa, 0], [gain_a psi_{t-1}, rho - gain_a beta psi_{t-1}]].

The reset is by default an autapse of weight ``-reset / gain`` and is cut where recurrent transmission is cut. With
``reset_in_trace`` it adds ``-reset psi_{t-1} (1, -beta)`` to the first row of the leak instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from torch import Tensor

from tca.cells.surrogate_gradients import SURROGATE_GRADIENTS, SurrogateGradient, surrogate_gradient_of
from tca.cells.time_constants import LEAKS, constants_of, durations
from tca.utils.checks import Fraction, Made, Named, NotNegative, Positive, checked
from tca.utils.host_values import host_value

__all__ = ["LEARNABLE", "SpikingCell", "SpikingCells"]


LEARNABLE = {"tau": "leak", "tau_adaptation": "adaptation_leak", "beta": "beta"}  # options and their parameters


@checked
@dataclass(frozen=True, eq=False)
class SpikingCell:
    """The constants of spiking cells; see `tca.nets.SpikingRNN` for the equations.

    Args:
        tau: Time constant of the potential in ms, default 20: a number, or one for each cell.
        tau_adaptation: Time constant of the adaptation in ms, default 2000: a number, or one for each cell.
        threshold: The threshold at rest, thr, default 0.03, positive.
        beta: How much adaptation raises the threshold, default 1.8, not negative: a number, or one for each cell, zero
            for a cell that does not adapt.
        adaptive: Fraction of the cells that adapt, the last of them, default 0.5; not read where ``beta`` is given for
            each cell.
        refractory: How long a cell is silent after a spike in ms, default 5, rounded up to whole steps.
        surrogate_gradient: Surrogate gradient: a name, or one of `tca.cells.surrogate_gradients` with its height and
            width, default ``"triangular"``, ``(0.3 / thr) max(0, 1 - |v - A| / thr)``; or a mapping of name, gamma and
            width.
        leak: ``"exponential"`` (default) or ``"euler"``, which needs ``dt <= tau``.
        scaled_drive: Whether the drive enters with the factor ``1 - k``, default ``True``. Without it weights must be
            smaller by that factor to do the same.
        scaled_adaptation: Whether a spike enters the adaptation with the factor ``1 - rho``, default ``True``. Without
            it beta must be smaller by that factor to do the same.
        reset_in_trace: Whether the reset is part of the propagator of a cell, as in MDGL, or cut where recurrent
            transmission is cut (default), as in e-prop. It changes no output and no true gradient.
        noise: Standard deviation of private noise, default 0. White noise is added to the drive such that a potential
            without other input and without spikes would fluctuate with this standard deviation.
        learn: Which of ``"tau"``, ``"tau_adaptation"`` and ``"beta"`` are learned, one for each cell: parameters
            ``leak`` and ``adaptation_leak``, per step, and ``beta`` of the network; ``None`` (default) for none.
    """

    tau: float | Sequence[float] | Tensor = 20.0
    tau_adaptation: float | Sequence[float] | Tensor = 2000.0
    threshold: Positive = 0.03
    beta: float | Sequence[float] | Tensor = 1.8
    adaptive: Fraction = 0.5
    refractory: NotNegative = 5.0
    surrogate_gradient: (
        Annotated[str, Named(SURROGATE_GRADIENTS)]
        | Annotated[SurrogateGradient, Made(surrogate_gradient_of, spread=True)]
    ) = "triangular"
    leak: Annotated[str, Named(LEAKS)] = "exponential"
    scaled_drive: bool = True
    scaled_adaptation: bool = True
    reset_in_trace: bool = False
    noise: NotNegative = 0.0
    learn: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Check the time constants and the strength of adaptation."""
        constants_of(self.learn, LEARNABLE)
        durations("tau", self.tau)
        durations("tau_adaptation", self.tau_adaptation)
        strength = torch.as_tensor(self.beta, dtype=torch.float64, device="cpu")
        if not (torch.isfinite(strength).all() and (strength >= 0).all()):
            raise ValueError(f"beta must be finite and not negative, got {self.beta!r}")

    def strengths(self, cells: int) -> Tensor:
        """Return how much adaptation raises the threshold of every cell, zero for those that do not adapt.

        Args:
            cells: Number of cells N.

        Raises:
            ValueError: Their number is not that of the cells.
        """
        strength = torch.as_tensor(self.beta, dtype=torch.float64, device="cpu")
        if strength.ndim and tuple(strength.shape) != (cells,):
            raise ValueError(
                f"beta must be one number or {cells}, one for each cell, got shape {tuple(strength.shape)}"
            )
        if strength.ndim:
            return strength
        first = cells - round(self.adaptive * cells)
        return torch.where(torch.arange(cells, device="cpu") >= first, strength, 0.0)


@dataclass(frozen=True, eq=False)
class SpikingCells:
    """Constants of spiking cells, each of shape ``(N,)``.

    Attributes:
        leak: Leak kappa of the potential per step.
        gain: Increment of the potential per unit of drive.
        adaptation_leak: Leak rho of the adaptation per step.
        adaptation_gain: Increment of the adaptation per spike.
        strength: Increment beta of the threshold per unit of adaptation; zero for a LIF cell.
        reset: Decrement of the potential after a spike.
        reset_in_trace: Whether the reset is a part of the leak and not of the transmission.
    """

    leak: Tensor
    gain: Tensor
    adaptation_leak: Tensor
    adaptation_gain: Tensor
    strength: Tensor
    reset: Tensor
    reset_in_trace: bool

    @cached_property
    def adaptive(self) -> Tensor:
        """Indices of adaptive cells, shape ``(A,)``."""
        return host_value(self.strength, _positions)

    @cached_property
    def idle(self) -> bool:
        """Whether the leak does not depend on spikes."""
        return not (self.reset_in_trace or len(self.adaptive))

    @cached_property
    def decay(self) -> Tensor:
        """``(kappa, rho)``, shape ``(2, N)``."""
        return torch.stack([self.leak, self.adaptation_leak])

    @cached_property
    def emission(self) -> Tensor:
        """``(1, -beta)``, the slope of a spike without the surrogate gradient, shape ``(2, N)``."""
        return torch.stack([torch.ones_like(self.strength), -self.strength])

    @cached_property
    def adapted_emission(self) -> Tensor:
        """``gain_a (1, -beta)``, shape ``(2, N)``."""
        return self.emission * self.adaptation_gain

    @cached_property
    def echo(self) -> Tensor:
        """Derivative of the next state by a spike of the same cell, within the leak, shape ``(2, N)``."""
        return torch.stack([-self.reset if self.reset_in_trace else torch.zeros_like(self.reset), self.adaptation_gain])

    def synapses(self, recurrent: Tensor) -> Tensor:
        """Return the recurrent weights, with the reset as autapses unless it is part of the leak.

        Args:
            recurrent: Recurrent weights W, shape ``(N, N)``.
        """
        return recurrent if self.reset_in_trace else recurrent - torch.diag(self.reset / self.gain)


def _positions(strength: Tensor) -> Tensor:
    return strength.nonzero().squeeze(1)
