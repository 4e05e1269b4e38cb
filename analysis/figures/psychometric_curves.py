"""Figures of psychometric functions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from analysis.behaviour.psychometric import Psychometric
from analysis.figures.plots import Series, legend, looks, panels
from tca.utils.checks import checked

__all__ = ["psychometric_curves"]


@checked
def psychometric_curves(curves: Mapping[str, Psychometric], title: str = "") -> Figure:
    """Return proportions of choices with Wilson's intervals, and the fitted curves.

    Args:
        curves: Psychometric functions of one variable, by name in the legend.
        title: Name of the panel, default none.

    Raises:
        ValueError: There is no curve, or curves are of different variables.
    """
    variables = {each.variable for each in curves.values()}
    if len(variables) != 1:
        raise ValueError(f"curves must be of one variable, got {sorted(variables) or 'none'}")
    series = [
        Series(title, name, 0, each.counts.levels.tolist(), each.proportions.tolist()) for name, each in curves.items()
    ]
    responses = {each.response for each in curves.values()}
    answer = (
        f"choices of class {responses.pop()}" if responses != {"correct"} and len(responses) == 1 else "correct choices"
    )
    figure, axes = panels(series, variables.pop(), f"proportion of {answer}")
    for (name, each), look in zip(curves.items(), looks(series).values(), strict=True):
        levels, place = each.counts.levels, axes[title]
        reach = np.abs(np.stack([each.proportions] * 2) - each.intervals().T)
        place.errorbar(levels, each.proportions, reach, fmt=look.marker, color=look.colour, markersize=5, linewidth=1)
        fine = np.linspace(levels[0], levels[-1], 400)
        place.plot(fine, each(fine), color=look.colour, linestyle=look.dash, linewidth=1.8, label=name)
        place.set_ylim(-0.03, 1.03)
    legend(figure, "choices with Wilson's\n95 % intervals, and fits")
    return figure
