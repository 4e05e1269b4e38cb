"""The fraction of runs that solved their task, beside the learning curves of a study whose runs part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.figures.curve_figures import fraction_solved, solved
from analysis.figures.plots import Series, save

__all__ = ["save_solved"]


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
