"""How the generalization gap closes as the training set grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from analysis.figures.plots import Series, curves, legend, panels

__all__ = ["gap_over_sizes"]


def gap_over_sizes(series: Sequence[Series], gap: str) -> Figure:
    """Return a gap against the size of the training set, mean and standard deviation over seeds.

    Args:
        series: Sizes in trials (x) and gaps (y) of every seed; panels are what is compared, labels arms.
        gap: What the gap is.

    >>> figure = gap_over_sizes([Series("0.1", "bptt", 0, [100, 200], [0.2, 0.1])], "gap")
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.2, 0.1])
    """
    figure, axes = panels(series, "training trials", gap)
    for name, each in axes.items():
        curves(each, series, name)
        each.set_xscale("log")
        each.xaxis.set_major_locator(FixedLocator(sorted({x for one in series for x in one.x})))
        each.xaxis.set_minor_locator(NullLocator())
        each.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    counts = Counter((one.panel, one.label, x) for one in series for x in one.x).values()
    span = " to ".join(map(str, sorted({min(counts), max(counts)})))
    legend(figure, f"mean of n = {span} runs,\nband: ± SD")
    return figure
