"""The numbers of a comparison as comma-separated values: a row an entry, a run, a difference or a learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from analysis.statistics.intervals import Estimate, verdict
from tca.cli.compare.common_loss import loss_name
from tca.cli.compare.comparison_result import ComparisonResult
from tca.cli.compare.estimates import COLUMNS, COMPARED, at_chance, differences, estimate, grouped, used
from tca.cli.compare.measurements import RunMeasurements
from tca.cli.compare.task_facts import task_facts
from tca.cli.text_table import csv_text
from tca.experiments.records.result import DIVERGED

__all__ = ["csv_files"]

EVERY = (*COLUMNS, *(column.matched for column in COLUMNS))


def csv_files(result: ComparisonResult, records: Path) -> dict[str, str]:
    """Return the content of the files by name; missing numbers are empty.

    Args:
        records: Folder of the records of the runs.
    """
    made = {
        "table.csv": _entries(result),
        "runs.csv": _runs(result, records),
        "differences.csv": _differences(result),
        "rates.csv": _rates(result),
        "left_out.csv": (vars(each) for each in result.outcomes.left_out),
    }
    return {name: text for name, rows in made.items() if (text := _csv(list(rows)))}


def _csv(rows: list[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    head = list(rows[0])
    return csv_text(head, [[_blank(row[name]) for name in head] for row in rows])


def _blank(value: Any) -> Any:
    return "" if isinstance(value, float) and not math.isfinite(value) else value


def _settings(one: RunMeasurements) -> dict[str, Any]:
    run = one.run
    return {
        "task": run.task, "entry": one.entry, "rule": str(run.rule), "network": run.net.kind, "form": run.net.form,
        "loss": loss_name(one), "optimizer": run.optimizer.name, "lr": run.optimizer.lr,
        "chance": task_facts(run).chance,
    }  # fmt: skip


def _entries(result: ComparisonResult) -> Iterator[dict[str, Any]]:
    columns = used(EVERY, result.measured)
    for members in grouped(result.measured).values():
        diverged, failed = (sum(each) for each in ([one.outcome == DIVERGED for one in members],
                                                   [not one.ended for one in members]))  # fmt: skip
        row = {**_settings(members[0]), "runs": len(members), "diverged": diverged, "failed": failed,
               "at_chance": sum(map(at_chance, members))}  # fmt: skip
        for column in columns:
            row |= _estimate(column.name, estimate(members, column))
        yield row


def _estimate(name: str, found: Estimate) -> dict[str, Any]:
    return {
        name: found.value, f"{name}_sd": found.spread, f"{name}_low": found.low, f"{name}_high": found.high,
        f"{name}_n": found.count,
    }  # fmt: skip


def _runs(result: ComparisonResult, records: Path) -> Iterator[dict[str, Any]]:
    columns = used(EVERY, result.measured)
    for one in result.measured:
        yield {
            **_settings(one), "seed": one.run.seeds.net, "outcome": one.outcome, "updates": one.steps,
            **{column.name: one.value(column.name) for column in columns},
            "hessian": " ".join(one.parameters), "record": one.run.folder(records).name,
            "reason": one.reason,
            "unfitted": one.unfitted,
        }  # fmt: skip


def _differences(result: ComparisonResult) -> Iterator[dict[str, Any]]:
    columns = used([*COMPARED, *(each.matched for each in COMPARED)], result.measured)
    for each in differences(grouped(result.measured), result.comparison.reference, columns):
        found = each.estimate
        yield {
            "task": each.task, "entry": each.entry, "reference": each.reference, "measure": each.column.name,
            "difference": found.value, "low": found.low, "high": found.high, "pairs": found.count, "p": found.p,
            "p_holm": each.p, "verdict": "differs" if each.decided else verdict(found, each.p),
        }  # fmt: skip


def _rates(result: ComparisonResult) -> Iterator[dict[str, Any]]:
    for (task, entry), tried in result.outcomes.rates.items():
        chosen = result.outcomes.chosen.get((task, entry))
        for rate in tried:
            yield {"task": task, "entry": entry, **vars(rate), "chosen": int(rate.lr == chosen)}
