"""How well each rule does as it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from analysis.figures.drawing import Series, band, legend, looks, panels
from tca.utils.checks import checked

__all__ = ["learning_curves"]


@checked
def learning_curves(
    series: Sequence[Series], measure: str = "accuracy", chance: Mapping[str, float] | None = None
) -> Figure:
    """Return test performance against updates: the mean over seeds with a band of one standard deviation.

    Args:
        series: Updates made (x) and performance over the test set (y) of every run; panels are tasks, labels rules.
        measure: What performance is, default accuracy.
        chance: Performance of an answer that does not depend on the inputs, by panel, drawn as a dotted line; default
            none.

    >>> figure = learning_curves([Series("xor", "bptt", 0, [0, 10], [0.5, 1.0])], chance={"xor": 0.5})
    >>> figure.axes[0].lines[0].get_ydata()
    array([0.5, 1. ])
    """
    figure, axes = panels(series, "updates", f"test {measure}")
    for name, each in axes.items():
        for label, look in looks(series).items():
            members = [one for one in series if (one.panel, one.label) == (name, label)]
            if members:
                band(each, look, label, members)
        if chance and name in chance:
            each.axhline(chance[name], color="0.45", linestyle=":", linewidth=1.0, label="chance")
    low = min((each.dataLim.y0 for each in axes.values()), default=0.0)
    for each in axes.values():
        each.set_ylim(low - 0.03, 1.03)  # a perfect score is 1; bands may reach beyond
    legend(figure)
    return figure
