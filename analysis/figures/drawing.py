"""What the figures share: their input, their looks, and how they are written with their numbers beside them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tca.experiments.records.files import write_whole
from tca.utils.checks import Measured, Seed, checked

__all__ = ["Look", "Series", "band", "legend", "looks", "panels", "save", "write"]

# Okabe and Ito (2008), Color Universal Design: told apart with every kind of colour vision. Dashes and markers say the
# same once more for print without colour.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
Dash = str | tuple[int, tuple[float, ...]]
DASHES: tuple[Dash, ...] = (
    "solid",
    (0, (5, 1.5)),
    (0, (1.5, 1)),
    (0, (5, 1.5, 1.5, 1.5)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (1, 2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SETTINGS = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "font.size": 10,
    "legend.frameon": False,
    "savefig.dpi": 160,
    "svg.fonttype": "none",
    "svg.hashsalt": "tca",
}


@checked
@dataclass(frozen=True)
class Series:
    """Numbers of one run to draw.

    Args:
        panel: Name of the panel it belongs to, for example the task.
        label: What it is called in the legend, for example the rule.
        seed: Which of the repetitions it is.
        x: Horizontal positions.
        y: Vertical positions, as many; those that are NaN are left out.
    """

    panel: str
    label: str
    seed: Seed
    x: Sequence[Measured]
    y: Sequence[Measured]


@dataclass(frozen=True)
class Look:
    """How a label is drawn, everywhere."""

    colour: str
    dash: Dash
    marker: str


def looks(series: Sequence[Series]) -> dict[str, Look]:
    """Return a look for every label in the order of their first appearance, different for up to 49 labels.

    After every seven the colours come again, with the dash and the marker of the colour after.

    Args:
        series: What will be drawn.

    >>> [look.colour for look in looks([Series("", "bptt", 0, [], []), Series("", "eprop", 0, [], [])]).values()]
    ['#000000', '#0072B2']
    """
    labels = dict.fromkeys(each.label for each in series)
    count = len(COLOURS)
    turns = [(place % count, (place + place // count) % count) for place in range(len(labels))]
    return {
        label: Look(COLOURS[colour], DASHES[style], MARKERS[style])
        for label, (colour, style) in zip(labels, turns, strict=True)
    }


def panels(series: Sequence[Series], x_label: str, y_label: str, shared: bool = True) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with one panel for every name among the series, side by side.

    Args:
        series: What will be drawn.
        x_label: Name of the horizontal axes.
        y_label: Name of the vertical axes, shown at the first.
        shared: Whether all panels have the same vertical axis, default yes.
    """
    names = list(dict.fromkeys(each.panel for each in series))
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(1.2 + 4.0 * len(names), 3.9), layout="constrained")
        axes = figure.subplots(1, len(names), squeeze=False, sharey=shared)[0]
        for name, each in zip(names, axes, strict=True):
            each.set_title(name)
            each.set_xlabel(x_label)
            each.grid(color="0.92")
            each.set_axisbelow(True)
        axes[0].set_ylabel(y_label)
    return figure, dict(zip(names, axes, strict=True))


def band(axes: Axes, look: Look, label: str, members: Sequence[Series], geometric: bool = False) -> None:
    """Draw the mean of some series over seeds, with a band of one standard deviation to either side.

    Where series end at different positions, the mean is over those that have got that far.

    Args:
        axes: Where.
        look: How.
        label: Name for the legend.
        members: The series.
        geometric: Whether to take mean and standard deviation of logarithms, for an axis that is logarithmic, so that
            the band never reaches zero; default no.
    """
    positions = sorted({x for each in members for x in each.x})
    table = np.full((len(members), len(positions)), np.nan)
    for row, each in enumerate(members):
        table[row, [positions.index(x) for x in each.x]] = each.y
    kept = ~np.isnan(table).all(axis=0)
    xs = [x for x, keep in zip(positions, kept, strict=True) if keep]
    values = np.log(table[:, kept]) if geometric else table[:, kept]
    mean, spread = np.nanmean(values, axis=0), _deviation(values)
    middle, low, high = (np.exp(each) if geometric else each for each in (mean, mean - spread, mean + spread))
    axes.plot(xs, middle, color=look.colour, linestyle=look.dash, linewidth=1.8, label=label)
    axes.fill_between(xs, low, high, color=look.colour, alpha=0.12, linewidth=0)


def _deviation(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the standard deviation of the population that each column was drawn from; 0 for a single number."""
    counts = (~np.isnan(table)).sum(axis=0)
    unbiased: NDArray[np.float64] = np.nanstd(table, axis=0) * np.sqrt(counts / np.maximum(1, counts - 1))
    return unbiased


def legend(figure: Figure) -> None:
    """Put one legend for all panels to the right of the figure.

    Args:
        figure: The figure, with everything drawn.
    """
    entries: dict[Any, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries.update(zip(labels, handles, strict=True))
    with matplotlib.rc_context(SETTINGS):
        figure.legend(entries.values(), entries.keys(), loc="outside right upper", handlelength=3.2)


@checked
def save(figure: Figure, series: Sequence[Series], path: Path, x_name: str, y_name: str) -> None:
    """Write a figure as SVG and PNG, and its numbers as CSV with one line a point.

    Args:
        figure: The figure.
        series: Its numbers.
        path: Where to, without a suffix.
        x_name: Name of the column with horizontal positions.
        y_name: Name of the column with vertical positions.
    """
    rows = ((each.panel, each.label, each.seed, x, y) for each in series for x, y in zip(each.x, each.y, strict=True))
    write(figure, path, ("panel", "label", "seed", x_name, y_name), rows)


def write(figure: Figure, path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a figure as SVG and PNG, and its numbers as CSV.

    Args:
        figure: The figure.
        path: Where to, without a suffix; folders are made.
        head: Names of the columns.
        rows: The numbers.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(SETTINGS):
        for form in ("svg", "png"):
            drawn = io.BytesIO()
            figure.savefig(drawn, format=form, metadata={"Date": None} if form == "svg" else None)
            write_whole(path.with_suffix(f".{form}"), drawn.getvalue())
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(head)
    writer.writerows(rows)
    write_whole(path.with_suffix(".csv"), table.getvalue().encode())
