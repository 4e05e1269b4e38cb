"""Parts of all figures: data series, looks, panels, curves and points, and files with the numbers beside them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from analysis.figures.series import THIN, Series, by_label, counted, looks, multiples, run_counts, summary, undivided
from tca.experiments.records.files import write_whole
from tca.utils.checks import checked

__all__ = [
    "SETTINGS", "Series", "counted", "curves", "dots", "legend", "level", "logarithmic", "looks", "multiples", "panels",
    "rendered", "save", "summary", "undivided", "write",
]  # fmt: skip

SETTINGS = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "font.size": 10,
    "legend.frameon": False,
    "savefig.dpi": 160,
    "svg.fonttype": "none",
    "svg.hashsalt": "tca",
    "text.parse_math": False,  # names may hold any character
}
CHANCE = "chance"  # label of its level
ACROSS = 4  # panels in a row
# Names of drawn groups: `series:LABEL`, `run:SEED:LABEL`.
FEW = 40  # ratio of the largest to the smallest value up to which three numbers a decade have room


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
        columns: Panels in a row at most, default 4.
        size: Inches around the panels, horizontally and vertically, then width and height of a panel.
        small: Whether panels have small print, a common horizontal axis and common names of axes; default no.
    """
    names = list(dict.fromkeys(each.panel for each in series))
    columns = min(columns or ACROSS, len(names))
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


def curves(
    axes: Axes,
    series: Sequence[Series],
    panel: str,
    *,
    geometric: bool = False,
    markers: bool = False,
    bounded: bool = False,
) -> None:
    """Draw for every label the mean over seeds, with a band of one standard deviation to either side.

    Where series end at different positions, the mean is over those that reach so far. A measurement with bounds, such
    as an accuracy, has the median, with a thin line for each of up to five runs, or a band of quartiles for more, so
    that nothing is drawn beyond the bounds.

    Args:
        geometric: Whether to take mean and standard deviation of logarithms, for a logarithmic axis, so that the band
            never reaches zero; default no.
        markers: Whether positions are marked, default no.
        bounded: Whether the measurement has bounds, default no.
    """
    each_run = bounded and run_counts(series)[-1:] <= [THIN]
    for label, members in by_label(series, panel).items():
        look, positions = looks(series)[label], sorted({x for each in members for x in each.x})
        table = np.full((len(members), len(positions)), np.nan)
        for row, each in enumerate(members):
            table[row, [positions.index(x) for x in each.x]] = each.y
        kept = ~np.isnan(table).all(axis=0)
        xs, values = np.array(positions)[kept], table[:, kept]
        low, middle, high = _quartiles(values) if bounded else _deviations(values, geometric)
        marker = look.marker if markers else None
        axes.plot(xs, middle, color=look.colour, linestyle=look.dash, linewidth=1.8, marker=marker, label=label,
                  gid=f"series:{label}")  # fmt: skip
        if not each_run:
            axes.fill_between(xs, low, high, color=look.colour, alpha=0.12, linewidth=0, gid=f"series:{label}")
        for one in members if each_run and len(members) > 1 else ():
            axes.plot(one.x, one.y, color=look.colour, linewidth=0.7, alpha=0.5, zorder=1.5,
                      gid=f"run:{one.seed}:{label}")  # fmt: skip


def _quartiles(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return lower quartile, median and upper quartile of the columns."""
    quantile = np.nanquantile if np.isnan(table).any() else np.quantile  # which takes all columns at once
    found: NDArray[np.float64] = quantile(table, (0.25, 0.5, 0.75), axis=0)
    return found


def _deviations(table: NDArray[np.float64], geometric: bool) -> list[NDArray[np.float64]]:
    """Return the mean of the columns and one standard deviation to either side."""
    values = np.log(table) if geometric else table
    mean, spread = np.nanmean(values, axis=0), _deviation(values)
    return [np.exp(each) if geometric else each for each in (mean - spread, mean, mean + spread)]


def dots(axes: Axes, series: Sequence[Series], panel: str) -> None:
    """Draw every point of a panel in the look of its label."""
    for label, members in by_label(series, panel).items():
        look = looks(series)[label]
        for place, one in enumerate(members):
            axes.scatter(one.x, one.y, c=look.colour, marker=look.marker, s=30, alpha=0.8, linewidths=0,
                         label=None if place else label, gid=f"run:{one.seed}:{label}")  # fmt: skip


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


def legend(figure: Figure, note: str = "") -> None:
    """Add one legend for all panels to the right of the drawn figure.

    Args:
        note: Description of lines and bands with the number of runs, see `summary`; default none.
    """
    entries: dict[Any, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        entries.update({label: handle for label, handle in zip(labels, handles, strict=True) if label not in entries})
    entries = dict(sorted(entries.items(), key=lambda each: each[0] == CHANCE))  # at the end
    with matplotlib.rc_context(SETTINGS):
        made = figure.legend(entries.values(), entries.keys(), loc="outside right upper", handlelength=3.2,
                             title=note or None, title_fontsize="small", alignment="left")  # fmt: skip
        made.get_title().set_color("0.35")


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


def rendered(figure: Figure, form: str) -> bytes:
    """Return a figure as the content of a file; names are shown as they are, without formulas.

    Args:
        form: Format, such as svg or png.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    drawn, layout = io.BytesIO(), figure.get_layout_engine()
    with matplotlib.rc_context(SETTINGS):
        if layout is not None:
            layout.execute(figure)
            figure.set_layout_engine(None)  # with one, matplotlib draws everything once more beforehand
        try:
            figure.savefig(drawn, format=form, metadata={"Date": None} if form == "svg" else None)
        finally:
            figure.set_layout_engine(layout)
    return drawn.getvalue()


def write(figure: Figure, path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a figure as SVG and PNG, and its numbers as CSV.

    Args:
        path: Where to, without a suffix; folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for form in ("svg", "png"):
        write_whole(path.with_suffix(f".{form}"), rendered(figure, form))
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(head)
    writer.writerows(rows)
    write_whole(path.with_suffix(".csv"), table.getvalue().encode())
