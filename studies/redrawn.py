"""The figures of the pages, drawn again from the numbers beside them, without training.

    python -m studies.redrawn

Each CSV file in ``docs/figures`` that has columns panel, label, seed, x and y gives an SVG and a PNG; numbers stay as
they are. Figures whose numbers are not in the repository are drawn by their study alone.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from matplotlib.figure import Figure

from analysis.figures import Series, learning_curves
from analysis.figures.curve_figures import fraction_solved
from analysis.figures.plots import rendered
from analysis.figures.point_figures import paired_differences
from analysis.statistics.intervals import Estimate, mean
from analysis.statistics.rank_correlation import Correlation, rank_correlation
from benchmarks.scaling_figure import HIGHLIGHTED, scaling
from studies import (
    alignment_study,
    context,
    control,
    copy_task,
    cosines,
    gated_alignment,
    reaching,
    sparse_paths,
    spiking_fields,
    step_control,
    student_teacher,
)
from studies.generalization.curvature_against_bound import curvature_against_bound
from studies.generalization.curvature_over_training import curvature_over_training
from studies.generalization.gap_at_matched_loss import gap_at_matched_loss
from studies.generalization.gap_over_sizes import gap_over_sizes
from studies.generalization.intervals_by_arm import intervals_by_arm
from studies.rule_figure import page_figure
from studies.study_figures import over_epochs
from studies.vision import published_figure
from tca.experiments.records.files import write_whole

__all__ = ["main", "read_series", "redraw"]

SEEDS = 10  # of the study of generalization
GAP = "training − noisy test accuracy"
CHANCE = 0.1  # of ten classes


def read_series(path: Path) -> list[Series]:
    """Return the series of a CSV file, ``[]`` if it holds other numbers."""
    with open(path, newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file))
    if head[:3] != ["panel", "label", "seed"] or len(head) != 5:
        return []
    found: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for panel, label, seed, x, y in rows:
        found.setdefault((panel, label, int(seed)), []).append((float(x), float(y)))
    return [Series(*key, [x for x, _ in points], [y for _, y in points]) for key, points in found.items()]


def _learning(series: Sequence[Series]) -> Figure:
    return learning_curves(series, chance=dict.fromkeys((each.panel for each in series), 0.5))


def _gaps(series: Sequence[Series]) -> Figure:
    notes = {}
    for panel in dict.fromkeys(each.panel for each in series):
        runs = [(one.label, one.seed, one.x[0], one.y[0]) for one in series if one.panel == panel]
        arms, seeds, x, y = (list(each) for each in zip(*runs, strict=True))
        pooled, within = (rank_correlation(x, y, seeds, arms, within=within) for within in (False, True))
        notes[panel] = (
            f"rank correlation {_correlated(pooled)}\nwithin arms {_correlated(within)}\n"
            f"{len(runs)} runs, {len(set(arms))} arms"
        )
    return gap_at_matched_loss(series, GAP, notes)


def _correlated(found: Correlation) -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]{'' if found.excludes_zero else ', undecided'}"


def _by_arm(series: Sequence[Series]) -> Figure:
    values: dict[tuple[str, str], list[float]] = {}
    for panel in dict.fromkeys(each.panel for each in series):
        for label in dict.fromkeys(each.label for each in series):
            values[panel, label] = [y for one in series if (one.panel, one.label) == (panel, label) for y in one.y]
    estimates: dict[tuple[str, str], Estimate] = {
        key: mean(found + [math.nan] * (SEEDS - len(found))) for key, found in values.items()
    }
    return intervals_by_arm(series, estimates, GAP)


def _accuracy(series: Sequence[Series]) -> Figure:
    return over_epochs(series, "test accuracy", lines={CHANCE: "chance"}, limits=(0.0, 1.02))


def _angle(series: Sequence[Series]) -> Figure:
    layers = len({each.panel.rsplit(" ", 1)[1] for each in series})
    return over_epochs(series, "angle with BP, degrees", columns=layers, lines={90.0: "unrelated"}, limits=(0.0, None))


def _pattern(series: Sequence[Series]) -> Figure:
    figure = learning_curves(series, "R2")
    figure.axes[0].set_ylabel("R2, trials trained on")
    return figure


DRAWINGS: Mapping[str, Callable[[Sequence[Series]], Figure]] = {
    "learning_curves": lambda series: learning_curves(series, chance={"delayed match to sample": 0.5}),
    "rules/*": page_figure,
    "studies/published_spiking_pattern_generation_*": _pattern,
    "studies/published_spiking_*_fields": spiking_fields.drawn,
    "studies/alignment": alignment_study.figure,
    "studies/context": context.drawn,
    "studies/*_learning": _learning,
    "studies/*_solved": fraction_solved,
    "studies/sparse_feedback_difference": lambda series: paired_differences(
        series, "final accuracy minus that of sparse e-prop"
    ),
    "studies/generalization_curvature_against_bound": curvature_against_bound,
    "studies/generalization_curvature_over_training": curvature_over_training,
    "studies/generalization_*gap_against_curvature": _gaps,
    "studies/generalization_gap_over_sizes": lambda series: gap_over_sizes(series, GAP),
    "studies/generalization_*gaps_by_arm": _by_arm,
    "studies/copy_task": lambda series: copy_task.curves_of(series, copy_task.Setting()),
    "studies/gated_alignment": gated_alignment.cosines_of,
    "studies/*_accuracy": _accuracy,
    "studies/vision_*_angle_*": _angle,
    "studies/cosines": cosines.drawn,
    "studies/published_vision": published_figure.drawn,
    "studies/reaching": reaching.drawn,
    "studies/step_control_*": step_control.over_lengths,
    "studies/sparse_paths": sparse_paths.drawn,
    "studies/student_teacher": student_teacher.drawn,
    "studies/control_returns": control.figure,
    "studies/scaling": lambda series: scaling(series, HIGHLIGHTED, {"cells": 2.0, "steps": 1.0}),
}


def redraw(path: Path, root: Path) -> bool:
    """Draw a figure again; return whether its kind is known.

    Args:
        path: Its CSV file.
        root: Folder of all figures.
    """
    name = path.relative_to(root).with_suffix("").as_posix()
    draw = next((each for pattern, each in DRAWINGS.items() if fnmatch(name, pattern)), None)
    series = read_series(path)
    if draw is None or not series:
        return False
    figure = draw(series)
    for form in ("svg", "png"):
        write_whole(path.with_suffix(f".{form}"), rendered(figure, form))
    return True


def main(words: Sequence[str] | None = None) -> int:
    """Draw all figures again and name those that are not of a known kind."""
    parser = argparse.ArgumentParser(prog="python -m studies.redrawn", description="Draw the figures of the pages.")
    parser.add_argument("--figures", type=Path, default=Path("docs/figures"), help="folder of the figures")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="parts of names, default all")
    given = parser.parse_args(words)
    for path in sorted(given.figures.rglob("*.csv")):
        if given.only is None or any(each in path.stem for each in given.only):
            print(path.stem, "drawn" if redraw(path, given.figures) else "left: of another kind")
    return 0


if __name__ == "__main__":
    sys.exit(main())
