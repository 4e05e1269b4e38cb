"""Networks compute in float32 and float64 alone; mixtures, autocast and types that hold no constant are refused."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import tca
from tca.cells.time_constants import Constant
from tca.experiments.reinforcement.actor import Actor
from tca.nets import LeakyLayer, LeakyRNN, Network, SpikingLayer, SpikingRNN, StackedRNN, VectorRNN
from tca.utils.numerics import FLOATS
from tests.support.everything import EVERYTHING, MEASURES, NETS, RUNS, flat, trials

REFUSED = r"^dtype must be torch\.float32 or torch\.float64, got .*$"
HALF = (torch.bfloat16, torch.float16, torch.float8_e5m2)


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in net.state_dict().items()}


def unchanged(net: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(
        each.dtype == before[name].dtype and torch.equal(each, before[name]) for name, each in state(net).items()
    )


@pytest.mark.parametrize("kind", NETS)
def test_half_precision_is_refused_before_and_after_a_network_is_made(kind: str) -> None:
    """Whatever converts a network is refused in one line and leaves it as it was."""
    net = NETS[kind]()
    before, learner = state(net), tca.Learner(net, tca.RULES["bptt"])
    for dtype in HALF:
        with pytest.raises(ValueError, match=rf"^dtype must be torch.float32 or torch.float64, got {dtype}: .*$"):
            net.to(dtype)
        assert unchanged(net, before)
    for convert in (net.half, net.bfloat16, lambda: net.to(torch.zeros(1, dtype=torch.bfloat16))):
        with pytest.raises(ValueError, match=REFUSED):
            convert()
    with pytest.raises(ValueError, match=REFUSED), pytest.warns(UserWarning, match="Complex modules"):
        net.to(torch.complex64)
    assert unchanged(net, before)
    learner.backward(trials(net))
    assert next(net.double().float().parameters()).dtype == torch.float32


@pytest.mark.parametrize("dtype", [*HALF, torch.int64, "float32", float])
def test_no_network_is_made_in_half_precision(dtype: Any) -> None:
    refusals = {True: (ValueError, REFUSED), False: (TypeError, "^dtype must be a dtype, got")}
    kind, words = refusals[isinstance(dtype, torch.dtype)]
    for make in (LeakyRNN, SpikingRNN, VectorRNN):
        with pytest.raises(kind, match=words):
            make(3, 4, 2, dtype=dtype)
    with pytest.raises(kind, match=words):
        StackedRNN(3, [LeakyLayer(4)], 2, dtype=dtype)


def halved(net: Any) -> None:
    net.w_out.data = net.w_out.data.bfloat16()


def layer(net: Any) -> None:
    net.layers[0].half()


def moved(net: Any) -> None:
    net.b_out = nn.Parameter(net.b_out.detach().to("meta"))


def doubled(net: Any) -> None:
    net.register_buffer("leak_of_mine", torch.ones(1, dtype=torch.float64))


@pytest.mark.parametrize("part", [halved, layer, moved, doubled])
def test_a_network_converted_in_part_is_refused(part: Any) -> None:
    net = StackedRNN(3, [LeakyLayer(4), SpikingLayer(4)], 2)
    learner, batch = tca.Learner(net, tca.RULES["eprop"]), trials(net)
    part(net)
    for use in (
        lambda: learner.backward(batch),
        lambda: learner.grads(batch),
        lambda: net(batch.inputs),
        lambda: net.functional({}, batch.inputs),
        lambda: tca.Learner(net, tca.RULES["eprop"]),
    ):
        with pytest.raises((ValueError, RuntimeError)) as caught:
            use()
        assert caught.type is ValueError
        assert re.search(r"^\S+ must be torch.float32( on cpu as \S+ is| or torch.float64), got .*$", str(caught.value))


LIMIT = 2**-25 / 0.01
"""The complement of a leak above which float32 keeps it to one percent: it is off by 2^-25 at most."""


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("tau", lambda tau, dtype: LeakyRNN(2, 3, 1, tau=tau, dt=1.0, dtype=dtype)),
        ("tau", lambda tau, dtype: LeakyRNN(2, 3, 1, tau=[20.0, tau, 30.0], dt=1.0, leak="euler", dtype=dtype)),
        ("tau", lambda tau, dtype: StackedRNN(2, [3, LeakyLayer(3, tau=tau)], 1, dt=1.0, dtype=dtype)),
        ("tau", lambda tau, dtype: SpikingRNN(2, 3, 1, tau=tau, dtype=dtype)),
        ("tau_adaptation", lambda tau, dtype: SpikingRNN(2, 3, 1, tau_adaptation=tau, dtype=dtype)),
        ("readout_tau", lambda tau, dtype: LeakyRNN(2, 3, 1, readout_tau=tau, dt=1.0, dtype=dtype)),
        ("readout_tau", lambda tau, dtype: SpikingRNN(2, 3, 1, readout_tau=tau, dtype=dtype)),
        ("readout_tau", lambda tau, dtype: StackedRNN(2, [3], 1, readout_tau=tau, dt=1.0, dtype=dtype)),
        ("integration_rate", lambda tau, dtype: VectorRNN(2, 4, 2, integration_rate=1 / tau, dtype=dtype)),
    ],
)
def test_a_leak_that_rounds_to_another_is_refused_by_name(name: str, make: Any) -> None:
    """NumPy rounds it: above 3e5 steps some time constants change by a percent in float32, and 1e8 never leaks."""
    assert np.float32(math.exp(-1e-8)) == 1.0 != math.exp(-1e-8)
    make(1 / LIMIT, torch.float32)
    for tau, held in ((1e6, r"0\.99999\d+"), (1e8, "1.0"), (1e30, "1.0")):
        with pytest.raises(
            ValueError, match=rf"^{name} gives \S+ per step, which torch.float32 rounds to {held}: use a wid"
        ):
            make(tau, torch.float32)
    net = make(1e8, torch.float64)
    before = state(net)
    with pytest.raises(ValueError, match=f"{name} gives"):
        net.float()
    assert unchanged(net, before)
    with pytest.raises(ValueError, match=rf"^{name} gives 1.0 per step, which torch.float64 rounds to 1.0"):
        make(1e30, torch.float64)


def test_a_rounded_leak_keeps_its_time_constant() -> None:
    """What NumPy's float32 keeps of time constants is what is accepted: within a percent, otherwise not."""
    seen = set()
    for tau in np.geomspace(1e4, 1e8, 400):
        leak, complement = math.exp(-1 / tau), -math.expm1(-1 / tau)
        close = abs((1 - float(np.float32(leak))) / complement - 1) <= 0.01
        seen.add(close)
        try:
            Constant("tau", leak, complement).check(torch.float32)
        except ValueError:
            assert not close
        else:
            assert close
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("option", "value"), [("threshold", 1e-50), ("threshold", 1e39), ("beta", 1e39), ("beta", 1e-50)]
)
def test_other_constants_are_held_or_refused(option: str, value: float) -> None:
    with pytest.raises(
        ValueError,
        match=rf"^{option} gives {re.escape(str(value))}, which torch.float32 rounds to (0.0|inf): use",
    ):
        SpikingRNN(2, 3, 1, **{option: value})
    SpikingRNN(2, 3, 1, **{option: value}, dtype=torch.float64)


def test_the_adaptation_of_the_default_cell_would_never_fade_in_bfloat16() -> None:
    leak = math.exp(-1 / 2000)
    assert torch.tensor(leak).bfloat16().item() == 1.0
    net = SpikingRNN(2, 3, 1)
    found = [each.name for each in net.constants if not holds(each, torch.bfloat16)]
    assert found == ["tau", "tau_adaptation", "readout_tau"]
    assert all(holds(each, dtype) for each in net.constants for dtype in FLOATS)


def holds(constant: Constant, dtype: torch.dtype) -> bool:
    try:
        constant.check(dtype)
    except ValueError:
        return False
    return True


AUTOCAST = r"^torch.autocast must be off where networks compute, got it on for 'cpu': .*$"


def test_autocast_is_refused_wherever_a_network_computes(tmp_path: Path) -> None:
    net = LeakyRNN(3, 4, 2)
    learner, batch = tca.Learner(net, tca.RULES["eprop_adaptive"]), trials(net)
    stream, actor = learner.stream(batch.trials), Actor.__new__(Actor)
    actor.net, actor.begin, actor.environments = net, None, []
    before = learner.state_dict()
    with torch.no_grad():
        net.w_out.add_(1.0)
    for use in (
        lambda: tca.Learner(net, tca.RULES["eprop"]),
        lambda: learner.backward(batch),
        lambda: learner.grads(batch),
        lambda: learner.signals(batch),
        lambda: net(batch.inputs),
        lambda: net.run(batch.inputs),
        lambda: net.functional({}, batch.inputs),
        lambda: stream.step(batch.inputs[0], batch.targets[0], batch.weights[0], batch.loss),
        lambda: actor.act(1, None),
        lambda: tca.train(RUNS["leaky"], tmp_path / "run", progress=False),
    ):
        with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match=AUTOCAST):
            use()
    assert all(torch.equal(before[name], each) for name, each in learner.state_dict().items())
    assert not (tmp_path / "run").exists()
    with torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False):
        learner.backward(batch)


@pytest.mark.thirds
@pytest.mark.parametrize("name", MEASURES)
def test_measures_do_not_change_under_autocast(name: str) -> None:
    wanted = list(flat(EVERYTHING[f"measure {name}"]()))
    with torch.autocast("cpu", torch.bfloat16):
        try:
            found = list(flat(EVERYTHING[f"measure {name}"]()))
        except ValueError as refusal:
            if "torch.autocast must be off" not in str(refusal):
                raise
            return
    assert found == wanted


MIXED = [
    ({"inputs": torch.float64}, "inputs must be torch.float32 on cpu as the network is, got torch.float64 on cpu"),
    ({"inputs": "meta"}, "inputs must be torch.float32 on cpu as the network is, got torch.float32 on meta"),
    ({"targets": torch.float64}, "targets must be torch.float32 on cpu as the inputs are, got torch.float64 on cpu"),
    ({"targets": "meta"}, "targets must be torch.float32 on cpu as the inputs are, got torch.float32 on meta"),
    ({"weights": torch.bfloat16}, "weights must be torch.float32 on cpu as the inputs are, got torch.bfloat16 on cpu"),
    ({"weights": "meta"}, "weights must be torch.float32 on cpu as the inputs are, got torch.float32 on meta"),
    ({"decisions": "meta"}, "decisions must be torch.bool on cpu as the inputs are, got torch.bool on meta"),
    ({name: torch.float64 for name in ("inputs", "targets", "weights")},
     "inputs must be torch.float32 on cpu as the network is, got torch.float64 on cpu"),
    ({name: "meta" for name in ("inputs", "targets", "weights", "decisions")}, "on meta"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), MIXED)
def test_a_batch_of_another_type_or_device_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    net = LeakyRNN(3, 4, 2, noise=0.1)
    learner, good = tca.Learner(net, tca.RULES["eprop_adaptive"]), trials(net, tca.losses.MSE(), lambda drawn: drawn)
    good = tca.Batch(good.inputs, good.targets, good.weights, good.loss, good.weights > 0)
    stream, before, noise = learner.stream(good.trials), learner.state_dict(), net.noise_state
    assert noise is not None
    wrong = tca.Batch(
        *(getattr(good, name).to(changes.get(name, torch.float32)) for name in ("inputs", "targets", "weights")),
        good.loss,
        good.decision_steps.to(changes.get("decisions", "cpu")),
    )
    with torch.no_grad():
        net.w_out.add_(1.0)
    kept, noise = state(net), noise.clone()
    for use in (lambda: learner.backward(wrong), lambda: learner.grads(wrong)):
        with pytest.raises((TypeError, ValueError), match=message) as refusal:
            use()
        assert "\n" not in str(refusal.value)
    if "inputs" in changes:
        with pytest.raises(ValueError, match=r"inputs must be torch\.float32 on cpu as the network is"):
            net(wrong.inputs)
    if "decisions" not in changes:
        with pytest.raises((TypeError, ValueError), match=message):
            stream.step(wrong.inputs[0], wrong.targets[0], wrong.weights[0], wrong.loss)
    assert all(torch.equal(before[name], each) for name, each in learner.state_dict().items())
    assert unchanged(net, kept), "nothing was drawn for it either"
    assert torch.equal(net.get_buffer("noise_state"), noise)


def test_classes_on_another_device_are_refused() -> None:
    net = LeakyRNN(3, 4, 2)
    good = trials(net)
    wrong = tca.Batch(good.inputs, good.targets.to("meta"), good.weights, good.loss)
    with pytest.raises(TypeError, match=r"targets must be torch\.int64 on cpu as .*, got torch\.int64 on meta"):
        tca.Learner(net, tca.RULES["eprop"]).backward(wrong)


def test_every_network_has_its_numbers_checked() -> None:
    """A network of the user's is checked as well: conversion and pass go through the class that all derive from."""
    assert all(type(make())._apply is Network._apply for make in NETS.values())
