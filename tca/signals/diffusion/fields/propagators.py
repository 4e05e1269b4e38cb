"""Propagators of a concentration: in time steps, or quasistatic.

Shapes: S sites.

Every propagator is a function of the Laplacian of its space, so it multiplies each mode of the space by a number. With
``lam_a >= 0`` the eigenvalues of ``-Lap`` along axis a and ``lam`` their sum (on a ring of H sites ``lam = 2 - 2 cos(2
pi n / H)``):

| propagator | a step multiplies a mode by |
| --- | --- |
| ``Box`` | ``k prod_a (1 - lam_a / 3)`` |
| ``Explicit`` | ``1 - dt (kappa + D lam)`` |
| ``Implicit`` | ``1 / (1 + dt (kappa + D lam))`` |
| ``Exponential`` | ``exp(-dt (kappa + D lam))`` |

A constant release settles at ``1 / (1 - multiplier)`` times itself; ``Quasistatic`` has no steps and settles at once at
``1 / (kappa + D lam)``.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from tca.signals.diffusion.fields.spaces import Grid, Space, kronecker_product
from tca.utils.checks import Fraction, checked

__all__ = ["Box", "Propagator", "Stepping"]


@dataclass(frozen=True)
class Propagator(abc.ABC):
    """The spread and decay of a concentration."""

    @property
    @abc.abstractmethod
    def spreads(self) -> bool:
        """Whether the concentration spreads to other sites."""

    @property
    @abc.abstractmethod
    def mass(self) -> float:
        """Stationary mass of a unit release without rim losses; may be infinite."""

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The equation of a field C with a release s."""

    @abc.abstractmethod
    def settled(self, eigenvalues: Sequence[Tensor]) -> Tensor:
        """Return the stationary gain of a constant release for every mode.

        Args:
            eigenvalues: Eigenvalues of ``-Lap``, one tensor per axis; the result has one axis for each.
        """

    def check(self, space: Space) -> None:  # noqa: B027 - most propagators live in every space
        """Refuse a space in which the propagator is undefined or unsafe.

        Raises:
            ValueError: The propagator does not fit the space.
        """


@dataclass(frozen=True)
class Stepping(Propagator):
    """A propagator in time steps, with memory."""

    @property
    @abc.abstractmethod
    def kept(self) -> float:
        """Fraction of the mass that remains after a step without rim losses."""

    @property
    def mass(self) -> float:
        """``1 / (1 - kept)``."""
        return 1 / (1 - self.kept) if self.kept < 1 else math.inf

    @abc.abstractmethod
    def multiplier(self, eigenvalues: Sequence[Tensor]) -> Tensor:
        """Return the factor of a step for each mode.

        Args:
            eigenvalues: Eigenvalues of ``-Lap``, one tensor per axis; the result has one axis for each.
        """

    @abc.abstractmethod
    def matrix(self, space: Space) -> Tensor:
        """Return a step as a dense matrix, ``(S, S)``, float64, without modes."""

    def settled(self, eigenvalues: Sequence[Tensor]) -> Tensor:
        """Return ``1 / (1 - multiplier)``."""
        return 1 / (1 - self.multiplier(eigenvalues))


@checked
@dataclass(frozen=True)
class Box(Stepping):
    """``C_t = k Box[C_{t-1}]``: the mean over the 3 sites of a line, 9 of a square or 27 of a cube, times k.

    The coefficient of diffusion is 1/3 site^2 per step, the length ``sqrt(k / (3 (1 - k)))`` sites: one site at 3/4,
    the published value for steps of 1 ms. The decay factor depends on the step: ``k(dt) = exp(-kappa dt)``.

    Args:
        k: Decay factor per step, default 0.75, in [0, 1]; with 0 the field neither spreads nor has memory.

    Raises:
        ValueError: ``k`` is out of range; above one the field would diverge.

    Paper: Barretto-Bittar et al. (2026), arXiv:2603.08949.

    >>> Box(k=0.75).mass
    4.0
    """

    k: Fraction = 0.75

    @property
    def spreads(self) -> bool:
        return self.k > 0

    @property
    def kept(self) -> float:
        return self.k

    @property
    def equation(self) -> str:
        return f"C_t = {self.k:g} Box[C_t-1] + s_t"

    def multiplier(self, eigenvalues: Sequence[Tensor]) -> Tensor:
        """Return ``k prod_a (1 - lam_a / 3)``."""
        return self.k * reduce(_outer_product, [1 - each / 3 for each in eigenvalues])

    def matrix(self, space: Space) -> Tensor:
        """Return ``k`` times the Kronecker product of the three-site means."""
        boxes = [torch.eye(len(each), dtype=each.dtype, device="cpu") + each / 3 for each in space.laplacians()]
        return self.k * kronecker_product(boxes)

    def check(self, space: Space) -> None:
        """Refuse a space without axes."""
        if not isinstance(space, Grid):
            raise ValueError(
                f"Box needs a Grid, got {type(space).__name__}; Explicit, Implicit or Exponential fit every space"
            )


def _outer_product(one: Tensor, other: Tensor) -> Tensor:
    return one.unsqueeze(-1) * other
