"""Study pages and the files that their tables are made from: they cannot part, and claims follow the rules."""

from __future__ import annotations

import csv
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from studies import pages
from studies.claims import Claim, arms_of, at_end, by_arm, claims, curves, over_training
from studies.generalization import gap_page
from studies.page_tables import tables
from studies.pages import MARK, render

DOCS = Path(__file__).parents[2] / "docs"
STUDIES = sorted((DOCS / "studies").glob("*.md"))
SETTINGS = {"setting", "name"}  # first headings of tables that hold no results


def numbers(name: str) -> list[dict[str, str]]:
    with (DOCS / "figures" / "studies" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def rows_of(text: str, table: str) -> list[list[str]]:
    """Return the cells of a table of a page."""
    found = next(each for each in MARK.finditer(text) if each[2] == table)
    lines = found[0].splitlines()[3:-1]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("page", STUDIES, ids=lambda page: page.stem)
def test_the_tables_of_a_page_are_those_of_its_files(page: Path) -> None:
    text = page.read_text()
    assert MARK.search(text)
    assert render(text, tables(DOCS)) == text, "run: python -m studies.pages"


@pytest.mark.parametrize("page", STUDIES, ids=lambda page: page.stem)
def test_a_page_says_when_and_at_which_commit_its_numbers_were_measured(page: Path) -> None:
    assert re.search(r"\d{4}-\d\d-\d\d at\s+commit [0-9a-f]{7}", page.read_text())


@pytest.mark.parametrize("page", STUDIES, ids=lambda page: page.stem)
def test_results_stand_in_tables_that_are_made_from_files(page: Path) -> None:
    """No table of results, interval or spread is written by hand, but for what authors of papers report."""
    text = MARK.sub("", page.read_text())
    heads = re.findall(r"^\| (.+?) \|.*\n\| ---", text, re.MULTILINE)
    assert set(heads) <= SETTINGS
    assert not re.search(r"[+-]?\d*\.\d+ \[[+-]?\d*\.\d+, [+-]?\d*\.\d+\]", text)
    for paragraph in text.split("\n\n"):
        assert "±" not in paragraph or re.search("[Aa]uthors", paragraph), paragraph


@pytest.mark.parametrize("page", STUDIES, ids=lambda page: page.stem)
def test_fewer_than_five_seeds_and_large_corrected_p_values_are_undecided(page: Path) -> None:
    for found in MARK.finditer(page.read_text()):
        head, _, *lines = found[0].splitlines()[1:-1]
        names = [cell.strip() for cell in head.strip("|").split(" | ")]
        for line in lines:
            cells = dict(zip(names, (cell.strip() for cell in line.strip("|").split(" | ")), strict=True))
            few = int(cells.get("pairs", cells.get("seeds", "9")).strip("* ")) < 5
            for name, cell in cells.items():
                if few and ", p" in name and cell not in ("", "-"):
                    assert cell.endswith("undecided"), line
                if name.startswith("verdict"):
                    p = float(cells["p, Holm"]) if cells["p, Holm"] != "-" else math.nan
                    assert (cell == "**undecided**") == (few or not p < 0.05), line


def test_claims_are_those_of_an_independent_computation() -> None:
    """Cell types, from the file: means over training by seed, SciPy's paired t test, and Holm's steps."""
    text = (DOCS / "studies" / "cell_types.md").read_text()
    means: dict[tuple[str, str], dict[str, list[float]]] = {}
    for case in ("sparse", "evidence", "xor", "xor_published"):
        for row in numbers(f"cell_types_{case}_learning"):
            means.setdefault((case, row["label"]), {}).setdefault(row["seed"], []).append(float(row["test_accuracy"]))
    p, differences = [], []
    for case in ("sparse", "evidence", "xor", "xor_published"):
        for pair in (("bptt", "mdgl"), ("mdgl", "eprop")):
            one, two = ([np.mean(means[case, rule][seed]) for seed in sorted(means[case, rule])] for rule in pair)
            p.append(scipy.stats.ttest_rel(one, two).pvalue)
            differences.append(np.mean(one) - np.mean(two))
    order = np.argsort(p)
    corrected = np.empty(8)
    corrected[order] = np.maximum.accumulate([min(1.0, (8 - place) * p[each]) for place, each in enumerate(order)])
    for row, difference, single, holm in zip(
        rows_of(text, "cell_types_claims"), differences, p, corrected, strict=True
    ):
        assert row[2].startswith(f"{difference:+.3f} [")
        assert row[3:5] == [f"{single:.2g}", f"{holm:.2g}"]


def test_claims_at_matched_loss_pair_the_runs_that_reached_it(tmp_path: Path) -> None:
    """Six seeds, one of which MDGL does not reach the loss with: five pairs, and SciPy's paired t test."""
    source, rows = (
        np.random.default_rng(2),
        [["arm", "n_train", "seed", "loss", "train_loss", "log_lambda_1", "test_gap", "noisy_gap", "ratio"]],
    )
    gaps: dict[str, list[float]] = {"BPTT": [], "MDGL": []}
    for arm, shift in (("BPTT", 0.0), ("MDGL", 0.03)):
        for seed in range(6):
            gap = 0.05 + shift + 0.01 * source.normal()
            reached = (arm, seed) != ("MDGL", 2)
            gaps[arm].append(gap if seed != 2 else math.nan)
            values = (0.1, 1.5, gap, 0.2, 0.5 + 0.1 * seed)
            rows.append([arm, "600", str(seed), "0.1", *(map(repr, values) if reached else [""] * 5)])
            rows.append([arm, "600", str(seed), "0.2", "0.2", "1.4", "9.0", "9.0", "1.0"])
            rows.append([arm, "200", str(seed), "0.1", "0.1", "9.0", repr(2 * gap), "9.0", "9.0"])
    (tmp_path / "generalization_digits.csv").write_text("\n".join(",".join(row) for row in rows))
    made = gap_page.tables(tmp_path)
    assert [row[:3] for row in made["generalization_digits"]().rows][2:4] == [
        ("0.1, BPTT", "6", "6/6"),
        ("0.1, MDGL", "6", "5/6"),
    ]
    found = {row[0]: row for row in made["generalization_mdgl"]().rows}["clean gap at 0.1: MDGL above BPTT"]
    one, two = (np.array(gaps[arm]) for arm in ("MDGL", "BPTT"))
    p = scipy.stats.ttest_rel(one, two, nan_policy="omit").pvalue
    assert found[1] == "5"
    assert found[2].startswith(f"{np.nanmean(one - two):+.3f} [")
    assert found[3] == f"{p:.2g}"
    bound = [row[1:3] for row in made["generalization_bound"]().rows]
    assert bound == [("12", "0"), ("11", "9"), ("0", "0"), ("23", "9")]
    sizes = {row[:2]: row[2:4] for row in made["generalization_sizes"]().rows}
    assert sizes["0.1, MDGL", "600"] == ("5/6", f"{np.nanmean(one):.3f} ± {np.nanstd(one, ddof=1):.3f}")
    assert sizes["0.1, BPTT", "200"][0] == "6/6"
    assert gap_page.tables(tmp_path / "absent") == {}


def generalization(setting: str) -> list[dict[str, str]]:
    """Return the rows of a setting whose training set has its usual size."""
    with (DOCS / "studies" / f"generalization_{setting}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    usual = {"digits": "600", "match": "60", "pattern": "30"}[setting]
    return [row for row in rows if row["n_train"] == usual]


def test_the_bound_is_counted_over_the_rows_of_the_file() -> None:
    """From the eigenvalue and the step along the gradient, not from the ratio in the file."""
    rows = [row for row in generalization("digits") if row["lambda_1"] and row["pull"]]
    lower = sum(float(row["lambda_1"]) < 2 / float(row["pull"]) for row in rows)
    text = (DOCS / "studies" / "generalization.md").read_text()
    (last,) = (row for row in rows_of(text, "generalization_bound") if row[0] == "digits, all")
    assert last[1:3] == [str(len(rows)), str(lower)]


def test_correlations_are_those_of_scipy_over_the_rules() -> None:
    """Ten seeds of every rule and step length, pooled."""
    rules = ("BPTT", "BPTT, step x 1/5", "MDGL", "ModProp", "three-factor", "three-factor, step x 3 early", "diffusion",
             "SBD")  # fmt: skip
    text = (DOCS / "studies" / "generalization.md").read_text()
    for row in rows_of(text, "generalization_correlations"):
        setting, loss, gap = row[0].split(", ")
        name = {"clean gap": "test_gap", "noisy gap": "noisy_gap"}[gap]
        chosen = (each for each in generalization(setting) if each["arm"] in rules and int(each["seed"]) < 10)
        points = [(float(each["lambda_1"]), float(each[name])) for each in chosen
                  if each["loss"] == loss and each["lambda_1"]]  # fmt: skip
        known = scipy.stats.spearmanr(points).statistic
        assert row[1].startswith(f"{known:.2f} [")


def test_accuracies_are_the_last_ones_of_the_files() -> None:
    found = numbers("vision_digits_accuracy")
    text = (DOCS / "studies" / "vision.md").read_text()
    for net, rule, seeds, accuracy, *_ in rows_of(text, "vision_digits"):
        by_seed = {row["seed"]: float(row["test_accuracy"]) for row in found
                   if (row["panel"], row["label"]) == (net, rule)}  # the last row of a seed stays  # fmt: skip
        last = list(by_seed.values())
        assert seeds == str(len(last))
        assert accuracy == f"{100 * np.mean(last):.1f} ± {100 * np.std(last, ddof=1):.1f}"


def test_a_page_that_differs_from_its_files_is_found_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(DOCS / "studies", tmp_path / "studies")
    shutil.copytree(DOCS / "figures" / "studies", tmp_path / "figures" / "studies")
    assert pages.main(["--check"], tmp_path) == 0
    path = tmp_path / "figures" / "studies" / "cell_types_sparse_learning.csv"
    head, *lines = path.read_text().splitlines()
    label = '"evidence accumulation, sparse, T = 80",mdgl,0,500,'
    changed = [f"{label}0.5" if line.startswith(label) else line for line in lines]
    assert changed != lines
    path.write_text("\n".join([head, *changed, ""]))
    assert pages.main(["--check"], tmp_path) == 1
    assert "cell_types.md: differs from its files" in capsys.readouterr().out
    assert pages.main([], tmp_path) == 0
    assert pages.main(["--check"], tmp_path) == 0
    with pytest.raises(KeyError, match="unknown"):
        render("<!-- table: unknown -->\n<!-- end -->", {})


def test_numbers_are_taken_of_runs(tmp_path: Path) -> None:
    rows = [("panel", "label", "seed", "x", "y"), ("a", "one", 0, 0, 1), ("a", "one", 0, 1, 4), ("a", "one", 0, 2, 7),
            ("a", "one", 1, 0, 2), ("b", "one", 0, 0, 9)]  # fmt: skip
    (tmp_path / "runs.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
    found = curves(tmp_path / "runs.csv")
    assert arms_of(found, "a", at_end()) == {"one": {0: 7.0, 1: 2.0}}
    assert arms_of(found, "a", at_end(2)) == {"one": {0: 5.5, 1: 2.0}}
    assert arms_of(found, "a", over_training) == {"one": {0: 4.0, 1: 2.0}}
    assert arms_of(found, "b", at_end()) == {"one": {0: 9.0}}


def test_arms_and_claims_are_paired_by_seed_and_corrected() -> None:
    """Two claims, each with the p value of a paired t test, the smaller one twice as large after the correction."""
    source = np.random.default_rng(1)
    base = dict(enumerate(source.normal(size=6)))
    small, large = ({seed: value + shift + 0.1 * source.normal() for seed, value in base.items()}
                    for shift in (0.05, 1.0))  # fmt: skip
    del large[3]
    table = claims([Claim("small", small, base), Claim("large", large, base)])
    known = [scipy.stats.ttest_1samp([each[seed] - base[seed] for seed in each], 0.0).pvalue for each in (small, large)]
    assert [row[1] for row in table.rows] == ["6", "5"]
    assert [row[3] for row in table.rows] == [f"{each:.2g}" for each in known]
    assert table.rows[1][4] == f"{2 * known[1]:.2g}"
    assert table.rows[1][5] == "**holds**"
    arms = {"base": base, "large": large}
    found = by_arm({"number": arms}, {"number, minus base": (arms, "base")}, 100.0)
    assert found.rows[0][:2] == ("base", "6")
    assert found.rows[0][3] == ""
    assert (
        found.rows[1][2]
        == f"{100 * np.mean(list(large.values())):.1f} ± {100 * np.std(list(large.values()), ddof=1):.1f}"
    )
    assert found.rows[1][3].endswith(f"p {known[1]:.2g}, {known[1]:.2g}, above")
