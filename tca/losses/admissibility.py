"""Whether the output error of a loss has zero conditional mean at the minimum, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from tca.utils.checks import checked

__all__ = ["UNKNOWN", "Admissibility"]


@checked
@dataclass(frozen=True)
class Admissibility:
    """Whether ``E[score | x] = 0`` at the outputs ``z(x)`` that minimise ``E[loss | x]`` without constraint.

    If so, the score is orthogonal to every function of the input at the best predictor, ``E[g(x) score^T] = 0``. This
    is the only condition for decorrelating activity and score (error broadcast and decorrelation for the squared error,
    score broadcast and decorrelation for other losses).

    Erdogan et al. (2025), Error broadcast and decorrelation as a potential artificial and natural learning mechanism,
    arXiv:2504.11558, for the squared error.

    Args:
        holds: Whether the condition holds.
        reason: Reason, as a clause.

    >>> bool(Admissibility(False, "it has a kink there"))
    False
    """

    holds: bool
    reason: str

    def __bool__(self) -> bool:
        return self.holds

    def require(self, of: object) -> None:
        """Check that the condition holds.

        Args:
            of: Loss or expansion, for the message.

        Raises:
            ValueError: It does not hold; the message gives the reason.
        """
        if not self:
            raise ValueError(f"{of!r} cannot be used where activity and score are decorrelated: {self.reason}")


UNKNOWN = Admissibility(False, "its admissibility is not declared: whether its score has zero mean at the minimum")
