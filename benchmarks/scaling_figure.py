"""How costs grow with sizes, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from analysis.figures.plots import SETTINGS, Series, legend, looks, panels

__all__ = ["HIGHLIGHTED", "scaling"]

HIGHLIGHTED = ("eprop", "bptt", "node_perturbation", "snap2", "rtrl, forward", "uoro, forward", "kf_rtrl, forward")
OTHERS = "other rules"


def scaling(series: Sequence[Series], highlighted: Sequence[str], slopes: Mapping[str, float]) -> Figure:
    """Return costs against sizes, some rules in colour and the others in grey, with a slope to compare with.

    Args:
        series: Sizes (x) and costs in ms (y); panels are what grows, labels rules.
        highlighted: Labels to draw in colour.
        slopes: Exponent of a dotted guide line by panel.

    >>> figure = scaling([Series("cells", "bptt", 0, [64, 128], [1.0, 4.0])], ["bptt"], {"cells": 2.0})
    >>> figure.axes[0].get_xscale(), len(figure.axes[0].lines)
    ('log', 2)
    """
    figure, axes = panels(series, "", "ms for a gradient", shared=False)
    chosen = looks([Series("", label, 0, [], []) for label in highlighted])
    with matplotlib.rc_context(SETTINGS):
        for name, each in axes.items():
            each.set_title("")
            each.set_xlabel(name)
            each.set_xscale("log", base=2)
            each.set_yscale("log")
            each.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            members = sorted((one for one in series if one.panel == name), key=lambda one: one.label in chosen)
            for one in members:
                look = chosen.get(one.label)
                if look is None:
                    each.plot(one.x, one.y, color="0.78", linewidth=1.0, label=OTHERS)
                else:
                    each.plot(one.x, one.y, color=look.colour, linestyle=look.dash, marker=look.marker, markersize=4,
                              linewidth=1.6, label=one.label)  # fmt: skip
            xs = np.array(sorted({x for one in members for x in one.x}), dtype=np.float64)
            top = max(y for one in members for y in one.y)
            guide = top * 1.6 * (xs / xs[-1]) ** slopes[name]
            each.plot(xs, guide, color="0.3", linestyle=":", linewidth=1.2, label="slope of theory for products")
            each.set_ylim(bottom=0.6 * min(y for one in members for y in one.y))
            each.set_xticks(xs, [f"{x:.0f}" for x in xs], fontsize="small", rotation=45)
    legend(figure, "one network a point,\nminimum of repeats")
    return figure
