"""Figures that studies share: small panels by parameter, and curves over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from analysis.figures.plots import Series, curves, legend, level, multiples, panels, summary

__all__ = ["alignment_by_parameter", "over_epochs"]


def alignment_by_parameter(series: Sequence[Series], name: str, limits: tuple[float, float] = (-0.5, 1.4)) -> Figure:
    """Return small panels with a line for every parameter, mean and standard deviation over runs.

    Args:
        series: Updates made (x) and a number (y) of every run; panels are rules, labels parameters.
        limits: Ends of the vertical axes, default -0.5 and 1.4.

    >>> figure = alignment_by_parameter([Series("eprop", "w_rec", 0, [0, 10], [0.9, 0.5])], "cosine")
    >>> figure.axes[0].lines[-1].get_ydata()
    array([0.9, 0.5])
    """
    figure, axes = panels(series, "updates", name, columns=6, size=(2.0, 0.6, 1.6, 1.35), small=True)
    for panel, each in axes.items():
        for height in (0.0, 1.0):
            level(each, height)
        curves(each, series, panel)
        each.set_ylim(*limits)
    legend(figure, summary(series))
    return figure


def over_epochs(
    series: Sequence[Series],
    measure: str,
    *,
    columns: int = 3,
    lines: Mapping[float, str] | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    bounded: bool = True,
) -> Figure:
    """Return measurements against epochs over seeds, panel by panel.

    Args:
        series: Epochs (x) and measurements (y) of every run; panels are filled row by row.
        columns: Panels in a row, default 3.
        lines: Levels to mark in all panels, with their names; default none.
        limits: Ends of the vertical axes, ``None`` (default) for those of the data.
        bounded: Whether the measurement has bounds: medians instead of means; default yes.

    >>> figure = over_epochs([Series("MLP", "BP", 0, [0, 1], [0.1, 0.9])], "accuracy", lines={0.1: "chance"})
    >>> figure.axes[0].lines[0].get_ydata(), figure.axes[0].get_ylabel()
    (array([0.1, 0.9]), 'accuracy')
    """
    split = multiples(series)
    figure, axes = panels(split, "epochs", measure, columns=columns, size=(1.8, 0.5, 3.1, 2.5))
    for panel, each in axes.items():
        curves(each, split, panel, bounded=bounded)
        for height, name in (lines or {}).items():
            level(each, height)
            each.annotate(name, (1, height), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                          fontsize="small", color="0.35")  # fmt: skip
    figure.axes[0].set_ylim(*limits)  # shared by all, and so set when all is drawn
    legend(figure, summary(series, bounded=bounded))
    return figure
