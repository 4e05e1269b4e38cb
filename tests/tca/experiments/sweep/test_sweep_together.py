"""Sweeps and comparisons whose workers train several runs together: the same outcomes, every run once."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_loop import compare
from tca.experiments import records
from tca.experiments.config.run import NetworkConfig, Optimizer, Run, Seeds
from tca.experiments.records.record import Record
from tca.experiments.sweep import Swept, grid, sweep, sweep_loop
from tca.experiments.sweep.executors import InProcess, Job, WorkerDiedError
from tca.experiments.together.learner_ensemble import LearnerEnsemble
from tca.experiments.training.train import train

SMALL = Run(
    "delayed_xor", "eprop", net=NetworkConfig(size=6), batch_size=4, steps=6, n_train=10, n_test=6, evaluate_every=3,
    optimizer=Optimizer(), dtype="float64",
)  # fmt: skip
RUNS = [
    *grid(SMALL, {"rule": ["bptt", "eprop"], "seeds.net": [0, 1, 2], "optimizer.lr": [0.01]}),
    dataclasses.replace(SMALL, net=NetworkConfig("spiking_rnn", size=6), rule="eprop"),
    dataclasses.replace(SMALL, net=NetworkConfig("spiking_rnn", size=6), rule="eprop", seeds=Seeds(net=1)),
]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the numbers of learners of all ensembles."""
    found: list[int] = []
    made = LearnerEnsemble.__init__

    def counted(self: LearnerEnsemble, learners: Any) -> None:
        found.append(len(learners))
        made(self, learners)

    monkeypatch.setattr(LearnerEnsemble, "__init__", counted)
    return found


def same(swept: list[Swept]) -> None:
    """Demand that every run ended as by itself."""
    for each in swept:
        single = train(each.run, progress=False)
        assert (each.outcome, each.step) == (single.outcome, single.step)
        assert each.last is not None
        assert each.last.train_loss == pytest.approx(single.last.train_loss, rel=1e-10)
        assert each.last.test_loss == pytest.approx(single.last.test_loss, rel=1e-10)


def test_runs_of_a_sweep_are_grouped_and_others_trained_singly_and_said_once(
    tmp_path: Path, sizes: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    swept = list(sweep(RUNS, tmp_path, "here", together=2))
    assert sizes == [2, 2]
    assert {each.run.name for each in swept} == {run.name for run in RUNS}
    same(swept)
    assert capsys.readouterr().err.count("2 runs are trained singly: its network is a spiking_rnn, no leaky_rnn") == 1


def test_records_say_that_passes_took_several_networks(tmp_path: Path) -> None:
    list(sweep(RUNS, tmp_path, "here", together=3, progress=False))
    kernels = [json.loads((run.folder(tmp_path) / "run.json").read_text())["kernels"] for run in RUNS]
    assert [each.endswith(", several networks a pass") for each in kernels] == [True] * 6 + [False] * 2


def test_a_run_that_cannot_be_recorded_fails_alone(tmp_path: Path) -> None:
    RUNS[1].folder(tmp_path).write_text("no folder")
    swept = {each.run.name: each for each in sweep(RUNS[:3], tmp_path, "here", together=3, progress=False)}
    assert [swept[run.name].outcome for run in RUNS[:3]] == ["completed", "failed", "completed"]
    assert "File exists" in swept[RUNS[1].name].reason


def test_runs_of_a_worker_that_dies_go_on_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
) -> None:
    class Dying(InProcess):
        def _start(self, job: Job) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(WorkerDiedError("killed by signal 9"))
            return future if job.key.startswith("together") else super()._start(job)

    monkeypatch.setitem(sweep_loop.SCHEDULERS, "here", lambda _: Dying())
    swept = list(sweep(RUNS[:3], tmp_path, "here", together=3, progress=False))
    same(swept)
    assert len(swept) == 3
    assert sizes == []


@pytest.mark.slow
def test_a_comparison_trains_its_seeds_together(
    tmp_path: Path, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {
        "rules": "eprop,bptt,uoro", "seeds": 3, "net": NetworkConfig(size=6), "steps": 6, "n_train": 10, "n_test": 6,
        "batch_size": 4, "evaluate_every": 3, "curvature_trials": 4, "curvature_probes": 2, "dtype": "float64",
        "match_loss": 0.7,
    }  # fmt: skip
    found = compare(Comparison(**options), tmp_path / "together", 1, progress=False, together=2)
    assert sizes[:2] == [2, 2]
    other = compare(Comparison(**options), tmp_path / "singly", 1, progress=False)
    assert len(found.measured) == len(other.measured) == 9
    for one, two in zip(found.measured, other.measured, strict=True):
        assert (one.entry, one.run, one.outcome) == (two.entry, two.run, two.outcome)
        assert one.values.keys() == two.values.keys()
        for name in ("train_loss", "test_accuracy", "cosine", "largest"):
            assert one.value(name) == pytest.approx(two.value(name), rel=1e-6, nan_ok=True), name


def test_a_finished_group_is_not_trained_again(tmp_path: Path, sizes: list[int]) -> None:
    for _ in range(2):
        same(list(sweep(RUNS[:3], tmp_path, "here", together=3, progress=False)))
    assert sizes == [3]
    assert all(records.finished(run.folder(tmp_path)) for run in RUNS[:3])


def test_a_run_in_use_is_left_to_its_process(tmp_path: Path, sizes: list[int]) -> None:
    run = RUNS[0]
    with Record(run.folder(tmp_path), run, {"n_in": 2, "n_out": 2, "dt": 50.0}):
        swept = {
            each.run.name: each.outcome
            for each in sweep(RUNS[:3], tmp_path, "here", together=3, wait=False, progress=False)
        }
    assert [swept[each.name] for each in RUNS[:3]] == ["in_use", "completed", "completed"]
    assert sizes == [2]
