"""A field: a space, a propagator and a gain.

Shapes: S sites.

    C_t = Prop[C_{t-1}] + g s_t

The field spreads, then takes up the release, then is read: a new release is not attenuated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.signals.diffusion.fields.laplacian_modes import Modes
from tca.signals.diffusion.fields.propagators import Propagator, Stepping
from tca.signals.diffusion.fields.solvers import FieldRun, cheapest, modes_of
from tca.signals.diffusion.fields.spaces import Space
from tca.utils.checks import checked
from tca.utils.names import lookup

__all__ = ["GAINS", "Field"]

GAINS: dict[str, Callable[[float], float]] = {"raw": lambda mass: 1.0, "unit": lambda mass: 1 / mass}


@checked
@dataclass(frozen=True)
class Field:
    """A concentration on a space.

    Args:
        space: The space.
        propagator: The propagator.
        gain: ``"unit"`` (default): a constant release of one settles at a mass of one, so that diffusion alone only
            averages the release; or ``"raw"``: a release is not scaled.

    Raises:
        ValueError: The propagator does not fit the space, the gain is unknown, or is ``"unit"`` for a field that does
            not decay.

    >>> from tca.signals.diffusion.fields.propagators import Box
    >>> from tca.signals.diffusion.fields.spaces import Grid
    >>> Field(Grid((3,)), Box(k=0.75), gain="raw").kernel()[0].tolist()
    [0.25, 0.25, 0.25]
    """

    space: Space
    propagator: Propagator
    gain: str = "unit"

    def __post_init__(self) -> None:
        lookup(GAINS, self.gain, "gain")
        self.propagator.check(self.space)
        if self.gain == "unit" and math.isinf(self.propagator.mass):
            raise ValueError("gain 'unit' needs a field that decays; use gain='raw' or let the field decay")

    @property
    def uptake(self) -> float:
        """The factor g of a release."""
        return GAINS[self.gain](self.propagator.mass)

    def kernel(self) -> Tensor:
        """Return a step as a dense matrix, ``(S, S)``, float64, without modes.

        Raises:
            ValueError: The field has no steps.
        """
        return self.stepping().matrix(self.space)

    def stationary(self) -> Tensor:
        """Return the stationary field's kernel, shape ``(S, S)``, float64."""
        return self.settle(torch.eye(self.space.sites, dtype=torch.float64, device="cpu"))

    @checked
    def settle(self, release: Tensor) -> Tensor:
        """Return the stationary field of a constant release.

        Args:
            release: Release at every site, shape ``(..., S)``.

        Raises:
            ValueError: The field does not decay, so that it never settles.
        """
        mass = self.propagator.mass
        if math.isinf(mass):
            raise ValueError("a field that does not decay never settles")
        if not self.propagator.spreads:
            return release * (1.0 if self.gain == "unit" else mass)
        modes: Modes = modes_of(self.space, release)
        factors = modes.numbers(self.uptake * self.propagator.settled(modes.eigenvalues))
        return modes.back(modes.to(release) * factors)

    @checked
    def run(self, like: Tensor, at_sites: bool = False) -> FieldRun:
        """Return the cheapest solver of the field in time.

        Args:
            like: A tensor with the type and device of the releases.
            at_sites: Whether every step must leave the concentrations at the sites, default ``False``.

        Raises:
            ValueError: The field has no steps.
        """
        return cheapest(self.space, self.stepping(), like, at_sites)

    def stepping(self) -> Stepping:
        """Return the propagator if it goes in steps.

        Raises:
            ValueError: The field has no steps.
        """
        if not isinstance(self.propagator, Stepping):
            raise ValueError(f"{type(self.propagator).__name__} has no steps of time, only a settled field")
        return self.propagator
