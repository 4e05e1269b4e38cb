"""Whether runs that are sharper at the same training loss generalize worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from analysis.figures.plots import Series, dots, legend, logarithmic, panels

__all__ = ["gap_at_matched_loss"]


def gap_at_matched_loss(series: Sequence[Series], gap: str, notes: Mapping[str, str] | None = None) -> Figure:
    """Return a gap against the largest eigenvalue of the loss, one point a run, a panel for every training loss.

    Args:
        series: The eigenvalue (x) and the gap (y) of every run that reached the loss; panels are losses, labels arms.
        gap: What the gap is.
        notes: A line above each panel's points, such as the correlation, by panel; default none.

    >>> figure = gap_at_matched_loss([Series("0.1", "bptt", 0, [3.0], [0.1])], "gap", {"0.1": "10 runs"})
    >>> figure.axes[0].collections[0].get_offsets().tolist(), figure.axes[0].texts[0].get_text()
    ([[3.0, 0.1]], '10 runs')
    """
    figure, axes = panels(series, "largest eigenvalue of the Hessian", gap)
    for name, each in axes.items():
        dots(each, series, name)
        logarithmic(each, "x", [x for one in series if one.panel == name for x in one.x])
        if notes and name in notes:
            each.annotate(notes[name], (0.02, 0.99), xycoords="axes fraction", va="top", fontsize="small")
    if notes:  # they need room; all panels share their vertical axis
        first = next(iter(axes.values()))
        low, high = first.get_ylim()
        first.set_ylim(low, high + 0.3 * (high - low))
    legend(figure, "one point a run")
    return figure
