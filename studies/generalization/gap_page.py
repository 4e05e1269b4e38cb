"""Tables of the study's page, from the files with a row a run and loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from analysis.statistics.rank_correlation import rank_correlation
from studies.claims import Arms, Claim, claims
from studies.generalization.gap_plan import BPTT, MATCHED, MDGL, MODPROP, RULES_COMPARED, SETTINGS, SLOW, THREE
from studies.tables import Table, mean_and_spread, rows_of

__all__ = ["tables"]

Rows = Sequence[Mapping[str, str]]
Data = Mapping[str, Rows]  # by setting

SEEDS = 10  # of correlations: arms with more seeds would weigh more
DECIDED = 2  # losses that claims are about: few runs reach the last one
MEASURED = {"log₁₀ λ₁": "log_lambda_1", "clean gap": "test_gap", "noisy gap": "noisy_gap"}
PAIRS = ((THREE, BPTT), (MODPROP, BPTT), (THREE, MDGL), (SLOW, BPTT), (MATCHED, BPTT), (THREE, MATCHED))


def tables(data: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes every table of the page, by name; those of settings without a file are left out.

    Args:
        data: The folder of the files, ``generalization_SETTING.csv``.
    """
    known: dict[str, Rows] = {}
    found: dict[str, Callable[[], Table]] = {}
    for setting in SETTINGS:
        path = data / f"generalization_{setting}.csv"
        if path.exists():
            known[setting] = rows = rows_of(path)
            pairs = PAIRS if setting == "digits" else ((MDGL, BPTT), *PAIRS)
            found |= {f"generalization_{setting}": partial(_arms, rows, setting),
                      f"generalization_{setting}_claims": partial(_claims, rows, setting, pairs)}  # fmt: skip
    if "digits" in known:
        found |= {"generalization_mdgl": partial(_claims, known["digits"], "digits", ((MDGL, BPTT),)),
                  "generalization_sizes": partial(_sizes, known["digits"])}  # fmt: skip
    if known:
        found |= {"generalization_bound": partial(_bound, known),
                  "generalization_correlations": partial(_correlations, known)}  # fmt: skip
    return found


def _own(rows: Rows, setting: str) -> Rows:
    """Return the runs whose training set has the size of the setting."""
    return [row for row in rows if int(row["n_train"]) == SETTINGS[setting].n_train]


def _losses(setting: str) -> list[str]:
    return [f"{loss:g}" for loss in SETTINGS[setting].losses]


def _numbers(rows: Rows, loss: str, name: str) -> Arms:
    """Return a number of every run at a loss by arm and seed, NaN where the run did not reach it."""
    found: Arms = {}
    for row in rows:
        if row["loss"] == loss:
            found.setdefault(row["arm"], {})[int(row["seed"])] = float(row[name]) if row[name] else math.nan
    return found


def _arms(rows: Rows, setting: str) -> Table:
    """Return curvature and both gaps of every arm where its training loss crossed each loss."""
    made = []
    for loss in _losses(setting):
        columns = [_numbers(_own(rows, setting), loss, name) for name in ("train_loss", *MEASURED.values())]
        for arm, runs in columns[0].items():
            reached = sum(math.isfinite(each) for each in runs.values())
            cells = (mean_and_spread(list(column[arm].values())) for column in columns)
            made.append((f"{loss}, {arm}", str(len(runs)), f"{reached}/{len(runs)}", *cells))
    return Table(("loss, arm", "seeds", "reached", "training loss", *MEASURED), tuple(made))


def _claims(rows: Rows, setting: str, pairs: Sequence[tuple[str, str]]) -> Table:
    """Return what differs between arms at the same training loss, one family."""
    stated = []
    for loss in _losses(setting)[:DECIDED]:
        for heading, name in MEASURED.items():
            arms = _numbers(_own(rows, setting), loss, name)
            stated += [Claim(f"{heading} at {loss}: {first} above {second}", arms[first], arms[second])
                       for first, second in pairs if {first, second} <= set(arms)]  # fmt: skip
    return claims(stated)


def _bound(data: Data) -> Table:
    """Return how often the largest eigenvalue lies below the bound of the theorem."""
    made = []
    for setting, rows in data.items():
        for loss in (*_losses(setting), "all"):
            ratios = [float(row["ratio"]) for row in _own(rows, setting)
                      if row["ratio"] and loss in (row["loss"], "all")]  # fmt: skip
            lower = sum(ratio < 1 for ratio in ratios)
            made.append((f"{setting}, {loss}", str(len(ratios)), str(lower), f"{max(ratios, default=math.nan):.2f}"))
    return Table(("setting, loss", "measurements", "below the bound", "largest λ₁ η ρ / 2"), tuple(made))


def _correlations(data: Data) -> Table:
    """Return rank correlations of curvature and gaps over the rules and the step lengths of backpropagation."""
    compared = [each.name for each in RULES_COMPARED]
    made = []
    for setting, rows in data.items():
        for loss in _losses(setting):
            sharp = _numbers(_own(rows, setting), loss, "log_lambda_1")
            for heading in ("clean gap", "noisy gap"):
                gap = _numbers(_own(rows, setting), loss, MEASURED[heading])
                runs = [(arm, seed) for arm in compared if arm in sharp for seed in range(SEEDS)]
                x, y = ([numbers[arm].get(seed, math.nan) for arm, seed in runs] for numbers in (sharp, gap))
                arms, seeds = [arm for arm, _ in runs], [seed for _, seed in runs]
                both = (rank_correlation(x, y, seeds, arms, within=within) for within in (False, True))
                made.append((f"{setting}, {loss}, {heading}", *map(str, both)))
    return Table(("setting, loss, gap", "λ₁ and gap, pooled", "within arms"), tuple(made))


def _sizes(rows: Rows) -> Table:
    """Return both gaps by the size of the training set, of the arms that have several."""
    sizes = sorted({int(row["n_train"]) for row in rows})
    swept = dict.fromkeys(row["arm"] for row in rows if int(row["n_train"]) != SETTINGS["digits"].n_train)
    made = []
    for loss in _losses("digits"):
        for arm in swept:
            for size in sizes:
                mine = [row for row in rows if int(row["n_train"]) == size]
                gaps = [_numbers(mine, loss, MEASURED[heading]).get(arm, {}) for heading in ("clean gap", "noisy gap")]
                reached = sum(math.isfinite(each) for each in gaps[0].values())
                cells = (mean_and_spread(list(gap.values())) for gap in gaps)
                made.append((f"{loss}, {arm}", str(size), f"{reached}/{len(gaps[0])}", *cells))
    return Table(("loss, arm", "training images", "reached", "clean gap", "noisy gap"), tuple(made))
