"""The figures of a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from analysis import figures
from analysis.figures import Series
from tca.cli.compare.measurements import RunMeasurements
from tca.experiments.records.result import Metrics

__all__ = ["REPORT_FIGURES", "ReportFigure"]


@dataclass(frozen=True)
class ReportFigure:
    """A figure with its data.

    Args:
        figure: Figure.
        series: Plotted data.
        columns: Names of the data columns, for the CSV file.
        caption: Caption.
    """

    figure: Figure
    series: Sequence[Series]
    columns: tuple[str, str]
    caption: str


def learning_curves(measured: Sequence[RunMeasurements]) -> ReportFigure:
    """Draw performance over the test set against updates."""
    tasks = {one.run.task: one.run.make_task() for one in measured}
    series = [_course(one, lambda each: each.test_accuracy) for one in measured]
    measures = " or ".join(sorted({task.measure for task in tasks.values()}))
    figure = figures.learning_curves(series, measures, {name: task.chance for name, task in tasks.items()})
    caption = "Test performance during training. Mean over seeds, band of one standard deviation."
    return ReportFigure(figure, series, ("updates", "test_score"), caption)


def gap_against_curvature(measured: Sequence[RunMeasurements]) -> ReportFigure:
    """Draw the generalization gap against curvature."""
    finite = [math.isfinite(one.largest) and math.isfinite(one.loss_gap) for one in measured]
    series = [
        _series(one, [one.largest] * known, [one.loss_gap] * known) for one, known in zip(measured, finite, strict=True)
    ]
    caption = (
        "Generalization gap in loss against the largest eigenvalue of the Hessian of the training loss in the "
        "recurrent weights at the end of training. One point per run."
    )
    return ReportFigure(figures.gap_against_curvature(series), series, ("largest_eigenvalue", "loss_gap"), caption)


def alignment_over_training(measured: Sequence[RunMeasurements]) -> ReportFigure:
    """Draw the cosine with BPTT against updates."""
    series = [_course(one, lambda each: each.observed.get("cosine", math.nan)) for one in measured]
    caption = (
        "Cosine between each rule's gradient of the recurrent population and that of BPTT, at the same weights and "
        "trials, during training by the rule. Mean over seeds, band of one standard deviation."
    )
    return ReportFigure(figures.alignment_over_training(series), series, ("updates", "cosine"), caption)


REPORT_FIGURES: dict[str, Callable[[Sequence[RunMeasurements]], ReportFigure]] = {
    "learning_curves": learning_curves,
    "gap_against_curvature": gap_against_curvature,
    "alignment_over_training": alignment_over_training,
}


def _course(one: RunMeasurements, of: Callable[[Metrics], float]) -> Series:
    """Return a measurement against updates, without NaN."""
    points = [(float(each.step), value) for each in one.metrics if math.isfinite(value := of(each))]
    return _series(one, [x for x, _ in points], [y for _, y in points])


def _series(one: RunMeasurements, x: list[float], y: list[float]) -> Series:
    return Series(one.run.task, str(one.run.rule), one.run.seeds.net, x, y)
