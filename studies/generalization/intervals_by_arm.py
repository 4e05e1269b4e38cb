"""A number of every arm with its interval, one row an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from analysis.figures.plots import Series, legend, looks, panels
from analysis.statistics.intervals import Estimate

__all__ = ["intervals_by_arm"]


def intervals_by_arm(series: Sequence[Series], estimates: Mapping[tuple[str, str], Estimate], x_label: str) -> Figure:
    """Return every run's number as a dot, and the mean with its interval, one row an arm, a panel for every loss.

    At the right end of each row stands how many of the runs reached the loss.

    Args:
        series: The number of every run (y); panels are losses, labels arms. Runs that did not reach it are empty.
        estimates: Mean with interval and counts, by panel and label.
        x_label: What the number is.

    >>> from analysis.statistics.intervals import mean
    >>> runs = [Series("0.1", "bptt", seed, [0.0], [gap]) for seed, gap in enumerate([0.1, 0.2, 0.3])]
    >>> figure = intervals_by_arm(runs, {("0.1", "bptt"): mean([0.1, 0.2, 0.3])}, "gap")
    >>> figure.axes[0].texts[0].get_text(), [each.get_text() for each in figure.axes[0].get_yticklabels()]
    ('3/3', ['bptt'])
    """
    labels = list(dict.fromkeys(each.label for each in series))
    figure, axes = panels(series, x_label, "")
    width, _ = figure.get_size_inches()
    figure.set_size_inches(width + 2.6, 1.3 + 0.34 * len(labels))
    for name, each in axes.items():
        for row, (label, look) in enumerate(looks(series).items()):
            members = [one for one in series if (one.panel, one.label) == (name, label)]
            values = [y for one in members for y in one.y]
            each.scatter(values, [row] * len(values), s=12, color="0.6", linewidths=0)
            found = estimates[name, label]
            if found.low == found.low:
                each.plot([found.low, found.high], [row, row], color=look.colour, linewidth=2.0)
            if found.count:
                each.plot([found.value], [row], marker="D", color=look.colour, markersize=5)
            each.annotate(f"{found.count}/{found.asked}", (1.02, row), xycoords=("axes fraction", "data"),
                          va="center", fontsize="small", color="0.35")  # fmt: skip
        each.set_yticks(range(len(labels)), labels)
        each.set_ylim(len(labels) - 0.4, -0.6)
        each.grid(axis="y", visible=False)
    values = [y for one in series for y in one.y]
    if values:  # all panels alike
        low, room = min(values), max(max(values) - min(values), 1e-9)
        for each in axes.values():
            each.set_xlim(low - 0.05 * room, low + 1.05 * room)
    legend(figure, "dots: runs; diamond: mean;\nline: 95 % interval (t);\nat the right: runs that\nreached the loss")
    return figure
