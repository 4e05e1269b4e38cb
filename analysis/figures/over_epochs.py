"""Anything that is measured while images are learned, over epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure

from analysis.figures.drawing import SETTINGS, Series, band, legend, looks

__all__ = ["over_epochs"]


def over_epochs(
    series: Sequence[Series],
    measure: str,
    *,
    columns: int = 3,
    lines: Mapping[float, str] | None = None,
    limits: tuple[float | None, float | None] = (None, None),
) -> Figure:
    """Return measurements against epochs, the mean over seeds with a band of one standard deviation, panel by panel.

    Args:
        series: Epochs (x) and what was measured then (y) of every run; panels are filled row by row.
        measure: Name of what was measured.
        columns: Panels in a row, default 3.
        lines: Levels to mark in all panels, with what they are called; default none.
        limits: Ends of the vertical axes, ``None`` (default) for what the numbers need.

    >>> figure = over_epochs([Series("MLP", "BP", 0, [0, 1], [0.1, 0.9])], "accuracy", lines={0.1: "chance"})
    >>> figure.axes[0].lines[0].get_ydata(), figure.axes[0].get_ylabel()
    (array([0.1, 0.9]), 'accuracy')
    """
    names = list(dict.fromkeys(each.panel for each in series))
    columns = min(columns, len(names))
    rows = math.ceil(len(names) / columns)
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(1.8 + 3.1 * columns, 0.5 + 2.5 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for place, axes in enumerate(grid.flat):
            if place >= len(names):
                axes.remove()
                continue
            axes.set_title(names[place])
            axes.grid(color="0.92")
            axes.set_axisbelow(True)
            if place + columns >= len(names):
                axes.set_xlabel("epochs")
            if place % columns == 0:
                axes.set_ylabel(measure)
            for label, look in looks(series).items():
                members = [one for one in series if (one.panel, one.label) == (names[place], label)]
                if members:
                    band(axes, look, label, members)
            for level, name in (lines or {}).items():
                axes.axhline(level, color="0.45", linestyle=":", linewidth=1.0)
                axes.annotate(name, (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                              fontsize="small", color="0.35")  # fmt: skip
    figure.axes[0].set_ylim(*limits)  # shared by all, and so set when all is drawn
    legend(figure)
    return figure
