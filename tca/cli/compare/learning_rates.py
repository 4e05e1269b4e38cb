"""The search of learning rates: as many trainings for every entry, on held-out training trials.

The last fifth of the training trials of seed 0 are held out. The search tries the entry's own rate, then its neighbours
half a decade away; it goes on past the best rate while that is the largest or smallest tried, and halves the wider gap
beside it otherwise. The best rate has the highest score on held-out trials at the end of training, with equal scores
the lower loss. Test trials are not looked at.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tca.experiments.config.run import Run
from tca.experiments.records.result import DIVERGED
from tca.experiments.sweep.swept_run import Swept

__all__ = ["Search", "TriedRate", "next_exponent"]

STEP = 10**0.5  # factor on the rate of an exponent of 1
HELD_OUT = 5  # one trial of so many is held out


@dataclass(frozen=True)
class TriedRate:
    """A learning rate and how well it trained.

    Args:
        lr: The learning rate.
        outcome: Outcome of the training, see `tca.experiments.sweep.swept_run.Swept`.
        score: Score on the held-out trials at the end, NaN after divergence or failure.
        loss: Loss on these.
    """

    lr: float
    outcome: str
    score: float
    loss: float

    @classmethod
    def of(cls, swept: Swept) -> TriedRate:
        """Return the rate of a training.

        Args:
            swept: Its outcome.
        """
        last = None if swept.outcome == DIVERGED else swept.last
        score, loss = (math.nan, math.nan) if last is None else (last.test_accuracy, last.test_loss)
        return cls(swept.run.optimizer.lr, swept.outcome, score, loss)

    @property
    def merit(self) -> tuple[float, float]:
        """Score, then negative loss, for comparisons; lowest if training failed."""
        return (self.score if math.isfinite(self.score) else -math.inf,
                -self.loss if math.isfinite(self.loss) else -math.inf)  # fmt: skip


class Search:
    """The search for the learning rate of an entry on a task.

    Args:
        run: Run of the entry with its own rate, seed 0.
        budget: Number of rates to try, at least 1.

    Raises:
        ValueError: There are too few training trials to hold any out.

    Attributes:
        tried: Rates tried so far by exponent: the rate is ``lr * 10 ** (exponent / 2)``.
    """

    def __init__(self, run: Run, budget: int) -> None:
        """Start with no rates."""
        self.base = dataclasses.replace(run, held_out=max(1, run.n_train // HELD_OUT))
        self.budget = budget
        self.tried: dict[float, TriedRate] = {}

    @property
    def done(self) -> bool:
        """Whether the budget is spent."""
        return len(self.tried) == self.budget

    def next_run(self) -> Run:
        """Return the run with the next rate."""
        rate = float(f"{self.base.optimizer.lr * STEP ** self._exponent():.3g}")
        return dataclasses.replace(self.base, optimizer=dataclasses.replace(self.base.optimizer, lr=rate))

    def add(self, swept: Swept) -> None:
        """Add the outcome of the last `next_run`.

        Args:
            swept: The outcome.
        """
        self.tried[self._exponent()] = TriedRate.of(swept)

    def _exponent(self) -> float:
        return next_exponent({exponent: each.merit for exponent, each in self.tried.items()})

    @property
    def rates(self) -> Sequence[TriedRate]:
        """The rates tried so far, lowest first."""
        return [self.tried[exponent] for exponent in sorted(self.tried)]


def next_exponent(merits: Mapping[float, tuple[float, float]]) -> float:
    """Return the next exponent to try.

    Args:
        merits: Merits of those tried.

    >>> merits = {}
    >>> for _ in range(6):  # the best is 1.5
    ...     exponent = next_exponent(merits)
    ...     merits[exponent] = (-abs(exponent - 1.5), 0.0)
    >>> list(merits)
    [0.0, 1.0, -1.0, 2.0, 1.5, 1.75]
    """
    for first in (0.0, 1.0, -1.0):
        if first not in merits:
            return first
    best = max(merits, key=lambda exponent: (merits[exponent], -abs(exponent)))
    above, below = (min((each for each in merits if each > best), default=math.inf),
                    max((each for each in merits if each < best), default=-math.inf))  # fmt: skip
    if math.isinf(above):
        return best + 1
    if math.isinf(below):
        return best - 1
    return (best + above) / 2 if above - best >= best - below else (best + below) / 2
