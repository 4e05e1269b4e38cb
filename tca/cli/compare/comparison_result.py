"""The result of a comparison: runs with their measurements, entries left out, tuned rates and common losses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tca.cli.compare.combinations import LeftOut
from tca.cli.compare.common_loss import CommonLoss
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.learning_rates import TriedRate
from tca.cli.compare.measurements import RunMeasurements
from tca.experiments.config.run_name import name_of
from tca.experiments.records.files import RecordError, explained
from tca.experiments.records.sealed_json import read_json, sealed, unsealed, write_json
from tca.utils.text import in_a_line

__all__ = ["OUTCOMES_FILE", "RUNS", "ComparisonResult", "Outcomes"]

OUTCOMES_FILE = "outcomes.json"
RUNS = "runs"  # folder of the records
Key = tuple[str, str]  # task and entry


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of a comparison beside the records of its runs.

    Args:
        left_out: Entries that do not fit a task.
        rates: Learning rates tried, by task and entry.
        losses: Common losses, by task and loss function.
        failed: Outcome and reason of runs without a finished record, by name of the run.
    """

    left_out: Sequence[LeftOut] = ()
    rates: Mapping[Key, Sequence[TriedRate]] = field(default_factory=dict)
    losses: Mapping[Key, CommonLoss] = field(default_factory=dict)
    failed: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def chosen(self) -> dict[Key, float]:
        """The best rate by task and entry; none where all trainings failed."""
        best = {key: max(rates, key=lambda each: each.merit) for key, rates in self.rates.items()}
        return {key: each.lr for key, each in best.items() if math.isfinite(each.score)}

    def save(self, comparison: Comparison, folder: Path) -> None:
        """Write the outcomes into the folder of the comparison.

        Raises:
            RecordError: The folder cannot be written.
        """
        values: dict[str, Any] = {
            "left_out": [dataclasses.asdict(each) for each in self.left_out],
            "rates": [[*key, [_nulled(dataclasses.asdict(each)) for each in its]] for key, its in self.rates.items()],
            "losses": [_nulled(dataclasses.asdict(each)) for each in self.losses.values()],
            "failed": {name: list(each) for name, each in self.failed.items()},
        }
        with explained(folder):
            write_json(folder / OUTCOMES_FILE, sealed(name_of(comparison.to_json()), values))

    @classmethod
    def read(cls, comparison: Comparison, folder: Path) -> Outcomes:
        """Read the outcomes from the folder of the comparison.

        Raises:
            RecordError: There are none of this comparison, or the file is damaged.
        """
        path = folder / OUTCOMES_FILE
        try:
            values = unsealed(read_json(path), name_of(comparison.to_json()))
            losses = [CommonLoss(**_numbers(each)) for each in values["losses"]]
            return cls(
                [LeftOut(**each) for each in values["left_out"]],
                {(task, entry): [TriedRate(**_numbers(each)) for each in its] for task, entry, its in values["rates"]},
                {(each.task, each.loss): each for each in losses},
                {str(name): (str(outcome), str(reason)) for name, (outcome, reason) in values["failed"].items()},
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RecordError(f"{in_a_line(path)} cannot be used, repeat tca compare: {in_a_line(error)}") from error


@dataclass(frozen=True)
class ComparisonResult:
    """A comparison with its measured runs.

    Args:
        comparison: The comparison.
        measured: All runs in the order of ``comparison.runs``, failed ones included.
        outcomes: Its outcomes beside them.
    """

    comparison: Comparison
    measured: Sequence[RunMeasurements]
    outcomes: Outcomes = field(default_factory=Outcomes)

    @property
    def failures(self) -> list[RunMeasurements]:
        """Runs without a finished record."""
        return [one for one in self.measured if not one.ended]


def _nulled(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(each, float) and math.isnan(each) else each for name, each in values.items()}


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with NaN for null, and lists as tuples."""
    return {name: math.nan if each is None else _tuple(each) for name, each in values.items()}
