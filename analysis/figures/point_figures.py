"""Figures with a point a run: a gap against curvature, and differences from a baseline."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.figures.plots import Series, dots, legend, level, logarithmic, looks, multiples, panels
from analysis.statistics.intervals import mean
from tca.utils.checks import checked

__all__ = ["gap_against_curvature", "paired_differences"]


@checked
def gap_against_curvature(series: Sequence[Series]) -> Figure:
    """Return the generalization gap against the largest eigenvalue of the loss, one point a run.

    Args:
        series: The eigenvalue (x) and test minus training loss (y) of every run; panels are tasks, labels rules.

    >>> figure = gap_against_curvature([Series("xor", "bptt", 0, [3.0], [0.1]), Series("xor", "bptt", 1, [4.0], [0.2])])
    >>> [each.get_offsets().tolist() for each in figure.axes[0].collections]
    [[[3.0, 0.1]], [[4.0, 0.2]]]
    """
    split = multiples(series)
    figure, axes = panels(split, "largest eigenvalue of the Hessian", "test loss − training loss", shared=False)
    for name, each in axes.items():
        level(each, 0.0)
        dots(each, split, name)
        logarithmic(each, "x", [x for one in split if one.panel == name for x in one.x])
    legend(figure, f"one point a run,\n{sum(bool(len(one.x)) for one in series)} runs")
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
    figure, axes = panels(series, name, "", size=(4.4, 0.3, 3.4, 0.6 + 0.36 * len(rows)))
    for each in figure.axes[1:]:
        each.sharex(figure.axes[0])
    for panel, each in axes.items():
        each.axvline(0.0, color="0.45", linestyle=":", linewidth=1.0)
        for place, (row, look) in enumerate(looks(series).items()):
            values = [x for one in series if (one.panel, one.label) == (panel, row) for x in one.x]
            if values:
                found, group = mean(values), f"series:{row}"
                each.scatter(values, [place] * len(values), s=16, color="0.6", linewidths=0, zorder=2, gid=group)
                each.plot([found.low, found.high], [place] * 2, color=look.colour, linewidth=2.2, zorder=3, gid=group)
                each.plot([found.value], [place], marker="D", markersize=6, color=look.colour, zorder=4, gid=group)
                each.annotate(f"n = {len(values)}", (1.02, place), xycoords=("axes fraction", "data"),
                              va="center", fontsize="small", color="0.35")  # fmt: skip
        each.grid(axis="y", visible=False)
    figure.axes[0].set_yticks(range(len(rows)), rows)
    figure.axes[0].invert_yaxis()
    legend(figure, "dots: runs; diamond: mean;\nline: 95 % interval (t)")
    return figure
