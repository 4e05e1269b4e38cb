"""The search of learning rates: on held-out training trials, with one budget, resumable."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import tasks
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_loop import compare, read_result
from tca.cli.compare.comparison_table import tables
from tca.cli.compare.learning_rates import Search, next_exponent
from tca.cli.compare.report import write_report
from tca.experiments import records
from tca.experiments.config.run import NetworkConfig, Optimizer, Run
from tca.experiments.sweep.swept_run import Swept
from tca.experiments.training.training_loop import TrainingLoop
from tests.tca.cli.test_cli import rows

RUN = Run("delayed_xor", net=NetworkConfig(size=4), n_train=20, n_test=6, steps=2)


def test_the_held_out_trials_are_the_last_of_the_training_set_and_no_test_trials() -> None:
    train, _ = RUN.make_task().split(20, 6, seed=0)
    loop = TrainingLoop(dataclasses.replace(RUN, held_out=5))
    assert torch.equal(loop.train_set.batch().inputs, train.batch().inputs[:, :15])
    assert torch.equal(loop.test_set.batch().inputs, train.batch().inputs[:, 15:])
    with pytest.raises(ValueError, match="held_out must be less than n_train = 20, got 20"):
        dataclasses.replace(RUN, held_out=20)
    assert dataclasses.replace(RUN, held_out=0).name == RUN.name != dataclasses.replace(RUN, held_out=1).name


@pytest.mark.parametrize(
    ("best", "tried"),
    [
        (0.0, [0, 1, -1, 0.5, -0.5]),
        (3.2, [0, 1, -1, 2, 3, 4, 3.5, 2.5, 3.25]),
        (-2.0, [0, 1, -1, -2, -3, -1.5]),
    ],
)
def test_the_search_walks_to_the_best_rate_and_then_refines(best: float, tried: list[float]) -> None:
    merits: dict[float, tuple[float, float]] = {}
    for _ in tried:
        exponent = next_exponent(merits)
        merits[exponent] = (-abs(exponent - best), 0.0)
    assert list(merits) == tried


def test_rates_are_compared_by_score_then_loss_and_divergence_is_worst() -> None:
    search = Search(RUN, 4)
    metrics = records_of(search.next_run())
    outcomes = {0.001: (0.5, 0.7), 0.00316: (0.5, 0.6), 0.000316: (0.4, 0.1), 0.01: None}
    for _ in range(4):
        run = search.next_run()
        assert run.held_out == 4
        assert run.optimizer.lr in outcomes
        found = outcomes[run.optimizer.lr]
        last = None if found is None else dataclasses.replace(metrics, test_accuracy=found[0], test_loss=found[1])
        search.add(Swept(run, Path("x"), "completed" if found else "failed", "", 2, last))
    assert search.done
    assert [each.lr for each in search.rates] == [0.000316, 0.001, 0.00316, 0.01]
    assert max(search.rates, key=lambda each: each.merit).lr == 0.00316
    assert math.isnan(search.rates[-1].score)


def records_of(run: Run) -> Any:
    return TrainingLoop(dataclasses.replace(run, steps=1)).measured({})


SMALL = Comparison(
    tasks="delayed_xor",
    rules=["bptt", {"rule": "eprop", "optimizer": {"name": "SGD", "lr": 0.1}}],
    seeds=2,
    net=NetworkConfig(size=4),
    tune_lr=3,
    n_train=20,
    n_test=6,
    steps=4,
    evaluate_every=2,
    batch_size=5,
)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a comparison with tuned rates."""
    folder = tmp_path_factory.mktemp("tuned")
    write_report(compare(SMALL, folder, workers=1, progress=False), folder)
    return folder


def test_every_entry_has_the_same_budget_and_its_best_rate(tuned: Path) -> None:
    """Chosen again here from the records of the search, which hold no measurement of a test trial."""
    found = rows(tuned, "rates.csv")
    assert [row["entry"] for row in found] == ["bptt"] * 3 + ["eprop"] * 3
    results = [records.read(path) for path in (tuned / "tuning").iterdir()]
    assert len(results) == 6
    assert {(each.run.held_out, each.run.steps, each.run.seeds.net) for each in results} == {(4, 4, 0)}
    train, _ = tasks.make("delayed_xor").split(20, 6, seed=0)
    held = train.batch().select(slice(16, 20))
    best = {}
    for result in results:
        outputs = result.net(held.inputs).detach()
        loss = held.loss.mean(outputs, held.targets, held.weights).item()
        score = tasks.make("delayed_xor").accuracy(outputs, held)
        assert (result.last.test_accuracy, result.last.test_loss) == pytest.approx((score, loss), rel=1e-6)
        best[result.run.rule] = max(
            best.get(result.run.rule, ((-1.0, 0.0), 0.0)), ((score, -loss), result.run.optimizer.lr)
        )
    chosen = {row["entry"]: float(row["lr"]) for row in found if row["chosen"] == "1"}
    assert chosen == {rule: lr for rule, (_, lr) in best.items()}
    measured = read_result(tuned).measured
    assert {(one.entry, one.run.optimizer.name, one.run.optimizer.lr) for one in measured} == {
        ("bptt", "Adam", chosen["bptt"]), ("eprop", "SGD", chosen["eprop"])
    }  # fmt: skip
    assert {one.run.held_out for one in measured} == {0}
    entries = next(table for table in tables(read_result(tuned)) if table.title == "Entries")
    assert [row[entries.head.index("learning rate")] for row in entries.rows] == ["tuned", "tuned"]


def test_a_search_resumes_where_it_was(tuned: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(tuned, again)
    shutil.rmtree(next((again / "tuning").iterdir()))
    before = {path: path.stat().st_mtime_ns for path in (again / "tuning").glob("*/*")}
    compare(SMALL, again, workers=1, progress=False)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (again / "outcomes.json").read_bytes() == (tuned / "outcomes.json").read_bytes()


def test_a_rate_that_fails_is_a_rate_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = TrainingLoop.measure

    def measure(loop: TrainingLoop) -> Any:
        if loop.run.optimizer.lr > 0.0011:
            raise RuntimeError("out of order")
        return whole(loop)

    monkeypatch.setattr(TrainingLoop, "measure", measure)
    few = dataclasses.replace(SMALL, rules="bptt", seeds=1, optimizer=Optimizer())
    result = compare(few, tmp_path, workers=1, progress=False)
    ((key, tried),) = result.outcomes.rates.items()
    assert [each.outcome for each in tried] == ["completed", "completed", "failed"]
    assert result.outcomes.chosen[key] < 0.0011
    assert result.failures == []
