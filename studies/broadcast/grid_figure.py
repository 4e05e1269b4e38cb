"""The grid on a screen: rules by networks, the difference to the true gradient in units of its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from analysis.figures.plots import SETTINGS, write
from analysis.statistics.intervals import Estimate, holm, verdict
from studies.broadcast.grid import CONTROLS, LABELS
from studies.broadcast.grid_tables import Rows, difference_of
from tca.utils.text import in_a_line

__all__ = ["draw", "grid_figure", "units"]

MOST = 4.0  # widths of an interval at which colours end
Place = tuple[str, str, str]


def units(found: Estimate) -> float:
    """Return a difference in units of half its interval; beyond -1 and 1 the interval excludes zero.

    Args:
        found: The difference.

    >>> from analysis.statistics.intervals import mean
    >>> round(units(mean([0.1, 0.2, 0.3])), 3)
    0.805
    """
    half = (found.high - found.low) / 2
    if half == 0:
        return math.copysign(math.inf, found.value) if found.value else 0.0
    return found.value / half


def _differences(rows: Rows) -> dict[Place, tuple[Estimate, float]]:
    """Return the difference of every cell but controls, with its p value after Holm's correction over its task."""
    places = dict.fromkeys((row["task"], row["network"], row["rule"]) for row in rows if row["rule"] not in CONTROLS)
    found: dict[Place, tuple[Estimate, float]] = {}
    for task in dict.fromkeys(place[0] for place in places):
        here = {place: difference_of(rows, place) for place in places if place[0] == task}
        corrected = holm([each.p for each in here.values()])
        found |= {place: (each, p) for (place, each), p in zip(here.items(), corrected, strict=True)}
    return found


def grid_figure(rows: Rows) -> Figure:
    """Return the map of all cells: rules in rows, networks in columns, a panel a task.

    The number is the difference of test accuracy to the true gradient in the same network, bold where it is decided;
    the colour is the same in units of half its 95 % interval.

    Args:
        rows: The runs.
    """
    found = _differences(rows)
    tasks = list(dict.fromkeys(place[0] for place in found))
    rules = [rule for rule in LABELS if any(place[2] == rule for place in found)]
    networks = {task: list(dict.fromkeys(place[1] for place in found if place[0] == task)) for task in tasks}
    counts = sorted({each.count for each, _ in found.values()})
    with matplotlib.rc_context({**SETTINGS, "font.size": 8}):
        columns = sum(map(len, networks.values()))
        figure = Figure(figsize=(2.4 + 0.58 * columns, 1.9 + 0.3 * len(rules)), layout="constrained")
        widths = [len(networks[task]) for task in tasks]
        axes = figure.subplots(1, len(tasks), sharey=True, width_ratios=widths, squeeze=False)[0]
        image = None
        for panel, task in zip(axes, tasks, strict=True):
            values = np.full((len(rules), len(networks[task])), np.nan)
            for (its, network, rule), (each, p) in found.items():
                if its == task and math.isfinite(each.value):
                    y, x = rules.index(rule), networks[task].index(network)
                    values[y, x] = np.clip(units(each), -MOST, MOST)
                    decided = verdict(each, p) != "undecided"
                    dark = abs(values[y, x]) > 0.7 * MOST
                    panel.text(x, y, _shown(each.value), ha="center", va="center", fontsize=7,
                               fontweight="bold" if decided else "normal",
                               color="white" if dark else "black")  # fmt: skip
            image = panel.imshow(values, cmap="RdBu", vmin=-MOST, vmax=MOST, aspect="auto")
            panel.set_title(task.replace(", ", ",\n"), fontsize=8)
            panel.set_xticks(
                range(len(networks[task])), networks[task], rotation=55, ha="right", rotation_mode="anchor"
            )
            panel.tick_params(length=0)
            panel.spines[:].set_visible(False)
            panel.set_facecolor("0.93")
        axes[0].set_yticks(range(len(rules)), rules)
        assert image is not None, "a grid has tasks"
        seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        label = (
            "accuracy minus BP or BPTT\nin half widths of its 95 % interval\n"
            f"(number: the difference, bold where decided; n = {seeds})"
        )
        figure.colorbar(image, ax=list(axes), label=label, shrink=0.9)
    return figure


def _shown(value: float) -> str:
    return f"{value:+.2f}".replace("0.", ".", 1).replace("-", "−")


def draw(rows: Rows, path: Path) -> None:
    """Write the figure with its numbers.

    Args:
        rows: The runs.
        path: Where to, without a suffix.
    """
    lines: list[Sequence[object]] = [
        (*map(in_a_line, place), each.count, each.value, each.low, each.high, each.p, p)
        for place, (each, p) in _differences(rows).items()
    ]
    head = ("task", "network", "rule", "pairs", "difference", "low", "high", "p", "p_holm")
    write(grid_figure(rows), path, head, lines)
