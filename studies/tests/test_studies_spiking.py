"""The study of published spiking networks: its networks, its rule written out in loops, its commands at toy size."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tasks
import tca
from studies import published_spiking
from studies.spiking_settings import RULES, SETTINGS, Arm, Cells, Setting, rule
from studies.tables import COMPARED
from studies.torus import Torus
from studies.workloads import Learned
from tca.experiments.config.components import Optimizer
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.run import Run
from tca.experiments.records.result import Metrics
from tca.experiments.training.training_loop import TrainingLoop
from tca.nets import SpikingRNN
from tca.nets.masks import mask_of, torus

SIDE, WEIGHT = 4, 1.0
HALF = {"sparse": {"density": 0.5}}
SMALL = Cells(
    SIDE,
    gains=(6.0, 6.0, 3.0),
    options={"tau_adaptation": 60.0, "refractory": 2.0, "mask_in": HALF, "mask_out": {"sparse": {"density": 0.25}}},
)


def network(cells: Cells = SMALL, seed: int = 1) -> SpikingRNN:
    """A network of the study in float64."""
    net = cells.net(seed).build(12, 2, dt=1.0, seed=seed, dtype=torch.float64)
    assert isinstance(net, SpikingRNN)
    return net


def trials(steps: int = 50) -> tca.Batch:
    """Trials of which the last steps count."""
    generator = torch.Generator().manual_seed(0)
    inputs = (torch.rand(steps, 3, 12, generator=generator, dtype=torch.float64) < 0.2).double()
    weights = torch.zeros(steps, 3, dtype=torch.float64)
    weights[-8:] = 1 / 8
    targets = torch.tensor([0, 1, 1]).expand(steps, 3)
    return tca.Batch(inputs, targets, weights, tca.losses.CrossEntropy())


def spread(grid: Tensor) -> Tensor:
    """The mean over a site of a torus and its eight neighbours, shape ``(B, N)``."""
    field = grid.view(-1, SIDE, SIDE)
    shifted = [field.roll((a, b), (1, 2)) for a in (-1, 0, 1) for b in (-1, 0, 1)]
    return torch.stack(shifted).mean(0).flatten(1)


def published(net: SpikingRNN, batch: tca.Batch, feedback: Tensor, k: float, weight: float) -> dict[str, Tensor]:
    """The published rule with all its traces, step by step; rates in spikes a ms, every trial with its own."""
    w = {"w_in": net.w_in * net.mask_in, "w_rec": net.w_rec * net.mask_rec, "w_out": net.w_out * net.mask_out}
    kappa, rho, out = math.exp(-1 / 20), math.exp(-1 / 60), math.exp(-1 / 20)
    beta, thr, gamma = net.beta, 0.03, 0.3
    v = a = z = wait = psi = torch.zeros(3, SIDE**2, dtype=torch.float64)
    y, field = torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, SIDE**2, dtype=torch.float64)
    shapes = {"w_in": 12, "w_rec": SIDE**2}
    eps_v = {name: torch.zeros(3, 1, count, dtype=torch.float64) for name, count in shapes.items()}
    eps_a, trace, learning_signal, total = (
        {name: torch.zeros(3, SIDE**2, count, dtype=torch.float64) for name, count in shapes.items()} for _ in range(4)
    )
    spikes = torch.zeros(3, SIDE**2, dtype=torch.float64)
    for t in range(batch.steps):
        pre = {"w_in": batch.inputs[t], "w_rec": z}
        wait = torch.where(z > 0, 2.0, (wait - 1).clamp(min=0))
        v = kappa * v + (1 - kappa) * (z @ w["w_rec"].t() + batch.inputs[t] @ w["w_in"].t()) - thr * z
        a = rho * a + (1 - rho) * z
        before, threshold = psi, thr + beta * a
        z = ((v > threshold) & (wait == 0)).double()
        psi = (wait == 0).double() * gamma / thr * (1 - (v - threshold).abs() / thr).clamp(min=0)
        y = out * y + (1 - out) * z @ w["w_out"].t()
        error = (y.softmax(-1) - torch.nn.functional.one_hot(batch.targets[t], 2)) * batch.weights[t, :, None] / 3
        field = k * spread(field) + error @ feedback.t()
        spikes = spikes + z
        for name in shapes:
            rise = before[:, :, None] * (eps_v[name] - beta[:, None] * eps_a[name])
            eps_a[name] = rho * eps_a[name] + (1 - rho) * rise
            eps_v[name] = kappa * eps_v[name] + (1 - kappa) * pre[name][:, None]
            e = psi[:, :, None] * (eps_v[name] - beta[:, None] * eps_a[name])
            trace[name] = out * trace[name] + (1 - out) * e
            learning_signal[name] = learning_signal[name] + field[:, :, None] * trace[name]
            total[name] = total[name] + e
    assert spikes.sum() > 40
    excess = (spikes / batch.steps - 0.01)[:, :, None] * weight / batch.steps
    kept = {"w_in": net.mask_in, "w_rec": net.mask_rec}
    return {name: kept[name] * (learning_signal[name].sum(0) + (excess * total[name]).mean(0)) for name in shapes}


@pytest.mark.parametrize(("label", "k"), [("diffusion", 0.75), ("sparse e-prop", 0.0)])
@pytest.mark.parametrize("weight", [0.0, WEIGHT])
def test_the_rule_is_the_published_one_step_by_step(label: str, k: float, weight: float) -> None:
    """Fields, both traces, the readout's filter and the firing rates, on the study's own network."""
    net, batch = network(), trials()
    learner = tca.Learner(net, rule(label, weight), seed=3)
    found = learner.grads(batch)[0]
    feedback = (net.w_out * net.mask_out).detach().t()
    with torch.no_grad():
        wanted = published(net, batch, feedback, k, weight)
        other = published(net, batch, feedback, 0.75 - k, weight)
    for name, each in wanted.items():
        assert float((found[name] - each).norm() / each.norm()) < 1e-12, name
        assert float((found[name] - other[name]).norm() / each.norm()) > 1e-3, name


def test_adaptive_traces_are_autograd_with_recurrence_and_reset_stopped() -> None:
    """The recursion of both traces, summed against the signal, is what autograd gives where only own adaptation is
    open.
    """
    net, batch = network(), trials(40)
    w = {name: net.get_parameter(name).detach().clone().requires_grad_() for name in ("w_in", "w_rec")}
    kappa, rho, out, thr = math.exp(-1 / 20), math.exp(-1 / 60), math.exp(-1 / 20), 0.03
    v = a = z = wait = torch.zeros(3, SIDE**2, dtype=torch.float64)
    y, loss = torch.zeros(3, 2, dtype=torch.float64), torch.zeros(())
    for t in range(batch.steps):
        quiet = z.detach()
        wait = torch.where(quiet > 0, 2.0, (wait - 1).clamp(min=0))
        drive = quiet @ (w["w_rec"] * net.mask_rec).t() + batch.inputs[t] @ (w["w_in"] * net.mask_in).t()
        v, a = kappa * v + (1 - kappa) * drive - thr * quiet, rho * a + (1 - rho) * z
        u = (v - thr - net.beta * a) / thr
        ready = (wait == 0).double()
        slope = (ready * 0.3 * (1 - u.abs()).clamp(min=0)).detach()
        z = ((u > 0) * ready).detach() + slope * (u - u.detach())
        y = out * y + (1 - out) * z @ (net.w_out * net.mask_out).detach().t()
        picked = y.log_softmax(-1).gather(1, batch.targets[t][:, None])[:, 0]
        loss = loss - (picked * batch.weights[t]).sum() / 3
    wanted = dict(zip(w, torch.autograd.grad(loss, list(w.values())), strict=True))
    feedback = (net.w_out * net.mask_out).detach().t()
    with torch.no_grad():
        traced = published(net, batch, feedback, 0.0, 0.0)
    found = tca.Learner(net, tca.RULES["eprop"]).grads(batch)[0]
    true = tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0]
    assert bool((net.beta > 0).any())
    for name, each in wanted.items():
        assert float((traced[name] - each).norm() / each.norm()) < 1e-13, name
        assert float((found[name] - each).norm() / each.norm()) < 1e-13, name
        assert float((true[name] - each).norm() / each.norm()) > 1e-2, name


def test_the_networks_are_as_published() -> None:
    """Cells, constants, fractions of synapses, no autapses; which cells adapt and what is joined changes with seeds."""
    setting = SETTINGS["delayed_match"]
    nets = []
    for seed in range(5):
        net = setting.runs(setting.arms()[0], 5, False)[seed].net.build(80, 2, dt=1.0, seed=seed)
        assert (int((net.beta > 0).sum()), int((net.beta == 0).sum())) == (50, 50)
        assert (int(net.mask_in.sum()), int(net.mask_out.sum())) == (800, 20)
        assert not (net.w_rec * net.mask_rec).diagonal().any()
        assert net.leak.unique().item() == pytest.approx(math.exp(-1 / 20))
        assert net.adaptation_leak.unique().item() == pytest.approx(math.exp(-1 / 1400))
        assert (net.refractory, net.threshold) == (5, 0.03)
        nets.append(net)
    for name in ("beta", "mask_in", "mask_rec", "mask_out"):
        assert len({tuple(getattr(net, name).flatten().tolist()) for net in nets}) == 5, name
    density = torch.stack([net.mask_rec for net in nets]).mean()
    assert 0.09 < float(density) < 0.11
    spread = torch.cat([net.w_in.detach()[net.mask_in > 0] for net in nets]).square().mean()
    assert float(spread) == pytest.approx(0.25 * 2 / 80, rel=0.3)  # a row's share of the tenth varies
    lif = SETTINGS["pattern_generation"].cells.net(0).build(100, 1, dt=1.0, seed=0)
    assert (lif.n_rec, bool(lif.beta.any()), lif.refractory, int(lif.mask_out.sum())) == (400, False, 2, 40)


def test_the_network_of_mdgl_has_the_published_weights_and_fires_as_they_let_it() -> None:
    """Weights as large as those of a dense network of spectral radius one; the same in all would fire at 80 Hz."""
    setting = SETTINGS["mdgl_accumulation"]
    task = setting.run.make_task()
    assert (task.cues, task.bias, task.split(1, 1, seed=0)[0].steps) == (7, 0.5, 2000)  # type: ignore[attr-defined]
    batch = replace(setting.run, task_options={**setting.run.task_options, "cues": 1, "delay": 100.0}).make_task()
    inputs = batch.split(8, 1, seed=0)[0].batch().inputs
    rates = []
    for cells in (setting.cells, replace(setting.cells, gains=(math.sqrt(5),) * 3)):
        net = cells.net(0).build(40, 2, dt=1.0, seed=0)
        assert isinstance(net, SpikingRNN)
        assert net.types.bincount().tolist() == [80, 20]
        assert net.beta[:80].count_nonzero() > 20
        rates.append(float(net.run(inputs).rate[1:].mean()) * 1000)
        if not rates[1:]:
            for weight, mask, pre in ((net.w_in, net.mask_in, 40), (net.w_rec, net.mask_rec, 100)):
                square = float(weight.detach()[mask > 0].square().mean())
                assert square == pytest.approx(1 / pre, rel=0.3)
    assert 1 < rates[0] < 15
    assert rates[1] > 40


def test_mdgl_tells_most_cells_and_eprop_those_that_are_read() -> None:
    """Two of ten cells have a synapse to the readout; modulators reach those that project to them."""
    setting = SETTINGS["mdgl_accumulation"]
    task = replace(setting.run, task_options={"dt": 5.0, "cues": 1, "delay": 50.0}).make_task()
    batch = task.split(16, 1, seed=0)[0].batch()
    net = setting.cells.net(0).build(40, 2, dt=5.0, seed=0)
    assert isinstance(net, SpikingRNN)
    learning_signal = {}
    for label in ("e-prop", "MDGL", "NL-MDGL"):
        changed = tca.Learner(net, rule(label, 0.0)).grads(batch)[0]["w_in"].any(1)
        learning_signal[label] = int(changed.sum())
        assert label != "e-prop" or not (changed & ~net.mask_out.any(0)).any()  # type: ignore[union-attr]
    assert learning_signal["e-prop"] <= 20
    assert learning_signal["e-prop"] + 40 < learning_signal["MDGL"] < learning_signal["NL-MDGL"]


def test_masks_are_described_by_a_few_numbers() -> None:
    """Near cells are joined with the probabilities of the other study; each mask has a draw of its own."""
    chances = Torus(side=5, sigma=0.02).probability()
    drawn = torch.stack([torus(25, 25, sigma=0.02, seed=seed) for seed in range(400)]).mean(0)
    assert float((drawn - chances).abs().max()) < 5 * 0.5 / 20
    tenth = {"sparse": {"density": 0.3}}
    same = NetworkConfig("spiking_rnn", {"n_rec": 6, "mask_in": tenth, "mask_rec": tenth, "mask_out": tenth})
    one, two = (same.build(6, 6, dt=1.0, seed=seed) for seed in (0, 0))
    other = same.build(6, 6, dt=1.0, seed=1)
    masks = [net.get_buffer(name) for net in (one, other) for name in ("mask_in", "mask_out")]
    assert torch.equal(one.mask_in, two.mask_in)
    assert len({tuple(each.flatten().tolist()) for each in masks}) == 4
    leaky = NetworkConfig("leaky_rnn", {"n_rec": 9, "mask_rec": {"torus": {}}}).build(2, 2, dt=1.0, seed=0)
    assert leaky.mask_rec.shape == (9, 9)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({}, "a mask must be a mapping with one key, sparse or torus"),
        ({"spars": {}}, "did you mean 'sparse'"),
        ({"torus": {"sgma": 1}}, "did you mean 'sigma'"),
        ({"torus": {"sigma": 0}}, "sigma must be greater than 0"),
        ({"sparse": {"density": 2}}, "density must lie in"),
        ({"torus": {"seed": 1}}, "unknown option of a torus mask 'seed'"),
    ],
)
def test_bad_masks_are_refused(described: Mapping[str, Mapping[str, float]], message: str) -> None:
    """With what came and what is allowed."""
    with pytest.raises(ValueError, match=message):
        mask_of(described, 9, 9, 0)
    with pytest.raises(ValueError, match="a square, got 8 and 8"):
        mask_of({"torus": {}}, 8, 8, 0)


@pytest.mark.parametrize("name", SETTINGS)
def test_the_shortened_version_keeps_cells_rules_and_steps_of_time(name: str) -> None:
    """Only trials, batches and updates are fewer; every run is a value that can be written down."""
    setting = SETTINGS[name]
    for arm in setting.arms():
        full, short = (setting.runs(arm, 2, each)[1] for each in (False, True))
        assert (short.net, short.rule, short.optimizer, short.seeds) == (
            full.net,
            full.rule,
            full.optimizer,
            full.seeds,
        )
        assert short.make_task().dt == full.make_task().dt == 1.0
        assert short.steps < full.steps == 2000
        assert Run.from_json(json.loads(json.dumps(full.to_json()))) == full
    labels = [arm.label for arm in setting.arms() if arm.weight == setting.weight]
    assert labels == [*setting.authors, *setting.controls]
    assert setting.baseline in setting.authors


def test_published_weights_of_the_firing_rates_are_those_of_the_authors() -> None:
    """Delayed match to sample mixes three; there, and only there, a table has lines as published as well."""
    arms = [(arm.label, arm.weight) for arm in SETTINGS["delayed_match"].arms()]
    assert arms[:3] == [("BPTT", 0.01), ("sparse e-prop", 0.01), ("diffusion", 0.01)]
    assert arms[-2:] == [("BPTT", 0.5), ("sparse e-prop", 0.1)]
    for name in set(SETTINGS) - {"delayed_match"}:
        assert len({arm.weight for arm in SETTINGS[name].arms()}) == 1


def tiny(setting: Setting) -> Setting:
    """A setting that takes no time."""
    options = {"dt": 10.0, "per_group": 4} | ({"duration": 300.0} if setting.memorised else {"delay": 50.0})
    run = replace(setting.run, task_options=options, batch_size=4, steps=2, n_train=6, n_test=5, evaluate_every=1)
    return replace(setting, cells=replace(setting.cells, side=3), run=run, short={"steps": 3})


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the lines of a table."""
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("name", ["delayed_match", "pattern_generation"])
def test_the_study_runs_and_reads_its_records(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every line has its numbers beside the authors'; the table comes from the records, without training."""
    settings, rules = {name: tiny(SETTINGS[name])}, ("BPTT", "sparse e-prop", "dense random")
    words = [name, f"--out={tmp_path}", "--seeds=2", "--rules", *rules]
    assert published_spiking.main(["table", *words], settings) == 1
    assert "no finished runs" in capsys.readouterr().err
    assert published_spiking.main(["run", *words], settings) == 0
    first = capsys.readouterr().out
    assert "published order: BPTT > diffusion > sparse e-prop\n" in first
    found = rows_of(tmp_path / f"published_spiking_{name}.csv")
    assert [(each["rule"], float(each["c_reg"])) for each in found] == [
        (arm.label, arm.weight) for arm in settings[name].arms(rules)
    ]
    baseline = SETTINGS[name].baseline
    for each in found:
        compared = [value for head, value in each.items() if head.endswith(COMPARED)]
        assert bool(compared[0]) == (each["rule"] != baseline)
        authors = SETTINGS[name].authors.get(each["rule"])
        assert each["authors: accuracy"] == (authors.accuracy if authors else "")
        logged = SETTINGS[name].logs if float(each["c_reg"]) == SETTINGS[name].weight else {}
        assert each["authors: final logs, equal c_reg"] == logged.get(each["rule"], "")
    for end in (".csv", ".md", "_learning.svg", "_learning.png", "_learning.csv"):
        assert (tmp_path / f"published_spiking_{name}{end}").stat().st_size > 0
    monkeypatch.setattr(TrainingLoop, "update", lambda _: pytest.fail("trained again"))
    drawn = rows_of(tmp_path / f"published_spiking_{name}_learning.csv")[0]
    assert ("train_accuracy" in drawn) is settings[name].memorised
    assert published_spiking.main(["table", *words], settings) == 0
    assert capsys.readouterr().out == first
    assert published_spiking.main(["table", *words, "--short"], settings) == 1


def test_what_counts_in_pattern_generation_is_the_error_of_the_trials_trained_on() -> None:
    """The squared error as a share of the targets' power, from the network's own outputs."""
    setting = tiny(SETTINGS["pattern_generation"])
    options = {**setting.cells.options, "mask_in": HALF, "mask_out": HALF}
    setting = replace(setting, cells=Cells(3, 0.0, gains=(3.0, 1.0, 3.0), options=options))
    result = tca.train(setting.runs(setting.arms()[1], 1, False)[0], progress=False)
    wrong = []
    for trials_shown in result.run.make_task().split(6, 5, seed=0):
        batch = trials_shown.batch()
        error = (result.net(batch.inputs) - batch.targets).square().sum() / batch.targets.square().sum()
        wrong.append(float(error.detach()))
    found = published_spiking.reached(setting, result.metrics[-1])
    assert found == (pytest.approx(wrong[0], abs=1e-4), pytest.approx(1 - wrong[1], abs=1e-4))
    assert abs(wrong[0] - wrong[1]) > 1e-3


def test_steps_of_the_published_order_are_paired_at_equal_weight() -> None:
    """Each rule minus the next, seed by seed, over what was measured in training; other weights take no part."""
    setting = SETTINGS["delayed_match"]

    def runs(arm: Arm, *losses: float) -> list[Learned]:
        made = setting.runs(arm, len(losses), True)
        metrics = [(Metrics(0, 1.0, 0.5, 0.7, 0.5, 0.0), Metrics(50, 1.0, 0.5, each, 0.5, 0.0)) for each in losses]
        return [Learned(run, "finished", each) for run, each in zip(made, metrics, strict=True)]

    found = {
        Arm("BPTT", 0.01): runs(Arm("BPTT", 0.01), 0.1, 0.2, 0.3),
        Arm("diffusion", 0.01): runs(Arm("diffusion", 0.01), 0.3, 0.4, 0.5),
        Arm("sparse e-prop", 0.1): runs(Arm("sparse e-prop", 0.1), 9.0, 9.0, 9.0),
    }
    said = published_spiking.order(setting, found)
    assert "BPTT minus diffusion: -0.100 ± 0.000 [-0.100, -0.100], p " in said
    assert said.endswith(", undecided")  # three seeds
    assert "minus sparse e-prop" not in said
    assert all(set(each.order) == set(each.authors) for each in SETTINGS.values())


def test_the_rate_is_counted_in_hertz() -> None:
    """A cell that spikes at every third step of 2 ms fires at 167 Hz."""
    net = SpikingRNN(1, 2, 1, dt=2.0, refractory=4.0, beta=0.0)
    with torch.no_grad():
        net.w_in.fill_(1e3)
        net.w_rec.zero_()
    learner = tca.Learner(net, tca.RULES["eprop"])
    batch = tca.Batch(torch.ones(300, 2, 1), torch.zeros(300, 2, 1), torch.ones(300, 2) / 300, tca.losses.MSE())
    assert published_spiking.observe(learner, batch) == {"rate": pytest.approx(500 / 3, rel=1e-6)}


def test_the_list_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """With task, sizes, weights and what the authors found."""
    assert published_spiking.main(["list"]) == 0
    printed = capsys.readouterr().out
    for name, setting in SETTINGS.items():
        assert name in printed
        for label, authors in setting.authors.items():
            assert f"{label}: {authors.weight:g}, {authors.loss}" in printed
    with pytest.raises(SystemExit) as ended:
        published_spiking.main(["run", "delayed_match", "--seeds=0"])
    assert ended.value.code == 2
    assert "must be a whole number of 1 or greater, got '0'" in capsys.readouterr().err


def test_every_rule_trains_the_published_networks() -> None:
    """No rule of the study is refused, and each changes all three sets of weights."""
    task = tasks.make("delayed_match_spikes", dt=10.0, per_group=3)
    batch = task.split(4, 1, seed=0)[0].batch()
    for label in RULES:
        net = replace(SMALL, options={"cell_types": [0.75, 0.25]}).net(0).build(12, 2, dt=10.0, seed=0)
        before = {name: each.detach().clone() for name, each in net.named_parameters()}
        learner = tca.Learner(net, rule(label, 1.0), seed=1)
        optimizer = Optimizer(lr=0.01, clip=None).build(net)
        for _ in range(2):
            optimizer.zero_grad()
            learner.backward(batch)
            optimizer.step()
        for name in ("w_in", "w_rec", "w_out"):
            assert not torch.equal(net.get_parameter(name), before[name]), (label, name)
