"""Learning-rate schedules as values: factors on the learning rate by the number of the update.

They are closed forms of schedulers of `torch.optim.lr_scheduler` (MultiStepLR, StepLR, LinearLR and CosineAnnealingLR)
without state, so that a resumed run has the rate of the interrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tca.utils.checks import Count, NotNegative, Positive, Whole, checked, choice, not_negative, quick_counts, settle
from tca.utils.names import Table, lookup

__all__ = ["SCHEDULES", "Cosine", "ExponentialDecay", "Piecewise", "Schedule", "schedule_of"]


@checked
@dataclass(frozen=True)
class Piecewise:
    """Piecewise constant factors.

    Args:
        factors: Factors in turn, default 3 and then 1, a large initial learning rate.
        until: End of each factor but the last, as rising fractions of all updates, default 0.1.
        kind: Name in a record.

    Raises:
        ValueError: A factor is negative, or the ends do not rise between 0 and 1 or are not one less than the factors.

    >>> [Piecewise((3.0, 1.0), (0.1,)).at(step, 20) for step in (0, 1, 2, 19)]
    [3.0, 3.0, 1.0, 1.0]
    """

    factors: tuple[float, ...] = (3.0, 1.0)
    until: tuple[float, ...] = (0.1,)
    kind: Literal["piecewise"] = "piecewise"

    def __post_init__(self) -> None:
        """Check the numbers."""
        factors, until = choice("factors", self.factors), choice("until", self.until, 0)
        settle(self, factors=tuple(not_negative("factors", each) for each in factors), until=until)
        if len(until) != len(factors) - 1:
            raise ValueError(f"until must hold one end less than there are factors, got {until} for {factors}")
        if any(not 0 < end < 1 for end in until) or list(until) != sorted(set(until)):
            raise ValueError(f"until must hold rising fractions between 0 and 1, got {until}")

    def at(self, step: Whole, steps: Count) -> float:
        """Return the factor of an update.

        Args:
            step: Number of the update, from 0.
            steps: Number of all updates.
        """
        _check_update(step, steps)
        return self.factors[sum(step >= end * steps for end in self.until)]


@checked
@dataclass(frozen=True)
class ExponentialDecay:
    """``factor^floor(step / every)``: exponential decay in steps.

    Args:
        factor: Factor of a change, default 0.8.
        every: Updates between two changes, default 1000.
        kind: Name in a record.

    Raises:
        ValueError: A number is out of range.

    >>> [ExponentialDecay(0.5, every=10).at(step, 100) for step in (0, 9, 10, 25)]
    [1.0, 1.0, 0.5, 0.25]
    """

    factor: Positive = 0.8
    every: Count = 1000
    kind: Literal["exponential"] = "exponential"

    def at(self, step: Whole, steps: Count) -> float:
        """Return the factor of an update; see `Piecewise.at`."""
        _check_update(step, steps)
        return self.factor ** (step // self.every)


@checked
@dataclass(frozen=True)
class Cosine:
    """Linear warmup to 1, then cosine annealing.

    Args:
        warmup: Fraction of all updates for the warmup, default 0.
        last: Factor at the end, default 0.
        kind: Name in a record.

    Raises:
        ValueError: A number is out of range.

    Paper: Loshchilov and Hutter (2017), SGDR: stochastic gradient descent with warm restarts, ICLR.

    >>> [round(Cosine(warmup=0.5).at(step, 4), 12) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """

    warmup: NotNegative = 0.0
    last: NotNegative = 0.0
    kind: Literal["cosine"] = "cosine"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.warmup >= 1:
            raise ValueError(f"warmup must be a fraction below 1, got {self.warmup}")

    def at(self, step: Whole, steps: Count) -> float:
        """Return the factor of an update; see `Piecewise.at`."""
        _check_update(step, steps)
        rise = self.warmup * steps
        if step < rise:
            return (step + 1) / math.ceil(rise)
        return self.last + (1 - self.last) * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2


def _check_update(step: object, steps: object) -> None:
    quick_counts(0, step=step)
    quick_counts(steps=steps)


Schedule = Piecewise | ExponentialDecay | Cosine
SCHEDULES: dict[str, type[Schedule]] = Table(
    "schedule", {"piecewise": Piecewise, "exponential": ExponentialDecay, "cosine": Cosine}
)


@checked
def schedule_of(values: Mapping[str, Any]) -> Schedule:
    """Return the schedule of a record.

    Args:
        values: Its values with its ``kind``.

    Raises:
        ValueError: The kind is unknown.
        TypeError: A value is unknown.

    >>> schedule_of({"kind": "cosine", "last": 0.1})
    Cosine(warmup=0.0, last=0.1, kind='cosine')
    """
    return lookup(SCHEDULES, values.get("kind", ""), "schedule")(**values)
