"""The vision studies from end to end at a size that a test can afford, and the facts that they rest on."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import tasks
import tca
from analysis.figures.plots import Series
from studies import at_once_or_by_rows, published_vision
from studies.at_once_or_by_rows import Setting
from studies.published_vision import Outcome, chosen
from studies.study_figures import over_epochs
from studies.vision import search
from studies.vision.__main__ import main
from studies.vision.published import CELLS, EBD_TABLE, GEVB_TABLE, LAYERS
from studies.vision.vision_cells import SIZES, Scale
from studies.vision.vision_measurements import Job, angles, work
from studies.vision.vision_plan import ARMS, BASELINE, MNIST, PANELS, Arm, Panel, arms_of, missing
from tca.experiments.config.network_kinds import KINDS, layer_of
from tca.experiments.config.run import Run
from tca.experiments.training.training_loop import TrainingLoop
from tca.learner import Learner
from tca.nets import MLP, PRESETS, DualStreamMLP
from tca.rule import Rule
from tca.signals import Decorrelation

# Trainings of a few updates renew correlations fast, whatever their share.
pytestmark = pytest.mark.filterwarnings("ignore::tca.signals.decorrelation.averages.CollapseWarning")
DIGITS = {"name": "digits"}
TINY = (
    Panel("digits", "MLP", "mlp", {"sizes": [6, 4]}, DIGITS, 20, 12, 8, 2, 1, 5),
    Panel("digits", "dual-stream MLP", "dual_stream_mlp", {"sizes": [10]}, DIGITS, 24, 12, 12, 2, 1, 5),
)


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the lines of a table."""
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small study."""
    folder = tmp_path_factory.mktemp("vision")
    assert main([f"--out={folder}", "--seeds=2"], TINY) == 0
    return folder


def test_every_arm_has_a_row_in_every_network_it_belongs_to(studied: Path) -> None:
    """Rows are panels and arms, in order; angles of backpropagation with itself are zero, layer by layer."""
    found = rows_of(studied / "vision.csv")
    named = [(each["images, network"], each["rule"]) for each in found]
    assert named == [(panel.name, arm.name) for panel in TINY for arm in arms_of(panel)]
    assert {each["at the end"] for each in found if each["rule"] == BASELINE} == {"0 / 0", "0"}
    assert {each["time of an epoch, BP = 1"] for each in found if each["rule"] == BASELINE} == {"1.0"}
    for each in found:
        assert 0 <= float(each["test accuracy, %"].split(" ")[0]) <= 100
        assert each["seeds"] == "2"
    assert all(float(each["curvature at the end"].split(" ")[0]) > 0 for each in found if each["rule"] == BASELINE)


def test_figures_have_their_numbers_beside_them(studied: Path) -> None:
    """Accuracy of every run at every epoch; angles of every layer, networks of as many layers in one figure."""
    names = ("accuracy", "angle_2_layers", "angle_1_layers")
    accuracy, two, one = (rows_of(studied / f"vision_digits_{name}.csv") for name in names)
    assert len(accuracy) == sum(len(arms_of(panel)) for panel in TINY) * 2 * 3
    assert {each["epochs"] for each in accuracy} == {"0.0", "1.0", "2.0"}
    assert {each["panel"] for each in two} == {"MLP, layer 1", "MLP, layer 2"}
    assert {each["panel"] for each in one} == {"dual-stream MLP, layer 1"}
    for angle, panel in ((two, TINY[0]), (one, TINY[1])):
        assert list(dict.fromkeys(each["label"] for each in angle)) == [arm.name for arm in arms_of(panel)]
        assert {float(each["angle_degrees"]) for each in angle if each["label"] == BASELINE} == {0.0}
    for name in names:
        assert (studied / f"vision_digits_{name}.svg").read_text().startswith("<?xml")
        assert (studied / f"vision_digits_{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_time_records_are_read(studied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same table comes out, and nothing is trained or measured."""
    first = (studied / "vision.md").read_text()
    measured = "studies.vision.vision_measurements"
    monkeypatch.setattr(f"{measured}.angles", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(f"{measured}.curvature", lambda *_, **__: pytest.fail("measured again"))
    assert main([f"--out={studied}", "--seeds=2"], TINY) == 0
    assert (studied / "vision.md").read_text() == first


def test_some_of_the_study_can_be_asked_for(
    studied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the names in the table; runs of the whole study are read."""
    shutil.copytree(studied / "runs", tmp_path / "runs")
    monkeypatch.setattr(TrainingLoop, "update", lambda _: pytest.fail("trained again"))
    capsys.readouterr()
    assert main([f"--out={tmp_path}", "--seeds=1", "--rules", "BP", "--networks", "dual-stream MLP"], TINY) == 0
    shown = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines()[2:]]
    assert shown == [["| digits, dual-stream MLP", "BP"]]
    for words in (["--rules", "EDD"], ["--networks", "CNN"], ["--images", "MNITS"]):
        with pytest.raises(SystemExit):
            main([f"--out={tmp_path}", *words], TINY)
        assert f"{words[0]} must be among" in capsys.readouterr().err


def test_curvature_belongs_to_how_it_was_measured(studied: Path) -> None:
    """A record made over other images is not used."""
    arm = arms_of(TINY[0])[0]
    job = Job(TINY[0], arm, TINY[0].run(arm, 0), studied / "runs")
    path = job.run.folder(job.folder) / "curvature.json"
    first = work(job).curvature
    assert first == json.loads(path.read_text())["largest"]
    more = dataclasses.replace(job, panel=dataclasses.replace(TINY[0], curvature_trials=20))
    assert work(more).curvature != first
    assert json.loads(path.read_text())["settings"]["trials"] == 20
    assert math.isnan(work(dataclasses.replace(job, panel=dataclasses.replace(TINY[0], curvature_trials=0))).curvature)


def test_what_the_library_lacks_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rule or kind of network that is not there is named; the others run."""
    known = arms_of(TINY[0])[0]
    arms = (known, dataclasses.replace(known, name="other", rule="no_such_rule"))
    strange = dataclasses.replace(TINY[0], net="strange", kind="no_such_net")
    here = dataclasses.replace(known, nets=("no_such_net",))
    assert main([f"--out={tmp_path}", "--seeds=1"], (TINY[0], strange), (*arms, here)) == 0
    said = capsys.readouterr().out
    assert "lacks the rule 'no_such_rule': digits, MLP, other" in said
    assert "lacks networks of kind 'no_such_net': digits, strange" in said
    assert [each["rule"] for each in rows_of(tmp_path / "vision.csv")] == [known.name]


def test_the_angle_is_that_of_the_gradients_layer_by_layer() -> None:
    """Against the cosine of gradients taken by autograd, weights and biases of a layer together."""
    net = MLP(64, [7, 5], 10, seed=1, dtype=torch.float64)
    learner = Learner(net, tca.RULES["dfa"], seed=2)
    train, _ = tasks.images("digits").split(16, 4, seed=0)
    batch = train.to(dtype=torch.float64).batch()
    found = angles(learner, batch)
    outputs = net.functional(dict(net.named_parameters()), batch.inputs)
    true = dict(
        zip(
            dict(net.named_parameters()),
            torch.autograd.grad(batch.loss.mean(outputs, batch.targets, batch.weights), list(net.parameters())),
            strict=True,
        )
    )
    own, _ = learner.grads(batch)
    for layer in (1, 2):
        g, gh = (torch.cat([each[f"{name}_{layer}"].flatten() for name in ("w", "b")]) for each in (true, own))
        cosine = torch.nn.functional.cosine_similarity(g, gh, dim=0).item()
        assert found[f"angle/{layer}"] == pytest.approx(math.degrees(math.acos(cosine)), rel=1e-9)
    assert list(found) == ["angle/1", "angle/2"]


@pytest.mark.parametrize("panel", [*PANELS, *MNIST], ids=lambda each: each.name)
def test_all_arms_of_a_panel_start_alike(panel: Panel) -> None:
    """Runs of a panel differ in rule, loss and optimizer only, and make as many updates."""
    made = [panel.run(arm, 3) for arm in arms_of(panel) if not missing(arm, panel)]
    for run in made:
        assert (run.steps, run.batch_size, run.seeds.net) == (panel.epochs * panel.batches, panel.batch_size, 3)
        assert Run.from_json(json.loads(json.dumps(run.to_json()))).name == run.name
    assert len({run.name for run in made}) == len(made)
    if panel.kind in KINDS:
        assert {"BP"} < {arm.name for arm in arms_of(panel)}


def test_a_correlation_renews_the_share_it_is_given() -> None:
    """Over all updates of a training ``updates (1 - lam)`` is the share."""
    arm = next(each for each in ARMS if each.name == "EBD")
    rule, named = arm.the_rule(400), tca.RULES["ebd"].signal
    assert isinstance(rule, Rule)
    signal = rule.signal
    assert isinstance(signal, Decorrelation)
    assert isinstance(named, Decorrelation)
    assert 400 * (1 - signal.average.lam) == pytest.approx(arm.share)
    assert signal.source == named.source


def test_the_search_looks_at_held_out_images_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates are compared on images of the training split that are never trained on; the best is marked.

    Later the table shows whatever the folder holds, and what has been run is read.
    """
    panel = search.on_held_out(PANELS[0])
    run = panel.run(ARMS[0], 0)
    train, held_out = run.make_task().split(run.n_train, run.n_test, seed=0)
    _, test = tasks.images("digits").split(1198 - search.HELD_OUT, 599, seed=0)
    shown = {each.numpy().tobytes() for each in train.batch().inputs[0]}
    kept = {each.numpy().tobytes() for each in held_out.batch().inputs[0]}
    assert len(kept) == search.HELD_OUT
    assert not kept & shown
    assert not kept & {each.numpy().tobytes() for each in test.batch().inputs[0]}
    small = dataclasses.replace(TINY[0], n_train=20)
    arms = [dataclasses.replace(ARMS[0], name=f"{lr}", optimizer=dataclasses.replace(ARMS[0].optimizer, lr=lr))
            for lr in (1e-9, 3e-2)]  # fmt: skip
    assert search.main([f"--out={tmp_path}"], {"rate": (small, arms)}) == 0
    found = rows_of(tmp_path / "vision_search.csv")
    assert [each["candidate"] for each in found] == ["1e-09", "0.03"]
    assert [each["seeds"] for each in found] == ["3", "3"]  # those that were run, of ten that may be
    reached = [float(each["accuracy on held-out images, %"].split(" ")[0]) for each in found]
    assert [each[""] for each in found] == (["best", ""] if reached[0] >= reached[1] else ["", "best"])
    more = {"rate": (small, arms), "other": (small, arms[:1]), "not run": (TINY[1], arms)}
    monkeypatch.setattr(TrainingLoop, "update", lambda _: pytest.fail("trained again"))
    assert search.main([f"--out={tmp_path}", "--questions", "other", "--seeds=2"], more) == 0
    found = rows_of(tmp_path / "vision_search.csv")
    assert [each["question"] for each in found] == ["rate", "rate", "other"]
    assert found[-1][""] == ""  # the only candidate
    with pytest.raises(SystemExit):
        search.main([f"--out={tmp_path}", "--seeds=11"], more)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        (f"{question}{ending}", name)
        for ending in (", MLP", ", CNN")
        for question, name in (("BP in two streams", "BP"), ("DFA in two streams", "DFA"))
    ]
    + [
        (f"ED in {place}{ending}", name)
        for place in ("an MLP", "a CNN")
        for ending, name in (("", "ED"), (", not centred", "ED, not centred"))
    ]
    + [
        (f"{rule.removesuffix(',') if rule.count(',') == 1 else rule} in {place}, rates", rule.removesuffix(","))
        for place in ("an MLP", "a CNN")
        for rule in (
            "BP,",
            "FA,",
            "DFA,",
            "SBD,",
            "SBD + expansion,",
            "EBD,",
            "BP, squared error,",
            "DFA, squared error,",
        )
    ],
)
def test_recipes_are_candidates_of_the_search(question: str, name: str) -> None:
    """The study trains as one of the candidates did."""
    panel, candidates = search.QUESTIONS[question]
    own = next(each for each in arms_of(panel) if each.name == name)
    study, *tried = (panel.run(each, 0) for each in (own, *candidates))
    recipes = [(each.the_rule.signal, each.optimizer, each.net) for each in tried]
    assert (study.the_rule.signal, study.optimizer, study.net) in recipes


def test_the_published_tables_are_whole() -> None:
    """As many cells as were published, and numbers where they belong."""

    def published(name: str) -> float:
        return CELLS[name].published

    assert sum(name.startswith("gevb/") for name in CELLS) == 48 == 4 * len(GEVB_TABLE)
    assert sum(name.startswith("ebd/") for name in CELLS) == 4 * len(EBD_TABLE) - 1
    assert published("ebd/cifar10/CNN/DFA") == 58.4
    assert published("ebd/cifar10/CNN/EBD") == 66.4
    assert published("gevb/cifar10/CNN/vector nonnegative GEVB") == 66.26
    assert published("gevb/mnist/LC/scalar mixed BP") == 98.93
    assert published("ed/cifar10/not centred") == 13.8
    assert all(0 < each.published < 100 for each in CELLS.values() if not math.isnan(each.published))


@pytest.mark.parametrize("name", [name for name, each in CELLS.items() if "mnist" in each.images])
def test_a_cell_can_be_run(name: str) -> None:
    """Its run can be written and read, its network built at a sixteenth of its size, and its rule bound to it."""
    cell = CELLS[name]
    if cell.lacking:
        with pytest.raises(ValueError, match=f"needs {cell.lacking}"):
            cell.run(0)
        return
    run = cell.run(0, Scale(thin=16))
    assert run.steps == cell.epochs * -(-60_000 // cell.batch_size)
    assert Run.from_json(run.to_json()).name == run.name
    net = run.net.build(784, 10, dt=1.0, seed=0)
    learner = Learner(net, run.the_rule)
    assert learner.net.n_out == 10


@pytest.mark.parametrize(
    ("name", "hidden", "readout", "fall", "decay"),
    [
        ("ebd/mnist/CNN/EBD", 1e-5, 1e-3, 0.97, 1e-8),
        ("ebd/cifar10/CNN/DFA", 1e-5, 1e-3, 0.97, 1e-5),
        ("ebd/cifar100/CNN/EBD", 1e-5, 1e-3, 0.97, 1e-5),
        ("ebd/mnist/LC/EBD", 1e-5, 1e-3, 0.96, 1e-8),
        ("ebd/cifar10/LC/EBD", 5e-5, 5e-4, 0.98, 1e-5),
        ("ebd/cifar10/LC/BP", 1e-4, 1e-4, 0.90, 1e-5),
        ("ebd/cifar10/LC/DFA", 5e-5, 5e-4, 0.96, 1e-5),
        ("ebd/cifar10/CNN/BP", 5e-5, 5e-5, 0.92, 1e-5),
        ("ebd/cifar10/MLP/BP", 5e-5, 5e-5, 0.85, 0),
        ("ebd/cifar100/CNN/BP", 5e-5, 5e-5, 0.97, 1e-5),
    ],
)
def test_hidden_layers_and_readout_have_the_published_rates(
    name: str, hidden: float, readout: float, fall: float, decay: float
) -> None:
    """Parameter by parameter in the optimizer of the run, after one epoch as well."""
    cell = CELLS[name]
    pixels = 784 if cell.images == "mnist" else 3072
    run = cell.run(0, Scale(thin=16))
    net = run.net.build(pixels, 10, dt=1.0, seed=0)
    optimizer = run.optimizer.build(net)
    rates = {id(each): group["lr"] for group in optimizer.param_groups for each in group["params"]}
    for parameter, value in net.named_parameters():
        assert rates[id(value)] == pytest.approx(readout if parameter.endswith("out") else hidden, rel=1e-12)
    assert {group["weight_decay"] for group in optimizer.param_groups} == {decay}
    assert run.optimizer.schedule is not None
    assert run.optimizer.schedule.at(run.steps // cell.epochs, run.steps) == fall


def test_dfa_and_backpropagation_have_recipes_of_their_own_on_cifar_100() -> None:
    """DFA: 2.5e-5 times .1, .1, .1, 1 and 50, times .95 an epoch, no decay of weights; BP: dropout .5, 200 epochs."""
    cell = CELLS["ebd/cifar100/CNN/DFA"]
    run = cell.run(0, Scale(thin=16))
    net = run.net.build(3072, 100, dt=1.0, seed=0)
    optimizer = run.optimizer.build(net)
    rates = {id(each): group["lr"] for group in optimizer.param_groups for each in group["params"]}
    found = [rates[id(dict(net.named_parameters())[name])] for name in ("w_1", "w_2", "w_3", "w_4", "w_out")]
    assert found == pytest.approx([2.5e-6, 2.5e-6, 2.5e-6, 2.5e-5, 1.25e-3])
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0}
    assert run.optimizer.schedule is not None
    assert run.optimizer.schedule.at(run.steps // cell.epochs, run.steps) == 0.95
    shares = {what: [each["dropout"]["share"] for layer in CELLS[f"ebd/cifar100/CNN/{what}"].layers
                     for each in layer.get("then", []) if isinstance(each, dict)]
              for what in ("DFA", "EBD", "BP")}  # fmt: skip
    assert shares == {"DFA": [0.075], "EBD": [0.075], "BP": [0.5]}
    assert [CELLS[f"ebd/cifar100/CNN/{what}"].epochs for what in ("DFA", "EBD", "BP")] == [300, 300, 200]


@pytest.mark.parametrize(("images", "net"), LAYERS)
def test_cells_have_the_architectures_of_the_presets(images: str, net: str) -> None:
    """Layer by layer; that of GEVB's locally connected network of vectors on CIFAR-10 is half as wide at the end."""
    short = {"MLP": "fc", "CNN": "conv", "LC": "lc"}[net]
    assert tuple(layer_of(each) for each in LAYERS[images, net]) == PRESETS[f"ebd_{images}_{short}"].layers
    for name, cell in CELLS.items():
        if name.startswith(f"gevb/{images}/{net}/vector"):
            assert tuple(layer_of(each) for each in cell.layers) == PRESETS[f"gevb_{images}_{short}"].layers


def test_entropy_is_told_beside_direct_feedback() -> None:
    """In a perceptron it changes gradients by about a percent, in other networks by less."""
    net = MLP(64, [32, 16], 10)
    batch = next(tasks.images("digits", loss="mse").split(40, 10, seed=0)[0].batches(20, 0))
    for kind, least, most in (("MLP", 1e-3, 0.1), ("CNN", 1e-8, 1e-4)):
        plain, learning_signal = (
            Learner(net, cell.rule).grads(batch)[0]
            for cell in (CELLS[f"ebd/mnist/{kind}/{what}"] for what in ("DFA", "DFA + entropy"))
            if isinstance(cell.rule, Rule)
        )
        change = (learning_signal["w_1"] - plain["w_1"]).norm() / plain["w_1"].norm()
        assert least < change < most, kind


@pytest.mark.parametrize(
    ("name", "count"),
    [("ebd/mnist/MLP/EBD", 1_333_770), ("ebd/mnist/CNN/EBD", 1_634_890), ("ebd/cifar10/MLP/BP", 3_939_338)],
)
def test_networks_have_the_published_sizes(name: str, count: int) -> None:
    """Parameters counted by hand: of convolutions without biases, of layers with them."""
    cell = CELLS[name]
    net = cell.run(0).net.build(3072 if cell.images == "cifar10" else 784, 10, dt=1.0, seed=0)
    assert sum(each.numel() for each in net.parameters()) == count


def test_a_short_run_says_so_beside_the_published_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record becomes a row; the number is read from it the next time, and the schedule counts epochs."""
    cell = CELLS["ebd/mnist/MLP/BP"]
    small = dataclasses.replace(cell, images="digits", layers=[{"dense": 8}])
    monkeypatch.setitem(CELLS, cell.name, small)
    monkeypatch.setitem(SIZES, "digits", (40, 20))
    words = ["run", cell.name, f"--out={tmp_path}", "--epochs=2", "--seeds=2"]
    assert published_vision.main(words) == 0
    found = rows_of(tmp_path / "published_vision.csv")
    assert [(each["cell"], each["published, %"], each["seeds"], each["short"]) for each in found] == [
        (cell.name, "98.7", "2", "epochs 2")
    ]
    drawn = rows_of(tmp_path / "published_vision_figure.csv")
    assert [(each["panel"], each["label"], each["published"]) for each in drawn] == 2 * [
        ("MNIST", "BP, MLP of EBD", "98.7")
    ]
    assert (tmp_path / "published_vision_figure.svg").read_text().count("98.7") == 1
    assert small.run(0).optimizer.schedule.every == 2  # type: ignore[union-attr]
    capsys.readouterr()
    assert published_vision.main(["table", f"--out={tmp_path}"]) == 0
    assert cell.name in capsys.readouterr().out
    assert published_vision.table([Outcome(cell.name, "", 0, 50.0, 2)]).rows[0][2] == "50.0"
    with pytest.raises(ValueError, match="no cell is called 'nothing'"):
        chosen(["nothing"])


def test_thin_networks_keep_pairs() -> None:
    """Sizes stay even, at least two, whatever they are divided by; other options are left alone."""
    layers = CELLS["ebd/mnist/CNN/EBD"].run(0, Scale(thin=100)).net.options["layers"]
    assert [each.get("conv", each.get("dense")) for each in layers] == [2, 2, 10]
    seventh = CELLS["ebd/mnist/CNN/EBD"].run(0, Scale(thin=7)).net.options["layers"]
    assert [each.get("conv", each.get("dense")) for each in seventh] == [8, 4, 146]
    assert [each["kernel"] for each in layers[:2]] == [3, 3]


def test_rows_and_whole_images_are_the_same_images(tmp_path: Path) -> None:
    """Every signal is trained at once, and by rows with and without the trace, on the same images."""
    setting = Setting(cells=6, n_train=16, n_test=10, batch_size=8, epochs=2)
    assert at_once_or_by_rows.main([f"--out={tmp_path}", "--seeds=2"], setting) == 0
    found = rows_of(tmp_path / "at_once_or_by_rows.csv")
    assert len(found) == 3 + 2 * 3 + 2
    assert [bool(each["with the trace"]) for each in found] == [
        "by rows" in each["images, signal"] and "BPTT" not in each["images, signal"] for each in found
    ]
    runs = at_once_or_by_rows.runs_of(setting, 1)
    shown = [run.make_task().split(16, 10, seed=1)[0].batch() for run in runs.values()]
    assert all(torch.equal(each.targets[-1], shown[0].targets[-1]) for each in shown)
    whole = shown[0].inputs[0].view(16, 8, 8)
    rows = next(each.inputs for each in shown if each.steps == 12)
    assert torch.equal(rows[:8].movedim(0, 1), whole)
    assert not rows[8:].any()
    assert len(rows_of(tmp_path / "at_once_or_by_rows_accuracy.csv")) == len(runs) * 2 * 2


def test_without_a_trace_input_weights_learn_nothing_in_the_blank_time() -> None:
    """Where the answer comes after the last row, only a trace ties the inputs to the error."""
    setting = Setting(cells=6, n_train=16, n_test=10, batch_size=8, epochs=2)
    for key, run in at_once_or_by_rows.runs_of(setting, 0).items():
        if "blank" not in key.way or key.trace == "exact":
            continue
        task = run.make_task()
        net = run.net.build(task.n_in, task.n_out, dt=task.dt, seed=0)
        found, _ = Learner(net, run.the_rule).grads(task.split(16, 10, seed=0)[0].batch())
        assert bool(found["w_in"].any()) == (key.trace == "trace of the leak")


def test_panels_over_epochs_are_filled_row_by_row() -> None:
    """As many panels as names, three in a row; a level is marked in each."""
    series = [Series(f"panel {place}", "rule", 0, [0, 1], [0.1, place]) for place in range(4)]
    figure = over_epochs(series, "accuracy", lines={0.5: "level"})
    assert [axes.get_title() for axes in figure.axes] == [f"panel {place}" for place in range(4)]
    assert [np.asarray(axes.lines[0].get_ydata()).tolist() for axes in figure.axes] == [
        [0.1, each] for each in range(4)
    ]
    assert all(np.asarray(axes.lines[1].get_ydata()).tolist() == [0.5, 0.5] for axes in figure.axes)
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "epochs", "epochs", "epochs"]


def test_the_uncentred_arm_differs_in_nothing_but_centring() -> None:
    """In a network of two streams both rules give the readout the same but for the mean."""
    arms: dict[str, Arm] = {each.name: each for each in arms_of(PANELS[4])}
    net = DualStreamMLP(64, [20], 10, dtype=torch.float64)
    train, _ = tasks.images("digits", loss="logistic").split(12, 4, seed=0)
    batch = train.to(dtype=torch.float64).batch()
    learning_signal = {}
    for name in ("ED", "ED, not centred"):
        rule = arms[name].the_rule(10)
        learning_signal[name] = Learner(net, tca.RULES[rule] if isinstance(rule, str) else rule).signals(batch)[
            "hidden_1"
        ]
    assert not torch.allclose(learning_signal["ED"], learning_signal["ED, not centred"])
    assert arms["ED, not centred"].loss == arms["ED"].loss == "logistic"


def test_correlations_of_unknown_memory_renew_their_share_in_a_training() -> None:
    """SBD in the published networks: ``updates (1 - lam) = 0.3`` however long the run; a rule given whole stays."""
    for epochs in (2, 50):
        run = CELLS["sbd/mnist/MLP/SBD"].run(0, Scale(epochs=epochs, n_train=3200))
        assert isinstance(run.rule, Rule)
        assert isinstance(run.rule.signal, Decorrelation)
        assert run.steps * (1 - run.rule.signal.average.lam) == pytest.approx(0.3)
    known = CELLS["ebd/mnist/MLP/EBD"]
    assert known.run(0, Scale(epochs=2)).rule == known.rule
    assert CELLS["ebd/mnist/MLP/DFA"].run(0, Scale(epochs=2)).rule == CELLS["ebd/mnist/MLP/DFA"].rule
