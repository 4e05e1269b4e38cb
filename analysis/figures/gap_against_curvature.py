"""Whether rules that end in flatter places generalize better."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.figures.drawing import Series, legend, looks, panels
from analysis.figures.logarithmic import readable
from tca.utils.checks import checked

__all__ = ["gap_against_curvature"]


@checked
def gap_against_curvature(series: Sequence[Series]) -> Figure:
    """Return the generalization gap against the largest eigenvalue of the loss, one point a run.

    Args:
        series: The eigenvalue (x) and test minus training loss (y) of every run; panels are tasks, labels rules.

    >>> figure = gap_against_curvature([Series("xor", "bptt", 0, [3.0], [0.1]), Series("xor", "bptt", 1, [4.0], [0.2])])
    >>> figure.axes[0].collections[0].get_offsets().tolist()
    [[3.0, 0.1], [4.0, 0.2]]
    """
    figure, axes = panels(series, "largest eigenvalue of the Hessian", "test loss − training loss", shared=False)
    for name, each in axes.items():
        each.axhline(0.0, color="0.45", linestyle=":", linewidth=1.0)
        for label, look in looks(series).items():
            members = [one for one in series if (one.panel, one.label) == (name, label)]
            xs, ys = ([value for one in members for value in getattr(one, axis)] for axis in ("x", "y"))
            each.scatter(xs, ys, c=look.colour, marker=look.marker, s=34, alpha=0.85, linewidths=0, label=label)
        readable(each, "x", [x for one in series if one.panel == name for x in one.x])
    legend(figure)
    return figure
