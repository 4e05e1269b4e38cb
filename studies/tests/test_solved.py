"""How many runs solve a task: counts, intervals and paired claims, held against other formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.stats import beta, binom

from studies.cell_type_runs import runs_of, tables
from studies.solved import solved_after, solved_claims, solved_table
from studies.workloads import Learned
from tca.experiments.config.components import Seeds
from tca.experiments.config.run import Run
from tca.experiments.records.result import Metrics


def runs(solved: dict[str, list[bool]]) -> dict[str, dict[int, float]]:
    """Runs that pass .75 after ten updates for each seed, or never."""
    return {rule: {seed: solved_after([(0.0, 0.5), (10.0 * (seed + 1), 0.75 if each else 0.74), (500.0, 0.5)], 0.5)
                   for seed, each in enumerate(values)} for rule, values in solved.items()}  # fmt: skip


def test_counts_have_the_interval_of_clopper_and_pearson() -> None:
    found = runs({"bptt": [True] * 20, "eprop": [True, True, False, True] * 5, "mdgl": [False] * 20})
    rows = {row[0]: row for row in solved_table(found).rows}
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
    first, second = solved_claims(found, pairs).rows
    p = 2 * 0.5**12
    assert first[1:] == ("20", "12", "0", f"{p:.2g}", f"{2 * p:.2g}", "**holds**")
    assert second[1:4] == ("20", "10", "3")
    assert second[4:] == (f"{2 * binom.cdf(3, 13, 0.5):.2g}", f"{2 * binom.cdf(3, 13, 0.5):.2g}", "**undecided**")
    (reversed_one,) = solved_claims(found, (("mdgl", "bptt"),)).rows
    assert reversed_one[-1] == "**reversed**"
    (few,) = solved_claims(found, (("few", "mdgl"),)).rows
    assert (few[1], few[-1]) == ("4", "**undecided**")
    assert solved_claims(found, (("mdgl", "mdgl"),)).rows[0][4] == "1"


def test_a_row_a_run_gives_the_tables_of_the_page(tmp_path: Path) -> None:
    """Runs whose scores jump at a known update: counts, last ten measurements and differences from the jumps alone."""
    jumps = {"bptt": [1] * 6, "mdgl": [20] * 6, "eprop": [20, 20, 20, 20, 20, 99], "modprop": [99] * 6}

    def scores(at: int) -> list[float]:
        return [0.5] * at + [0.9] * (30 - at) if at < 30 else [0.5] * 30

    learned = [
        Learned(Run("delayed_xor", rule, seeds=Seeds(net=seed)), "completed",
                tuple(Metrics(20 * place, 0.0, 0.0, 1 - each, each, 0.0) for place, each in enumerate(scores(at))))
        for rule, seeds in jumps.items() for seed, at in enumerate(seeds)
    ]  # fmt: skip
    runs_of(learned, 0.5).write_csv(tmp_path / "runs")
    made = {name: make().rows for name, make in tables("xor", tmp_path / "runs.csv").items()}
    assert [row[2][:3] for row in made["xor_solved"]] == ["6/6", "6/6", "5/6", "0/6"]
    assert [row[3] for row in made["xor_solved"]] == ["20", "400", "400", "-"]
    assert made["xor"][1][2] == f"{0.9:.3f} ± 0.000"
    assert made["xor"][2][2] == f"{np.mean([0.9] * 5 + [0.5]):.3f} ± {np.std([0.9] * 5 + [0.5], ddof=1):.3f}"
    gains = [(30 - 1) / 30 - (30 - at) / 30 for at in jumps["mdgl"]]
    claims = {row[0]: row for row in made["xor_claims"]}
    assert claims["bptt above mdgl"][2].startswith(f"{0.4 * np.mean(gains):+.3f} ")
    assert claims["modprop above mdgl"][-1] == "**reversed**"
    solved = {row[0]: row for row in made["xor_solved_claims"]}
    assert solved["mdgl solves it more often than eprop"][1:4] == ("6", "1", "0")
    assert solved["modprop solves it more often than mdgl"][1:5] == ("6", "0", "6", f"{2 * 0.5**6:.2g}")
    assert tables("xor", tmp_path / "none.csv") == {}
