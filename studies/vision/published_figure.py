"""Test accuracies of image classification minus those that papers report, most runs shortened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from matplotlib.figure import Figure

from analysis.figures.looks import rule_of_label
from analysis.figures.plots import Series, legend, looks, panels

__all__ = ["drawn", "points"]

IMAGES = {"mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
# Shortened settings that make another experiment, as the figure names them; numbers of epochs are left to the table.
SHORT = {
    "images cifar10_jpeg": "JPEG",
    "images cifar10_lossless_small": "lossless",
    "training images": "images:",
    "sizes divided by": "sizes /",
    "learning rate": "rate",
}


def points(runs: Iterable[tuple[str, float, int, float, str]]) -> list[Series]:
    """Return own accuracy (x) and the published one (y) of every run, a set of images a panel, labels rule and cell.

    Args:
        runs: Cell, published accuracy in percent, seed, own accuracy and settings that were shortened; runs without a
            published accuracy are left out.
    """
    found = []
    for cell, published, seed, accuracy, short in runs:
        if math.isfinite(published):
            paper, images, *rest = cell.split("/")
            panel = IMAGES.get(images, images)
            found.append(Series(panel, _label(paper, rest, short), seed, [accuracy], [published]))
    return found


def _label(paper: str, rest: Sequence[str], short: str) -> str:
    """Return the rule, network and shortened settings of a cell.

    >>> _label("ebd", ["CNN", "DFA"], "images cifar10_jpeg, epochs 16, sizes divided by 4")
    'DFA, CNN of EBD (JPEG, sizes / 4)'
    >>> _label("gevb", ["MLP", "vector nonnegative GEVB"], ""), _label("ed", ["not centred"], "")
    ('GEVB, MLP vector nonnegative of GEVB', 'ED, not centred of ED')
    """
    words = rest[-1].split(" ")
    known = rule_of_label(words[-1]) is not None
    rule = words[-1] if known else paper.upper()
    detail = " ".join([*rest[:-1], *(words[:-1] if known else words)])
    shortened = ", ".join(
        part.replace(long, brief, 1)
        for part in short.split(", ")
        for long, brief in SHORT.items()
        if part.startswith(long)
    )
    return f"{rule}, {detail or 'headline'} of {paper.upper()}{f' ({shortened})' if shortened else ''}"


def drawn(series: Sequence[Series]) -> Figure:
    """Return the differences from published accuracies, a row a cell, with both numbers beside it.

    Args:
        series: What `points` has returned.
    """
    rows = {name: list(dict.fromkeys(one.label for one in series if one.panel == name))
            for name in dict.fromkeys(each.panel for each in series)}  # fmt: skip
    most = max(map(len, rows.values()))
    figure, axes = panels(series, "ours − published, points", "", shared=False, size=(1.2, 0.6, 7.4, 0.5 + 0.27 * most))
    for panel, each in axes.items():
        each.axvline(0.0, color="0.45", linestyle=":", linewidth=1.0)
        for place, label in enumerate(rows[panel]):
            runs = [one for one in series if (one.panel, one.label) == (panel, label)]
            look = looks(runs)[label]
            ours = [one.x[0] for one in runs]
            each.scatter([x - runs[0].y[0] for x in ours], [place] * len(ours), color=look.colour, marker=look.marker,
                         s=36, gid=f"series:{label}")  # fmt: skip
            each.annotate(f"{sum(ours) / len(ours):.1f}, {runs[0].y[0]:g}", (1.02, place), va="center", color="0.35",
                          xycoords=("axes fraction", "data"), fontsize="small")  # fmt: skip
        each.margins(x=0.12)
        each.set_yticks(range(len(rows[panel])), rows[panel], fontsize="small")
        each.set_ylim(len(rows[panel]) - 0.5, -0.5)
    sizes = [sum((one.panel, one.label) == (panel, label) for one in series) for panel in rows for label in rows[panel]]
    span = " to ".join(map(str, sorted({min(sizes), max(sizes)})))
    legend(figure, f"at the right: ours, published;\nn = {span} of each")
    return figure
