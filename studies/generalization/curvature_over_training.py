"""How sharp the loss becomes around networks as they learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from analysis.figures.plots import Series, curves, legend, logarithmic, panels, summary

__all__ = ["curvature_over_training"]

NUMBERED = [digit * 10.0**power for power in range(-12, 13) for digit in (1, 2, 5)]


def curvature_over_training(series: Sequence[Series]) -> Figure:
    """Return the largest eigenvalue of the loss against updates: geometric mean and standard deviation over seeds.

    Means and deviations are those of logarithms, and both axes are logarithmic; what is not positive is left out, as
    is the start. The mean is over runs that are still trained, so that a curve may jump where one of them ends.

    Args:
        series: Updates made (x) and the eigenvalue (y) of every run; panels are tasks, labels arms.

    >>> figure = curvature_over_training([Series("digits", "bptt", 0, [10, 20], [100.0, 10.0])])
    >>> figure.axes[0].lines[0].get_ydata()
    array([2., 1.])
    """
    logarithms = [_logarithms(each) for each in series]
    figure, axes = panels(series, "updates", "largest eigenvalue of the Hessian", shared=False)
    for name, each in axes.items():
        curves(each, logarithms, name)
        logarithmic(each, "x", [x for one in logarithms if one.panel == name for x in one.x])
        each.yaxis.set_major_locator(FixedLocator([math.log10(value) for value in NUMBERED]))
        each.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:g}"))
    figure.set_figwidth(figure.get_figwidth() + 2.0)
    legend(figure, summary(series, geometric=True))
    return figure


def _logarithms(series: Series) -> Series:
    points = [(x, math.log10(y)) for x, y in zip(series.x, series.y, strict=True) if x > 0 and y > 0]
    return replace(series, x=[x for x, _ in points], y=[y for _, y in points])
