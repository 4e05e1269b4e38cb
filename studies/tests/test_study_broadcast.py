"""The grid of broadcast rules: which cells exist, one tiny grid from end to end, and what its tables compare."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats

from analysis.statistics import intervals as statistics
from studies.broadcast import __main__ as command
from studies.broadcast import grid_runs
from studies.broadcast.grid import CONTROLS, LABELS, TASKS, Cell, GridTask, Setting, cells, images
from studies.broadcast.grid_figure import grid_figure, units
from studies.broadcast.grid_runs import Job, Searched, matched_losses, search, work
from studies.broadcast.grid_tables import Rows, left_feedforward, other_cells, results, with_gap, with_trace
from studies.tables import rows_of
from tca.experiments.config.run import Run
from tca.experiments.together.group import Group
from tca.experiments.training.train import train
from tca.experiments.training.training_loop import TrainingLoop
from tca.signals import Decorrelation
from tests.support import image_sets

# Trainings of few updates renew correlations fast, whatever their share.
pytestmark = pytest.mark.filterwarnings("ignore::tca.signals.decorrelation.averages.CollapseWarning")
TINY = Setting(batch_size=8, measured=2, budget=2, most=2)


def small(task: GridTask, *networks: str) -> GridTask:
    kinds = {name: replace(task.kinds[name], expected=None) for name in networks}
    return replace(task, kinds=kinds, n_train=24, n_test=40, updates=12, expected=2.2)


GRID = (small(TASKS[0], "MLP"), small(TASKS[1], "leaky RNN"))


def test_every_cell_of_the_grid_trains_and_every_kind_has_its_own_control() -> None:
    found = list(cells(Setting()))
    assert [str(cell) for cell, reason in found if reason] == []
    assert {cell.control for cell, _ in found} == set(CONTROLS)
    for task in TASKS:
        for kind in task.kinds.values():
            assert kind.rules[0] in CONTROLS
            assert len(set(kind.rules)) == len(kind.rules) > 1
    assert {cell.rule for cell, _ in found} == set(LABELS), "a rule of the figure that no network is trained with"
    assert {cell.task.title for cell, _ in found} == {task.title for task in TASKS}


def test_a_cell_that_its_rule_cannot_train_is_left_out_with_the_reason() -> None:
    task = TASKS[0]
    wrong = replace(task, kinds={"MLP": replace(task.kinds["MLP"], rules=("BP", "GEVB"))})
    (_, fits), (_, reason) = cells(TINY, (wrong,))
    assert fits == ""
    assert "GlobalVector needs cells that carry a vector" in reason


def test_rules_of_a_seed_share_weights_and_trials_and_correlations_renew_a_tenth() -> None:
    task = TASKS[1]
    kind = task.kinds["leaky RNN"]
    runs = [Cell(task, "leaky RNN", kind, rule).run(TINY, 3, 0.01) for rule in ("BPTT", "SBD")]
    exact, sbd = (TrainingLoop(replace(run, n_train=8, n_test=2)) for run in runs)
    for one, two in zip(exact.net.parameters(), sbd.net.parameters(), strict=True):
        assert one.equal(two)
    signal = sbd.learner.rule.signal
    assert isinstance(signal, Decorrelation)
    assert task.updates * (1 - signal.average.lam) == pytest.approx(0.1)  # type: ignore[attr-defined]


def test_rates_are_searched_on_held_out_trials_with_one_budget(tmp_path: Path) -> None:
    (cell,) = (cell for cell, _ in cells(TINY, GRID) if (cell.network, cell.rule) == ("MLP", "DFA"))
    found = search(cell, TINY, tmp_path)
    assert [rate for rate, *_ in found.tried] == pytest.approx([3e-3, 9.49e-3])
    assert found.best == max(found.tried, key=lambda each: (each[1], -each[2]))[0]
    assert cell.run(TINY, 0).held_out == 0
    run = cell.run(TINY, 0, found.best)
    (folder,) = tmp_path.glob(f"*{replace(run, held_out=run.n_train // 5).name}*")
    assert found.ended[1] == json.loads((folder / "result.json").read_text())["last"]["train_loss"]


def searched_with(monkeypatch: pytest.MonkeyPatch, folder: Path, score: Callable[[float], float]) -> Searched:
    """Return a search among trainings whose held-out score is a function of the rate; the loss falls with the rate."""

    def trained(run: Run, *_: Any, **__: Any) -> Any:
        rate = run.optimizer.lr
        last = SimpleNamespace(test_accuracy=score(rate), test_loss=1 / rate, train_loss=rate)
        return SimpleNamespace(run=run, outcome="completed", last=last)

    monkeypatch.setattr(grid_runs, "train", trained)
    monkeypatch.setattr(grid_runs, "Swept", SimpleNamespace(of=lambda result, _: result))
    monkeypatch.setattr(grid_runs, "update_time", lambda _: 2.0)
    (cell,) = (cell for cell, _ in cells(TINY, GRID) if (cell.network, cell.rule) == ("MLP", "DFA"))
    return search(cell, Setting(), folder)


@pytest.mark.parametrize(
    ("peak", "rates"),
    [
        (3e-3, [9.49e-4, 3e-3, 5.33e-3, 9.49e-3]),
        (9.5e-2, [9.49e-4, 3e-3, 9.49e-3, 3e-2, 9.49e-2, 0.3]),
        (1e-6, [9.49e-6, 3e-5, 9.49e-5, 3e-4, 9.49e-4, 3e-3, 9.49e-3]),
    ],
)
def test_a_search_goes_on_past_the_edge(
    peak: float, rates: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out scores fall with the distance from a known rate: four rates, more past an edge, seven at most."""
    found = searched_with(monkeypatch, tmp_path, lambda rate: -abs(math.log10(rate / peak)))
    assert [rate for rate, *_ in found.tried] == pytest.approx(rates)
    assert found.best == min(rates, key=lambda rate: abs(math.log10(rate / peak)))
    assert (found.ended[1], found.milliseconds) == (found.best, 2.0)


def test_a_search_ends_at_the_highest_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = searched_with(monkeypatch, tmp_path, lambda _: 1.0)
    assert [rate for rate, *_ in found.tried] == pytest.approx([9.49e-4, 3e-3, 9.49e-3, 3e-2])
    assert found.best == 3e-2, "the lowest loss among equal scores"


def test_an_update_is_timed_by_itself_after_some_that_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock runs by known amounts: 9 s an update at first, then 3, 2 and 4."""
    clock, made = [0.0], list[int]()

    def make(_: object, step: int) -> str:
        clock[0] += (9.0, 3.0, 2.0, 4.0)[len(made) // grid_runs.BLOCK]
        made.append(step)
        return ""

    monkeypatch.setattr("tca.experiments.training.update.Updates.make", lambda _, *given: make(*given))
    monkeypatch.setattr(time, "process_time", lambda: clock[0])
    (cell, _), *_ = cells(TINY, GRID)
    assert grid_runs.update_time(cell.run(TINY, 0)) == pytest.approx(2e3)
    assert len(made) == 4 * grid_runs.BLOCK


def test_seeds_trained_together_are_those_trained_alone(tmp_path: Path) -> None:
    (cell,) = (cell for cell, _ in cells(TINY, GRID) if cell.rule == "e-prop random")
    searched = Searched(cell, (), 0.03, 2.0)
    together, alone = tmp_path / "together", tmp_path / "alone"
    rows = work(Job(searched, (1, 2), 2.15), TINY, together)
    others = [row for seed in (1, 2) for row in work(Job(searched, (seed,), 2.15), TINY, alone)]
    for row, other in zip(rows, others, strict=True):
        assert "several networks" in next(together.glob(f"*_s{row['seed']:.0f}_*/run.json")).read_text()
        assert row.keys() == other.keys()
        for name, value in row.items():
            expected = other[name] if isinstance(value, str) else pytest.approx(other[name], rel=1e-3, abs=1e-5)
            assert value == expected, name
        assert row["seconds"] == float(row["updates"]) * 2.0 / 1e3


@pytest.mark.slow
@pytest.mark.parametrize("network", ["dual-stream MLP", "dual-stream CNN"])
def test_the_true_gradient_learns_in_two_streams_at_once(network: str) -> None:
    (cell,) = (cell for cell, _ in cells(Setting()) if (cell.network, cell.rule) == (network, "BP"))
    run = replace(cell.run(Setting(), 0, 3e-2), evaluate_every=300)
    assert train(run, progress=False).last.test_accuracy > 0.75


def test_rules_of_a_network_are_compared_at_the_loss_that_those_which_solve_the_task_reach() -> None:
    """Chance is about .1, so that .55 solves; a quarter more than .4 and .0505, in two digits, rounded up."""
    grid = (small(TASKS[0], "MLP", "CNN"), small(TASKS[1], "leaky RNN"))
    ends = {
        ("MLP", "BP"): (0.9, 0.1),
        ("MLP", "DFA"): (0.6, 0.4),
        ("MLP", "SBD"): (0.5, 0.7),
        ("CNN", "BP"): (0.9, 0.0505),
    }
    searched = []
    for cell, _ in cells(TINY, grid):
        score, loss = ends.get((cell.network, cell.rule), (0.3, 2.0))
        tried = ((1e-3, score, 1.0, 3.0), (3e-3, score, 0.9, loss), (1e-2, math.nan, math.nan, math.nan))
        searched.append(Searched(cell, tried, 3e-3))
    found: dict[str, set[float]] = {}
    for each, loss in zip(searched, matched_losses(searched, TINY), strict=True):
        found.setdefault(each.cell.network, set()).add(loss)
    assert found == {"MLP": {0.5}, "CNN": {0.064}, "leaky RNN": {2.2}}


def test_a_tiny_grid_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks, two seeds: a row a run, rates, tables and a figure; a second call trains nothing and says the same."""
    words = [f"--out={tmp_path}", "--seeds=2"]
    assert command.main(words, GRID, TINY) == 0
    rows = rows_of(tmp_path / "broadcast_runs.csv")
    count = sum(len(kind.rules) for task in GRID for kind in task.kinds.values())
    assert len(rows) == 2 * count
    tried = rows_of(tmp_path / "broadcast_rates.csv")
    assert len(tried) == TINY.budget * count
    assert {row["seed"] for row in rows} == {"1", "2"}, "the seed of the search is none of the runs"
    best = {(row["task"], row["network"], row["rule"]): float(row["rate"]) for row in tried if row["chosen"] == "True"}
    assert all(float(row["rate"]) == best[row["task"], row["network"], row["rule"]] for row in rows)
    for row in rows:
        if row["rule"] == row["control"]:
            assert float(row["cosine_start"]) == pytest.approx(1.0, abs=1e-5)
        if row["matched_train_loss"]:
            assert float(row["matched_train_loss"]) == pytest.approx(float(row["loss"]), rel=0.0101)
            assert 0 < float(row["updates"]) <= GRID[0].updates
            seconds = float(row["updates"]) * float(row["milliseconds"]) / 1e3
            assert float(row["seconds"]) == pytest.approx(seconds, rel=1e-4)
    assert any(row["matched_largest"] for row in rows), "no run of the tiny grid reached its loss"
    assert (tmp_path / "broadcast_grid.svg").exists()
    assert "digits at once" in (tmp_path / "broadcast_grid.csv").read_text()
    text = (tmp_path / "broadcast_runs.csv").read_text()
    for trained in (TrainingLoop, Group):
        monkeypatch.setattr(trained, "update", lambda *_: pytest.fail("trained again"))
    assert command.main(words, GRID, TINY) == 0
    assert (tmp_path / "broadcast_runs.csv").read_text() == text


@pytest.mark.slow
def test_the_full_study_of_a_folder_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of another size, four times as many updates, seven rates or more, and tables of the set."""
    data = image_sets.drawn(60, 12, 12), image_sets.drawn(40, 12, 12, seed=1)
    image_sets.write_set(tmp_path / "few_stars", *data)
    pairs = zip(images("few_stars", (1.0, 1.0), 0.5), ("MLP", "leaky RNN"), strict=True)
    monkeypatch.setattr(command, "SETS", {"few_stars": tuple(small(task, network) for task, network in pairs)})
    monkeypatch.setenv("TCA_DATA", "")
    out = tmp_path / "out"
    assert command.main([f"--out={out}", "--full", "--seeds=2", f"--data={tmp_path}"], (), TINY) == 0
    tried, rows = rows_of(out / "broadcast_rates.csv"), rows_of(out / "broadcast_runs.csv")
    count = len({(row["network"], row["rule"]) for row in rows})
    assert count == len(rows) // 2 == 14, "four rules at once, ten by rows"
    assert 7 * count <= len(tried) <= 10 * count
    records = [json.loads(path.read_text()) for path in (out / "runs").glob("*/result.json")]
    assert {record["last"]["step"] for record in records} == {4 * 12}
    assert "few stars: e-prop random minus BPTT" in (out / "broadcast_leaving.md").read_text()
    assert {"few stars at once", "few stars by rows"} == {row["task"] for row in rows}


def test_a_set_that_is_not_in_the_folder_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TCA_DATA", "")
    with pytest.raises(SystemExit):
        command.main([f"--out={tmp_path / 'out'}", f"--data={tmp_path}", "--tasks", "fashion mnist at once"])
    message = capsys.readouterr().err
    assert "fashion_mnist" in message
    assert "left out" not in message


def drawn(seed: int = 0, images: str = "digits") -> tuple[Rows, dict[tuple[str, str], np.ndarray]]:
    """Return rows of a grid whose accuracies are drawn, and these by task and rule."""
    source = np.random.default_rng(seed)
    shape = {(f"{images} at once", "MLP"): ("BP", "DFA", "SBD"),
             (f"{images} by rows", "leaky RNN"): ("BPTT", "e-prop random", "DFA", "SBD", "SBD, no trace")}  # fmt: skip
    rows, known = [], {}
    for (task, network), rules in shape.items():
        for place, rule in enumerate(rules):
            known[task, rule] = 0.9 - 0.05 * place + 0.02 * source.normal(size=8)
            for each, value in enumerate(known[task, rule]):
                row = dict.fromkeys(command.COLUMNS, "")
                row |= {"task": task, "network": network, "rule": rule, "control": rules[0], "rate": "0.01",
                        "seed": str(each), "loss": "1", "updates": "10", "test_accuracy": repr(float(value)),
                        "outcome": "completed"}  # fmt: skip
                row |= {"matched_largest": repr(place + 0.1 * each), "matched_accuracy_gap": repr(place - 0.1 * each),
                        "matched_noisy_accuracy_gap": repr(-place)}  # fmt: skip
                rows.append(row)
    return rows, known


def test_leaving_the_feedforward_network_is_a_difference_of_differences() -> None:
    sets = {name: drawn(seed, name) for seed, name in enumerate(("digits", "mnist"))}
    table = left_feedforward([row for rows, _ in sets.values() for row in rows])
    assert len(table.rows) == 4, "SBD too; the others are not there"
    for row, (name, (_, known)) in zip(table.rows[::2], sets.items(), strict=True):
        by_rows = known[f"{name} by rows", "e-prop random"] - known[f"{name} by rows", "BPTT"]
        at_once = known[f"{name} at once", "DFA"] - known[f"{name} at once", "BP"]
        test = scipy.stats.ttest_rel(by_rows, at_once)
        assert row[0] == f"{name}: e-prop random minus BPTT in the leaky RNN above DFA minus BP in the MLP"
        assert row[1:4] == ("8", f"{np.mean(by_rows - at_once):+.3f} [{test.confidence_interval().low:+.3f}, "
                            f"{test.confidence_interval().high:+.3f}]", f"{test.pvalue:.2g}")  # fmt: skip


def test_other_cells_are_compared_in_every_set_of_images() -> None:
    """ED stands for two streams: the drawn rows of a leaky network are those of its random broadcast too."""
    rows = list[Any]()
    for seed, name in enumerate(("digits", "mnist")):
        here, _ = drawn(seed, name)
        streams = {"e-prop random": "ED", "BPTT": "BPTT"}
        shifted = [{**row, "network": "dual-stream RNN", "rule": streams[row["rule"]],
                    "test_accuracy": repr(float(row["test_accuracy"]) + (row["rule"] != "BPTT") * (seed + 1) / 10)}
                   for row in here if row["network"] == "leaky RNN" and row["rule"] in streams]  # fmt: skip
        rows += [*here, *shifted]
    found = [row[:3] for row in other_cells(rows).rows]
    assert [(text.split(":")[0], pairs, difference.split()[0]) for text, pairs, difference in found] == [
        ("digits by rows", "8", "+0.100"),
        ("mnist by rows", "8", "+0.200"),
    ]


def test_traces_are_compared_with_the_same_signal_without() -> None:
    rows, known = drawn()
    found = {row[0]: row for row in with_trace(rows).rows}
    assert set(found) == {"digits by rows, leaky RNN: e-prop random above DFA",
                          "digits by rows, leaky RNN: SBD above SBD, no trace"}  # fmt: skip
    difference = np.mean(known["digits by rows", "SBD"] - known["digits by rows", "SBD, no trace"])
    assert found["digits by rows, leaky RNN: SBD above SBD, no trace"][2].startswith(f"{difference:+.3f} [")


def test_results_are_beside_the_control_and_count_survivors() -> None:
    rows, known = drawn()
    rows = [{**row, "updates": ""} if row["rule"] == "SBD" and row["seed"] < "3" else row for row in rows]
    table = results(rows, "digits at once")
    cells_of = {row[0]: dict(zip(table.head, row, strict=True)) for row in table.rows}
    assert cells_of["MLP, SBD"]["reached"] == "5/8"
    assert cells_of["MLP, BP"][table.head[4]] == ""
    difference = np.mean(known["digits at once", "DFA"] - known["digits at once", "BP"])
    assert cells_of["MLP, DFA"][table.head[4]].startswith(f"{difference:+.3f} ")


def test_curvature_and_gap_are_correlated_over_the_rules_of_a_network() -> None:
    """Eigenvalues and clean gaps rise together over rules and fall within them; noisy gaps fall over rules."""
    rows, _ = drawn()
    row = next(each for each in with_gap(rows).rows if each[0].startswith("digits by rows"))
    values = [float(cell.split(" ")[0]) for cell in row[1:]]
    assert values[0] > 0.8
    assert values[1] == -1.0
    assert values[2] < -0.9
    assert "5 arms" in row[1]


def test_the_figure_shows_differences_in_units_of_their_interval() -> None:
    rows, known = drawn()
    figure = grid_figure(rows)
    shown = {text.get_text() for axes in figure.axes for text in axes.texts}
    difference = known["digits at once", "DFA"] - known["digits at once", "BP"]
    assert f"{difference.mean():+.2f}".replace("0.", ".", 1).replace("-", "−") in shown
    mean, half = difference.mean(), np.ptp(scipy.stats.ttest_1samp(difference, 0).confidence_interval()) / 2
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert figure.axes[0].images[0].get_array()[labels.index("DFA"), 0] == pytest.approx(max(mean / half, -4.0))
    assert units(statistics.mean([0.5, 0.5])) == math.inf


def test_the_plan_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([f"--out={tmp_path}", "--plan", "--tasks", "digits at once"], GRID, TINY) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("| all | 4 cells | 48 |")
    assert not list(tmp_path.rglob("*.json"))
    with pytest.raises(SystemExit):
        command.main([f"--out={tmp_path}", "--tasks", "digits at onec"], GRID, TINY)
    assert "digits at onec" in capsys.readouterr().err


def test_a_cell_whose_runs_have_all_diverged_is_empty() -> None:
    rows, _ = drawn()
    rows = [
        {**row, "test_accuracy": ""} if (row["task"], row["rule"]) == ("digits at once", "SBD") else row for row in rows
    ]
    shown = [text.get_text() for text in grid_figure(rows).axes[0].texts]
    assert len(shown) == 1, "DFA alone"
