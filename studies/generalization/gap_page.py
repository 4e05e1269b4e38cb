"""Tables of the study's page, from the files of its figures."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from analysis.statistics.rank_correlation import rank_correlation
from studies.claims import Arms, Claim, Points, arms_of, at_end, claims, curves
from studies.tables import Table, mean_and_spread

__all__ = ["tables"]

Rows = Sequence[Mapping[str, str]]

LOSSES = ("0.2", "0.1", "0.05")
DECIDED = ("0.2", "0.1")  # matched losses that claims are about: fewer runs reach the last one
MEASURED = {"log₁₀ λ₁": "log_lambda_1", "clean gap": "test_gap", "noisy gap": "noisy_gap"}
UNMATCHED = "verdict, loss not matched"  # of measurements at the first loss below


def tables(figures: Path, matched: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes every table of the page, by name.

    Args:
        figures: The folder of the figures.
        matched: The file with a row a run and loss, of runs measured at matched loss; without it their tables are left
            out.
    """
    made = {"digits": _digits, "claims": _generalization_claims, "sizes": _sizes, "bound": _bound,
            "correlations": _correlations, "match": _match}  # fmt: skip
    found: dict[str, Callable[[], Table]] = {f"generalization_{name}": partial(make, figures)
                                             for name, make in made.items()}  # fmt: skip
    if matched.exists():
        with matched.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found |= {"generalization_matched": partial(_matched, rows),
                  "generalization_matched_claims": partial(_matched_claims, rows)}  # fmt: skip
    return found


def _numbers(rows: Rows, loss: str, name: str) -> Arms:
    """Return a number of every run at a loss by arm and seed, NaN where the run did not reach it."""
    found: Arms = {}
    for row in rows:
        if row["loss"] == loss:
            found.setdefault(row["arm"], {})[int(row["seed"])] = float(row[name]) if row[name] else math.nan
    return found


def _matched(rows: Rows) -> Table:
    """Return curvature and both gaps of every arm where its training loss crossed each loss."""
    made = []
    for loss in dict.fromkeys(row["loss"] for row in rows):
        columns = [_numbers(rows, loss, name) for name in ("train_loss", *MEASURED.values())]
        for arm, runs in columns[0].items():
            reached = sum(math.isfinite(each) for each in runs.values())
            cells = (mean_and_spread(list(column[arm].values())) for column in columns)
            made.append((f"{loss}, {arm}", str(len(runs)), f"{reached}/{len(runs)}", *cells))
    return Table(("loss, arm", "seeds", "reached", "training loss", *MEASURED), tuple(made))


def _matched_claims(rows: Rows) -> Table:
    """Return what differs between arms at the same training loss, one family."""
    three, slow = "three-factor", "BPTT, step x 1/5"
    pairs = ((three, "BPTT"), ("MDGL", "BPTT"), ("ModProp", "BPTT"), (three, "MDGL"), (slow, "BPTT"))
    stated = []
    for loss in DECIDED:
        for heading, name in MEASURED.items():
            arms = _numbers(rows, loss, name)
            stated += [Claim(f"{heading} at {loss}: {first} above {second}", arms[first], arms[second])
                       for first, second in pairs if {first, second} <= set(arms)]  # fmt: skip
    return claims(stated)


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
