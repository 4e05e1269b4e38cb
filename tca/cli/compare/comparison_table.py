"""The table of a comparison: a row per task and rule, mean and standard deviation over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tca.cli.compare.measurements import RunMeasurements
from tca.cli.text_table import TextTable
from tca.experiments.config.recipes import in_words
from tca.experiments.config.run import Run
from tca.experiments.records.result import DIVERGED
from tca.nets import Network
from tca.signals.cell_type_check import by_type, typeless

__all__ = ["tabulate"]


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Args:
        heading: Heading.
        meaning: Description in a sentence.
        of: Function from the measurements of a run to the number.
        digits: Decimal digits; ``None`` for two significant digits.
    """

    heading: str
    meaning: str
    of: Callable[[RunMeasurements], float]
    digits: int | None = None


COLUMNS = (
    Column("test score", "Accuracy at the decision steps of the test set, or R2 for tasks with real targets.",
           lambda one: one.test_accuracy, 3),
    Column("noisy score", "The same with noise on the inputs.", lambda one: one.noisy_accuracy, 3),
    Column("score gap", "Training minus test score.", lambda one: one.accuracy_gap, 3),
    Column("noisy gap", "Training minus noisy score.",
           lambda one: one.accuracy_gap + one.test_accuracy - one.noisy_accuracy, 3),
    Column("train loss", "Loss over the training set.", lambda one: one.train_loss),
    Column("loss gap", "Test minus training loss.", lambda one: one.loss_gap),
    Column("largest eig.", "Largest eigenvalue of the Hessian of the training loss in the recurrent weights.",
           lambda one: one.largest),
    Column("smallest eig.", "Smallest (most negative) eigenvalue of the same Hessian.", lambda one: one.smallest),
    Column("trace", "Trace of the same Hessian, estimated.", lambda one: one.trace),
    Column("cosine", "Cosine between the rule's gradient and that of BPTT on the same weights and trials, recurrent "
           "population, mean over training.", lambda one: one.cosine, 3),
    Column("ms/update", "Time of one update: forward pass, rule and optimizer together.",
           lambda one: one.milliseconds, 2),
)  # fmt: skip


def tabulate(measured: Sequence[RunMeasurements]) -> TextTable:
    """Return the table of measured runs.

    Args:
        measured: Measurements of the runs, in the order of tasks and rules in the table.
    """
    groups: dict[tuple[str, str], list[RunMeasurements]] = {}
    for one in measured:
        groups.setdefault((one.run.task, str(one.run.rule)), []).append(one)
    used = [column for column in COLUMNS if any(math.isfinite(column.of(one)) for one in measured)]
    rows = tuple(
        (task, rule, members[0].run.net.form, _endings(members), *(_cell(column, members) for column in used))
        for (task, rule), members in groups.items()
    )
    head = ("task", "rule", "form", "runs", *(column.heading for column in used))
    return TextTable(head, rows, tuple(_notes(measured)), {column.heading: column.meaning for column in used})


def _endings(members: Sequence[RunMeasurements]) -> str:
    diverged = sum(one.outcome == DIVERGED for one in members)
    return f"{len(members)}, {diverged} diverged" if diverged else str(len(members))


def _cell(column: Column, members: Sequence[RunMeasurements]) -> str:
    values = [value for one in members if math.isfinite(value := column.of(one))]
    if not values:
        return "-"
    mean, spread = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan
    digits = _digits(mean) if column.digits is None else column.digits
    mean = round(mean, digits) + 0.0  # turns -0 into 0
    return f"{mean:.{digits}f}" + (f" ±{spread:.{digits}f}" if math.isfinite(spread) else "")


def _digits(mean: float) -> int:
    """Return the decimal digits for two significant digits, at most four."""
    return min(4, max(0, 1 - math.floor(math.log10(abs(mean))))) if mean else 3


def _typeless(measured: Sequence[RunMeasurements]) -> list[str]:
    """Return the rules by cell type whose initial networks have uninformative types."""
    found: dict[str, Run] = {}
    for one in measured:
        if by_type(one.run.the_rule):
            found.setdefault(str(one.run.rule), one.run)
    return [name for name, run in found.items() if typeless(_begun(run).typed_weights())]


def _begun(run: Run) -> Network:
    """Return the initial network of a run."""
    task = run.make_task()
    net: Network = run.net.build(task.n_in, task.n_out, dt=task.dt, seed=run.seeds.net)
    return net


def _notes(measured: Sequence[RunMeasurements]) -> Iterator[str]:
    yield (
        "Mean ± standard deviation over seeds. For a given seed all rules have the same initial weights and the same "
        "trials in the same order."
    )
    papers = {f"{one.run.rule} ({one.run.the_rule.reference})": None for one in measured if one.run.the_rule.form}
    if len({one.run.net.form for one in measured}) > 1:
        yield (
            f"Form A: the leak acts on the potential; form B: on the rate, as in the paper of {'; '.join(papers)}. The "
            "two are different models with the same sizes, time constants, initial weights and data."
        )
    optimizers = {str(one.run.rule): in_words(one.run.optimizer) for one in measured}
    if len(set(optimizers.values())) > 1:
        yield f"Optimizers: {'; '.join(f'{rule}: {words}' for rule, words in optimizers.items())}."
    if rules := _typeless(measured):
        yield (
            f"{', '.join(rules)}: by cell type, and the mean weights of the network's types are zero up to chance, so "
            "the rule equals e-prop to within 2 %. Types of different sign, such as "
            "--net.cell_types [0.8,0.2] --net.dale [1,-1], separate the rules and then apply to all rows."
        )
    for one in measured:
        if one.outcome == DIVERGED:
            yield f"Diverged: {one.run.rule} on {one.run.task}, seed {one.run.seeds.net}: {one.reason}."
    if any(one.run.stop_loss is None for one in measured):
        yield "Curvature depends on the training loss: use stop_loss to compare rules at equal loss."
