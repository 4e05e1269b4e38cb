"""The figures of a comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from matplotlib.figure import Figure

from analysis import figures
from analysis.figures import Series, curve_figures
from analysis.figures.plots import counted, curves, legend, multiples, panels, summary
from analysis.figures.point_figures import paired_differences
from tca.cli.compare.common_loss import loss_name
from tca.cli.compare.comparison_result import ComparisonResult
from tca.cli.compare.estimates import grouped, reference_of
from tca.cli.compare.measurements import MATCHED, RunMeasurements
from tca.cli.compare.task_facts import TaskFacts, task_facts
from tca.experiments.records.result import Metrics

__all__ = ["ReportFigure", "report_figures"]


@dataclass(frozen=True)
class ReportFigure:
    """A figure with its data.

    Args:
        heading: Heading.
        draw: Function that draws some of the series, such as those of a panel.
        series: Plotted data.
        columns: Names of the data columns, for the CSV file.
        caption: Caption.
        height: Inches of a panel, default those of most.
    """

    heading: str
    draw: Callable[[Sequence[Series]], Figure]
    series: Sequence[Series]
    columns: tuple[str, str]
    caption: str
    height: float | None = None


def learning_curves(result: ComparisonResult) -> ReportFigure:
    """Draw performance over the test set against updates."""
    tasks = {one.run.task: task_facts(one.run) for one in result.measured}
    series = [_course(one, lambda each: each.test_accuracy) for one in result.measured]
    measures = " or ".join(sorted({task.measure for task in tasks.values()}))
    draw = partial(figures.learning_curves, measure=measures, chance=_chance(tasks))
    caption = f"Performance over the test set during training: {_summary(series)}. Dotted: the best constant answer."
    return ReportFigure("Learning curves", draw, series, ("updates", "test_score"), caption)


def _chance(tasks: Mapping[str, TaskFacts]) -> dict[str, float]:
    return {name: task.chance for name, task in tasks.items() if math.isfinite(task.chance)}


def fraction_solved(result: ComparisonResult) -> ReportFigure:
    """Draw the fraction of runs that solved their task, where some runs of an entry end solved and others do not."""
    tasks = {one.run.task: task_facts(one.run) for one in result.measured}
    series = curve_figures.solved(
        [_course(one, lambda each: each.test_accuracy) for one in result.measured], _chance(tasks)
    )
    caption = (
        f"Fraction of runs whose test score has been at least half way from chance to 1, {counted(series)}: runs of an "
        "entry that part into those that solve a task and those that do not have no meaningful mean."
    )
    return ReportFigure("Fraction solved", curve_figures.fraction_solved, series, ("updates", "solved"), caption)


def differences_from_reference(result: ComparisonResult) -> ReportFigure:
    """Draw the differences of test scores from the reference, paired by seed."""
    groups, series = grouped(result.measured), []
    for (task, entry), members in groups.items():
        reference = reference_of(groups, task, result.comparison.reference)
        score = "return" if task_facts(members[0].run).measure == "return" else "test_accuracy"
        there = {one.run.seeds.net: one.value(score) for one in groups[task, reference]}
        for one in members if entry != reference else ():
            found = one.value(score) - there.get(one.run.seeds.net, math.nan)
            known = math.isfinite(found)
            seed = one.run.seeds.net
            series.append(Series(f"{task}: minus {reference}", entry, seed, [found] * known, [float(seed)] * known))
    draw = partial(paired_differences, name="difference in test score")
    caption = (
        "Test score minus that of the reference with the same seed: a dot a seed, the mean as a diamond, and its 95 % "
        "interval (Student's t)."
    )
    height = 0.9 + 0.34 * len({each.label for each in series})
    return ReportFigure("Differences from the reference", draw, series, ("difference", "of"), caption, height)


def gap_against_curvature(result: ComparisonResult, matched: bool = False) -> ReportFigure:
    """Draw the generalization gap against curvature, with a panel for each loss function of a task."""
    losses: dict[str, set[str]] = {}
    for one in result.measured:
        losses.setdefault(one.run.task, set()).add(loss_name(one))
    series, prefix = [], MATCHED if matched else ""
    for one in result.measured:
        point = (one.value(f"{prefix}largest"), one.value(f"{prefix}loss_gap"))
        x, y = ([point[0]], [point[1]]) if all(map(math.isfinite, point)) else ([], [])
        panel = one.run.task if len(losses[one.run.task]) == 1 else f"{one.run.task}, {loss_name(one)}"
        series.append(Series(panel, one.entry, one.run.seeds.net, x, y))
    where = "where each run crossed the common training loss" if matched else "at the end of training"
    caption = (
        f"Test minus training loss against the largest eigenvalue of the Hessian of the training loss, {where}, in the "
        "recurrent weights of recurrent networks, in all parameters of others. One point a run."
    )
    heading = "Gap against curvature" + (" at equal training loss" if matched else "")
    return ReportFigure(heading, figures.gap_against_curvature, series, ("largest_eigenvalue", "loss_gap"), caption)


def gap_against_curvature_at_equal_loss(result: ComparisonResult) -> ReportFigure:
    """Draw the gap against curvature where runs have the same training loss."""
    return gap_against_curvature(result, matched=True)


def alignment_over_training(result: ComparisonResult) -> ReportFigure:
    """Draw the cosine with the true gradient against updates."""
    series = [_course(one, lambda each: each.observed.get("cosine", math.nan)) for one in result.measured]
    caption = (
        "Cosine between each rule's gradient of the hidden populations and the true gradient (backpropagation, through "
        f"time in recurrent networks), at the same weights and trials, during training by the rule: {_summary(series)}."
    )
    draw = figures.alignment_over_training
    return ReportFigure("Alignment with the true gradient", draw, series, ("updates", "cosine"), caption)


def psychometric_functions(result: ComparisonResult) -> ReportFigure:
    """Draw the proportion of choices against the graded variable of the task."""
    series, answers = [], set()
    for one in result.measured:
        if one.curve is not None:
            counted = "correct choices" if one.curve.response == "correct" else f"choices of class {one.curve.response}"
            panel = f"{one.run.task}: {counted}"
            series.append(Series(panel, one.entry, one.run.seeds.net, one.curve.levels, one.curve.proportions))
            answers.add(one.curve.variable)
    caption = (
        f"Psychometric functions: choices in test trials by their graded variable, {_summary(series)}. Runs "
        "without a curve are listed with the reason."
    )
    draw = partial(_proportions, variable=" or ".join(sorted(answers)))
    return ReportFigure("Psychometric functions", draw, series, ("level", "proportion"), caption)


def _proportions(series: Sequence[Series], variable: str) -> Figure:
    split = multiples(series)
    figure, axes = panels(split, variable, "proportion")
    for name, each in axes.items():
        curves(each, split, name, markers=True, bounded=True)
        each.set_ylim(-0.03, 1.03)
    legend(figure, summary(series, bounded=True))
    return figure


DRAWINGS = (
    learning_curves, fraction_solved, differences_from_reference, gap_against_curvature,
    gap_against_curvature_at_equal_loss, alignment_over_training, psychometric_functions,
)  # fmt: skip


def report_figures(result: ComparisonResult) -> Iterator[tuple[str, ReportFigure]]:
    """Yield the figures with any point, by name; an entry has one look in all of them."""
    entries = tuple(dict.fromkeys(one.entry for one in result.measured))
    if any(one.metrics for one in result.measured):
        for draw in DRAWINGS:
            drawn = draw(result)
            if any(len(each.x) for each in drawn.series):
                yield draw.__name__, replace(drawn, series=[replace(each, among=entries) for each in drawn.series])


def _summary(series: Sequence[Series]) -> str:
    return " ".join(summary(series, bounded=True).split())


def _course(one: RunMeasurements, of: Callable[[Metrics], float]) -> Series:
    """Return a measurement against updates, without NaN."""
    points = [(float(each.step), value) for each in one.metrics if math.isfinite(value := of(each))]
    return Series(one.run.task, one.entry, one.run.seeds.net, [x for x, _ in points], [y for _, y in points])
