"""The tables of a comparison: results, results at equal loss, differences, entries, learning rates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from analysis.statistics.intervals import DECIDING, Estimate, mean
from tca.cli.compare.common_loss import CommonLoss
from tca.cli.compare.comparison_result import ComparisonResult
from tca.cli.compare.estimates import (
    COLUMNS,
    COMPARED,
    DIFFERENCES,
    LOSS,
    RESULTS,
    Column,
    Difference,
    at_chance,
    differences,
    estimate,
    grouped,
    reference_of,
    used,
)
from tca.cli.compare.learning_rates import TriedRate
from tca.cli.compare.measurements import RunMeasurements
from tca.cli.compare.task_facts import task_facts
from tca.cli.text_table import TextTable
from tca.experiments.config.recipes import in_words
from tca.experiments.config.run import Run
from tca.experiments.records.result import DIVERGED
from tca.nets import Network
from tca.signals.cell_type_check import by_type, typeless

__all__ = ["notes", "runs_table", "tables"]

LONG = 1e5  # numbers from here on are written with an exponent


def tables(result: ComparisonResult) -> list[TextTable]:
    """Return the tables with any row, the results first."""
    measured, outcomes = result.measured, result.outcomes
    found = [_results(measured)]
    matched = [column.matched for column in COLUMNS]
    if outcomes.losses:
        found.append(_at_equal_loss(result, matched))
    found += [_differences(result, COMPARED, "Differences"), _entries(result)]
    if outcomes.losses:
        found.insert(3, _differences(result, [each for each in matched if each.alike], "Differences at equal loss"))
    found += [_rates(result), _left_out(result), _troubles(measured), _unfitted(measured)]
    return [table for table in found if table.rows]


def _results(measured: Sequence[RunMeasurements]) -> TextTable:
    groups, columns = grouped(measured), used(COLUMNS, measured, RESULTS)
    rows = []
    for (task, entry), members in groups.items():
        chance = task_facts(members[0].run).chance
        cells = (_cell(estimate(members, each), each) for each in columns)
        rows.append((task, entry, _endings(members), "-" if math.isnan(chance) else f"{chance:.3f}", *cells))
    meanings = {
        "runs": "Number of seeds, how many did not complete, and how many are at chance: an accuracy within two "
        "standard errors of it, another score within a twentieth of the way to 1.",
        "chance": "Best score of a constant answer.",
    }
    return TextTable(
        ("task", "entry", "runs", "chance", *(each.heading for each in columns)),
        rows,
        meanings=meanings | {each.heading: each.meaning for each in columns},
        title="Results",
        shared=("chance",),
        marked={place: "at chance" for place, members in enumerate(groups.values()) if all(map(at_chance, members))},
    )


def runs_table(result: ComparisonResult) -> TextTable:
    """Return the table with a row a run, in the order of ``result.measured``."""
    columns = used(COLUMNS, result.measured, RESULTS)
    rows = [
        (one.run.task, one.entry, str(one.run.seeds.net), one.outcome, str(one.steps),
         *(_cell(mean([one.value(each.name)]), each) for each in columns))
        for one in result.measured
    ]  # fmt: skip
    return TextTable(
        ("task", "entry", "seed", "outcome", "updates", *(each.heading for each in columns)),
        rows,
        meanings={each.heading: each.meaning for each in columns},
        title="Runs",
        marked={place: "at chance" for place, one in enumerate(result.measured) if at_chance(one)},
    )


def _endings(members: Sequence[RunMeasurements]) -> str:
    count = Counter(one.outcome for one in members if one.outcome == DIVERGED or not one.ended)
    count["at chance"] = sum(map(at_chance, members))
    return ", ".join([str(len(members)), *(f"{number} {outcome}" for outcome, number in count.items() if number)])


def _cell(found: Estimate, column: Column) -> str:
    if not found.count:
        return "-"
    digits = _digits(found.value) if column.digits is None else column.digits
    form = f".{digits}f" if abs(found.value) < LONG else ".2e"
    middle = round(found.value, digits) + 0.0  # turns -0 into 0
    missing = f" ({found.count}/{found.asked})" if found.count < found.asked else ""
    width = found.high - found.value
    return f"{middle:{form}}" + (f" ±{width:{form}}" if math.isfinite(width) else "") + missing


def _digits(value: float) -> int:
    """Return the decimal digits for two significant digits, at most four."""
    return min(4, max(0, 1 - math.floor(math.log10(abs(value))))) if value else 3


def _at_equal_loss(result: ComparisonResult, columns: Sequence[Column]) -> TextTable:
    groups, shown = grouped(result.measured), used(columns, result.measured, LOSS)
    rows = tuple(
        (task, entry, *(_cell(estimate(members, each), each) for each in shown))
        for (task, entry), members in groups.items()
        if any(math.isfinite(one.value(each.name)) for one in members for each in shown)
    )
    said = []
    for each in result.outcomes.losses.values():
        seeds: dict[str, list[str]] = {}
        for entry, seed in each.without:
            seeds.setdefault(entry, []).append(str(seed))
        without = ", ".join(f"{entry} (seed {' '.join(its)})" for entry, its in seeds.items())
        left = f"; without {without}, not at this loss in training" if without else ""
        said.append(
            f"{each.task}, {each.loss}: no training loss that two runs share"
            if math.isnan(each.value)
            else f"{each.task}, {each.loss}: training loss {each.value:g} within 1 %{_set_by(each)}{left}"
        )
    note = f"Each run where its training loss crossed a common one. {'. '.join(said)}." if said else ""
    head = ("task", "entry", *(each.heading for each in shown))
    return TextTable(head, rows, (note,), title="At equal training loss")


def _set_by(common: CommonLoss) -> str:
    """Return the run that ends at the common loss, ``""`` if the loss was given."""
    return f", the lowest of {common.highest[0]}, seed {common.highest[1]}" if common.highest else ""


def _differences(result: ComparisonResult, columns: Sequence[Column], title: str) -> TextTable:
    groups = grouped(result.measured)
    found = differences(groups, result.comparison.reference, used(columns, result.measured, DIFFERENCES))
    headings = list(dict.fromkeys(each.column.heading for each in found))
    rows = []
    for task, entry in groups:
        mine = {each.column.heading: each for each in found if (each.task, each.entry) == (task, entry)}
        if any(each.estimate.count for each in mine.values()):
            reference = reference_of(groups, task, result.comparison.reference)
            rows.append((task, entry, reference, *(_difference(mine.get(name)) for name in headings)))
    count = max((each.estimate.count for each in found), default=0)
    few = f" Here there are at most {count}: no difference is decided." if count < DECIDING else ""
    note = (
        "Entry minus reference, paired by seed, ± half of the 95 % interval (Student's t). * p < .05 after Holm's "
        f"correction over the differences of a column, from at least {DECIDING} pairs.{few} Losses of different "
        "functions and Hessians of different kinds of networks are not compared (-)."
    )
    return TextTable(("task", "entry", "minus", *headings), rows, (note,), left=3, title=title, shared=("minus",))


def _difference(difference: Difference | None) -> str:
    if difference is None or not difference.estimate.count:
        return "-"
    cell = _cell(difference.estimate, difference.column)
    return f"{'' if cell.startswith('-') else '+'}{cell}{' *' if difference.decided else ''}"


def _entries(result: ComparisonResult) -> TextTable:
    """Return the rule, network and optimizer of every entry; a row for tasks in which they are equal."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for (task, entry), members in grouped(result.measured).items():
        run, chosen = members[0].run, result.outcomes.chosen
        tuned = (task, entry) in chosen
        whose = "tuned" if tuned else "recommended" if run.optimizer == run.recommended else "given"
        size = next((one.value("size") for one in members if math.isfinite(one.value("size"))), math.nan)
        form = f", form {run.net.form}" if run.net.form else ""
        row = (entry, str(run.rule), f"{run.net.title}{form}", f"{size:.0f}" if math.isfinite(size) else "-",
               task_facts(run).loss, in_words(run.optimizer), whose)  # fmt: skip
        rows.setdefault(row, []).append(task)
    head = ("entry", "rule", "network", "parameters", "loss", "optimizer", "learning rate", "tasks")
    return TextTable(
        head, [(*row, ", ".join(its)) for row, its in rows.items()], left=len(head), grouped=False, title="Entries"
    )


def _rates(result: ComparisonResult) -> TextTable:
    rows = []
    for (task, entry), tried in result.outcomes.rates.items():
        chosen = result.outcomes.chosen.get((task, entry))
        edge = chosen in (tried[0].lr, tried[-1].lr) and len(tried) > 1
        best = "all failed: own rate" if chosen is None else f"{chosen:g}{', at the edge' if edge else ''}"
        rows.append((task, entry, best, "  ".join(map(_tried, tried))))
    note = (
        "Held-out score at the end of training by learning rate, on the last fifth of the training trials of seed 0; "
        "every entry has as many rates and updates. Best rates at the edge of those tried may lie beyond it."
    )
    return TextTable(("task", "entry", "best", "tried"), rows, (note,), left=4, title="Tuned learning rates")


def _tried(rate: TriedRate) -> str:
    return f"{rate.lr:g}: {rate.score:.3f}" if math.isfinite(rate.score) else f"{rate.lr:g}: {rate.outcome}"


def _left_out(result: ComparisonResult) -> TextTable:
    rows = [(each.task, each.entry, each.reason) for each in result.outcomes.left_out]
    return TextTable(("task", "entry", "reason"), rows, left=3, title="Left out: they do not fit")


def _troubles(measured: Sequence[RunMeasurements]) -> TextTable:
    rows = [
        (one.run.task, one.entry, str(one.run.seeds.net), one.outcome, one.reason) for one in measured if one.reason
    ]
    head = ("task", "entry", "seed", "outcome", "reason")
    return TextTable(head, rows, left=5, grouped=False, title="Runs that did not complete")


def _unfitted(measured: Sequence[RunMeasurements]) -> TextTable:
    """Return the table of runs whose psychometric function was not fitted, seeds with one reason in a row."""
    seeds: dict[tuple[str, str, str], list[str]] = {}
    for one in measured:
        if one.unfitted:
            seeds.setdefault((one.run.task, one.entry, one.unfitted), []).append(str(one.run.seeds.net))
    rows = [(task, entry, ", ".join(their), reason) for (task, entry, reason), their in seeds.items()]
    head = ("task", "entry", "seeds", "why")
    return TextTable(head, rows, left=4, grouped=False, title="Psychometric functions that were not fitted")


def notes(result: ComparisonResult) -> Iterator[str]:
    """Yield the notes below the table."""
    measured = result.measured
    yield (
        "Mean ± half of the 95 % interval over seeds (Student's t); with one seed the value. For a given seed all "
        "entries have the same trials in the same order, and entries with the same network the same initial weights."
    )
    groups = grouped(measured)
    if few := dict.fromkeys(entry for (_, entry), members in groups.items() if len(members) < DECIDING):
        whose = "" if len(few) == len({entry for _, entry in groups}) else f" of {'; '.join(few)}"
        yield f"Fewer than {DECIDING} seeds{whose}: intervals are wide, and no difference is decided."
    forms = {one.run.net.form for one in measured if one.run.net.form}
    if len(forms) > 1:
        papers = {f"{one.run.rule} ({one.run.the_rule.reference})": None for one in measured if one.run.the_rule.form}
        yield (
            f"Form A: the leak acts on the potential; form B: on the rate, as in the paper of {'; '.join(papers)}. The "
            "two are different models with the same sizes, time constants, initial weights and data."
        )
    if rules := _typeless(measured):
        yield (
            f"{', '.join(rules)}: by cell type, and the mean weights of the network's types are zero up to chance, so "
            "the rule equals e-prop to within 2 %. Types of different sign, such as "
            "--net.cell_types [0.8,0.2] --net.dale [1,-1], separate the rules and then apply to all rows."
        )
    curved = any(one.run.stop_loss is None and math.isfinite(one.value("largest")) for one in measured)
    if result.comparison.match_loss is None and curved:
        yield "Curvature depends on the training loss: use --match-loss to compare entries at equal loss."


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
