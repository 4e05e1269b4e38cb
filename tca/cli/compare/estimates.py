"""Estimates over the seeds of an entry, and differences to the reference entry, paired by seed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from analysis.statistics.intervals import Estimate, holm, mean, paired_difference, verdict
from tca.cli.compare.common_loss import loss_name
from tca.cli.compare.measurements import MATCHED, RunMeasurements
from tca.cli.compare.task_facts import task_facts

__all__ = [
    "COLUMNS",
    "COMPARED",
    "DIFFERENCES",
    "LOSS",
    "RESULTS",
    "Column",
    "Difference",
    "at_chance",
    "differences",
    "estimate",
    "grouped",
    "reference_of",
    "used",
]

RESULTS, LOSS, DIFFERENCES = ALL = ("results", "loss", "differences")
Groups = Mapping[tuple[str, str], Sequence[RunMeasurements]]


@dataclass(frozen=True)
class Column:
    """A measurement of runs.

    Args:
        name: Name in `RunMeasurements.values`.
        heading: Heading.
        meaning: Description in a sentence.
        digits: Decimal digits; ``None`` for two significant digits.
        alike: Function of a run that is equal where values may be compared; ``None`` for no comparison.
        tables: Tables that list it: results, at equal ``loss``, ``differences``; the CSV files hold every measurement.
    """

    name: str
    heading: str
    meaning: str
    digits: int | None = None
    alike: Callable[[RunMeasurements], object] | None = None
    tables: Collection[str] = ALL

    @property
    def matched(self) -> Column:
        """The same measurement at the common loss."""
        return dataclasses.replace(self, name=f"{MATCHED}{self.name}")


def _measure(one: RunMeasurements) -> object:
    return task_facts(one.run).measure


def _variable(one: RunMeasurements) -> object:
    return one.curve and (one.curve.variable, one.curve.response)


def _hessian(one: RunMeasurements) -> object:
    return loss_name(one), one.run.net.kind, one.parameters


COLUMNS = (
    Column("return", "return", "Mean return of the most probable actions in test episodes, the same for all entries of "
           "a seed.", 1, _measure),
    Column("episode_length", "steps", "Mean length of these episodes.", 1, _measure, (RESULTS,)),
    Column("acting_return", "while acting", "Mean return of the episodes of training since the measurement before.", 1,
           _measure),
    Column("test_accuracy", "test score", "Accuracy at the decision steps of the test set, or R2 for tasks with real "
           "targets.", 3, _measure),
    Column("noisy_accuracy", "noisy score", "The same with noise on the inputs.", 3, _measure),
    Column("accuracy_gap", "score gap", "Training minus test score.", 3, _measure),
    Column("noisy_accuracy_gap", "noisy gap", "Training minus noisy score.", 3, _measure),
    Column("train_loss", "train loss", "Loss over the training set.", None, loss_name, (RESULTS, LOSS)),
    Column("loss_gap", "loss gap", "Test minus training loss.", None, loss_name),
    Column("noisy_loss_gap", "noisy loss gap", "Loss of the noisy test minus training loss.", None, loss_name, ()),
    Column("largest", "largest eig.", "Largest eigenvalue of the Hessian of the training loss, in the recurrent "
           "weights of a recurrent network, in all parameters of another.", None, _hessian),
    Column("smallest", "smallest eig.", "Smallest (most negative) eigenvalue of the same Hessian.", None, _hessian,
           (RESULTS, LOSS)),
    Column("trace", "trace", "Trace of the same Hessian, estimated.", None, _hessian),
    Column("psychometric_slope", "slope", "Slope of the psychometric function, the choices by a graded variable of the "
           "trials; missing with fewer than 20 test trials or 3 levels, and where infinite.", None, _variable,
           (RESULTS,)),
    Column("psychometric_threshold", "threshold", "Its threshold.", None, _variable, ()),
    Column("cosine", "cosine", "Cosine between the rule's gradient and the true one at the same weights and trials, "
           "all hidden populations together, mean over training.", 3, None, (RESULTS,)),
    Column("milliseconds", "ms/update", "Time of one update: forward pass, rule and optimizer together.", 2, None,
           (RESULTS,)),
)  # fmt: skip
COMPARED = tuple(column for column in COLUMNS if column.alike is not None)


def at_chance(one: RunMeasurements) -> bool:
    """Return whether the test score of a run is hardly above the best constant answer.

    An accuracy is at chance up to two standard errors of as many trials as the test set has, another score up to a
    twentieth of the way from chance to 1.
    """
    facts, score = task_facts(one.run), one.value("test_accuracy")
    chance = facts.chance
    room = 2 * math.sqrt(chance * (1 - chance) / one.run.n_test) if facts.measure == "accuracy" else 0.05 * (1 - chance)
    return score <= chance + room  # false for NaN


def grouped(measured: Sequence[RunMeasurements]) -> dict[tuple[str, str], list[RunMeasurements]]:
    """Return the runs by task and entry."""
    groups: dict[tuple[str, str], list[RunMeasurements]] = {}
    for one in measured:
        groups.setdefault((one.run.task, one.entry), []).append(one)
    return groups


def used(columns: Sequence[Column], measured: Sequence[RunMeasurements], table: str | None = None) -> list[Column]:
    """Return the columns with a finite number.

    Args:
        columns: Columns to choose from.
        table: Table that lists them, ``None`` (default) for any.
    """
    columns = [column for column in columns if table is None or table in column.tables]
    return [column for column in columns if any(math.isfinite(one.value(column.name)) for one in measured)]


def estimate(members: Sequence[RunMeasurements], column: Column) -> Estimate:
    """Return the mean over seeds with Student's t interval; runs without the measurement count as missing."""
    return mean([one.value(column.name) for one in members])


@dataclass(frozen=True)
class Difference:
    """The difference of an entry from the reference of its task.

    Args:
        task: Name of the task.
        entry: Name of the entry.
        reference: Name of the reference.
        column: Measurement.
        estimate: Mean of the differences paired by seed, with its interval.
        p: Their p value corrected by Holm's method over all differences of this measurement; NaN if there is none.
    """

    task: str
    entry: str
    reference: str
    column: Column
    estimate: Estimate
    p: float

    @property
    def decided(self) -> bool:
        """Whether at least five pairs differ at a corrected p value below .05."""
        return verdict(self.estimate, self.p) != "undecided"


def reference_of(groups: Groups, task: str, asked: str | None) -> str:
    """Return the entry that the others of a task are compared with.

    Args:
        groups: Runs by task and entry.
        task: Name of the task.
        asked: Name of the reference of the comparison; where it has no run, and for ``None``, the first entry.
    """
    names = [entry for its, entry in groups if its == task]
    return asked if asked in names and asked is not None else names[0]


def differences(groups: Groups, asked: str | None, columns: Sequence[Column]) -> list[Difference]:
    """Return the differences of all entries from the references of their tasks.

    Measurements that mean another thing for two entries are not compared: losses of different functions, Hessians in
    different kinds of networks.

    Args:
        groups: Runs by task and entry.
        asked: Name of the reference; ``None`` for the first entry of each task.
        columns: Measurements.
    """
    found = []
    for column in columns:
        rows = []
        for (task, entry), members in groups.items():
            reference = reference_of(groups, task, asked)
            against = groups[task, reference]
            if entry != reference and _comparable(column, members, against):
                difference = paired_difference(_by_seed(members, column), _by_seed(against, column))
                rows.append((task, entry, reference, difference))
        corrected = holm([each.p for *_, each in rows])
        found += [Difference(*row[:3], column, row[3], p) for row, p in zip(rows, corrected, strict=True)]
    return found


def _by_seed(members: Sequence[RunMeasurements], column: Column) -> dict[int, float]:
    return {one.run.seeds.net: one.value(column.name) for one in members}


def _comparable(column: Column, first: Sequence[RunMeasurements], second: Sequence[RunMeasurements]) -> bool:
    if column.alike is None:
        return False
    return len({column.alike(one) for one in (*first, *second) if one.values}) == 1
