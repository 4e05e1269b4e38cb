"""Comparisons: what they train, measure, write and leave out."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shutil
import signal
import statistics
from pathlib import Path

import pytest
import scipy.stats
import torch

import analysis
import tasks
from tca.__main__ import main
from tca.cli.compare.comparison import Comparison, Planned
from tca.cli.compare.comparison_loop import compare, read_comparison, read_result
from tca.cli.compare.comparison_table import tables
from tca.experiments import records
from tca.experiments.config.run import NetworkConfig, Optimizer
from tca.experiments.records.result import Metrics
from tca.experiments.training.training_loop import TrainingLoop
from tests.tca.cli.test_cli import refusal, rows

TINY = ["--tasks=delayed_xor,flip_flop", "--rules=bptt,rflo,eprop", "--seeds=2", "--net.size=6", "--steps=6",
        "--n_train=12", "--n_test=8", "--batch_size=5", "--evaluate_every=3", "--curvature_trials=7"]  # fmt: skip
RUNS = 2 * 3 * 2


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished comparison."""
    folder = tmp_path_factory.mktemp("compared")
    assert main(["compare", *TINY, "--quiet", "--workers=1", f"--folder={folder}"]) == 0
    return folder


def test_rules_start_alike_and_see_the_same_trials() -> None:
    comparison = Comparison(tasks="delayed_xor,flip_flop", rules=["bptt", "rflo"], seeds=2, net=NetworkConfig(size=6))
    runs = [each.run for each in comparison.runs()]
    assert len(runs) == len({run.name for run in runs}) == 8
    for bptt, rflo in zip(runs[::2], runs[1::2], strict=True):
        assert (bptt.net.form, rflo.net.form) == ("A", "B")
        alike = dataclasses.replace(rflo, rule="bptt", net=rflo.net.with_options(form="A"))
        assert alike == bptt
        first, second = (run.net.build(2, 3, dt=10.0, seed=run.seeds.net) for run in (bptt, rflo))
        for name, value in first.named_parameters():
            assert torch.equal(value, second.get_parameter(name))


def test_a_comparison_survives_its_description() -> None:
    comparison = Comparison(
        tasks=["delayed_xor"], rules="eprop", task_options={"delayed_xor": {"dt": 25}}, stop_loss=0.1
    )
    assert Comparison.from_json(json.loads(json.dumps(comparison.to_json()))) == comparison
    with pytest.raises(ValueError, match="does not describe a comparison"):
        Comparison.from_json({"tasks": ["delayed_xor"]})


def test_the_table_holds_what_analysis_says_of_the_recorded_networks(compared: Path) -> None:
    """Each number again from the records by another way than the command's."""
    table = rows(compared, "table.csv")
    assert [(row["task"], row["rule"], row["form"], row["runs"], row["diverged"]) for row in table] == [
        (task, rule, "B" if rule == "rflo" else "A", "2", "0")
        for task in ("delayed_xor", "flip_flop")
        for rule in ("bptt", "rflo", "eprop")
    ]
    results = [records.read(path) for path in (compared / "runs").iterdir()]
    assert len(results) == RUNS
    for row in table:
        found: dict[str, list[float]] = {}
        for result in results:
            if (result.run.task, result.run.rule) == (row["task"], row["rule"]):
                task = tasks.make(result.run.task)
                train, test = (each.batch() for each in task.split(12, 8, seed=result.run.seeds.data))
                scores, losses = [], []
                for batch in (train, test):
                    outputs = result.net(batch.inputs).detach()
                    scores.append(task.accuracy(outputs, batch))
                    losses.append(batch.loss.mean(outputs, batch.targets, batch.weights).item())
                curved = analysis.curvature(result.net, train.select(slice(0, 7)), "w_rec", engine="dense")
                numbers = {
                    "test_accuracy": scores[1],
                    "accuracy_gap": scores[0] - scores[1],
                    "train_loss": losses[0],
                    "loss_gap": losses[1] - losses[0],
                    "largest": curved.largest.value,
                    "cosine": statistics.fmean(each.observed["cosine"] for each in result.metrics),
                }
                for name, value in numbers.items():
                    found.setdefault(name, []).append(value)
        for name, values in found.items():
            half = scipy.stats.t.ppf(0.975, 1) * statistics.stdev(values) / math.sqrt(2)
            tolerance = {"rel": 1e-4, "abs": 1e-5}
            assert float(row[name]) == pytest.approx(statistics.fmean(values), **tolerance), (row["rule"], name)
            assert float(row[f"{name}_sd"]) == pytest.approx(statistics.stdev(values), **tolerance), (row["rule"], name)
            assert float(row[f"{name}_high"]) - float(row[name]) == pytest.approx(half, rel=1e-3, abs=1e-4)
            assert row[f"{name}_n"] == "2"
    assert all(float(row["cosine"]) > 0.999 for row in table if row["rule"] == "bptt")
    assert all(float(row["cosine"]) < 0.99 for row in table if row["rule"] != "bptt")


def test_every_run_has_a_row_of_numbers(compared: Path) -> None:
    found = rows(compared, "runs.csv")
    assert len(found) == RUNS
    for row in found:
        result = records.read(compared / "runs" / row["record"])
        assert (row["task"], row["entry"], int(row["seed"])) == (
            result.run.task, result.run.rule, result.run.seeds.net
        )  # fmt: skip
        assert float(row["test_accuracy"]) == result.last.test_accuracy
        assert float(row["train_loss"]) == pytest.approx(result.last.train_loss, rel=1e-6)
        assert (row["hessian"], row["outcome"], row["updates"]) == ("w_rec", "completed", "6")


def test_figures_lie_beside_their_numbers(compared: Path) -> None:
    for name, points in (("learning_curves", 3), ("gap_against_curvature", 1), ("alignment_over_training", 3)):
        assert (compared / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (compared / f"{name}.svg").read_text()
        assert len(rows(compared, f"{name}.csv")) == RUNS * points
    runs = {(each.run.task, each.entry, str(each.run.seeds.net)): each.run for each in read_comparison(compared).runs()}
    for row in rows(compared, "learning_curves.csv"):
        run = runs[row["panel"], row["label"], row["seed"]]
        metrics = {each.step: each for each in records.read(run.folder(compared / "runs")).metrics}
        assert float(row["test_score"]) == metrics[int(float(row["updates"]))].test_accuracy


def test_the_report_needs_no_other_file(compared: Path) -> None:
    text = (compared / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!#)|url\((?!#)|@import""", text)
    assert [table.title for table in tables(read_result(compared))] == ["Results", "Differences", "Entries"]
    assert text.count("<figure ") == 4
    assert text.count('<tr class="group">') == 2 * 3
    assert "<b>flip_flop</b> · chance 0.000" in text
    assert "<b>flip_flop</b> · minus bptt" in text
    assert "tca compare --config" in text
    assert f"<dd>{torch.__version__}</dd>" in text
    assert "Murray (2019)" in text


@pytest.mark.usefixtures("no_figures")
def test_its_configuration_makes_the_same_comparison_again(compared: Path, tmp_path: Path) -> None:
    text = (compared / "report.html").read_text()
    configuration = re.search(r"<pre>({.*?})</pre>", text, re.DOTALL)
    assert configuration is not None
    (tmp_path / "comparison.json").write_text(configuration.group(1).replace("&quot;", '"'))
    shutil.copytree(compared, tmp_path / "again")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "again" / "runs").glob("*/*")}
    words = [
        "compare",
        f"--config={tmp_path / 'comparison.json'}",
        f"--folder={tmp_path / 'again'}",
        "--quiet",
        "--workers=1",
    ]
    assert main(words) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "again" / "runs").glob("*/*")}
    assert (tmp_path / "again" / "table.csv").read_bytes() == (compared / "table.csv").read_bytes()


@pytest.mark.slow
def test_report_writes_the_same_report_anew(compared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "again"
    shutil.copytree(compared, again)
    kept = ("comparison.json", "outcomes.json", "runs")
    for path in again.iterdir():
        if path.name not in kept:
            path.unlink()
    assert main(["report", str(again)]) == 0
    for path in compared.iterdir():
        if path.suffix in (".csv", ".svg", ".html"):
            assert (again / path.name).read_bytes() == path.read_bytes(), path.name
    next(again.glob("runs/*/result.json")).unlink()
    assert f"1 of the {RUNS} runs" in refusal(capsys, "report", str(again))


def test_an_interrupted_comparison_goes_on(compared: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(compared, again)
    lost = sorted((again / "runs").iterdir())[0]
    shutil.rmtree(lost)
    measured = compare(read_comparison(again), again, workers=1, progress=False).measured
    assert len(measured) == RUNS
    first, second = (records.read(root / "runs" / lost.name) for root in (again, compared))
    for name, value in first.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name])


@pytest.mark.slow
def test_several_processes_find_the_same(compared: Path, tmp_path: Path) -> None:
    few = dataclasses.replace(read_comparison(compared), tasks="delayed_xor", rules="bptt,rflo", seeds=1)
    measured = compare(few, tmp_path, workers=2, progress=False).measured
    assert [Planned(one.entry, one.run) for one in measured] == few.runs()
    for one in measured:
        there, here = (records.read(one.run.folder(root / "runs")) for root in (compared, tmp_path))
        assert one.value("test_accuracy") == there.last.test_accuracy == here.last.test_accuracy
        for name, value in there.net.state_dict().items():
            assert torch.equal(value, here.net.state_dict()[name])


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_whose_process_dies_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tca.cli.compare.comparison_loop.train_and_measure", die)
    few = Comparison(tasks="delayed_xor", rules="bptt", seeds=1, n_train=8, n_test=8)
    result = compare(few, tmp_path, workers=2, progress=False)
    assert [(one.outcome, one.reason) for one in result.failures] == [("died", "killed by SIGKILL")]
    assert "1, 1 died" in tables(result)[0].rows[0]


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_fails_in_the_middle_is_a_row_and_the_report_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are trained; status 1; `tca report` says the same; a repetition tries it again."""
    whole = TrainingLoop.measure

    def measure(loop: TrainingLoop) -> Metrics:
        if loop.run.rule == "eprop" and loop.step >= 3:
            raise RuntimeError("out of order")
        return whole(loop)

    monkeypatch.setattr(TrainingLoop, "measure", measure)
    words = ["compare", *TINY, "--tasks=delayed_xor", "--quiet", "--workers=1", f"--folder={tmp_path}"]
    assert main(words) == 1
    shown = capsys.readouterr().out
    assert "failed: eprop on delayed_xor, seed 1: RuntimeError: out of order" in shown
    assert [row["failed"] for row in rows(tmp_path, "table.csv")] == ["0", "0", "2"]
    assert [row["outcome"] for row in rows(tmp_path, "runs.csv")] == ["completed", "completed", "failed"] * 2
    assert "RuntimeError: out of order" in (tmp_path / "report.html").read_text()
    assert main(["report", str(tmp_path)]) == 1
    assert capsys.readouterr().out == shown
    monkeypatch.undo()
    assert main(words) == 0


def test_other_settings_of_measuring_measure_again(compared: Path, tmp_path: Path) -> None:
    shutil.copytree(compared, tmp_path / "again")
    noisy = dataclasses.replace(read_comparison(compared), input_noise=2.0)
    result = compare(noisy, tmp_path / "again", workers=1, progress=False)
    assert any(one.value("noisy_accuracy") != one.value("test_accuracy") for one in result.measured)
    for one in result.measured:  # training minus noisy score: the gap to clean trials and what the noise takes away
        train = one.value("test_accuracy") + one.value("accuracy_gap")
        assert one.value("noisy_accuracy_gap") == pytest.approx(train - one.value("noisy_accuracy"), abs=1e-12)
    clean = compare(dataclasses.replace(noisy, input_noise=None), tmp_path / "again", workers=1, progress=False)
    assert "noisy score" in tables(result)[0].head
    assert "noisy score" not in tables(clean)[0].head


@pytest.mark.usefixtures("no_figures")
def test_divergence_is_a_row_of_the_table_and_not_a_crash(tmp_path: Path) -> None:
    hot = Comparison(
        tasks="delayed_xor",
        rules="bptt,eprop",
        seeds=1,
        net=NetworkConfig(size=6, activation="relu"),
        steps=200,
        optimizer=Optimizer("SGD", lr=1e6, clip=None),
        n_train=10,
        n_test=10,
        batch_size=5,
    )
    result = compare(hot, tmp_path, workers=1, progress=False)
    assert {one.outcome for one in result.measured} == {"diverged"}
    assert all(math.isnan(one.value("largest")) for one in result.measured)
    made = tables(result)
    assert [row[2] for row in made[0].rows] == ["1, 1 diverged"] * 2
    assert [row[3] for row in made[-1].rows] == ["diverged"] * 2
    assert main(["report", str(tmp_path)]) == 0
