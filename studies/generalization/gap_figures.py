"""The study's figures, from its runs; each is written as SVG and PNG with its numbers beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from analysis.figures import Series, save
from analysis.statistics.rank_correlation import Correlation
from studies.generalization.curvature_against_bound import curvature_against_bound
from studies.generalization.curvature_over_training import curvature_over_training
from studies.generalization.gap_at_matched_loss import gap_at_matched_loss
from studies.generalization.gap_measurements import Entry
from studies.generalization.gap_over_sizes import gap_over_sizes
from studies.generalization.gap_plan import RULES_COMPARED, Setting
from studies.generalization.gap_tables import at, correlations
from studies.generalization.intervals_by_arm import intervals_by_arm

__all__ = ["draw"]

COMPARED = tuple(arm.name for arm in RULES_COMPARED)


@dataclass(frozen=True)
class Drawing:
    """A figure with its numbers, and what their columns are called."""

    name: str
    figure: Figure
    series: Sequence[Series]
    columns: tuple[str, str]
    caption: str


def draw(entries: Sequence[Entry], setting: Setting, folder: Path) -> list[tuple[str, str]]:
    """Write the figures of a setting; return their names and captions.

    Args:
        entries: The runs of the study.
        setting: The setting.
        folder: Where to.
    """
    done = []
    for each in _drawings([one for one in entries if one.setting == setting.name], setting):
        name = f"{setting.name}_{each.name}"
        save(each.figure, each.series, folder / name, *each.columns)
        done.append((name, each.caption))
    return done


def _drawings(entries: Sequence[Entry], setting: Setting) -> Iterator[Drawing]:
    condition = setting.main_condition
    gap, label = f"{condition}_gap", f"training − {condition} test {setting.make_task().measure}"
    present = list(dict.fromkeys(one.arm for one in entries))
    arms = [arm for arm in COMPARED if arm in present]

    series = [one for loss in setting.losses for one in _points(entries, setting, arms, loss, "lambda_1", gap)]
    notes = {}
    for loss in setting.losses:
        pooled, within = correlations(entries, setting, arms, loss, gap)
        notes[_panel(loss)] = (
            f"rank correlation {_correlated(pooled)}\n"
            f"within arms {_correlated(within)}\n"
            f"{pooled.runs} of {pooled.asked} runs reached the loss, {pooled.arms} arms, {pooled.seeds} seeds"
        )
    if any(one.x for one in series):
        yield Drawing(
            "gap_against_curvature", gap_at_matched_loss(series, label, notes), series, ("lambda_1", gap),
            "Gap against the largest eigenvalue of the Hessian where the training loss crosses the number above the"
            " panel. One point a run; rank correlations with 95 % intervals over arms and seeds.",
        )  # fmt: skip
        series = [
            one for loss in setting.losses for one in _points(entries, setting, present, loss, "bound", "lambda_1")
        ]
        yield Drawing(
            "curvature_against_bound", curvature_against_bound(series), series, ("bound", "lambda_1"),
            "Largest eigenvalue against 2 / (eta rho), eta with every scaling of the step. Below the line a rule "
            "can rest.",
        )  # fmt: skip
    yield from _over_training(entries, arms)
    for name, numbers, what in (("gaps_by_arm", gap, label), ("curvature_by_arm", "log_lambda_1", "log₁₀ λ₁")):
        series = [one for loss in setting.losses for one in _points(entries, setting, present, loss, None, numbers)]
        estimates = {
            (_panel(loss), arm): at(entries, setting, arm, loss).estimate(numbers)
            for loss in setting.losses
            for arm in present
        }
        yield Drawing(
            name, intervals_by_arm(series, estimates, what), series, ("none", numbers),
            f"{what} of every run at matched training loss, mean with its 95 % interval; how many runs reached it.",
        )  # fmt: skip
    yield from _over_sizes(entries, setting, gap, label)


def _over_training(entries: Sequence[Entry], arms: Sequence[str]) -> Iterator[Drawing]:
    series = []
    for one in entries:
        if one.arm in arms:
            points = [(float(each.step), each.observed.get("curvature_largest", math.nan)) for each in one.metrics]
            known = [(x, y) for x, y in points if y == y and y > 0]
            series.append(Series(one.setting, one.arm, one.seed, [x for x, _ in known], [y for _, y in known]))
    yield Drawing(
        "curvature_over_training", curvature_over_training(series), series, ("updates", "lambda_1"),
        "Largest eigenvalue over training, from a few products with vectors kept from one measurement to the next. "
        "Geometric mean and standard deviation over the seeds that are still trained.",
    )  # fmt: skip


def _over_sizes(entries: Sequence[Entry], setting: Setting, gap: str, label: str) -> Iterator[Drawing]:
    sizes = sorted({one.run.n_train for one in entries})
    if len(sizes) < 2:
        return
    swept = {one.arm for one in entries if one.run.n_train != setting.n_train}
    series = []
    for loss in setting.losses:
        for arm in (each for each in COMPARED if each in swept):
            for seed in sorted({one.seed for one in entries}):
                runs = [one for one in entries if (one.arm, one.seed) == (arm, seed)]
                rows = sorted((one.run.n_train, row) for one in runs if (row := one.rows[loss]) is not None)
                points = [(float(size), row[gap]) for size, row in rows if gap in row]
                series.append(Series(_panel(loss), arm, seed, [x for x, _ in points], [y for _, y in points]))
    yield Drawing(
        "gap_over_sizes", gap_over_sizes(series, label), series, ("n_train", gap),
        "Gap at matched training loss against the size of the training set. Mean and standard deviation over seeds.",
    )  # fmt: skip


def _points(
    entries: Sequence[Entry], setting: Setting, arms: Sequence[str], loss: float, x: str | None, y: str
) -> Iterator[Series]:
    """Yield two numbers of every run at a loss, empty where the run did not reach it."""
    for arm in arms:
        for seed, row in at(entries, setting, arm, loss).rows.items():
            across, up = (0.0 if x is None else _number(row, x)), _number(row, y)
            known = math.isfinite(across) and math.isfinite(up)
            yield Series(_panel(loss), arm, seed, [across] * known, [up] * known)


def _number(row: Mapping[str, float] | None, name: str) -> float:
    if row is None:
        return math.nan
    if name == "bound":
        return 2 / row["pull"] if row.get("pull", 0.0) > 0 else math.nan
    return row.get(name, math.nan)


def _panel(loss: float) -> str:
    return f"training loss {loss:g}"


def _correlated(found: Correlation) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]{'' if found.excludes_zero else ', undecided'}"
