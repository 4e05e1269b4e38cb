"""Whether networks rest where the theorem lets their rule rest."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from analysis.figures.plots import Series, dots, legend, logarithmic, multiples, panels

__all__ = ["curvature_against_bound"]


def curvature_against_bound(series: Sequence[Series]) -> Figure:
    """Return the largest eigenvalue of the loss against ``2 / (eta rho)``, one point a run, with the line of equality.

    Below the line a rule with learning rate eta and relative step length rho can rest, above it it is driven away.

    Args:
        series: The bound (x) and the eigenvalue (y) of every run; panels are what is compared, labels arms.

    >>> figure = curvature_against_bound([Series("0.1", "bptt", 0, [40.0], [24.0])])
    >>> figure.axes[0].collections[0].get_offsets().tolist()
    [[40.0, 24.0]]
    """
    runs = sum(bool(len(one.x)) for one in series)
    series = multiples(series)
    figure, axes = panels(series, "bound 2 / (η ρ)", "largest eigenvalue of the Hessian", columns=3)
    for name, each in axes.items():
        dots(each, series, name)
        here = [one for one in series if one.panel == name]
        for axis in ("x", "y"):
            logarithmic(each, axis, [value for one in here for value in getattr(one, axis)])
        ends = [value for one in here for value in (*one.x, *one.y)]
        if ends:
            each.plot([min(ends), max(ends)], [min(ends), max(ends)], color="0.45", linestyle=":", linewidth=1.2,
                      label="λ₁ = 2 / (η ρ)", zorder=1)  # fmt: skip
    legend(figure, f"one point a run,\n{runs} at all losses")
    return figure
