"""Series of numbers to draw: their labels and looks, how many runs they are, and panels with few labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.figures.looks import Look, looks_of
from tca.utils.checks import Measured, Seed, checked

__all__ = ["THIN", "Series", "by_label", "counted", "looks", "multiples", "run_counts", "summary", "undivided"]

THIN = 5  # runs up to which each is drawn
MOST = 8  # labels of a panel


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
        among: Labels among which this one has its look, so that it is the same in several figures; default those of the
            figure.
    """

    panel: str
    label: str
    seed: Seed
    x: Sequence[Measured]
    y: Sequence[Measured]
    among: tuple[str, ...] = ()


def looks(series: Sequence[Series]) -> dict[str, Look]:
    """Return the look of every label in the order of their first appearance, see `analysis.figures.looks`.

    >>> [look.colour for look in looks([Series("", "bptt", 0, [], []), Series("", "eprop", 0, [], [])]).values()]
    ['#000000', '#0072B2']
    """
    found = looks_of(label for each in series for label in (*each.among, each.label))
    return {label: found[label] for label in dict.fromkeys(each.label for each in series)}


def multiples(series: Sequence[Series]) -> list[Series]:
    """Return series with at most eight labels a panel: fuller panels are split, the first label in each part.

    >>> split = multiples([Series("xor", str(label), 0, [0], [0]) for label in range(9)])
    >>> [(each.panel, each.label) for each in split][-3:]
    [('xor (1 of 2)', '7'), ('xor (2 of 2)', '0'), ('xor (2 of 2)', '8')]
    """
    found: list[Series] = []
    for panel in dict.fromkeys(each.panel for each in series):
        groups = by_label(series, panel)
        first, *others = list(groups) or [""]
        parts = [others[start : start + MOST - 1] for start in range(0, len(others), MOST - 1)]
        if len(parts) < 2:
            found += [each for each in series if each.panel == panel]
            continue
        for place, part in enumerate(parts):
            name = f"{panel} ({place + 1} of {len(parts)})"
            found += [replace(each, panel=name) for label in (first, *part) for each in groups[label]]
    return found


def undivided(panel: str) -> str:
    """Return the name of a panel before `multiples` split it.

    >>> undivided("xor (1 of 2)"), undivided("xor")
    ('xor', 'xor')
    """
    return re.sub(r" \(\d+ of \d+\)$", "", panel)


def summary(series: Sequence[Series], *, bounded: bool = False, geometric: bool = False) -> str:
    r"""Return the description of the lines and bands that `curves` draws, with the number of runs.

    >>> summary([Series("", "a", seed, [0], [0]) for seed in (0, 1, 2)], bounded=True)
    'median of n = 3 runs,\nthin lines: runs'
    """
    counts, runs = run_counts(series), counted(series)
    if not counts or counts[-1] == 1:
        return "one run each"
    if not bounded:
        return f"geometric mean of {runs},\nband: one SD of logarithms" if geometric else f"mean of {runs},\nband: ± SD"
    return f"median of {runs},\n{'thin lines: runs' if counts[-1] <= THIN else 'band: quartiles'}"


def counted(series: Sequence[Series]) -> str:
    """Return the number of runs of each label, as the least and the largest where they differ.

    >>> counted([Series("", "a", 0, [0], [0]), Series("", "a", 1, [0], [0]), Series("", "b", 0, [0], [0])])
    'n = 1 to 2 runs'
    """
    counts = run_counts(series) or [0]
    return f"n = {counts[0]} runs" if counts[0] == counts[-1] else f"n = {counts[0]} to {counts[-1]} runs"


def run_counts(series: Sequence[Series]) -> list[int]:
    """Return the numbers of runs of the labels of all panels, from the least to the largest."""
    panels = dict.fromkeys(each.panel for each in series)
    return sorted(
        sum(bool(len(one.x)) for one in members) for panel in panels for members in by_label(series, panel).values()
    )


def by_label(series: Sequence[Series], panel: str) -> dict[str, list[Series]]:
    """Return the series of a panel that hold points, by label in the order of first appearance."""
    members = {each.label: [one for one in series if (one.panel, one.label) == (panel, each.label)] for each in series}
    return {label: found for label, found in members.items() if any(len(one.x) for one in found)}
