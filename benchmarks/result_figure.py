"""The saved results of benchmarks in one figure: every contestant's time as a multiple of the reference's.

    python -m benchmarks.result_figure

`python -m tools.pages` draws it again where the results have changed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.looks import COLOURS
from analysis.figures.plots import SETTINGS, logarithmic, write
from benchmarks.results import FOLDER, Result, read

__all__ = ["HEAD", "draw", "figure_of", "main", "ratios", "saved"]

PATH = Path(__file__).resolve().parents[1] / "docs" / "figures" / "benchmarks"
HEAD = ("benchmark", "row", "column", "ratio")
ACROSS = 2  # panels in a row
MARKERS = "osD^vPX<"
Ratio = tuple[str, str, str, float]  # as in the head


def saved() -> list[Result]:
    """Return the saved results, by the name of their file."""
    return [read(path) for path in sorted(FOLDER.glob("*.json"))]


def ratios(results: Sequence[Result]) -> list[Ratio]:
    """Return the time of every row and column as a multiple of the reference's, where both were measured.

    Args:
        results: The results.
    """
    return [
        (result.name, name, column, seconds / reference[column])
        for result in results
        for reference in [result.rows[result.reference].seconds]
        for name, row in result.rows.items()
        for column, seconds in row.seconds.items()
        if column in reference
    ]


def figure_of(results: Sequence[Result]) -> Figure:
    """Return a panel for every result: rows of contestants, a mark for every column, on a logarithmic axis.

    Args:
        results: The results.
    """
    results = sorted(results, key=lambda result: -_lines(result))
    places = [results[place : place + ACROSS] for place in range(0, len(results), ACROSS)]
    heights = [_lines(row[0]) + 3.0 for row in places]
    with matplotlib.rc_context({**SETTINGS, "font.size": 8}):
        figure = Figure(figsize=(12.0, 0.2 * sum(heights)), layout="constrained")
        grid = figure.subplots(len(places), ACROSS, squeeze=False, height_ratios=heights)
        for axes, result in zip(grid.flatten(), results, strict=False):
            _panel(axes, result)
        for axes in grid.flatten()[len(results) :]:
            axes.remove()
    return figure


def _lines(result: Result) -> int:
    """Return the lines that a panel needs for its rows and its legend."""
    return max(len(result.rows) - 1, len(result.columns))


def _panel(axes: Axes, result: Result) -> None:
    names = [name for name in result.rows if name != result.reference]
    found = [each for each in ratios([result]) if each[1] != result.reference]
    for place, column in enumerate(result.columns):
        mine = [(ratio, names.index(name)) for _, name, its, ratio in found if its == column]
        axes.plot(*zip(*mine, strict=True), MARKERS[place % len(MARKERS)], color=COLOURS[(place + 1) % len(COLOURS)],
                  markersize=5, alpha=0.8, label=column)  # fmt: skip
    axes.axvline(1.0, color="0.45", linestyle=":", linewidth=1.0)
    logarithmic(axes, "x", [ratio for *_, ratio in found] + [1.0])
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color="0.92")
    axes.set_title(
        f"{result.question.replace('`', '')}\ntimes as multiples of {result.reference}", loc="left", fontsize=8
    )
    if len(result.columns) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, frameon=False)


def draw(path: Path = PATH) -> bool:
    """Write the figure with its numbers if these differ from the saved results; return whether they did.

    Args:
        path: Where to, without a suffix; default below ``docs/figures/``.
    """
    results = saved()
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([HEAD, *ratios(results)])
    numbers = path.with_suffix(".csv")
    if numbers.exists() and numbers.read_bytes() == text.getvalue().encode():
        return False
    write(figure_of(results), path, HEAD, ratios(results))
    return True


def main() -> None:
    """Draw the figure."""
    draw()


if __name__ == "__main__":
    main()
