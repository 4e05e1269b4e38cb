"""How well each rule points along the true gradient as it learns."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.figures.drawing import Series, band, legend, looks, panels
from tca.utils.checks import checked

__all__ = ["alignment_over_training"]


@checked
def alignment_over_training(series: Sequence[Series]) -> Figure:
    """Return the cosine between each rule's gradient and that of BPTT against updates, mean and standard deviation.

    Args:
        series: Updates made (x) and the cosine (y) of every run; panels are tasks, labels rules.

    >>> figure = alignment_over_training([Series("xor", "eprop", 0, [0, 10], [0.9, 0.5])])
    >>> figure.axes[0].lines[-1].get_ydata()
    array([0.9, 0.5])
    """
    figure, axes = panels(series, "updates", "cosine with BPTT")
    for name, each in axes.items():
        each.axhline(0.0, color="0.45", linestyle=":", linewidth=1.0)
        for label, look in looks(series).items():
            members = [one for one in series if (one.panel, one.label) == (name, label)]
            if members:
                band(each, look, label, members)
    low = min(each.dataLim.y0 for each in axes.values())
    for each in axes.values():
        each.set_ylim(min(-0.1, low - 0.05), 1.05)
    legend(figure)
    return figure
