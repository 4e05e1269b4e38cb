"""What may be changed about the step of an optimizer, as values: its length along the gradient, and where it is taken.

They are controls for rules whose gradient is shorter than the true one, and remedies for what such rules find.
"""

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

    ``g`` is the true gradient of all parameters of the recurrent population and ``gh`` the rule's, both on the batch
    and without private noise. BPTT with the rho of another rule goes as far along the gradient as that rule would; a
    rule divided by its own rho goes as far as BPTT would. Inner product and square are averaged over updates before
    they are divided. The step that the optimizer has made is scaled, whatever the optimizer; the readout's is not. Both
    gradients are taken on a copy, in the state in which the update finds network and rule; another rule takes in every
    batch once, as if it were the one that trained.

    Args:
        rule: Name of the rule in ``tca.RULES``; ``None`` (default) for the rule that trains.
        invert: Divide by rho instead, default no.
        smoothing: Weight of the past in the averages, default 0.9; 0 takes each batch by itself.
        most: Largest factor, default 20, which bounds the step where rho is near zero. A negative rho counts as zero.

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
    """Gradients taken uphill: at ``theta + radius gh / |gh|`` instead of ``theta``, so that flat places are preferred.

    ``gh`` is the rule's own gradient of the recurrent population, so no other signal is needed than the rule has; the
    readout stays where it is. Sharpness-aware minimisation, if the rule is BPTT.

    Args:
        radius: Length of the step uphill, default 0.05.

    Raises:
        ValueError: The radius is not positive.

    Paper: Foret, Kleiner, Mobahi and Neyshabur (2021), Sharpness-aware minimization for efficiently improving
    generalization, ICLR.
    """

    radius: Positive = 0.05
