"""Parts of all figures: data series, looks, panels, curves and points, and files with the numbers beside them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from tca.experiments.records.files import write_whole
from tca.utils.checks import Measured, Seed, checked

__all__ = [
    "COLOURS", "SETTINGS", "Look", "Series", "curves", "dots", "legend", "level", "logarithmic", "looks", "panels",
    "save", "write",
]  # fmt: skip

# Okabe and Ito (2008), Color Universal Design: distinct with every kind of colour vision. Dashes and markers repeat the
# distinction for print without colour.
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
FEW = 40  # ratio of the largest to the smallest value up to which three numbers a decade have room


@checked
@dataclass(frozen=True)
class Series:
    """Numbers of one run to draw.

    Args:
        panel: Name of the panel, for example the task.
        label: Name in the legend, for example the rule.
        seed: Number of the repetition.
        x: Horizontal positions.
        y: Vertical positions, as many; those that are NaN are left out.
    """

    panel: str
    label: str
    seed: Seed
    x: Sequence[Measured]
    y: Sequence[Measured]


class Look(NamedTuple):
    """Colour, dash and marker of a label."""

    colour: str
    dash: Dash
    marker: str


def looks(series: Sequence[Series]) -> dict[str, Look]:
    """Return a look for every label in the order of their first appearance, different for up to 49 labels.

    After every seven the colours come again, with the dash and the marker of the colour after.

    >>> [look.colour for look in looks([Series("", "bptt", 0, [], []), Series("", "eprop", 0, [], [])]).values()]
    ['#000000', '#0072B2']
    """
    labels, count = dict.fromkeys(each.label for each in series), len(COLOURS)
    styles = [(place + place // count) % count for place in range(len(labels))]
    return {
        label: Look(COLOURS[place % count], DASHES[style], MARKERS[style])
        for place, (label, style) in enumerate(zip(labels, styles, strict=True))
    }


def panels(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    shared: bool = True,
    *,
    columns: int | None = None,
    size: tuple[float, float, float, float] = (1.2, 0.0, 4.0, 3.9),
    small: bool = False,
) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with one panel for every name among the series, row by row.

    Args:
        y_label: Name of the vertical axes, shown at the left.
        shared: Whether all panels have the same vertical axis, default yes.
        columns: Panels in a row at most, default all.
        size: Inches around the panels, horizontally and vertically, then width and height of a panel.
        small: Whether panels have small print, a common horizontal axis and common names of axes; default no.
    """
    names = list(dict.fromkeys(each.panel for each in series))
    columns = min(columns or len(names), len(names))
    rows, (left, top, width, height) = math.ceil(len(names) / columns), size
    with matplotlib.rc_context({**SETTINGS, "font.size": 8} if small else SETTINGS):
        figure = Figure(figsize=(left + width * columns, top + height * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=small, sharey=shared).flatten()
        for place, (name, axes) in enumerate(zip(names, grid, strict=False)):
            axes.set_title(name)
            axes.grid(color="0.92")
            axes.set_axisbelow(True)
            if place + columns >= len(names):
                axes.set_xlabel("" if small else x_label)
                axes.tick_params(labelbottom=True)  # also above a place without a panel
            if place % columns == 0:
                axes.set_ylabel("" if small else y_label)
        for axes in grid[len(names) :]:
            axes.remove()
        if small:
            figure.supxlabel(x_label, fontsize="medium")
            figure.supylabel(y_label, fontsize="medium")
    return figure, dict(zip(names, grid, strict=False))


def _group(series: Sequence[Series], panel: str) -> dict[str, list[Series]]:
    """Return the series of a panel that hold points, by label in the order of first appearance."""
    members = {each.label: [one for one in series if (one.panel, one.label) == (panel, each.label)] for each in series}
    return {label: found for label, found in members.items() if any(len(one.x) for one in found)}


def curves(axes: Axes, series: Sequence[Series], panel: str, *, geometric: bool = False, markers: bool = False) -> None:
    """Draw for every label the mean over seeds, with a band of one standard deviation to either side.

    Where series end at different positions, the mean is over those that reach so far.

    Args:
        geometric: Whether to take mean and standard deviation of logarithms, for a logarithmic axis, so that the band
            never reaches zero; default no.
        markers: Whether positions are marked, default no.
    """
    for label, members in _group(series, panel).items():
        look, positions = looks(series)[label], sorted({x for each in members for x in each.x})
        table = np.full((len(members), len(positions)), np.nan)
        for row, each in enumerate(members):
            table[row, [positions.index(x) for x in each.x]] = each.y
        kept = ~np.isnan(table).all(axis=0)
        xs = [x for x, keep in zip(positions, kept, strict=True) if keep]
        values = np.log(table[:, kept]) if geometric else table[:, kept]
        mean, spread = np.nanmean(values, axis=0), _deviation(values)
        middle, low, high = (np.exp(each) if geometric else each for each in (mean, mean - spread, mean + spread))
        marker = look.marker if markers else None
        axes.plot(xs, middle, color=look.colour, linestyle=look.dash, linewidth=1.8, marker=marker, label=label)
        axes.fill_between(xs, low, high, color=look.colour, alpha=0.12, linewidth=0)


def dots(axes: Axes, series: Sequence[Series], panel: str) -> None:
    """Draw every point of a panel in the look of its label."""
    for label, look in looks(series).items():
        members = [one for one in series if (one.panel, one.label) == (panel, label)]
        xs, ys = ([value for one in members for value in getattr(one, axis)] for axis in ("x", "y"))
        axes.scatter(xs, ys, c=look.colour, marker=look.marker, s=30, alpha=0.8, linewidths=0, label=label)


def level(axes: Axes, height: float, label: str | None = None) -> None:
    """Draw a dotted horizontal line."""
    axes.axhline(height, color="0.45", linestyle=":", linewidth=1.0, label=label)


def logarithmic(axes: Axes, which: str, values: Sequence[float]) -> None:
    """Make an axis logarithmic, numbered 1, 2, 5 where it spans few decades; leave it if a value is not positive.

    Args:
        which: ``"x"`` or ``"y"``.
        values: The data along it; NaN is left out.
    """
    known = [value for value in values if value == value]
    if not known or min(known) <= 0:
        return
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(known) < FEW * min(known) else (1,)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _deviation(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unbiased standard deviation of each column; 0 for a single number."""
    counts = (~np.isnan(table)).sum(axis=0)
    unbiased: NDArray[np.float64] = np.nanstd(table, axis=0) * np.sqrt(counts / np.maximum(1, counts - 1))
    return unbiased


def legend(figure: Figure) -> None:
    """Add one legend for all panels to the right of the drawn figure."""
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
        path: Where to, without a suffix.
        x_name: Name of the column with horizontal positions.
        y_name: Name of the column with vertical positions.
    """
    rows = ((each.panel, each.label, each.seed, x, y) for each in series for x, y in zip(each.x, each.y, strict=True))
    write(figure, path, ("panel", "label", "seed", x_name, y_name), rows)


def write(figure: Figure, path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a figure as SVG and PNG, and its numbers as CSV.

    Args:
        path: Where to, without a suffix; folders are made.
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
