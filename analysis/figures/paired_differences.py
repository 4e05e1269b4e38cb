"""Differences from a baseline, seed by seed, with what their mean may be."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

from analysis.figures.drawing import COLOURS, SETTINGS, Series
from analysis.statistics.intervals import mean

__all__ = ["paired_differences"]


def paired_differences(series: Sequence[Series], name: str) -> Figure:
    """Return differences from a baseline: a dot a seed, the mean, and its 95 % interval (Student's t).

    Args:
        series: The differences (x) of every run; panels are side by side, labels are rows.
        name: What the difference is of.

    >>> figure = paired_differences([Series("", "a", 0, [0.5], [0]), Series("", "a", 1, [1.0], [1])], "gain")
    >>> figure.axes[0].collections[0].get_offsets().tolist()
    [[0.5, 0.0], [1.0, 0.0]]
    """
    panels = list(dict.fromkeys(each.panel for each in series))
    rows = list(dict.fromkeys(each.label for each in series))
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(2.6 + 3.4 * len(panels), 0.9 + 0.36 * len(rows)), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, sharey=True, sharex=True)[0]
        for panel, each in zip(panels, axes, strict=True):
            each.set_title(panel)
            each.axvline(0.0, color="0.45", linestyle=":", linewidth=1.0)
            for place, row in enumerate(rows):
                values = [x for one in series if (one.panel, one.label) == (panel, row) for x in one.x]
                if not values:
                    continue
                found = mean(values)
                each.scatter(values, [place] * len(values), s=16, color="0.6", linewidths=0, zorder=2)
                each.plot([found.low, found.high], [place, place], color=COLOURS[1], linewidth=2.2, zorder=3)
                each.plot([found.value], [place], marker="D", markersize=6, color=COLOURS[1], zorder=4)
            each.grid(color="0.92", axis="x")
            each.set_axisbelow(True)
        axes[0].set_yticks(range(len(rows)), rows)
        axes[0].invert_yaxis()
        figure.supxlabel(name, fontsize="medium")
    return figure
