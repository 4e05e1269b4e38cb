"""How each rule's gradient of each parameter points along the true one as it learns: one small panel a rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

from analysis.figures.drawing import SETTINGS, Series, band, legend, looks

__all__ = ["alignment_by_parameter"]

COLUMNS = 6


def alignment_by_parameter(series: Sequence[Series], name: str, limits: tuple[float, float] = (-0.5, 1.4)) -> Figure:
    """Return small panels with a line for every parameter, mean and standard deviation over runs.

    Args:
        series: Updates made (x) and a number (y) of every run; panels are rules, labels parameters.
        name: What the number is.
        limits: Ends of the vertical axes, default -0.5 and 1.4.

    >>> figure = alignment_by_parameter([Series("eprop", "w_rec", 0, [0, 10], [0.9, 0.5])], "cosine")
    >>> figure.axes[0].lines[-1].get_ydata()
    array([0.9, 0.5])
    """
    panels = list(dict.fromkeys(each.panel for each in series))
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    with matplotlib.rc_context({**SETTINGS, "font.size": 8}):
        figure = Figure(figsize=(2.0 + 1.6 * columns, 0.6 + 1.35 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
        for panel, each in zip(panels, grid, strict=False):
            each.set_title(panel, fontsize="medium")
            each.grid(color="0.92")
            each.set_axisbelow(True)
            for level in (0.0, 1.0):
                each.axhline(level, color="0.45", linestyle=":", linewidth=1.0)
            for label, look in looks(series).items():
                members = [one for one in series if (one.panel, one.label) == (panel, label)]
                if members:
                    band(each, look, label, members)
            each.set_ylim(*limits)
        for spare in grid[len(panels) :]:
            spare.set_axis_off()
        for above in grid[max(0, len(panels) - columns) : len(panels)]:
            above.tick_params(labelbottom=True)  # also where the panel below is spare
        figure.supxlabel("updates", fontsize="medium")
        figure.supylabel(name, fontsize="medium")
    legend(figure)
    return figure
