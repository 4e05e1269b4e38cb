"""Figures of measurements during training: the mean over seeds with a band of one standard deviation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from analysis.figures.plots import Series, curves, legend, level, panels
from tca.utils.checks import checked

__all__ = ["alignment_by_parameter", "alignment_over_training", "learning_curves", "over_epochs"]


@checked
def learning_curves(
    series: Sequence[Series], measure: str = "accuracy", chance: Mapping[str, float] | None = None
) -> Figure:
    """Return test performance against updates: the mean over seeds with a band of one standard deviation.

    Args:
        series: Updates made (x) and performance over the test set (y) of every run; panels are tasks, labels rules.
        measure: Name of the performance, default accuracy.
        chance: Performance of an answer that does not depend on the inputs, by panel, drawn as a dotted line; default
            none.

    >>> figure = learning_curves([Series("xor", "bptt", 0, [0, 10], [0.5, 1.0])], chance={"xor": 0.5})
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.5, 1. ])
    """
    figure, axes = panels(series, "updates", f"test {measure}")
    for name, each in axes.items():
        curves(each, series, name)
        if chance and name in chance:
            level(each, chance[name], "chance")
    low = min((each.dataLim.y0 for each in axes.values()), default=0.0)
    for each in axes.values():
        each.set_ylim(low - 0.03, 1.03)  # a perfect score is 1; bands may reach beyond
    legend(figure)
    return figure


@checked
def alignment_over_training(series: Sequence[Series]) -> Figure:
    """Return the cosine between each rule's gradient and that of BPTT against updates, mean and standard deviation.

    Args:
        series: Updates made (x) and the cosine (y) of every run; panels are tasks, labels rules.

    >>> figure = alignment_over_training([Series("xor", "eprop", 0, [0, 10], [0.9, 0.5])])
    >>> figure.axes[0].lines[-1].get_ydata()
    array([0.9, 0.5])
    """
    figure, axes = panels(series, "updates", "cosine with the true gradient")
    for name, each in axes.items():
        level(each, 0.0)
        curves(each, series, name)
    low = min(each.dataLim.y0 for each in axes.values())
    for each in axes.values():
        each.set_ylim(min(-0.1, low - 0.05), 1.05)
    legend(figure)
    return figure


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
    legend(figure)
    return figure


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
        series: Epochs (x) and measurements (y) of every run; panels are filled row by row.
        columns: Panels in a row, default 3.
        lines: Levels to mark in all panels, with their names; default none.
        limits: Ends of the vertical axes, ``None`` (default) for those of the data.

    >>> figure = over_epochs([Series("MLP", "BP", 0, [0, 1], [0.1, 0.9])], "accuracy", lines={0.1: "chance"})
    >>> figure.axes[0].lines[0].get_ydata(), figure.axes[0].get_ylabel()
    (array([0.1, 0.9]), 'accuracy')
    """
    figure, axes = panels(series, "epochs", measure, columns=columns, size=(1.8, 0.5, 3.1, 2.5))
    for panel, each in axes.items():
        curves(each, series, panel)
        for height, name in (lines or {}).items():
            level(each, height)
            each.annotate(name, (1, height), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                          fontsize="small", color="0.35")  # fmt: skip
    figure.axes[0].set_ylim(*limits)  # shared by all, and so set when all is drawn
    legend(figure)
    return figure
