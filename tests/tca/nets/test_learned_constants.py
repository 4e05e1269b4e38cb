"""Learned constants of leaky and spiking networks: the same network as without them, and gradients by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import analysis
import tca
from tca import nets
from tca.cells.surrogate_gradients import Triangular, spike
from tests.support.padding import appended, uneven
from tests.support.rows import assert_same, relative
from tests.tca.test_online import gathered, run

F64 = torch.float64
STEPS, TRIALS, SIZES = 14, 3, (3, 6, 2)
LEAKY: dict[str, dict[str, Any]] = {
    "A": {"form": "A", "tau": [20.0, 30.0, 50.0, 15.0, 80.0, 25.0], "learn_initial": True},
    "B": {"form": "B", "tau": 25.0, "activation": "softplus", "readout_tau": 40.0},
    "B, signs": {"form": "B", "tau": 25.0, "cell_types": (0.5, 0.5), "dale": (1, -1), "autapses": False},
}
THRESHOLD = 0.1
SPIKING: dict[str, dict[str, Any]] = {
    "refractory": {"refractory": 2.0, "beta": [0.0, 0.0, 1.0, 0.4, 0.6, 0.2]},
    "reset in trace": {"refractory": 0.0, "reset_in_trace": True, "bias": True},
    "unscaled": {
        "refractory": 1.0,
        "scaled_drive": False,
        "scaled_adaptation": False,
        "gain_in": 1.0,
        "beta": [0.0, *[0.03] * 5],
    },
}
CONSTANTS = {"leaky": ("tau",), "spiking": ("tau", "tau_adaptation", "beta")}
NAMES = {"leaky": ("leak",), "spiking": ("leak", "adaptation_leak", "beta")}
CASES = [("leaky", name) for name in LEAKY] + [("spiking", name) for name in SPIKING]
each_case = pytest.mark.parametrize(("kind", "name"), CASES, ids=[", ".join(each) for each in CASES])


def network(kind: str, name: str, **more: Any) -> Any:
    """Return a network, with learned constants if named."""
    if kind == "leaky":
        return nets.LeakyRNN(*SIZES, dtype=F64, seed=3, gain_rec=1.2, **{**LEAKY[name], **more})
    options = {
        "threshold": THRESHOLD,
        "tau": 5.0,
        "tau_adaptation": 12.0,
        "beta": 0.5,
        "gain_in": 3.0,
        "readout_tau": 4.0,
    }
    return nets.SpikingRNN(*SIZES, dtype=F64, seed=3, **{**options, **SPIKING[name], **more})


def trials(steps: int = STEPS) -> tca.Batch:
    """Return random trials whose steps weigh differently."""
    generator = torch.Generator().manual_seed(5)
    inputs, targets = (torch.randn(steps, TRIALS, each, dtype=F64, generator=generator) for each in SIZES[::2])
    return tca.Batch(inputs, targets, torch.rand(steps, TRIALS, dtype=F64, generator=generator), tca.losses.MSE())


SHARED = ["bptt", "rtrl", "eprop", "three_factor", "snap1", "snap2", "homotopy", "tbptt", "eprop_random", "sbd", "mdgl"]


@pytest.mark.thirds
@each_case
@pytest.mark.parametrize("rule", SHARED)
def test_weights_learn_as_without_learned_constants(kind: str, name: str, rule: str) -> None:
    """Outputs and the gradient of every other parameter are those of the network with fixed constants."""
    plain, net, batch = network(kind, name), network(kind, name, learn=CONSTANTS[kind]), trials()
    wanted, info = tca.Learner(plain, tca.Rule(*parts(rule)), seed=2).grads(batch)
    for execution in ("reverse", "forward"):
        found, other = tca.Learner(net, tca.Rule(*parts(rule)), seed=2).grads(batch, execution=execution)
        assert relative(other.outputs, info.outputs) < 1e-12
        own = [bool(found.pop(each).any()) for each in NAMES[kind]]
        assert all(own) or rule == "three_factor"  # right after a spike a refractory cell has no slope
        assert_same(found, wanted, 1e-11)


def parts(rule: str) -> tuple[Any, Any]:
    return tca.RULES[rule].signal, tca.RULES[rule].eligibility


Loop = Callable[[dict[str, Tensor], Tensor, Any, bool, bool], Tensor]


def leaky_loop(use: dict[str, Tensor], inputs: Tensor, net: Any, sent: bool, kept: bool) -> Tensor:
    """Return outputs before the readout's filter; what is not sent or not kept is detached."""
    activation, k, potential = net.activation, use["leak"], net.cell.form == "A"
    state = use.get("s_0", torch.zeros(SIZES[1], dtype=F64)).expand(inputs.shape[1], -1)
    outputs = []
    for x in inputs:
        rate = activation(state) if potential else state
        rate, before = rate if sent else rate.detach(), state if kept else state.detach()
        drive = x @ use["w_in"].T + rate @ use["w_rec"].T + use["b"]
        state = k * before + (1 - k) * (drive if potential else activation(drive))
        outputs.append((activation(state) if potential else state) @ use["w_out"].T)
    return torch.stack(outputs)


def spiking_loop(use: dict[str, Tensor], inputs: Tensor, net: Any, sent: bool, kept: bool) -> Tensor:
    """Return outputs before the readout's filter, with the adaptation itself as state and beta at the threshold."""
    cell, k, rho, beta = net.cell, use["leak"], use["adaptation_leak"], use["beta"]
    v = a = z = wait = torch.zeros(inputs.shape[1], SIZES[1], dtype=F64)
    outputs = []
    for x in inputs:
        other = z if sent else z.detach()
        drive = x @ use["w_in"].T + other @ use["w_rec"].T + use.get("b", 0.0)
        v = k * v + ((1 - k) if cell.scaled_drive else 1.0) * drive
        v = v - cell.threshold * (z if cell.reset_in_trace else other)
        a = rho * a + ((1 - rho) if cell.scaled_adaptation else 1.0) * z
        wait = torch.where(z.detach() > 0, float(cell.refractory), (wait - 1).clamp(min=0))
        z = spike((v - beta * a - cell.threshold) / cell.threshold, Triangular()) * (wait == 0)
        outputs.append(z @ use["w_out"].T)
    return torch.stack(outputs)


LOOPS: dict[str, Loop] = {"leaky": leaky_loop, "spiking": spiking_loop}


@pytest.mark.parametrize(
    ("kind", "name", "rule"),
    [(*case, rule) for rule in ("bptt", "eprop") for case in CASES]
    + [
        (*case, "three_factor") for case in CASES if case[0] == "leaky"
    ],  # without memory beta's change is one of the state
    ids=lambda each: each,
)
def test_constants_learn_by_autograd_with_the_same_cuts(kind: str, name: str, rule: str) -> None:
    """In both executions and online; the state of e-prop's beta may be written either way."""
    net, batch = network(kind, name, learn=CONSTANTS[kind]), trials()
    use = {each: value.detach().clone().requires_grad_() for each, value in net.named_parameters()}
    read = LOOPS[kind](use, batch.inputs, net, rule == "bptt", rule != "three_factor")
    kept, outputs, value = net.readout_leak, [], torch.zeros_like(read[0])
    for each in read:
        value = kept * value + (1 - kept) * each
        outputs.append(value + use["b_out"])
    batch.loss.mean(torch.stack(outputs), batch.targets, batch.weights).backward()
    wanted = {each: torch.zeros_like(value) if value.grad is None else value.grad for each, value in use.items()}
    if net.mask_rec is not None:
        wanted["w_rec"] *= net.mask_rec
    assert all(int((wanted[each] != 0).sum()) > 2 for each in NAMES[kind])
    bound = tca.Learner(net, tca.RULES[rule])
    for execution in ("reverse", "forward"):
        assert_same(bound.grads(batch, execution=execution)[0], wanted, 1e-11)
    if rule == "eprop" and not (kind == "leaky" and "s_0" in use):
        run(bound.stream(batch.trials, batch.steps), batch)
        assert_same(gathered(net), wanted, 1e-11)


@each_case
def test_the_differentiable_network_is_the_same(kind: str, name: str) -> None:
    """Autograd through the network gives BPTT's gradient, a second derivative that of differences of gradients."""
    net, batch = network(kind, name, learn=CONSTANTS[kind]), trials(8)
    learner = tca.Learner(net, tca.RULES["bptt"])
    wanted = learner.grads(batch)[0]
    batch.loss.mean(net(batch.inputs), batch.targets, batch.weights).backward()
    assert_same(gathered(net), wanted, 1e-11)
    if kind == "spiking":  # whose gradient jumps where a spike appears
        return
    constants = NAMES[kind][0]
    hessian = analysis.operator(net, batch, parameters=constants).matrix()
    step, columns = 1e-6, []
    for index in range(SIZES[1]):
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                net.get_parameter(constants)[index] += sign * step
            sides.append(learner.grads(batch)[0][constants])
            with torch.no_grad():
                net.get_parameter(constants)[index] -= sign * step
        columns.append((sides[0] - sides[1]) / (2 * step))
    assert relative(hessian, torch.stack(columns, 1)) < 1e-6


@each_case
def test_padding_and_noise(kind: str, name: str) -> None:
    """Steps after the end change no gradient; private noise is that of the network with fixed constants."""
    net, batch = network(kind, name, learn=CONSTANTS[kind], noise=0.1), uneven(trials(), 14, 9, 0)
    found = tca.Learner(net, tca.RULES["eprop"]).grads(batch)[0]
    assert_same(tca.Learner(net, tca.RULES["eprop"]).grads(appended(batch, 3))[0], found)
    plain = network(kind, name, noise=0.1)
    drawn = net.draw_noise(5, 2)
    assert torch.allclose(drawn, plain.draw_noise(5, 2), rtol=1e-12)
    assert not drawn.requires_grad


def test_bounds_survive_the_optimizer() -> None:
    """After a step that leaves them, constants are back within their bounds, and other rules than descent see them."""
    net = network("spiking", "refractory", learn=("tau", "beta"))
    assert {name for name, _ in net.named_parameters()} >= {"leak", "beta"}
    assert not isinstance(net.bound_cell().adaptation_leak, torch.nn.Parameter)
    with torch.no_grad():
        net.leak += 1.0
        net.beta -= 2.0
    net.project_()
    assert net.leak.tolist() == [0.9999] * 6
    assert net.beta.tolist() == [0.0] * 6
    run_of = tca.Run(
        "delayed_xor", rule="eprop", net=tca.NetworkConfig(size=6, tau=20.0, learn=["tau"]),
        optimizer=tca.Optimizer(lr=0.5, clip=None), steps=4, n_train=8, n_test=8, batch_size=4,
    )  # fmt: skip
    trained = tca.train(run_of).net
    start = torch.exp(torch.tensor(-0.5))
    assert bool((trained.leak != start).any())
    assert bool(((trained.leak >= 0) & (trained.leak <= 0.9999)).all())


def test_stacks_learn_constants() -> None:
    """BPTT equals autograd through a stack of leaky and spiking populations that learn theirs."""
    layers = [
        nets.SpikingLayer(6, threshold=0.1, gain_in=4.0, tau=10.0, learn=("tau",)),
        nets.LeakyLayer(4, learn=("tau",)),
    ]
    net, batch = nets.StackedRNN(3, layers, 2, seed=2, dtype=F64), trials()
    batch.loss.mean(net(batch.inputs), batch.targets, batch.weights).backward()
    assert bool(net.layers[0].leak.grad.any())
    assert_same(tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0], gathered(net), 1e-11)


def test_runs_describe_learned_constants() -> None:
    """Written where they are given alone, so that other runs keep their names."""
    plain, learning = tca.NetworkConfig(size=4), tca.NetworkConfig(size=4, learn=["tau"])
    assert "learn" not in plain.to_json()
    assert learning.to_json()["learn"] == ["tau"]
    assert tca.NetworkConfig(**learning.to_json()) == learning
    assert "leak" in dict(learning.build(2, 1, dt=10.0, seed=0).named_parameters())
    spiking = tca.NetworkConfig("spiking_rnn", n_rec=4, learn=["beta"]).build(2, 1, dt=1.0, seed=0)
    assert "beta" in dict(spiking.named_parameters())
    stack = tca.NetworkConfig("stacked_rnn", layers=[{"size": 3, "learn": ["tau"]}, {"size": 2}])
    assert ["learn" in each for each in stack.to_json()["layers"]] == [True, False]
    assert "layers.0.leak" in dict(stack.build(2, 1, dt=10.0, seed=0).named_parameters())


def test_mistakes_are_named() -> None:
    """An unknown constant, a name in the place of a list, a time constant beyond the bound."""
    with pytest.raises(ValueError, match=r"unknown learned constant 'tua'.*tau"):
        nets.LeakyRNN(2, 3, 1, learn=("tua",))
    with pytest.raises(TypeError, match="learn must be a list or tuple of strings"):
        nets.LeakyRNN(2, 3, 1, learn="tau")
    with pytest.raises(ValueError, match=r"leak per step of tau must be finite and within \[0.0, 0.9999\]"):
        nets.LeakyRNN(2, 3, 1, tau=1e6, learn=("tau",))
    with pytest.raises(ValueError, match="constant leak and gain, and those of the population are learned"):
        tca.Learner(nets.LeakyRNN(2, 3, 1, learn=("tau",)), tca.RULES["modprop"])
    with pytest.raises(ValueError, match="constants that are learned"):
        tca.Learner(nets.LeakyRNN(2, 3, 1, learn=("tau",)), tca.RULES["miconi"])
    with pytest.raises(ValueError, match="WeightNoise"):
        tca.Learner(nets.LeakyRNN(2, 3, 1, learn=("tau",)), tca.RULES["node_perturbation"])
    tca.Learner(nets.LeakyRNN(2, 3, 1, form="B", learn=("tau",)), tca.RULES["rflo"])
