"""What the page of a comparison shows of an entry or a run that is opened: settings, measurements, curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analysis.figures.looks import COLOURS, looks_of
from analysis.statistics.intervals import Estimate
from tca.cli.compare.comparison_result import ComparisonResult
from tca.cli.compare.comparison_table import runs_table
from tca.cli.compare.estimates import COLUMNS, estimate, grouped
from tca.cli.compare.measurements import RunMeasurements
from tca.cli.compare.task_facts import task_facts
from tca.cli.text_table import TextTable
from tca.experiments.sweep.settings import settings

__all__ = ["keys_of", "page_data", "score_bars"]

DIGITS = 5  # significant digits of curves
POINTS = 200  # of a curve, at most


def keys_of(result: ComparisonResult) -> dict[tuple[str, ...], str]:
    """Return a short name for every entry, by task and entry, and every run, by task, entry and seed."""
    found: dict[tuple[str, ...], str] = {key: f"e{place}" for place, key in enumerate(grouped(result.measured))}
    for place, one in enumerate(result.measured):
        found[_run_key(one)] = f"r{place}"
    return found


def _run_key(one: RunMeasurements) -> tuple[str, str, str]:
    return one.run.task, one.entry, str(one.run.seeds.net)


def page_data(result: ComparisonResult, results: TextTable, records: Path) -> dict[str, Any]:
    """Return entries and runs by their short names, as plain values.

    Args:
        results: The table of its results, in the order of entries.
        records: Folder of the records of the runs.
    """
    table, keys, entries = runs_table(result), keys_of(result), {}
    looks = looks_of(one.entry for one in result.measured)
    for ((task, entry), members), row in zip(grouped(result.measured).items(), results.rows, strict=True):
        facts = task_facts(members[0].run)
        entries[keys[task, entry]] = {
            "task": task,
            "entry": entry,
            "colour": f"--c{COLOURS.index(looks[entry].colour)}",
            "measure": facts.measure,
            "chance": _number(facts.chance),
            "settings": _settings(members[0]),
            "measured": dict(zip(results.head[2:], row[2:], strict=True)),
            "runs": [keys[_run_key(one)] for one in members],
        }
    runs = {
        keys[_run_key(one)]: {
            "owner": keys[one.run.task, one.entry],
            **_run(one, dict(zip(table.head[3:], row[3:], strict=True)), records),
        }
        for one, row in zip(result.measured, table.rows, strict=True)
    }
    return {"entries": entries, "runs": runs}


def score_bars(result: ComparisonResult) -> dict[int, str]:
    """Return a drawing of the test score of every entry with its interval and chance, by its row in the results."""
    groups = grouped(result.measured)
    (column,) = (each for each in COLUMNS if each.name == "test_accuracy")
    found = {key: estimate(members, column) for key, members in groups.items()}
    drawn = {}
    for place, ((task, entry), one) in enumerate(found.items()):
        chance = task_facts(groups[task, entry][0].run).chance
        ends = [each.value for key, each in found.items() if key[0] == task and math.isfinite(each.value)]
        if math.isfinite(one.value):
            known = math.isfinite(chance)  # returns have neither chance nor a best value
            room = 0.03 if known else 0.1 * (max(ends) - min(ends)) or 1.0
            scale = (min([*ends, chance][: len(ends) + known]) - room, 1.0 if known else max(ends) + room)
            drawn[place] = _bar(one, chance, *scale)
    return drawn


def _bar(one: Estimate, chance: float, left: float, right: float) -> str:
    """Return a dot on its interval, cut at the ends of the scale, with chance as a dashed tick."""

    def x(value: float) -> str:
        return f"{4 + 120 * (min(max(value, left), right) - left) / (right - left):.1f}"

    low, high = (each if math.isfinite(each) else one.value for each in (one.low, one.high))
    tick = f'<path class="chance" d="M {x(chance)} 1 V 13"/>' if math.isfinite(chance) else ""
    return (
        f'<svg class="interval" viewBox="0 0 128 14" role="img" aria-label="{one.value:.3f}, chance {chance:.3f}">'
        f'<path class="ticks" d="M 4 7 H 124"/>{tick}'
        f'<path class="range" stroke="var(--strong)" d="M {x(low)} 7 H {x(high)}"/>'
        f'<circle cx="{x(one.value)}" cy="7" r="3.2" fill="var(--text)"/></svg>'
    )


def _settings(one: RunMeasurements) -> dict[str, str]:
    """Return the settings of a run by name, without those in which runs of an entry differ."""
    found = settings(one.run)
    return {name: text for name, text in found.items() if not name.startswith("seeds.")}


def _run(one: RunMeasurements, shown: dict[str, str], records: Path) -> dict[str, Any]:
    kept = one.metrics[:: math.ceil(len(one.metrics) / POINTS) or 1] if one.metrics else ()
    kept = (*kept, one.metrics[-1]) if kept and kept[-1] is not one.metrics[-1] else kept
    return {
        "seed": one.run.seeds.net,
        "reason": "; ".join(filter(None, (one.reason, one.unfitted))),
        "record": one.run.folder(records).name,
        "measured": shown,
        "updates": [each.step for each in kept],
        "score": _rounded([each.test_accuracy for each in kept]),
        "loss": _rounded([each.train_loss for each in kept]),
    }


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
