"""The figures of a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from analysis import figures
from analysis.figures import Series
from analysis.figures.plots import curves, legend, panels
from tca.cli.compare.common_loss import loss_name
from tca.cli.compare.measurements import RunMeasurements
from tca.cli.compare.task_facts import task_facts
from tca.experiments.records.result import Metrics

__all__ = ["ReportFigure", "report_figures"]


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
    tasks = {one.run.task: task_facts(one.run) for one in measured}
    series = [_course(one, lambda each: each.test_accuracy) for one in measured]
    measures = " or ".join(sorted({task.measure for task in tasks.values()}))
    figure = figures.learning_curves(series, measures, {name: task.chance for name, task in tasks.items()})
    caption = "Test performance during training. Mean over seeds, band of one standard deviation."
    return ReportFigure(figure, series, ("updates", "test_score"), caption)


def gap_against_curvature(measured: Sequence[RunMeasurements]) -> ReportFigure:
    """Draw the generalization gap against curvature, with a panel for each loss function of a task."""
    losses: dict[str, set[str]] = {}
    for one in measured:
        losses.setdefault(one.run.task, set()).add(loss_name(one))
    series = []
    for one in measured:
        point = (one.value("largest"), one.value("loss_gap"))
        x, y = ([point[0]], [point[1]]) if all(map(math.isfinite, point)) else ([], [])
        panel = one.run.task if len(losses[one.run.task]) == 1 else f"{one.run.task}, {loss_name(one)}"
        series.append(Series(panel, one.entry, one.run.seeds.net, x, y))
    caption = (
        "Generalization gap in loss against the largest eigenvalue of the Hessian of the training loss at the end of "
        "training, in the recurrent weights of recurrent networks, in all parameters of others. One point per run."
    )
    return ReportFigure(figures.gap_against_curvature(series), series, ("largest_eigenvalue", "loss_gap"), caption)


def alignment_over_training(measured: Sequence[RunMeasurements]) -> ReportFigure:
    """Draw the cosine with the true gradient against updates."""
    series = [_course(one, lambda each: each.observed.get("cosine", math.nan)) for one in measured]
    caption = (
        "Cosine between each rule's gradient of the hidden populations and the true gradient (backpropagation, through "
        "time in recurrent networks), at the same weights and trials, during training by the rule. Mean over seeds, "
        "band of one standard deviation."
    )
    return ReportFigure(figures.alignment_over_training(series), series, ("updates", "cosine"), caption)


def psychometric_functions(measured: Sequence[RunMeasurements]) -> ReportFigure:
    """Draw the proportion of choices against the graded variable of the task."""
    series, answers = [], set()
    for one in measured:
        if one.curve is not None:
            counted = "correct choices" if one.curve.response == "correct" else f"choices of class {one.curve.response}"
            panel = f"{one.run.task}: {counted}"
            series.append(Series(panel, one.entry, one.run.seeds.net, one.curve.levels, one.curve.proportions))
            answers.add(one.curve.variable)
    figure, axes = panels(series, " or ".join(sorted(answers)), "proportion")
    for name, each in axes.items():
        curves(each, series, name, markers=True)
        each.set_ylim(-0.03, 1.03)
    legend(figure)
    caption = (
        "Psychometric functions: choices in test trials by their graded variable. Mean over seeds, band of one "
        "standard deviation. Runs with fewer than 20 test trials or 3 levels have none."
    )
    return ReportFigure(figure, series, ("level", "proportion"), caption)


DRAWINGS = (learning_curves, gap_against_curvature, alignment_over_training)


def report_figures(measured: Sequence[RunMeasurements]) -> Iterator[tuple[str, ReportFigure]]:
    """Yield the figures with any point, by name."""
    if any(one.metrics for one in measured):
        graded = any(one.curve is not None for one in measured)
        for draw in (*DRAWINGS, psychometric_functions) if graded else DRAWINGS:
            drawn = draw(measured)
            if any(len(each.x) for each in drawn.series):
                yield draw.__name__, drawn


def _course(one: RunMeasurements, of: Callable[[Metrics], float]) -> Series:
    """Return a measurement against updates, without NaN."""
    points = [(float(each.step), value) for each in one.metrics if math.isfinite(value := of(each))]
    return Series(one.run.task, one.entry, one.run.seeds.net, [x for x, _ in points], [y for _, y in points])
