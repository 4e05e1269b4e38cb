"""The fraction of runs that solved their task, beside the learning curves of a study whose runs part."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import scipy.stats

from analysis.figures.curve_figures import fraction_solved, solved
from analysis.figures.plots import Series, save
from analysis.statistics.intervals import holm
from studies.claims import Points, curves
from studies.tables import Table, share

__all__ = ["save_solved", "solved_after", "solved_claims", "solved_table", "tables"]

FEWEST = 5  # pairs that decide a claim
LEVEL = 0.05
Solved = Mapping[str, Mapping[int, float]]  # updates by rule and seed


def save_solved(series: Sequence[Series], chance: Mapping[str, float], path: Path) -> bool:
    """Write the fraction of runs that solved their task against updates; return whether runs of a label part.

    Args:
        series: Updates made (x) and test scores (y) of every run.
        chance: Score of the best constant answer, by panel.
        path: Where to, without a suffix.
    """
    parted = solved(series, chance)
    if parted:
        save(fraction_solved(parted), parted, path, "updates", "solved")
    return bool(parted)


def solved_after(points: Points, chance: float) -> float:
    """Return the updates after which a score was half way from chance to 1 first; infinity if never.

    Args:
        points: Updates made and test scores of a run.
        chance: Score of the best constant answer.

    >>> solved_after([(0, 0.5), (20, 0.9)], 0.5), solved_after([(0, 0.5), (20, 0.6)], 0.5)
    (20, inf)
    """
    return next((x for x, y in points if y >= (1 + chance) / 2), math.inf)


def tables(
    name: str, path: Path, pairs: Sequence[tuple[str, str]], chance: float
) -> dict[str, Callable[[], Table]]:  # fmt: skip
    """Return what makes the tables of a figure's runs, by name.

    Args:
        name: Name of the figure.
        path: Its file, of one panel.
        pairs: Rules compared, the one that should solve the task more often first.
        chance: Score of the best constant answer.
    """
    found = {rule: {seed: solved_after(points, chance) for seed, points in by_seed.items()}
             for (_, rule), by_seed in curves(path).items()}  # fmt: skip
    return {f"{name}_solved": partial(solved_table, found),
            f"{name}_solved_claims": partial(solved_claims, found, pairs)}  # fmt: skip


def solved_table(found: Solved) -> Table:
    """Return how many runs of every rule solved their task, and after how many updates.

    Args:
        found: Updates after which a run solved it, infinity if never.

    >>> solved_table({"bptt": {0: 20.0, 1: math.inf}}).rows
    (('bptt', '2', '1/2 [0.01, 0.99]', '20'),)
    """
    made = []
    for rule, by_seed in found.items():
        soon = [each for each in by_seed.values() if math.isfinite(each)]
        made.append((rule, str(len(by_seed)), share(len(soon), len(by_seed)), f"{median(soon):.0f}" if soon else "-"))
    return Table(("rule", "seeds", "solved [95 %]", "updates of those, median"), tuple(made))


def solved_claims(found: Solved, pairs: Sequence[tuple[str, str]]) -> Table:
    """Return whether more runs of one rule solved their task than of another: McNemar's exact test, paired by seed.

    Args:
        found: Updates after which a run solved it, infinity if never.
        pairs: Rules compared, the one that should solve more first; one family for Holm's correction.
    """
    counts = []
    for pair in pairs:
        one, two = ({seed: math.isfinite(each) for seed, each in found[rule].items()} for rule in pair)
        both = [(one[seed], two[seed]) for seed in one if seed in two]
        counts.append((len(both), both.count((True, False)), both.count((False, True))))
    p = [scipy.stats.binomtest(first, first + second).pvalue if first + second else 1.0 for _, first, second in counts]
    made = []
    for (rule, other), (total, first, second), single, corrected in zip(pairs, counts, p, holm(p), strict=True):
        decided = total >= FEWEST and corrected < LEVEL
        verdict = ("holds" if first > second else "reversed") if decided else "undecided"
        made.append((f"{rule} solves it more often than {other}", str(total), str(first), str(second),
                     f"{single:.2g}", f"{corrected:.2g}", f"**{verdict}**"))  # fmt: skip
    head = ("claim", "pairs", "the first alone", "the second alone", "p, McNemar", "p, Holm", "verdict")
    return Table(head, tuple(made))
