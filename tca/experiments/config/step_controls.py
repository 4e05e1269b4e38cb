"""Controls of the optimizer's step, as values: matched step sizes and sharpness-aware minimisation."""

from __future__ import annotations

from dataclasses import dataclass

from tca.rules import RULES
from tca.utils.checks import Positive, checked
from tca.utils.names import lookup

__all__ = ["SAM", "MatchedStepSize"]


@checked
@dataclass(frozen=True)
class MatchedStepSize:
    """Steps of the recurrent population multiplied, or divided, by a rule's ``rho = <gh, g> / |g|^2``.

    ``g`` is the true gradient of all parameters of the recurrent population and ``gh`` the rule's, on the same batch
    without private noise. BPTT times the rho of another rule moves as far along the gradient as that rule; a rule
    divided by its own rho as far as BPTT. Inner product and square are averaged over updates before the division. The
    step of any optimizer is scaled, that of the readout is not. Both gradients are taken on a copy in the state before
    the update; another rule advances its own state with every batch, as if it trained.

    Args:
        rule: Name of the rule in ``tca.RULES``; ``None`` (default) for the rule that trains.
        invert: Divide by rho instead, default no.
        smoothing: Weight of the past in the averages, default 0.9; 0 for no averaging.
        most: Largest factor, default 20, a bound where rho is near zero. A negative rho counts as zero.

    Raises:
        ValueError: The rule is unknown or a number is out of range.

    Paper: Liu, Ghosh, Richards, Shea-Brown and Lajoie (2022), arXiv:2206.00823, for the role of the step's length.
    """

    rule: str | None = None
    invert: bool = False
    smoothing: float = 0.9
    most: Positive = 20.0

    def __post_init__(self) -> None:
        """Check name and numbers."""
        if self.rule is not None:
            lookup(RULES, self.rule, "rule")
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), got {self.smoothing!r}")

    def factor(self, inner: float, square: float) -> float:
        """Return the factor of a step.

        Args:
            inner: ``<gh, g>``.
            square: ``|g|^2``.

        >>> scaled = MatchedStepSize()
        >>> scaled.factor(0.5, 2.0), MatchedStepSize(invert=True).factor(0.5, 2.0), scaled.factor(-1.0, 2.0)
        (0.25, 4.0, 0.0)
        """
        above, below = (square, max(inner, 0.0)) if self.invert else (max(inner, 0.0), square)
        return min(self.most, above / below) if below > 0 else (self.most if above > 0 else 1.0)


@checked
@dataclass(frozen=True)
class SAM:
    """Sharpness-aware minimisation: gradients at ``theta + radius gh / |gh|`` instead of ``theta``.

    ``gh`` is the rule's own gradient of the recurrent population; the readout is not displaced.

    Args:
        radius: Length of the ascent step, default 0.05.

    Raises:
        ValueError: The radius is not positive.

    Paper: Foret, Kleiner, Mobahi and Neyshabur (2021), Sharpness-aware minimization for efficiently improving
    generalization, ICLR.
    """

    radius: Positive = 0.05
