"""Diagnostics of broadcast rules against numbers by hand."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
import torch

import analysis
import tca
from analysis.broadcast_measures import CollapseWarning, broadcasting, effective_rank
from tca.eligibilities import Instant
from tca.experiments.config.run import Callback, NetworkConfig, Run
from tca.experiments.training.train import train
from tca.experiments.training.training_loop import TrainingLoop
from tca.signals import Decay, Decorrelation, Regularised
from tca.signals.regularisers.activity_regularisers import Power
from tests.tca.test_stacks import FEEDFORWARD, autograd, batch_of


def test_numbers_of_every_layer() -> None:
    """Norms, what is left of the start, activity, and the match with the gradient."""
    net = FEEDFORWARD["mlp"]()
    with torch.no_grad():
        net.get_parameter("b_1")[0] = -100.0
    batch = batch_of(net, steps=1, trials=8)
    learner = tca.Learner(net, tca.Rule(Regularised(Decorrelation(Decay(0.9)), (Power(),)), Instant()))
    start = learner.state_dict()
    for _ in range(3):
        learner.backward(batch)
    found = broadcasting(learner, batch, start=start, updates=3)
    assert [each.name for each in found.layers] == ["hidden_1", "hidden_2"]
    rates = [tape.rate[1:].flatten(0, 1) for tape in reversed(net.run(batch.inputs).levels)]
    change, true = learner.grads(batch)[0], autograd(net, batch)
    for number, (each, rate) in enumerate(zip(found.layers, rates, strict=True), 1):
        name = f"hidden_{number}.correlation"
        assert each.norm == pytest.approx(float(learner.buffers[name].norm()), rel=1e-12)
        assert each.remaining == pytest.approx(0.9**3 * float(start[name].norm()), rel=1e-12)
        assert each.rms == pytest.approx(float((rate**2).sum() / rate.numel()) ** 0.5, rel=1e-12)
        assert each.dead == float((rate.abs().sum(0) == 0).sum()) / rate.shape[1]
        one, two = (torch.cat([of[f"w_{number}"].flatten(), of[f"b_{number}"]]) for of in (change, true))
        assert each.match.cosine == pytest.approx(float(torch.cosine_similarity(one, two, 0)), rel=1e-10)
    assert found.layers[0].dead >= 0.2
    assert found.loss == pytest.approx(float(learner.grads(batch)[1].loss))
    assert len(str(found).splitlines()) == 3
    assert math.isnan(broadcasting(learner, batch).layers[0].remaining)


def test_effective_rank_of_known_spectra() -> None:
    """Equal singular values count whole; of two in the ratio 3 to 1 the entropy is known; zeros have none."""
    values = torch.diag(torch.tensor([3.0, 1.0, 0.0]))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(values) == pytest.approx(math.exp(entropy))
    assert effective_rank(torch.zeros(3, 4)) == 0
    with pytest.raises(ValueError, match="values must be a matrix"):
        effective_rank(torch.zeros(3))


def test_the_region_of_collapse_warns() -> None:
    """By the number of updates, by the rate of the readout, and not in between."""
    net = FEEDFORWARD["mlp"]()
    batch, learner = batch_of(net), tca.Learner(net, tca.Rule(Decorrelation(Decay(0.99)), Instant()))
    broadcasting(learner, batch, updates=300, rate=1e-2)
    with pytest.warns(CollapseWarning, match="updates"):
        broadcasting(learner, batch, updates=500)
    with pytest.warns(CollapseWarning, match="rate"):
        broadcasting(learner, batch, rate=1e-3)


def test_other_signals_are_refused() -> None:
    """There is no correlation to look at."""
    net = FEEDFORWARD["mlp"]()
    with pytest.raises(ValueError, match="must be a Decorrelation"):
        broadcasting(tca.Learner(net, tca.RULES["dfa"]), batch_of(net))


def test_a_run_names_the_measurement_and_goes_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its numbers are those of the function on the first trials; written down and read back, training unchanged."""
    callbacks = Callback("broadcast", every=2, options={"trials": 5})
    plain = Run(
        "images",
        "ebd",
        task_options={"loss": "mse"},
        net=NetworkConfig("mlp", {"sizes": [6, 4]}),
        n_train=24,
        n_test=8,
        batch_size=8,
        steps=6,
        evaluate_every=2,
        dtype="float64",
    )
    run = Run.from_json(json.loads(json.dumps(dataclasses.replace(plain, callbacks=(callbacks,)).to_json())))
    assert run.callbacks == (callbacks,)
    seen, other = train(run, tmp_path / "seen", progress=False), train(plain, progress=False)
    for name, value in other.net.state_dict().items():
        assert torch.equal(seen.net.state_dict()[name], value), name
    monkeypatch.setattr(TrainingLoop, "update", lambda _: pytest.fail("trained again"))
    kept = [each.observed for each in train(run, tmp_path / "seen", progress=False).metrics]
    assert [bool(each) for each in kept] == [True, False, True, True]
    task = run.make_task()
    few = task.split(24, 8, seed=0)[0].subset(5).to(dtype=torch.float64).batch()
    net = run.net.build(task.n_in, task.n_out, dt=task.dt, seed=0, dtype=torch.float64)
    found = broadcasting(tca.Learner(net, run.the_rule, seed=run.seeds.rule), few)
    assert len(kept[0]) == 12
    for each in found.layers:
        for what in ("norm", "rms", "dead", "rank"):
            assert kept[0][f"broadcast_{what}/{each.name}"] == pytest.approx(getattr(each, what), rel=1e-12), what
        assert kept[0][f"broadcast_cosine/{each.name}"] == pytest.approx(each.match.cosine, rel=1e-10)
        assert kept[0][f"broadcast_norm_ratio/{each.name}"] == pytest.approx(each.match.norm_ratio, rel=1e-10)
    assert kept[-1]["broadcast_norm/hidden_1"] != kept[0]["broadcast_norm/hidden_1"]


def test_the_watcher_of_a_recurrent_network_names_its_population() -> None:
    """All trials where there are fewer than it may take; other rules are refused as by the function."""
    net = tca.nets.LeakyRNN(3, 5, 2, dtype=torch.float64)
    batch, watcher = batch_of(net), Callback("broadcast").build()
    learner = tca.Learner(net, tca.RULES["sbd"])
    (layer,) = broadcasting(learner, batch).layers
    assert watcher(learner, batch)["broadcast_norm/hidden"] == layer.norm
    assert watcher(learner, batch)["broadcast_rank/hidden"] == layer.rank
    watcher.restore(watcher.state())
    with pytest.raises(ValueError, match="must be a Decorrelation"):
        watcher(tca.Learner(net, tca.RULES["dfa"]), batch)
    with pytest.raises(ValueError, match="trials must be at least 1, got 0"):
        Callback("broadcast", options={"trials": 0})


def test_the_calls_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    """As they stand, the training shortened."""
    page = Path(__file__).parents[2] / "docs" / "rules" / "decorrelation.md"
    if not page.exists():
        pytest.skip("no pages beside an installed package")
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    assert blocks[1].count("steps=200, evaluate_every=50") == 1
    names: dict[str, object] = {}
    exec(blocks[0] + blocks[1].replace("steps=200, evaluate_every=50", "steps=4, evaluate_every=2"), names)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[:3]] == ["population", "hidden_1", "hidden_2"]
    assert analysis.broadcasting is broadcasting
    assert "nan" not in shown[1], "what is left of the start is known"
