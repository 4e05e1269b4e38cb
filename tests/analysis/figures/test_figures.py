"""Figures: one command each, with the numbers beside the drawing."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.dynamics.fixed_points import fixed_points
from analysis.dynamics.visited_states import sampled_states
from analysis.figures import Series, alignment_over_training, gap_against_curvature, learning_curves
from analysis.figures.command import command, recorded, training_trials
from analysis.figures.curve_figures import solved
from analysis.figures.plots import curves, panels
from analysis.figures.point_figures import paired_differences
from analysis.landscape.barrier import barrier
from analysis.landscape.planes import landscape
from analysis.representations.activity import rates
from analysis.representations.similarity import procrustes_distance
from tca.experiments.config.components import Optimizer, Seeds
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.training.train import train

BASE = Run(
    "delayed_xor", net=NetworkConfig(size=6), optimizer=Optimizer(lr=0.01), steps=3, n_train=12, n_test=8, batch_size=6
)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rules, two seeds."""
    folder = tmp_path_factory.mktemp("records")
    for rule in ("bptt", "eprop"):
        for seed in (0, 1):
            run = dataclasses.replace(BASE, rule=rule, seeds=Seeds(net=seed))
            train(run, run.folder(folder), progress=False)
    return folder


def draw(name: str, *words: str, out: Path) -> list[dict[str, str]]:
    """Run the command of a figure and return the numbers it has written."""
    module = importlib.import_module(f"analysis.figures.{name}")
    assert command(module.main, [*words, "--out", str(out / name)]) == 0
    for suffix in (".svg", ".png", ".csv"):
        assert (out / name).with_suffix(suffix).stat().st_size > 100
    with open((out / name).with_suffix(".csv"), newline="") as file:
        return list(csv.DictReader(file))


def numbers(rows: list[dict[str, str]], column: str, **where: object) -> list[float]:
    chosen = [row for row in rows if all(row[name] == str(value) for name, value in where.items())]
    return [float(row[column]) for row in chosen]


def test_loss_line(records: Path, tmp_path: Path) -> None:
    rows = draw("loss_line", str(records), "--points", "5", "--reach", "0.5", "--trials", "8", out=tmp_path)
    assert {(row["panel"], row["label"], row["seed"]) for row in rows} == {
        ("delayed_xor", rule, seed) for rule in ("bptt", "eprop") for seed in ("0", "1")
    }
    first = recorded([records])[0]
    exact = landscape(first.net, training_trials(first, 8), points=5, reach=0.5).losses.tolist()
    drawn = numbers(rows, "loss", label="bptt", seed=0)
    assert drawn == pytest.approx(exact) or drawn == pytest.approx(exact[::-1])
    assert sum(drawn[3:]) <= sum(drawn[:2])


def test_loss_plane(records: Path, tmp_path: Path) -> None:
    first = recorded([records])[0]
    record = first.run.folder(records)
    rows = draw("loss_plane", str(record), "--points", "3", "--trials", "8", "--directions", "random", out=tmp_path)
    found = landscape(first.net, training_trials(first, 8), points=3, dimensions=2, directions="random")
    assert numbers(rows, "loss") == pytest.approx(found.losses.flatten().tolist())
    assert numbers(rows, "first")[:3] == [-1.0] * 3
    assert numbers(rows, "second")[:3] == [-1.0, 0.0, 1.0]


def test_a_barrier_leaves_out_networks_of_another_kind(records: Path, tmp_path: Path, capsys) -> None:
    other = dataclasses.replace(BASE, rule="three_factor", net=NetworkConfig(size=6, form="B"))
    train(other, other.folder(tmp_path), progress=False)
    rows = draw("loss_barrier", str(records), str(tmp_path), "--points", "3", "--trials", "8", out=tmp_path)
    assert {row["label"] for row in rows} == {"bptt to eprop", "bptt to bptt, other seed"}
    assert "three_factor: left out" in capsys.readouterr().out


def test_loss_barrier(records: Path, tmp_path: Path) -> None:
    rows = draw("loss_barrier", str(records), "--points", "3", "--trials", "8", out=tmp_path)
    nets = {(str(one.run.rule), one.run.seeds.net): one for one in recorded([records])}
    trials = training_trials(nets["bptt", 0], 8)
    for panel, match in (("cells as they are", None), ("cells matched", "weights")):
        for label, other in (("bptt to eprop", ("eprop", 0)), ("bptt to bptt, other seed", ("bptt", 1))):
            exact = barrier(nets["bptt", 0].net, nets[other].net, trials, points=3, match=match).losses.tolist()
            assert numbers(rows, "loss", panel=panel, label=label, seed=0) == pytest.approx(exact)
    assert not numbers(rows, "loss", label="bptt to bptt, other seed", seed=1)  # it is the same pair


def test_similarity_matrix(records: Path, tmp_path: Path) -> None:
    rows = draw("similarity_matrix", str(records), "--trials", "4", out=tmp_path)
    assert len(rows) == 16
    nets = recorded([records])
    trials = training_trials(nets[0], 4)
    exact = procrustes_distance(rates(nets[0].net, trials), rates(nets[2].net, trials))
    assert numbers(rows, "procrustes", network="bptt, seed 0", other="eprop, seed 0") == pytest.approx([exact])
    dynamics = draw("similarity_matrix", str(records), "--distance", "dsa", "--rank", "2", out=tmp_path)
    assert numbers(dynamics, "dsa", network="bptt, seed 0", other="bptt, seed 0") == [0.0]
    assert numbers(dynamics, "dsa", network="bptt, seed 0", other="bptt, seed 1")[0] > 0


def test_state_space(records: Path, tmp_path: Path) -> None:
    first = recorded([records])[0]
    record = first.run.folder(records)
    rows = draw("state_space", str(record), "--trials", "6", "--starts", "9", out=tmp_path)
    batch = training_trials(first, 6)
    shown = batch.decision_steps
    starts = sampled_states(first.net, batch.inputs, 9, steps=shown)
    found = fixed_points(first.net, batch.inputs[shown].double().mean(0), starts)
    assert [row["kind"] for row in rows] == found.kinds()
    assert numbers(rows, "largest_modulus") == pytest.approx(found.radius.tolist())
    assert math.fsum(numbers(rows, "starts")) + found.unfinished == 9
    draw("state_space", str(record), "--trials", "6", "--starts", "9", "--steps", "0", "4", out=tmp_path)


def test_errors_are_one_line(records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, words, message in (
        ("loss_line", [str(tmp_path)], "must hold a finished run"),
        ("loss_line", [str(records), "--directions", "sharp"], "did you mean 'sharpest'"),
        ("loss_barrier", [str(records), "--reference", "rflo"], "reference must be a rule of the records"),
        ("loss_barrier", [str(records), "--task", "flip_flop"], "records must be of one task, got none"),
        ("similarity_matrix", [str(records), "--distance", "dsb"], "did you mean 'dsa'"),
        ("state_space", [str(records), "--steps", "4", "4"], "steps must"),
    ):
        assert command(importlib.import_module(f"analysis.figures.{name}").main, words) == 2
        shown = capsys.readouterr().err
        assert message in shown
        assert shown.count("\n") == 1


def levels(geometric: bool) -> Iterator[np.ndarray]:
    series = [Series("", "a", seed, [0.0, 1.0], [1.0, value]) for seed, value in enumerate((1.0, 4.0))]
    _, axes = panels(series, "x", "y")
    curves(axes[""], series, "", geometric=geometric)
    yield axes[""].lines[0].get_ydata()
    yield axes[""].collections[0].get_paths()[0].vertices[:, 1]


def test_bands_on_a_logarithmic_axis_are_of_logarithms() -> None:
    middle, edge = levels(geometric=False)
    assert middle.tolist() == [1.0, 2.5]
    assert edge.max() == pytest.approx(2.5 + np.std([1, 4], ddof=1))
    middle, edge = levels(geometric=True)
    assert middle.tolist() == pytest.approx([1.0, 2.0])
    spread = math.exp(np.std([0, math.log(4)], ddof=1))
    assert (edge.max(), edge.min()) == pytest.approx((2 * spread, 2 / spread))


@pytest.mark.parametrize("figure", [learning_curves, alignment_over_training])
def test_no_run_is_cut_off_below(figure: object) -> None:
    series = [
        Series(panel, "a", seed, [0.0, 1.0], [0.5, value])
        for panel, values in (("one", (-0.5, 0.3)), ("two", (0.4, 0.5)))
        for seed, value in enumerate(values)
    ]
    axes = figure(series).axes  # type: ignore[operator]
    assert all(each.get_ylim()[0] < -0.5 for each in axes)


@pytest.mark.parametrize("runs", [4, 12])
def test_nothing_is_drawn_beyond_the_bounds_of_a_measure(runs: int) -> None:
    ends = [1.0 if seed % 2 else 0.5 for seed in range(runs)]
    series = [Series("xor", "a", seed, [0.0, 1.0], [0.5, end]) for seed, end in enumerate(ends)]
    figure = learning_curves(series)
    (axes,) = figure.axes
    lines = [line.get_ydata().tolist() for line in axes.lines]
    assert lines[0] == [0.5, 0.75]
    note = figure.legends[0].get_title().get_text()
    assert f"median of n = {runs} runs" in note
    if runs <= 5:
        assert lines[1:] == [[0.5, end] for end in ends]
        assert "thin lines: runs" in note
    else:
        assert len(lines) == 1
        assert "quartiles" in note
        edges = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert (edges.min(), edges.max()) == (0.5, 1.0)


def test_differences_say_their_number_and_their_interval_in_the_colour_of_the_rule() -> None:
    """The interval is Student's t: half a width of 4.303 standard errors with three values."""
    series = [Series("xor", "e-prop", seed, [x], [0.0]) for seed, x in enumerate((0.1, 0.2, 0.3))]
    figure = paired_differences(series, "gain")
    assert "95 % interval" in figure.legends[0].get_title().get_text()
    (axes,) = figure.axes
    assert axes.texts[0].get_text() == "n = 3"
    line = next(each for each in axes.lines if len(each.get_xdata()) == 2 and each.get_color() == "#0072B2")
    assert line.get_xdata() == pytest.approx([0.2 - 4.3027 * 0.1 / 3**0.5, 0.2 + 4.3027 * 0.1 / 3**0.5], abs=1e-5)


def test_fuller_panels_are_split_and_keep_their_chance() -> None:
    series = [Series("xor", f"rule {place}", 0, [0.0, 1.0], [0.5, 1.0]) for place in range(10)]
    figure = learning_curves(series, chance={"xor": 0.5})
    assert [axes.get_title() for axes in figure.axes] == ["xor (1 of 2)", "xor (2 of 2)"]
    drawn = [[line.get_label() for line in axes.lines] for axes in figure.axes]
    assert drawn[0] == [*(f"rule {place}" for place in range(8)), "chance"]
    assert drawn[1] == ["rule 0", "rule 8", "rule 9", "chance"]


@pytest.mark.parametrize(("end", "named"), [(1.0, True), (0.9, False)])
def test_a_control_that_is_perfect_too_is_named(end: float, named: bool) -> None:
    series = [Series("xor", label, 0, [0.0, 1.0], [0.5, end]) for label in ("bptt", "readout only")]
    note = learning_curves(series, chance={"xor": 0.5}).legends[0]
    assert ("readout only: a control,\nreaches 1.00 too" in note.get_title().get_text()) == named
    assert [text.get_text() for text in note.get_texts()] == ["bptt", "readout only", "chance"]


def test_a_legend_names_what_is_drawn_alone() -> None:
    series = [Series("xor", "bptt", 0, [1.0], [0.1]), Series("xor", "diverged", 0, [], [])]
    labels = [text.get_text() for text in gap_against_curvature(series).legends[0].get_texts()]
    assert labels == ["bptt"]


@pytest.fixture(autouse=True)
def _global_generator_is_left_alone() -> Iterator[None]:
    state = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), state)


def test_runs_part_where_some_solve_their_task() -> None:
    """A score of .75 once is enough where chance is .5; a panel whose runs agree is shown beside one that parts."""
    scores = {("xor", 0): [0.5, 0.8, 0.6], ("xor", 1): [0.5, 0.74, 0.74], ("match", 0): [0.9, 0.5, 0.5]}
    runs = [Series(panel, "bptt", seed, [0, 10, 20], values) for (panel, seed), values in scores.items()]
    found = solved(runs, {"xor": 0.5, "match": 0.5})
    assert [list(each.y) for each in found] == [[0, 1, 1], [0, 0, 0], [1, 1, 1]]
    assert [list(each.x) for each in found] == [[0, 10, 20]] * 3
    assert solved([runs[0], runs[2]], {"xor": 0.5, "match": 0.5}) == []
    assert solved(runs, {"match": 0.5}) == []
    late = dataclasses.replace(runs[0], y=[math.nan, *[1.0] * (len(runs[0].y) - 1)])
    found = solved([late, *runs[1:]], {"xor": 0.5})
    assert list(found[0].y) == [0.0, *[1.0] * (len(late.y) - 1)]  # a score that is no number is none that solves it
