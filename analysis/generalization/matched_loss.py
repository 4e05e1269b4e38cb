"""Runs at matched training loss: each is measured where its training loss crosses a given one, to within 1 %.

Curvature of the cross-entropy falls with the loss, so runs that have been trained for equally long differ in curvature
for that reason alone. Runs that never reached the loss are missing values, and are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.statistics.intervals import Estimate, mean
from tca.experiments.records.result import Result, Snapshot
from tca.utils.tables import Tabular

__all__ = ["Matched", "at_loss", "matched"]


@dataclass(frozen=True)
class Matched(Tabular):
    """Measurements of several runs at one training loss.

    Attributes:
        loss: The training loss.
        rows: Numbers by name for every seed, ``None`` where the run never reached the loss.
    """

    loss: float
    rows: Mapping[int, Mapping[str, float] | None]

    def _columns(self) -> dict[str, Any]:
        """Return a row for each seed, NaN where the run never reached the loss."""
        names = dict.fromkeys(name for row in self.rows.values() for name in row or ())
        return {"seed": list(self.rows), **{name: list(self.column(name).values()) for name in names}}

    @property
    def asked(self) -> int:
        """Number of runs."""
        return len(self.rows)

    @property
    def reached(self) -> int:
        """Number of runs that reached the loss."""
        return sum(row is not None for row in self.rows.values())

    def column(self, name: str) -> dict[int, float]:
        """Return a number of every run by seed, NaN where there is none."""
        return {seed: math.nan if row is None else row.get(name, math.nan) for seed, row in self.rows.items()}

    def estimate(self, name: str) -> Estimate:
        """Return the mean of a number over the runs that reached the loss, with its interval."""
        return mean(list(self.column(name).values()))


def at_loss(result: Result, loss: float) -> Snapshot | None:
    """Return network and learner where the training loss crossed a loss, ``None`` if it never did.

    Args:
        loss: One of ``result.run.snapshot_losses``.

    Raises:
        ValueError: The run was not asked to keep anything at that loss.
    """
    if loss not in result.run.snapshot_losses:
        raise ValueError(f"loss must be one of snapshot_losses, {result.run.snapshot_losses}, got {loss!r}")
    return next((each for each in result.crossings if each.loss == loss), None)


def matched(results: Iterable[Result], loss: float, measure: Callable[[Snapshot], Mapping[str, float]]) -> Matched:
    """Return a measure of several runs, one a seed, at one training loss.

    Args:
        results: The trained networks; they differ in the seed of their weights.
        loss: One of the losses at which they were kept.

    Raises:
        ValueError: Two runs have the same seed, or a run was not asked to keep anything at that loss.

    >>> from tca import NetworkConfig, Optimizer, Run, train
    >>> run = Run("delayed_xor", net=NetworkConfig(size=8), steps=20, n_train=40, n_test=8,
    ...           optimizer=Optimizer(lr=0.02), snapshot_losses=(0.6, 0.0))
    >>> results = [train(run, progress=False)]
    >>> easy, never = (matched(results, loss, lambda each: {"loss": each.metrics.train_loss}) for loss in (0.6, 0.0))
    >>> abs(easy.rows[0]["loss"] - 0.6) < 0.012, never.rows, str(never.estimate("loss"))
    (True, {0: None}, '- [-, -] (0/1)')
    """
    rows: dict[int, Mapping[str, float] | None] = {}
    for result in results:
        seed = result.run.seeds.net
        if seed in rows:
            raise ValueError(f"results must have different seeds of the weights, got {seed} twice")
        crossing = at_loss(result, loss)
        rows[seed] = None if crossing is None else dict(measure(crossing))
    return Matched(loss, rows)
