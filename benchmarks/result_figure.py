"""The saved results of benchmarks in one figure: every contestant's time as a multiple of the reference's.

    python -m benchmarks.result_figure

`python -m tools.pages` draws it again where the results have changed.
"""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.looks import looks_of, rule_of_label
from analysis.figures.plots import SETTINGS, logarithmic, write
from benchmarks.results import FOLDER, Result, read

__all__ = ["HEAD", "draw", "figure_of", "main", "ratios", "saved"]

PATH = Path(__file__).resolve().parents[1] / "docs" / "figures" / "benchmarks"
HEAD = ("benchmark", "row", "column", "ratio")
ACROSS = 2  # panels in a row
WIDE = 46  # characters of a title
MARKERS = "osD^vPX<"
NO_RULE = "0.5"
Ratio = tuple[str, str, str, float]  # as in the head


def saved() -> list[Result]:
    """Return the saved results that have a reference, by the name of their file."""
    return [result for result in map(read, sorted(FOLDER.glob("*.json"))) if result.reference]


def ratios(results: Sequence[Result]) -> list[Ratio]:
    """Return the time of every row and column as a multiple of the reference's, where both were measured.

    Args:
        results: The results.
    """
    return [
        (result.name, name, column, ratio)
        for result in results
        for name in result.rows
        for column, ratio in result.multiples(name, result.reference).items()
    ]


def figure_of(results: Sequence[Result]) -> Figure:
    """Return a panel for every result: rows of contestants, a mark for every column, on a logarithmic axis.

    Colours are those of the rules, as in all figures; grey where none is meant.

    Args:
        results: The results.
    """
    results = sorted(results, key=lambda result: -_lines(result))
    places = [results[place : place + ACROSS] for place in range(0, len(results), ACROSS)]
    heights = [_lines(row[0]) + 4.0 for row in places]
    with matplotlib.rc_context({**SETTINGS, "font.size": 8}):
        figure = Figure(figsize=(12.0, 0.2 * sum(heights)), layout="constrained")
        parts = figure.subfigures(len(places), ACROSS, squeeze=False, height_ratios=heights)
        for part, result in zip(parts.flatten(), results, strict=False):
            _panel(part.subplots(), result)  # as wide as its own names and legend leave it
    return figure


def _lines(result: Result) -> int:
    """Return the lines that a panel needs for its rows and its legend."""
    return max(len(result.rows) - 1, len(result.columns))


def _rule(result: Result, row: str, column: str) -> str | None:
    """Return the rule that its column, its row or the benchmark names."""
    return rule_of_label(", ".join((column, row.removeprefix("tca "), *result.name.split("_"))))


def _without_rule(column: str) -> str:
    """Return what a column is beside the rule that it names, such as a size."""
    return ", ".join(each for each in column.split(", ") if not rule_of_label(each))


def _panel(axes: Axes, result: Result) -> None:
    names = [name for name in result.rows if name != result.reference]
    sizes = list(dict.fromkeys(map(_without_rule, result.columns)))
    found = [each for each in ratios([result]) if each[1] != result.reference]
    for _, name, column, ratio in found:
        axes.plot([ratio], [names.index(name)], markersize=5, alpha=0.8, **_mark(result, name, column, sizes))
    axes.axvline(1.0, color="0.45", linestyle=":", linewidth=1.0)
    logarithmic(axes, "x", [ratio for *_, ratio in found] + [1.0])
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color="0.92")
    question = textwrap.fill(result.question.replace("`", ""), WIDE)
    axes.set_title(f"{question}\n{result.measure} as multiples of {result.reference}", loc="left", fontsize=8)
    if len(result.columns) > 1:
        marks = [Line2D([], [], label=column, **_mark(result, "", column, sizes)) for column in result.columns]
        axes.legend(handles=marks, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, frameon=False)


def _mark(result: Result, row: str, column: str, sizes: Sequence[str]) -> dict[str, Any]:
    """Return the colour of the rule and the marker of the size that a time is about."""
    rule = _rule(result, row, column)
    colour = NO_RULE if rule is None else looks_of([rule])[rule].colour
    return {"color": colour, "marker": MARKERS[sizes.index(_without_rule(column)) % len(MARKERS)], "linestyle": "none"}


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
