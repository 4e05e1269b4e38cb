"""Figures of measurements during training, over seeds: medians of measures with bounds, means of others."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
from matplotlib.figure import Figure

from analysis.figures.looks import CONTROLS, rule_of_label
from analysis.figures.plots import (
    CHANCE,
    Series,
    counted,
    curves,
    legend,
    level,
    looks,
    multiples,
    panels,
    summary,
    undivided,
)
from tca.utils.checks import checked

__all__ = [
    "alignment_over_training", "fraction_solved", "learning_curves", "perfect_controls", "solved",
]  # fmt: skip

PERFECT = 0.99  # scores from here on count as perfect


@checked
def learning_curves(
    series: Sequence[Series], measure: str = "accuracy", chance: Mapping[str, float] | None = None
) -> Figure:
    """Return test performance against updates: the median over seeds, with each run or quartiles.

    Args:
        series: Updates made (x) and performance over the test set (y) of every run; panels are tasks, labels rules.
        measure: Name of the performance, default accuracy.
        chance: Performance of an answer that does not depend on the inputs, by panel, drawn as a dotted line; default
            none.

    >>> figure = learning_curves([Series("xor", "bptt", 0, [0, 10], [0.5, 1.0])], chance={"xor": 0.5})
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.5, 1. ])
    """
    split = multiples(series)
    figure, axes = panels(split, "updates", f"test {measure}")
    for name, each in axes.items():
        curves(each, split, name, bounded=True)
        known = (chance or {}).get(undivided(name))
        if known is not None:
            level(each, known, CHANCE)
    low = min((each.dataLim.y0 for each in axes.values()), default=0.0)
    for each in axes.values():
        each.set_ylim(low - 0.03, 1.03)  # a perfect score is 1
    legend(figure, "\n".join([summary(series, bounded=True), *perfect_controls(series)]))
    return figure


def perfect_controls(series: Sequence[Series]) -> list[str]:
    """Return a line for each control whose runs, by their median, end at a perfect score in a panel.

    Args:
        series: Updates made (x) and test scores (y) of every run.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for one in series:
        if rule_of_label(one.label) in CONTROLS and len(one.y):
            found.setdefault(one.label, {}).setdefault(one.panel, []).append(one.y[-1])
    return [
        f"{label}: a control,\nreaches {max(map(statistics.median, panels.values())):.2f} too"
        for label, panels in found.items()
        if max(map(statistics.median, panels.values())) >= PERFECT
    ]


@checked
def solved(series: Sequence[Series], chance: Mapping[str, float]) -> list[Series]:
    """Return where runs have solved their task, for `fraction_solved`: a score half way from chance to 1, once.

    Runs of which some solve a task and others do not have no meaningful mean. The result is empty unless such runs
    share a panel and a label.

    Args:
        series: Updates made (x) and test scores (y) of every run.
        chance: Score of the best constant answer by panel; panels without one are left out.

    >>> runs = [Series("xor", "bptt", seed, [0, 10, 20], [0.5, end, 0.6]) for seed, end in enumerate((0.8, 0.6))]
    >>> [list(one.y) for one in solved(runs, {"xor": 0.5})]
    [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    >>> solved(runs[:1], {"xor": 0.5})
    []
    """
    found: list[Series] = []
    ends: dict[tuple[str, str], set[float]] = {}
    for one in series:
        level = (1 + chance.get(one.panel, math.nan)) / 2
        if len(one.y) and math.isfinite(level):
            reached = list(accumulate((float(score >= level) for score in one.y), max))
            found.append(replace(one, y=reached))
            ends.setdefault((one.panel, one.label), set()).add(reached[-1])
    return found if any(len(each) > 1 for each in ends.values()) else []


@checked
def fraction_solved(series: Sequence[Series]) -> Figure:
    """Return the fraction of runs that have solved their task against updates, for runs that solve it or do not.

    Later labels have thinner lines, since fractions of few runs coincide.

    Args:
        series: Updates made (x), and 1 from where a run has solved the task, 0 before (y); panels are tasks, labels
            rules.

    >>> runs = [Series("xor", "bptt", seed, [0, 10], [0, end]) for seed, end in enumerate((1, 0))]
    >>> fraction_solved(runs).axes[0].lines[0].get_ydata()
    array([0. , 0.5])
    """
    split = multiples(series)
    figure, axes = panels(split, "updates", "fraction of runs that solved it")
    for name, each in axes.items():
        drawn = looks(series)
        for place, (label, look) in enumerate(drawn.items()):
            members = [one for one in split if (one.panel, one.label) == (name, label) and len(one.x)]
            steps = sorted({x for one in members for x in one.x})
            if members:  # a run that has ended keeps its last state
                shares = np.mean(
                    [[one.y[max(0, bisect_right(one.x, x) - 1)] for x in steps] for one in members], axis=0
                )
                each.step(steps, shares, where="post", color=look.colour, linestyle=look.dash, label=label,
                          linewidth=1.5 + 0.5 * (len(drawn) - 1 - place), gid=f"series:{label}")  # fmt: skip
        each.set_ylim(-0.03, 1.03)
    legend(figure, counted(series))
    return figure


@checked
def alignment_over_training(series: Sequence[Series]) -> Figure:
    """Return the cosine of each rule's gradient with that of BPTT against updates.

    Args:
        series: Updates made (x) and the cosine (y) of every run; panels are tasks, labels rules.

    >>> figure = alignment_over_training([Series("xor", "eprop", 0, [0, 10], [0.9, 0.5])])
    >>> figure.axes[0].lines[-1].get_ydata()
    array([0.9, 0.5])
    """
    split = multiples(series)
    figure, axes = panels(split, "updates", "cosine with the true gradient")
    for name, each in axes.items():
        level(each, 0.0)
        curves(each, split, name, bounded=True)
    low = min(each.dataLim.y0 for each in axes.values())
    for each in axes.values():
        each.set_ylim(min(-0.1, low - 0.05), 1.05)
    legend(figure, summary(series, bounded=True))
    return figure
