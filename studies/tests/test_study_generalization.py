"""The generalization study on a task of seconds: what it measures, its tables, its verdicts and its files."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest
import scipy.stats

import analysis
import tca
from analysis.generalization.conditions import InputNoise
from analysis.statistics.intervals import holm
from studies.generalization.__main__ import main
from studies.generalization.gap_measurements import Entry, Job, measure, work
from studies.generalization.gap_plan import ARMS, BPTT, EARLY, IMAGES, MATCHED, SETTINGS, THREE, Arm, Setting
from studies.generalization.gap_report import write_report
from studies.generalization.gap_tables import CLAIMS, at, claims_table, correlations, results_table
from studies.generalization.reference import REFERENCE
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.records.result import Metrics
from tca.experiments.training.train import train

TINY = Setting("tiny", "delayed_xor", NetworkConfig(size=8), lr=0.5, steps=48, losses=(0.6, 0.0), n_train=20, n_test=30,
               batch_size=10, conditions={"noisy": InputNoise(0.5)}, evaluate_every=6)  # fmt: skip
CHOSEN = (BPTT, MATCHED, THREE, EARLY)


def jobs(folder: Path) -> list[Job]:
    sized = [(ARMS[BPTT], TINY.run(ARMS[BPTT], seed, n_train=10)) for seed in range(2)]
    whole = [(ARMS[arm], TINY.run(ARMS[arm], seed)) for arm in CHOSEN for seed in range(2)]
    return [Job(TINY, arm, run, folder / "runs") for arm, run in (*whole, *sized)]


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Entry]]:
    """Return a folder and the runs of a small study whose records are in it."""
    folder = tmp_path_factory.mktemp("study")
    entries = [work(job) for job in jobs(folder)]
    write_report(entries, [TINY], folder)
    return folder, entries


def test_what_is_measured_is_what_the_measures_say_when_the_loss_was_reached(studied) -> None:  # type: ignore[no-untyped-def]
    _, entries = studied
    reached = 0
    for one in entries:
        result = train(dataclasses.replace(one.run, snapshot_losses=(0.6,), callbacks=()), progress=False)
        row = one.rows[0.6]
        if not result.crossings:
            assert row is None
            continue
        reached += 1
        (crossing,) = result.crossings
        train_set, test_set = one.run.make_task().split(one.run.n_train, 30, seed=one.seed)
        gap = analysis.generalization_gap(crossing.net, TINY.make_task(), train_set, test_set, input_noise=0.5)
        assert row["step"] == crossing.metrics.step
        assert row["train_loss"] == pytest.approx(0.6, rel=0.01)
        assert row["test_gap"] == pytest.approx(gap.accuracy_gap, abs=1e-9)
        assert row["noisy_gap"] == pytest.approx(gap.noisy_accuracy_gap, abs=1e-9)
        curved = analysis.curvature(crossing.net, train_set, probes=0)
        assert row["lambda_1"] == pytest.approx(curved.largest.value, rel=1e-3)
        assert row["lambda_min"] == pytest.approx(curved.smallest.value, abs=1e-3 * curved.largest.value)
    assert reached >= 5


def test_the_step_along_the_gradient_has_the_rate_of_the_moment_and_every_scaling(studied) -> None:  # type: ignore[no-untyped-def]
    _, entries = studied
    early = 0
    for one in entries:
        row = one.rows[0.6]
        if row is None:
            continue
        assert row["ratio"] == pytest.approx(row["lambda_1"] * row["pull"] / 2, rel=1e-12)
        if one.arm == BPTT:
            assert (row["rho"], row["eta"], row["pull"]) == (1.0, 0.5, 0.5)
        if one.arm == MATCHED:
            assert row["rho"] == 1.0
            assert 0 <= row["pull"] < 0.5
        if one.arm == THREE:
            assert row["pull"] == 0.5 * row["rho"]
        if one.arm == EARLY:
            first = row["step"] <= 5
            early += first
            assert row["eta"] == pytest.approx(1.5 if first else 0.5)
    assert not all(one.rows[0.6] is None for one in entries if one.arm == EARLY)


def test_records_are_measured_once(studied, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    folder, entries = studied
    monkeypatch.setattr("studies.generalization.gap_measurements.measure", None)
    again = [work(job) for job in jobs(folder)]
    assert [(one.arm, one.rows) for one in again] == [(one.arm, one.rows) for one in entries]
    other = dataclasses.replace(TINY, conditions={"noisy": InputNoise(0.6)})
    with pytest.raises(TypeError):
        work(dataclasses.replace(jobs(folder)[0], setting=other))


def test_runs_of_a_seed_differ_in_their_arm_only() -> None:
    runs = [TINY.run(ARMS[arm], 3) for arm in CHOSEN]
    assert len({run.seeds for run in runs}) == 1
    assert len({run.net for run in runs}) == 1
    assert len({run.name for run in runs}) == len(runs)
    assert TINY.run(Arm("rflo", "rflo"), 0).net.form == "B"
    noisy = TINY.run(ARMS["three-factor, noise 0.1"], 0)
    assert noisy.net == dataclasses.replace(TINY.net, noise=0.1, form="A")
    assert TINY.run(ARMS["three-factor, decay x 10"], 0).optimizer.options == {"weight_decay": 1e-3}


def test_a_loss_that_nobody_reaches_is_shown_as_such(studied) -> None:  # type: ignore[no-untyped-def]
    folder, entries = studied
    table = results_table(entries, TINY)
    never = [row for row in table.rows if row[0].startswith("0,")]
    assert len(never) == len(CHOSEN)
    assert {row[1] for row in never} == {"0/2"}
    assert {cell for row in never for cell in row[2:]} == {"-"}
    report = (folder / "report.md").read_text()
    assert "0/2" in report
    assert "undecided" in report


def made_up(values: dict[str, list[float | None]]) -> list[Entry]:
    return [
        Entry("tiny", arm, TINY.run(ARMS[arm], seed), "completed",
              {loss: None if value is None else {"log_lambda_1": value, "lambda_1": 10**value, "noisy_gap": value / 10,
               "test_gap": value / 20, "train_loss": loss}
               for loss in TINY.losses}, (Metrics(0, 1.0, 0.5, 1.0, 0.5, 0.0),))
        for arm, each in values.items()
        for seed, value in enumerate(each)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("three", "verdict"),
    [
        ([2.0, 2.1, 2.2, 2.4, 2.3], "holds"),
        ([0.0, 0.1, 0.2, 0.4, 0.3], "reversed"),
        ([2.0, 0.0, 2.0, 0.3, 2.0], "undecided"),
        ([2.0, 2.1, 2.2, 2.4, None], "undecided"),  # four pairs decide nothing, however alike
        ([2.0, 2.1, None, None, None], "undecided"),
    ],
)
def test_verdicts_follow_the_paired_interval(three: list[float | None], verdict: str) -> None:
    entries = made_up({BPTT: [1.0, 1.1, 1.2, 1.3, 1.4], THREE: three})
    rows = {row[0]: row for row in claims_table(entries, TINY).rows if row[2] == "0.6"}
    row = rows["three-factor is sharper than BPTT"]
    assert row[-1] == verdict
    assert row[3] == f"{sum(each is not None for each in three)}/5"
    assert "MDGL is sharper than BPTT" not in rows  # no such runs


def test_claims_are_corrected_for_their_number() -> None:
    """Sharper and both gaps at two losses, all with one p value of .02: six claims make it .12, and undecided."""
    values = [1.0, 0.2, 0.9, 0.1, 0.7, 0.35]
    entries = made_up({BPTT: [0.0] * 6, THREE: values})
    single = scipy.stats.ttest_1samp(values, 0.0).pvalue
    assert 0.05 / 6 < single < 0.05
    table = claims_table(entries, TINY)
    p, corrected, decided = (
        [row[table.head.index(name)] for row in table.rows] for name in ("p", "p, Holm", "verdict")
    )
    assert len(p) == 6
    assert [float(each) for each in p] == pytest.approx([single] * 6, rel=0.05)
    assert [float(each) for each in corrected] == pytest.approx([6 * single] * 6, rel=0.05)
    assert set(decided) == {"undecided"}
    assert holm([single] * 6) == pytest.approx([6 * single] * 6)


def test_every_run_has_a_row_for_every_loss(studied) -> None:  # type: ignore[no-untyped-def]
    folder, entries = studied
    with (folder / "runs.csv").open(newline="") as file:
        rows = {(row["arm"], row["n_train"], row["seed"], row["loss"]): row for row in csv.DictReader(file)}
    assert len(rows) == len(entries) * len(TINY.losses)
    for one in entries:
        for loss, known in one.rows.items():
            row = rows[one.arm, str(one.run.n_train), str(one.seed), f"{loss:g}"]
            for name in ("train_loss", "test_gap", "noisy_gap", "lambda_1"):
                assert row[name] == ("" if known is None else repr(known[name]))


def test_both_gaps_and_the_losses_stand_in_the_tables(studied) -> None:  # type: ignore[no-untyped-def]
    _, entries = studied
    head = results_table(entries, TINY).head
    assert {"training loss", "gap, clean", "gap, noisy"} <= set(head)
    texts = [row[0] for row in claims_table(entries, TINY).rows]
    assert {text.rpartition(", ")[2] for text in texts if "generalizes" in text} == {"clean", "noisy"}
    made = {claim.text: claim for claim in CLAIMS}["three-factor generalizes worse than BPTT, clean"]
    gaps = [{one.seed: one.rows[0.6]["test_gap"] for one in entries
             if (one.arm, one.run.n_train) == (arm, TINY.n_train) and one.rows[0.6] is not None}
            for arm in (THREE, BPTT)]  # fmt: skip
    both = set(gaps[0]) & set(gaps[1])
    if both:
        mean = sum(gaps[0][seed] - gaps[1][seed] for seed in both) / len(both)
        assert made.difference(entries, TINY, 0.6).value == pytest.approx(mean, abs=1e-12)
    for row in claims_table(entries, TINY).rows:
        if row[3].startswith("2"):
            assert [float(each) for each in row[4].split(" / ")] == pytest.approx([float(row[2])] * 2, rel=0.025)


def test_correlations_are_pooled_and_within_arms() -> None:
    entries = made_up({BPTT: [1.0, 1.1, 1.2, 1.3], THREE: [2.0, 2.1, 2.2, None]})
    pooled, within = correlations(entries, TINY, (BPTT, THREE), 0.6, "noisy_gap")
    assert (pooled.value, within.value) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (pooled.runs, pooled.asked, pooled.seeds, pooled.arms) == (7, 8, 4, 2)
    assert at(entries, TINY, THREE, 0.6).reached == 3


def test_every_figure_has_its_numbers_beside_it(studied) -> None:  # type: ignore[no-untyped-def]
    folder, entries = studied
    names = {path.stem for path in folder.glob("tiny_*.svg")}
    drawn = ("gap_against_curvature", "curvature_against_bound", "gaps_by_arm", "curvature_over_training",
             "curvature_by_arm", "gap_over_sizes")  # fmt: skip
    assert names == {f"tiny_{name}" for name in drawn}
    for name in names:
        assert (folder / f"{name}.png").stat().st_size > 1000
        assert f"({name}.png)" in (folder / "report.md").read_text()
    with open(folder / "tiny_curvature_against_bound.csv") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        loss = float(line["panel"].split()[-1])
        (one,) = [each for each in entries if (each.arm, each.seed) == (line["label"], int(line["seed"]))
                  and each.run.n_train == TINY.n_train]  # fmt: skip
        assert float(line["bound"]) == pytest.approx(2 / one.rows[loss]["pull"])
        assert float(line["lambda_1"]) == one.rows[loss]["lambda_1"]
    whole = [one for one in entries if one.run.n_train == TINY.n_train]
    rows = [row for one in whole for row in one.rows.values() if row is not None]
    assert len(lines) == sum(row["pull"] > 0 for row in rows) > 4


def test_the_reference_is_consistent_with_itself() -> None:
    """Its ratio is that of its own curvature, rate and rho, but for rounding and means of products."""
    rates = {BPTT: 0.05, "BPTT, step x 1/5": 0.01, "MDGL": 0.05, THREE: 0.05, EARLY: 0.05}
    for (_, arm), known in REFERENCE.items():
        assert known.ratio == pytest.approx(known.lambda_1[0] * rates[arm] * known.rho / 2, rel=0.25), arm


def test_arms_of_the_claims_exist_and_settings_can_be_run() -> None:
    for claim in CLAIMS:
        assert {claim.first, claim.second} <= set(ARMS)
    for setting in SETTINGS.values():
        assert setting.main_condition in setting.conditions
        assert list(setting.losses) == sorted(setting.losses, reverse=True)
        task = setting.make_task()
        few = task.split(2, 3, seed=0)[1].batch()
        assert all(each.batch(task, few).trials == 3 for each in setting.conditions.values())
        assert all(tca.Run.from_json((run := setting.run(arm, 0)).to_json()) == run for arm in ARMS.values())
    assert IMAGES.task == "sequential_images"
    leak = IMAGES.net.build(28, 10, dt=20.0, seed=0).leak
    assert leak == 0  # a leak of 1e-9 makes errors subnormal numbers, at six times the cost


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--settings", "digit"], "unknown setting 'digit', did you mean 'digits'"),
        (["--arms", "bptt"], "unknown arm 'bptt', did you mean 'BPTT'"),
    ],
)
def test_the_command_names_mistakes(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--out", str(tmp_path), *words])
    assert message in capsys.readouterr().err


def test_nothing_is_measured_of_a_run_that_diverged_before() -> None:
    setting = dataclasses.replace(TINY, net=NetworkConfig(size=8, activation="relu"), lr=1e9, losses=(1e-9,))
    run = setting.run(ARMS[BPTT], 0)
    result = train(run, progress=False)
    assert result.outcome == "diverged"
    assert measure(result, setting, 1e-9) is None
