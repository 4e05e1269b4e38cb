"""Propagators of diffusion and decay with constants in ms: three time steps, and the quasistatic limit.

Shapes: S sites.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from tca.signals.diffusion.fields.propagators import Propagator, Stepping
from tca.signals.diffusion.fields.spaces import Space, kronecker_sum
from tca.utils.checks import NotNegative, Positive, checked

__all__ = ["Explicit", "Exponential", "Implicit", "Quasistatic"]


@checked
@dataclass(frozen=True)
class _Physical(Propagator):
    """A propagator with physical constants."""

    diffusion: NotNegative = 1 / 3
    decay: NotNegative = 0.288

    @property
    def spreads(self) -> bool:
        return self.diffusion > 0

    def loss(self, eigenvalues: Sequence[Tensor]) -> Tensor:
        """Return ``kappa + D lam``, the decay rate of a mode.

        Args:
            eigenvalues: Eigenvalues of ``-Lap``, one tensor per axis.
        """
        return self.decay + self.diffusion * reduce(_outer_sum, eigenvalues)


@checked
@dataclass(frozen=True)
class _Timed(Stepping, _Physical):
    """A physical propagator in time steps."""

    dt: Positive = 1.0

    @property
    def kept(self) -> float:
        return float(self.multiplier([torch.zeros((), dtype=torch.float64, device="cpu")]))

    def _rate_matrix(self, space: Space) -> Tensor:
        return self.dt * (self.diffusion * kronecker_sum(space.laplacians()) - self.decay * _identity(space))


@checked
@dataclass(frozen=True)
class Explicit(_Timed):
    """``C_t = C_{t-1} + dt (D Lap C_{t-1} - kappa C_{t-1})``: forward Euler.

    It is stable up to ``dt = 2 / (kappa + D lam_max)``, ``lam_max = 4 d`` on a grid of d even axes, and keeps
    concentrations positive up to ``dt = 1 / (kappa + 2 d D)``. Beyond the second bound it is refused.

    Args:
        diffusion: Coefficient of diffusion D, sites^2 / ms, default 1/3, not negative.
        decay: Rate of decay kappa, 1 / ms, default 0.288, not negative.
        dt: Duration of a step in ms, default 0.5, positive.
        allow_negative: Whether steps beyond the bound of positivity are accepted, default ``False``.
    """

    dt: Positive = 0.5
    allow_negative: bool = False

    @property
    def equation(self) -> str:
        return f"C_t = C_t-1 + {self.dt:g} ({self.diffusion:g} Lap - {self.decay:g}) C_t-1 + s_t"

    def multiplier(self, eigenvalues: Sequence[Tensor]) -> Tensor:
        """Return ``1 - dt (kappa + D lam)``."""
        return 1 - self.dt * self.loss(eigenvalues)

    def matrix(self, space: Space) -> Tensor:
        """Return ``1 + dt (D Lap - kappa)``."""
        return _identity(space) + self._rate_matrix(space)

    def longest_step(self, space: Space) -> float:
        """Return the longest step that preserves positivity, in ms.

        It is ``1 / (kappa + D degree)``.

        >>> from tca.signals.diffusion.fields.spaces import Grid
        >>> Explicit(diffusion=1.0, decay=1.0).longest_step(Grid((8, 8)))
        0.2
        """
        fastest = self.decay + self.diffusion * space.degree
        return 1 / fastest if fastest else math.inf

    def check(self, space: Space) -> None:
        """Refuse a step beyond the bound of positivity."""
        longest = self.longest_step(space)
        if self.dt > longest * (1 + 1e-12) and not self.allow_negative:
            raise ValueError(
                f"dt = {self.dt:g} ms is beyond the bound of positivity 1 / (kappa + D degree) = {longest:g} ms of "
                "Explicit: use a shorter step, Implicit or Exponential"
            )


@checked
@dataclass(frozen=True)
class Implicit(_Timed):
    """``(1 + dt kappa - dt D Lap) C_t = C_{t-1}``: backward Euler, stable and positive with every step.

    Args:
        diffusion: Coefficient of diffusion D, sites^2 / ms, default 1/3, not negative.
        decay: Rate of decay kappa, 1 / ms, default 0.288, not negative.
        dt: Duration of a step in ms, default 1, positive.
    """

    @property
    def equation(self) -> str:
        return f"C_t = (1 - {self.dt:g} ({self.diffusion:g} Lap - {self.decay:g}))^-1 C_t-1 + s_t"

    def multiplier(self, eigenvalues: Sequence[Tensor]) -> Tensor:
        """Return ``1 / (1 + dt (kappa + D lam))``."""
        return 1 / (1 + self.dt * self.loss(eigenvalues))

    def matrix(self, space: Space) -> Tensor:
        """Return ``(1 - dt (D Lap - kappa))^-1``."""
        step: Tensor = torch.linalg.inv(_identity(space) - self._rate_matrix(space))
        return step


@checked
@dataclass(frozen=True)
class Exponential(_Timed):
    """``C_t = exp(dt (D Lap - kappa)) C_{t-1}``: exact for every step, and two half steps make a whole one.

    Args:
        diffusion: Coefficient of diffusion D, sites^2 / ms, default 1/3, not negative.
        decay: Rate of decay kappa, 1 / ms, default 0.288, not negative.
        dt: Duration of a step in ms, default 1, positive.
    """

    @property
    def equation(self) -> str:
        return f"C_t = exp({self.dt:g} ({self.diffusion:g} Lap - {self.decay:g})) C_t-1 + s_t"

    def multiplier(self, eigenvalues: Sequence[Tensor]) -> Tensor:
        """Return ``exp(-dt (kappa + D lam))``."""
        return torch.exp(-self.dt * self.loss(eigenvalues))

    def matrix(self, space: Space) -> Tensor:
        """Return ``exp(dt (D Lap - kappa))``."""
        step: Tensor = torch.linalg.matrix_exp(self._rate_matrix(space))
        return step


@checked
@dataclass(frozen=True)
class Quasistatic(_Physical):
    """``0 = D Lap C - kappa C + s``: a field that settles much faster than a step, without memory.

    Args:
        diffusion: Coefficient of diffusion D, sites^2 / ms, default 1/3, not negative.
        decay: Rate of decay kappa, 1 / ms, default 0.288, positive.

    Raises:
        ValueError: A constant is out of range; without decay the field does not settle.
    """

    def __post_init__(self) -> None:
        if not self.decay:
            raise ValueError("decay of a Quasistatic field, which settles only by it, must be greater than 0, got 0")

    @property
    def mass(self) -> float:
        """``1 / kappa``."""
        return 1 / self.decay

    @property
    def equation(self) -> str:
        return f"({self.decay:g} - {self.diffusion:g} Lap) C_t = s_t"

    def settled(self, eigenvalues: Sequence[Tensor]) -> Tensor:
        """Return ``1 / (kappa + D lam)``."""
        return 1 / self.loss(eigenvalues)


def _outer_sum(one: Tensor, other: Tensor) -> Tensor:
    return one.unsqueeze(-1) + other


def _identity(space: Space) -> Tensor:
    return torch.eye(space.sites, dtype=torch.float64, device="cpu")
