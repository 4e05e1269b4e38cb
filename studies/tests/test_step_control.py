"""Step control: which runs it makes, its slopes and claims, and a tiny study from end to end."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from analysis.generalization.conditions import InputNoise
from studies import step_control
from studies.generalization.gap_plan import IMAGES, SETTINGS, Setting
from studies.step_control import IMAGE_LENGTHS, LENGTHS, jobs, slopes, tables
from studies.tables import rows_of
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.training.training_loop import TrainingLoop

TINY = Setting("tiny", "delayed_xor", NetworkConfig(size=8), lr=0.5, steps=40, losses=(0.62,), n_train=20, n_test=30,
               batch_size=10, conditions={"noisy": InputNoise(0.5)}, evaluate_every=8)  # fmt: skip
NAMES = ("step", "train_loss", "log_lambda_1", "lambda_1", "lambda_min", "test_gap", "noisy_gap")


def test_arms_of_a_seed_differ_in_their_step_alone_and_short_steps_may_take_longer(tmp_path: Path) -> None:
    made = jobs(SETTINGS["digits"], 2, tmp_path)
    assert len(made) == 2 * (len(LENGTHS) + 2)
    first = [job.run for job in made if job.run.seeds.net == 0]
    assert len({(run.task, str(run.net), run.seeds, run.n_train, str(run.rule)) for run in first}) == 1
    rates = [run.optimizer.lr for run in first[: len(LENGTHS)]]
    assert rates == pytest.approx([0.05 * length for length in LENGTHS])
    assert first[0].steps * first[0].optimizer.lr == pytest.approx(first[5].steps * first[5].optimizer.lr)
    assert [run.optimizer.sam is not None for run in first] == [False] * len(LENGTHS) + [True, True]


def test_images_have_lengths_of_their_own(tmp_path: Path) -> None:
    made = jobs(IMAGES, 1, tmp_path, IMAGE_LENGTHS, (0.05,))
    assert [job.run.optimizer.lr for job in made] == pytest.approx([0.01 * each for each in (*IMAGE_LENGTHS, 1)])
    assert [job.arm.name for job in made if job.arm.lr == 1.0] == ["BPTT, step x 1", "BPTT, uphill 0.05"]


def test_the_first_seeds_alone_go_uphill_where_that_takes_long(tmp_path: Path) -> None:
    made = jobs(IMAGES, 3, tmp_path, IMAGE_LENGTHS, (0.05,), uphill=2)
    assert [job.run.seeds.net for job in made if job.arm.sam] == [0, 1]
    assert len(made) == 3 * len(IMAGE_LENGTHS) + 2


def rows(slope: float, seeds: int = 8) -> list[dict[str, str]]:
    """Return runs whose curvature falls with the step and whose noisy gap rises by a slope a decade of curvature."""
    source = np.random.default_rng(0)
    made = []
    for seed in range(seeds):
        for arm in (job.arm for job in jobs(SETTINGS["digits"], 1, Path())):
            sharp = 1.5 - math.log10(arm.lr) - 0.3 * (arm.sam is not None) + 0.02 * source.normal()
            numbers = {"step": 100.0, "train_loss": 0.1, "log_lambda_1": sharp, "lambda_1": 10**sharp,
                       "lambda_min": -1.0, "test_gap": 0.05 + 0.001 * source.normal(),
                       "noisy_gap": 0.1 + slope * sharp + 0.001 * source.normal()}  # fmt: skip
            made.append({"arm": arm.name, "seed": str(seed), **{name: repr(float(numbers[name])) for name in NAMES}})
    return made


def written(path: Path, found: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(found[0]))
        writer.writeheader()
        writer.writerows(found)
    return path


def test_slopes_are_those_of_scipy_over_the_arms_of_a_seed(tmp_path: Path) -> None:
    found = rows(0.2)
    sharp, gap = (step_control._numbers(found, name) for name in ("log_lambda_1", "noisy_gap"))
    expected = {}
    for seed in range(8):
        arms = [f"BPTT, step x {length:g}" for length in LENGTHS]
        x, y = ([numbers[arm][seed] for arm in arms] for numbers in (sharp, gap))
        expected[seed] = scipy.stats.linregress(x, y).slope
    assert slopes(sharp, gap) == pytest.approx(expected)
    table = tables(written(tmp_path / "runs.csv", found))["runs_slopes"]()
    clean, noisy = (row[2] for row in table.rows)
    test = scipy.stats.ttest_1samp(list(expected.values()), 0.0)
    low, high = test.confidence_interval()
    assert noisy.startswith(f"{np.mean(list(expected.values())):+.3f} ")
    assert f"[{low:+.3f}, {high:+.3f}]" in noisy
    assert noisy.endswith("above")
    assert clean.endswith("undecided")


def test_claims_tell_curvature_from_gap(tmp_path: Path) -> None:
    table = tables(written(tmp_path / "runs.csv", rows(0.0)))["runs_claims"]()
    verdicts = {row[0]: row[-1] for row in table.rows}
    assert verdicts["log₁₀ λ₁: BPTT, step x 0.1 above BPTT, step x 2"] == "**holds**"
    assert verdicts["log₁₀ λ₁: BPTT, step x 1 above BPTT, uphill 0.05"] == "**holds**"
    assert verdicts["noisy gap: BPTT, step x 0.1 above BPTT, step x 2"] == "**undecided**"


def test_runs_that_did_not_reach_the_loss_are_missing_and_counted(tmp_path: Path) -> None:
    found = rows(0.0)
    for row in found:
        if row["arm"] == "BPTT, step x 0.1" and row["seed"] in "012":
            row |= dict.fromkeys(NAMES, "")
    made = tables(written(tmp_path / "runs.csv", found))
    arms = {row[0]: row for row in made["runs_arms"]().rows}
    assert arms["BPTT, step x 0.1"][1:3] == ("8", "5/8")
    claim = made["runs_claims"]().rows[0]
    assert claim[1] == "5"


def test_arms_with_fewer_seeds_have_fewer_pairs_and_points(tmp_path: Path) -> None:
    found = [row for row in rows(0.2) if row["arm"] not in ("BPTT, step x 2", "BPTT, uphill 0.1") or row["seed"] < "3"]
    path = written(tmp_path / "runs.csv", found)
    claims = {row[0]: row for row in tables(path)["runs_claims"]().rows}
    assert claims["noisy gap: BPTT, step x 0.1 above BPTT, step x 2"][1] == "3"
    assert claims["noisy gap: BPTT, step x 1 above BPTT, uphill 0.1"][-1] == "**undecided**"
    assert tables(path)["runs_slopes"]().rows[1][1] == "8"
    step_control.draw(found, tmp_path / "figure")
    drawn = rows_of(tmp_path / "figure.csv")
    assert sum(row["panel"] == "noisy gap" for row in drawn) == len(found)


def test_a_tiny_study_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"--out={tmp_path}", "--seeds=2"]
    assert step_control.main(words, TINY) == 0
    with (tmp_path / "step_control_tiny.csv").open() as file:
        found = list(csv.DictReader(file))
    assert len(found) == 2 * (len(LENGTHS) + 2)
    reached = [row for row in found if row["train_loss"]]
    assert len(reached) >= 4
    assert all(float(row["train_loss"]) == pytest.approx(0.62, rel=0.0101) for row in reached)
    assert (tmp_path / "step_control_tiny_figure.svg").exists()
    monkeypatch.setattr(TrainingLoop, "update", lambda _: pytest.fail("trained again"))
    assert step_control.main(words, TINY) == 0
