"""Tables of the study's older runs, at the first measurement below each loss, from the files of its figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

from analysis.statistics.rank_correlation import rank_correlation
from studies.claims import Arms, Claim, Points, arms_of, at_end, claims, curves
from studies.tables import Table, mean_and_spread

__all__ = ["tables"]

LOSSES = ("0.2", "0.1", "0.05")
UNMATCHED = "verdict, loss not matched"  # of measurements at the first loss below


def tables(figures: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes every table of these runs, by name.

    Args:
        figures: The folder of the figures.
    """
    made = {"digits": _digits, "claims": _generalization_claims, "sizes": _sizes, "bound": _bound,
            "correlations": _correlations, "match": _match}  # fmt: skip
    return {f"generalization_below_{name}": partial(make, figures) for name, make in made.items()}


def _panel(loss: str) -> str:
    return f"training loss ≤ {loss}"


def _lambda(figures: Path, loss: str) -> Arms:
    found = arms_of(curves(figures / "generalization_curvature_against_bound.csv"), _panel(loss), at_end())
    return {arm: {seed: math.log10(value) for seed, value in runs.items()} for arm, runs in found.items()}


def _gap(figures: Path, loss: str) -> Arms:
    return arms_of(curves(figures / "generalization_gaps_by_arm.csv"), _panel(loss), at_end())


def _digits(figures: Path) -> Table:
    rows = []
    for loss in LOSSES:
        sharp, gap = _lambda(figures, loss), _gap(figures, loss)
        rows += [(loss, arm, f"{len(gap[arm])}/10", mean_and_spread(list(sharp.get(arm, {}).values()), 2),
                  mean_and_spread(list(gap[arm].values()))) for arm in gap]  # fmt: skip
    return Table(("loss at most", "arm", "reached", "log₁₀ λ₁", "gap, noisy"), tuple(rows))


def _generalization_claims(figures: Path) -> Table:
    three, matched = "three-factor", "BPTT, step x rho of three-factor"
    pairs = ((three, "BPTT"), ("MDGL", "BPTT"), (three, "MDGL"), ("ModProp", "BPTT"), ("BPTT, step x 1/5", "BPTT"),
             (matched, "BPTT"), (three, matched))  # fmt: skip
    stated = [
        Claim(f"{what}: {first} above {second}, loss at most {loss}", arms.get(first, {}), arms.get(second, {}))
        for loss in LOSSES
        for what, arms in (("log₁₀ λ₁", _lambda(figures, loss)), ("gap, noisy", _gap(figures, loss)))
        for first, second in pairs
    ]
    return claims(stated, heading=UNMATCHED)


def _match(figures: Path) -> Table:
    found: dict[tuple[str, str], dict[int, Points]] = curves(figures / "generalization_match_gap_against_curvature.csv")
    stated = []
    for loss in LOSSES:
        sharp, gap = (
            {arm: {seed: take(points[0]) for seed, points in runs.items()}
             for (panel, arm), runs in found.items() if panel == _panel(loss)}
            for take in (lambda point: math.log10(point[0]), lambda point: point[1])
        )  # fmt: skip
        stated += [
            Claim(f"{what}: {first} above BPTT, loss at most {loss}", arms[first], arms["BPTT"])
            for what, arms in (("log₁₀ λ₁", sharp), ("gap, noisy", gap))
            for first in ("MDGL", "ModProp", "three-factor", "BPTT, step x 1/5")
        ]
    return claims(stated, heading=UNMATCHED)


def _bound(figures: Path) -> Table:
    found = curves(figures / "generalization_curvature_against_bound.csv")
    rows = []
    for loss in (*LOSSES, "all"):
        points = [point for (panel, _), runs in found.items() if loss == "all" or panel == _panel(loss)
                  for each in runs.values() for point in each]  # fmt: skip
        ratios = [y / x for x, y in points]
        rows.append((loss, str(len(points)), str(sum(ratio < 1 for ratio in ratios)), f"{max(ratios):.2f}"))
    return Table(("loss at most", "measurements", "below the bound", "largest λ₁ η ρ / 2"), tuple(rows))


def _correlations(figures: Path) -> Table:
    rows = []
    for name, file in (("digits", "generalization_gap_against_curvature"),
                       ("match", "generalization_match_gap_against_curvature")):  # fmt: skip
        found = curves(figures / f"{file}.csv")
        for loss in LOSSES:
            runs = [(arm, seed, *points[0]) for (panel, arm), by_seed in found.items() if panel == _panel(loss)
                    for seed, points in by_seed.items()]  # fmt: skip
            arms, seeds, x, y = (list(each) for each in zip(*runs, strict=True))
            pooled, within = (rank_correlation(x, y, seeds, arms, within=within) for within in (False, True))
            rows.append((name, loss, str(pooled), str(within)))
    return Table(("setting", "loss at most", "λ₁ and noisy gap, pooled", "within arms"), tuple(rows))


def _sizes(figures: Path) -> Table:
    found = curves(figures / "generalization_gap_over_sizes.csv")
    rows = []
    for (panel, arm), runs in found.items():
        sizes = sorted({x for points in runs.values() for x, _ in points})
        for size in sizes:
            values = [y for points in runs.values() for x, y in points if x == size]
            loss = panel.removeprefix("training loss ≤ ")
            rows.append((loss, arm, f"{size:.0f}", str(len(values)), mean_and_spread(values)))
    return Table(("loss at most", "arm", "training images", "runs", "gap, noisy"), tuple(rows))
