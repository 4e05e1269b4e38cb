"""The lowest training loss that every run of a task reaches, at which runs are compared.

Curvature of most losses falls with the loss itself, so that networks are compared at equal loss. Runs take part in
groups of a task and a loss function. Each is trained a second time, with the same bits, up to the crossing, where its
network is kept within 1 % of the loss (`tca.experiments.training.snapshots`); any two are then within 2 %.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tca.cli.compare.comparison import Planned
from tca.cli.compare.measurements import MATCHED, RunMeasurements
from tca.cli.compare.task_facts import task_facts
from tca.experiments.records.result import COMPLETED, REACHED_LOSS

__all__ = ["CommonLoss", "common_losses", "crossings", "loss_name", "with_matched"]


@dataclass(frozen=True)
class CommonLoss:
    """A training loss at which runs of a task are compared.

    Args:
        task: Name of the task.
        loss: Name of the loss function.
        value: The training loss, NaN if no two runs share one.
        without: Entries and seeds that do not reach it.
        highest: Entry and seed of the run whose lowest loss it is, empty if the loss was given.
    """

    task: str
    loss: str
    value: float
    without: tuple[tuple[str, int], ...] = ()
    highest: tuple[Any, ...] = ()


def loss_name(one: RunMeasurements) -> str:
    """Return the name of the loss function of a run."""
    return task_facts(one.run).loss


def common_losses(
    measured: Sequence[RunMeasurements], loss: float | Literal["auto"]
) -> Mapping[tuple[str, str], CommonLoss]:
    """Return the common losses by task and loss function.

    Args:
        measured: All runs.
        loss: The loss; ``"auto"`` for the lowest that every run reaches. Runs that diverged or failed take no part.
            A loss is reached by a run that starts above it, so that where one run ends above the start of
            another no loss is common to all; the run that ends highest is then left out, until there is one.
    """
    groups: dict[tuple[str, str], list[RunMeasurements]] = {}
    for one in measured:
        groups.setdefault((one.run.task, loss_name(one)), []).append(one)
    return {key: _common(*key, group, loss) for key, group in groups.items()}


def _common(task: str, name: str, group: Sequence[RunMeasurements], loss: float | Literal["auto"]) -> CommonLoss:
    spans = {(one.entry, one.run.seeds.net): span for one in group if (span := _span(one)) is not None}
    highest: tuple[Any, ...] = ()
    if loss == "auto":
        while len(spans) > 1 and _reached(spans) >= min(high for _, high in spans.values()):
            del spans[max(spans, key=lambda key: spans[key][0])]
        spans = spans if len(spans) > 1 else {}
        value = _reached(spans) if spans else math.nan
        highest = max(spans, key=lambda key: spans[key][0]) if spans else ()
    else:
        value = loss
        spans = {key: (low, high) for key, (low, high) in spans.items() if low <= value < high}
    reached = set(spans)
    without = tuple(key for one in group if (key := (one.entry, one.run.seeds.net)) not in reached)
    return CommonLoss(task, name, value, without, highest)


def _reached(spans: Mapping[tuple[str, int], tuple[float, float]]) -> float:
    """Return the highest of the lowest losses, to four digits and up to 0.15 % above."""
    return float(f"{1.001 * max(low for low, _ in spans.values()):.4g}")


def _span(one: RunMeasurements) -> tuple[float, float] | None:
    """Return lowest and first training loss of a run, ``None`` if it diverged, failed or did not learn."""
    losses = [each.train_loss for each in one.metrics]
    usable = one.outcome in (COMPLETED, REACHED_LOSS) and all(map(math.isfinite, losses))
    return (min(losses), losses[0]) if usable and losses and min(losses) < losses[0] else None


def crossings(
    measured: Iterable[RunMeasurements], losses: Mapping[tuple[str, str], CommonLoss]
) -> list[tuple[RunMeasurements, Planned]]:
    """Return the runs that reach the common loss of their group, with those that train up to it.

    Args:
        measured: All runs.
    """
    found = []
    for one in measured:
        common = losses.get((one.run.task, loss_name(one)))
        if common is not None and (one.entry, one.run.seeds.net) not in common.without:
            changed = dataclasses.replace(one.run, snapshot_losses=(common.value,), stop_loss=common.value)
            found.append((one, Planned(one.entry, changed)))
    return found


def with_matched(one: RunMeasurements, there: RunMeasurements) -> RunMeasurements:
    """Return the measurements of a run with those at the common loss.

    Args:
        there: The run measured at that loss.
    """
    matched = {f"{MATCHED}{name}": value for name, value in there.values.items()}
    return dataclasses.replace(one, values={**one.values, **matched})
