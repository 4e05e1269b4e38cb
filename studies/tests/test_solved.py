"""How many runs solve a task: counts, intervals and paired claims, held against other formulas."""

from __future__ import annotations

import numpy as np
from scipy.stats import beta, binom

from studies.solved import solved_claims, solved_table


def runs(solved: dict[str, list[bool]]) -> dict[str, dict[int, list[tuple[float, float]]]]:
    """Runs that pass .75 after ten updates for each seed, or never."""
    return {rule: {seed: [(0.0, 0.5), (10.0 * (seed + 1), 0.75 if each else 0.74), (500.0, 0.5)]
                   for seed, each in enumerate(values)} for rule, values in solved.items()}  # fmt: skip


def test_counts_have_the_interval_of_clopper_and_pearson() -> None:
    found = runs({"bptt": [True] * 20, "eprop": [True, True, False, True] * 5, "mdgl": [False] * 20})
    rows = {row[0]: row for row in solved_table(found, 0.5).rows}
    low, high = beta.ppf(0.025, 15, 6), beta.ppf(0.975, 16, 5)
    assert rows["eprop"][1:3] == ("20", f"15/20 [{low:.2f}, {high:.2f}]")
    assert rows["eprop"][3] == f"{np.median([10 * (seed + 1) for seed in range(20) if seed % 4 != 2]):.0f}"
    assert rows["bptt"][2] == f"20/20 [{0.025 ** (1 / 20):.2f}, 1.00]"
    assert rows["mdgl"][2:] == (f"0/20 [0.00, {1 - 0.025 ** (1 / 20):.2f}]", "-")


def test_claims_are_decided_by_the_pairs_that_differ() -> None:
    """Twelve of twelve pairs for one rule, two of five for another: binomial tails, Holm's factor of two."""
    one = [True] * 12 + [False] * 8
    found = runs({"bptt": one, "mdgl": [False] * 20, "eprop": [True, True] + [False] * 15 + [True] * 3, "few": one[:4]})
    pairs = (("bptt", "mdgl"), ("bptt", "eprop"))
    first, second = solved_claims(found, pairs, 0.5).rows
    p = 2 * 0.5**12
    assert first[1:] == ("20", "12", "0", f"{p:.2g}", f"{2 * p:.2g}", "**holds**")
    assert second[1:4] == ("20", "10", "3")
    assert second[4:] == (f"{2 * binom.cdf(3, 13, 0.5):.2g}", f"{2 * binom.cdf(3, 13, 0.5):.2g}", "**undecided**")
    (reversed_one,) = solved_claims(found, (("mdgl", "bptt"),), 0.5).rows
    assert reversed_one[-1] == "**reversed**"
    (few,) = solved_claims(found, (("few", "mdgl"),), 0.5).rows
    assert (few[1], few[-1]) == ("4", "**undecided**")
    assert solved_claims(found, (("mdgl", "mdgl"),), 0.5).rows[0][4] == "1"
