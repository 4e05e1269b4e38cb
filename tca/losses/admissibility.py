"""Whether the score of a loss has zero conditional mean where the loss is smallest, and why or why not."""

from __future__ import annotations

from dataclasses import dataclass

from tca.utils.checks import checked

__all__ = ["UNKNOWN", "Admissibility"]


@checked
@dataclass(frozen=True)
class Admissibility:
    """Whether ``E[score | x] = 0`` at the outputs ``z(x)`` that minimise ``E[loss | x]`` without constraint.

    Where it holds, the score is orthogonal to every function of the input, ``E[g(x) score^T] = 0``, at the best
    possible predictor. Decorrelating activity and score (error broadcast and decorrelation for the squared error,
    score broadcast and decorrelation for other losses) rests on that and on nothing else.

    Erdogan et al. (2025), Error broadcast and decorrelation as a potential artificial and natural learning mechanism,
    arXiv:2504.11558, for the squared error.

    Args:
        holds: Whether it does.
        reason: Why, or why not, in a clause.

    >>> bool(Admissibility(False, "it has a kink there"))
    False
    """

    holds: bool
    reason: str

    def __bool__(self) -> bool:
        """Return whether it holds."""
        return self.holds

    def require(self, of: object) -> None:
        """Raise unless it holds.

        Args:
            of: The loss, or what makes its score longer, for the message.

        Raises:
            ValueError: It does not; the message has the reason.
        """
        if not self:
            raise ValueError(f"{of!r} cannot be used where activity and score are decorrelated: {self.reason}")


UNKNOWN = Admissibility(False, "it does not say whether its score has zero mean at its minimiser")
