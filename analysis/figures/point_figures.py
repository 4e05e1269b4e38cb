"""Figures with a point a run: a gap against curvature, and differences from a baseline."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.figures.plots import COLOURS, Series, dots, legend, level, logarithmic, panels
from analysis.statistics.intervals import mean
from tca.utils.checks import checked

__all__ = ["gap_against_curvature", "paired_differences"]


@checked
def gap_against_curvature(series: Sequence[Series]) -> Figure:
    """Return the generalization gap against the largest eigenvalue of the loss, one point a run.

    Args:
        series: The eigenvalue (x) and test minus training loss (y) of every run; panels are tasks, labels rules.

    >>> figure = gap_against_curvature([Series("xor", "bptt", 0, [3.0], [0.1]), Series("xor", "bptt", 1, [4.0], [0.2])])
    >>> figure.axes[0].collections[0].get_offsets().tolist()
    [[3.0, 0.1], [4.0, 0.2]]
    """
    figure, axes = panels(series, "largest eigenvalue of the Hessian", "test loss − training loss", shared=False)
    for name, each in axes.items():
        level(each, 0.0)
        dots(each, series, name)
        logarithmic(each, "x", [x for one in series if one.panel == name for x in one.x])
    legend(figure)
    return figure


def paired_differences(series: Sequence[Series], name: str) -> Figure:
    """Return differences from a baseline: a dot a seed, the mean, and its 95 % interval (Student's t).

    Args:
        series: The differences (x) of every run; panels are side by side, labels are rows.

    >>> figure = paired_differences([Series("", "a", 0, [0.5], [0]), Series("", "a", 1, [1.0], [1])], "gain")
    >>> figure.axes[0].collections[0].get_offsets().tolist()
    [[0.5, 0.0], [1.0, 0.0]]
    """
    rows = list(dict.fromkeys(each.label for each in series))
    figure, axes = panels(series, name, "", size=(2.6, 0.9 + 0.36 * len(rows), 3.4, 0.0))
    for each in figure.axes[1:]:
        each.sharex(figure.axes[0])
    for panel, each in axes.items():
        each.axvline(0.0, color="0.45", linestyle=":", linewidth=1.0)
        for place, row in enumerate(rows):
            values = [x for one in series if (one.panel, one.label) == (panel, row) for x in one.x]
            if values:
                found = mean(values)
                each.scatter(values, [place] * len(values), s=16, color="0.6", linewidths=0, zorder=2)
                each.plot([found.low, found.high], [place, place], color=COLOURS[1], linewidth=2.2, zorder=3)
                each.plot([found.value], [place], marker="D", markersize=6, color=COLOURS[1], zorder=4)
        each.grid(axis="y", visible=False)
    figure.axes[0].set_yticks(range(len(rows)), rows)
    figure.axes[0].invert_yaxis()
    return figure
