"""Runs of a figure's file by panel, label and seed, and the claims that compare them."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from analysis.statistics.intervals import Estimate, holm, paired_difference, verdict
from studies.tables import COMPARED, Table, differences, mean_and_spread

__all__ = ["Arms", "Claim", "Curves", "Points", "arms_of", "at_end", "by_arm", "claims", "curves", "over_training"]

Points = list[tuple[float, float]]
Curves = dict[tuple[str, str], dict[int, Points]]
Arms = dict[str, dict[int, float]]


def curves(path: Path) -> Curves:
    """Return the points of every run of a figure's file, by panel, label and seed.

    Args:
        path: The file: panel, label, seed, x and y in each row.
    """
    found: Curves = {}
    with path.open(encoding="utf-8", newline="") as file:
        for panel, label, seed, x, y in list(csv.reader(file))[1:]:
            found.setdefault((panel, label), {}).setdefault(int(seed), []).append((float(x), float(y)))
    return found


def arms_of(found: Curves, panel: str, number: Callable[[Points], float]) -> Arms:
    """Return a number of every run of a panel, by label and seed.

    Args:
        found: The runs.
        panel: Name of the panel.
        number: What is taken of the points of a run.
    """
    return {label: {seed: number(points) for seed, points in runs.items()}
            for (where, label), runs in found.items() if where == panel}  # fmt: skip


def at_end(last: int = 1) -> Callable[[Points], float]:
    """Return what takes the mean of the last values of a run.

    Args:
        last: How many, default 1.
    """
    return lambda points: fmean(y for _, y in points[-last:])


def over_training(points: Points) -> float:
    """Return the mean of all values of a run.

    Args:
        points: Its points.
    """
    return fmean(y for _, y in points)


@dataclass(frozen=True)
class Claim:
    """A statement that a number of one arm is larger than that of another.

    Args:
        text: The statement.
        first: The number of the first arm by seed.
        second: That of the second.
    """

    text: str
    first: Mapping[int, float]
    second: Mapping[int, float]


def claims(stated: Sequence[Claim], digits: int = 3, heading: str = "verdict") -> Table:
    """Return the claims of a page: pairs, difference, both p values and verdict.

    Args:
        stated: The claims, one family for Holm's correction.
        digits: Digits after the point, default 3.
        heading: Heading of the verdicts, default "verdict".
    """
    found = [paired_difference(each.first, each.second) for each in stated]
    corrected = holm([each.p for each in found])
    rows = [
        (each.text, str(one.count), _interval(one, digits), _p(one.p), _p(p), f"**{verdict(one, p)}**")
        for each, one, p in zip(stated, found, corrected, strict=True)
    ]
    return Table(("claim", "pairs", "difference [95 %]", "p", "p, Holm", heading), tuple(rows))


def _interval(found: Estimate, digits: int) -> str:
    if found.count < 2:
        return f"{found.value:+.{digits}f}" if found.count else "-"
    value, low, high = (f"{each:+.{digits}f}" for each in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def _p(value: float) -> str:
    return f"{value:.2g}" if value == value else "-"


def by_arm(columns: Mapping[str, Arms], compared: Mapping[str, tuple[Arms, str]], scale: float = 1.0) -> Table:
    """Return every arm: numbers, mean and standard deviation over seeds, and differences from a baseline.

    Args:
        columns: The numbers of every arm by heading.
        compared: Numbers and the arm that they are compared with, by heading.
        scale: Factor on the numbers of the columns, such as 100 for percent.
    """
    arms = list(next(iter(columns.values())))
    asked = [None if arm == base else paired_difference(numbers[arm], numbers[base])
             for numbers, base in compared.values() for arm in arms]  # fmt: skip
    texts = differences(asked)
    rows = []
    for place, arm in enumerate(arms):
        seeds = len(next(iter(columns.values()))[arm])
        numbers = [mean_and_spread([scale * each for each in column[arm].values()], 1 if scale > 1 else 3)
                   for column in columns.values()]  # fmt: skip
        rows.append((arm, str(seeds), *numbers, *(texts[place :: len(arms)])))
    head = ("rule", "seeds", *columns, *(f"{heading}, {COMPARED}" for heading in compared))
    return Table(head, tuple(rows))
