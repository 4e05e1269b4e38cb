"""Stacks of spiking populations, also among leaky ones, against autograd through the surrogate gradient.

Shapes: T time, B batch, N cells, O outputs. Everything is float64 unless a test converts it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Diagonal, Eligibility, Full, Homotopy, Instant, Leak, Windowed
from tca.losses import MSE
from tca.nets import LeakyLayer, SpikingLayer, SpikingRNN, StackedRNN
from tca.signals import Broadcast, Direct, Exact, Horizon, Random, Regularised, Signal, Sparse
from tca.signals.feedback_weights import Drawn
from tca.signals.regularisers.firing_rate import FiringRate
from tests.support.rows import assert_same, relative

F64 = torch.float64
EXACT = 1e-12


def masked(*shape: int) -> Tensor:
    """About two thirds of all synapses."""
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(3)) < 0.7).double()


def lively(net: StackedRNN) -> StackedRNN:
    """Give every parameter random values that make cells spike now and then."""
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            size = 0.3 if name.endswith((".b", "b_out")) else 4.0 if name.endswith("w_in") else 1.0
            parameter.copy_(size * torch.randn(parameter.shape, dtype=F64, generator=generator))
    net.project_()
    return net


def spiking() -> StackedRNN:
    """Two spiking populations, adaptive and not, without a filter."""
    lower = SpikingLayer(6, tau_adaptation=60.0, threshold=0.5, refractory=2.0)
    upper = SpikingLayer(
        5, tau=10.0, threshold=0.3, beta=0.0, refractory=1.0, surrogate_gradient="fast_sigmoid", bias=True
    )
    return lively(StackedRNN(3, [lower, upper], 2, dt=1.0, dtype=F64))


def adaptive_above() -> StackedRNN:
    """An adaptive population above one without adaptation, with masks and synapses of a cell onto itself."""
    lower = SpikingLayer(
        5, threshold=0.2, beta=0.0, refractory=0.0, surrogate_gradient="exponential", mask_in=masked(5, 3)
    )
    upper = SpikingLayer(6, threshold=0.1, adaptive=1.0, tau_adaptation=[20.0, 30.0, 40.0, 50.0, 60.0, 70.0],
                         mask_in=masked(6, 5), autapses=True)  # fmt: skip
    return lively(StackedRNN(3, [lower, upper], 2, dt=1.0, dtype=F64))


def mixed() -> StackedRNN:
    """Leaky populations with a learned initial state below and above a spiking one, and a filtered readout."""
    layers = [
        LeakyLayer(4, tau=8.0, learn_initial=True),
        SpikingLayer(
            6, threshold=0.5, tau_adaptation=50.0, reset_in_trace=True, refractory=1.0, surrogate_gradient="gaussian"
        ),
        LeakyLayer(5, tau=5.0, form="B", activation="softplus"),
    ]
    return lively(StackedRNN(3, layers, 2, dt=1.0, readout_tau=4.0, dtype=F64))


STACKS: dict[str, Callable[[], StackedRNN]] = {"spiking": spiking, "adaptive above": adaptive_above, "mixed": mixed}
each_stack = pytest.mark.parametrize("build", STACKS.values(), ids=STACKS)


def batch_of(net: Any, steps: int = 24, trials: int = 3) -> tca.Batch:
    """A regression problem with a weight of its own at every step."""
    generator = torch.Generator().manual_seed(11)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=F64, generator=generator)

    weights = torch.rand(steps, trials, dtype=F64, generator=generator)
    return tca.Batch(normal(steps, trials, net.n_in), normal(steps, trials, net.n_out), weights, MSE())


def autograd(net: Any, batch: tca.Batch) -> dict[str, Tensor]:
    """The gradient of the whole network through the surrogate gradient."""
    names = [name for name, _ in net.named_parameters()]
    loss = batch.loss.mean(net.functional({}, batch.inputs), batch.targets, batch.weights)
    return dict(zip(names, torch.autograd.grad(loss, list(net.parameters())), strict=True))


def gradients(net: Any, rule: tca.Rule, batch: tca.Batch, **options: Any) -> dict[str, Tensor]:
    return tca.Learner(net, rule).grads(batch, **options)[0]


@each_stack
def test_run_equals_functional(build: Callable[[], StackedRNN]) -> None:
    """The pass without a graph gives what the differentiable one gives, and every population is active."""
    net = build()
    inputs = batch_of(net).inputs
    tape = net.run(inputs)
    assert torch.allclose(tape.outputs, net.functional({}, inputs), rtol=1e-12, atol=1e-13)
    assert all(int((level.rate[1:] != 0).sum()) > 15 for level in tape.levels)
    spikes = [level.rate for level in tape.levels if level.population.spiking]
    assert spikes
    assert all(set(rate.unique().tolist()) == {0.0, 1.0} for rate in spikes)


def test_a_stack_hears_the_spikes_below_in_the_same_step() -> None:
    """Two populations are two networks, the second of which is shown the spikes of the first."""
    net = spiking()
    inputs = batch_of(net).inputs
    last, first = net.run(inputs).levels
    lower = SpikingRNN(3, 6, 1, tau_adaptation=60.0, threshold=0.5, refractory=2.0, dtype=F64)
    upper = SpikingRNN(6, 5, 1, tau=10.0, threshold=0.3, beta=0.0, refractory=1.0, bias=True, dtype=F64)
    with torch.no_grad():
        for alone, layer in zip((lower, upper), net.layers, strict=True):
            for name, parameter in layer.named_parameters():
                alone.get_parameter(name).copy_(parameter)
    assert torch.equal(lower.run(inputs).rate, first.rate)
    assert torch.equal(upper.run(first.rate[1:]).rate, last.rate)


@each_stack
@pytest.mark.parametrize(
    "eligibility", [Instant(), Leak(), Diagonal(), Full(), Windowed(5), Homotopy(0.4)], ids=lambda each: repr(each)
)
def test_every_eligibility_has_an_exact_signal(build: Callable[[], StackedRNN], eligibility: Eligibility) -> None:
    """``mu = lambda - D^T lambda`` of every population gives the gradient through the surrogate gradient."""
    net = build()
    batch = batch_of(net)
    assert_same(gradients(net, tca.Rule(Exact(), eligibility), batch), autograd(net, batch), EXACT)


@each_stack
def test_whole_jacobian_passes_between_populations(build: Callable[[], StackedRNN]) -> None:
    """Errors filtered by the Jacobian of the whole stack are the gradient; cut after a few steps they are not."""
    net = build()
    batch = batch_of(net)
    true = autograd(net, batch)
    assert_same(gradients(net, tca.RULES["rtrl"], batch), true, EXACT)
    assert_same(gradients(net, tca.Rule(Direct(), Windowed(25)), batch), true, EXACT)
    cut = gradients(net, tca.Rule(Direct(), Windowed(3)), batch)
    assert relative(cut["layers.0.w_in"], true["layers.0.w_in"]) > 1e-2


def emitted(cells: Any, potential: Tensor, adaptation: Tensor, ready: Tensor) -> Tensor:
    """Spikes whose derivative by what they are compared with is the surrogate gradient, by hand."""
    apart = potential - cells.beta * adaptation - cells.threshold
    slope = {
        "Triangular": lambda u: 0.3 * (1 - u.abs()).clamp(min=0),
        "FastSigmoid": lambda u: 0.3 / (1 + u.abs()) ** 2,
        "ExponentialSurrogate": lambda u: 0.3 * torch.exp(-u.abs()),
    }[type(cells.surrogate_gradient).__name__]((apart / cells.threshold).detach())
    return ((apart > 0).double() + slope / cells.threshold * (apart - apart.detach())) * ready


def eprop_of_a_stack(net: StackedRNN, batch: tca.Batch) -> dict[str, Tensor]:
    """E-prop by surgery: what reaches a spike within its step, times traces of the cell's own leak.

    A cell's own spikes reach its own adaptation; transmission and reset take copies that are cut off.
    """
    layers: list[Any] = list(net.layers)
    parameters = dict(net.named_parameters())
    spikes = [level.rate for level in reversed(net.run(batch.inputs).levels)]
    wanted = {name: torch.zeros_like(each) for name, each in parameters.items()}
    surrogate = torch.zeros((), dtype=F64)
    rest = [torch.zeros_like(each[0]) for each in spikes]
    open_, closed = [(each, each, each) for each in rest], [(each, each) for each in rest]
    waits = [torch.zeros_like(each) for each in rest]
    for t in range(1, batch.steps + 1):
        received, instant, told_from = batch.inputs[t - 1], [], []
        for index, cells in enumerate(layers):
            before = spikes[index][t - 1]
            waits[index] = torch.where(before > 0, float(cells.refractory), (waits[index] - 1).clamp(min=0))
            ready = (waits[index] == 0).double()
            bias = 0.0 if cells.b is None else cells.b

            def moved(v: Tensor, a: Tensor, own: Tensor, drive: Tensor, k: Any = cells, z: Tensor = before) -> Any:
                potential = k.leak * v + k.gain * drive - k.threshold * z
                return potential, k.adaptation_leak * a + k.adaptation_gain * own

            drive = received @ cells.w_in.detach().T + before @ cells.w_rec.detach().T
            v, a = moved(*closed[index], before, drive + (bias if cells.b is None else bias.detach()))
            closed[index] = (v.detach(), a.detach())
            received = emitted(cells, v if index else v.requires_grad_(), a, ready)
            instant.append(received)
            lower = spikes[index - 1][t] if index else batch.inputs[t - 1]
            v, a, own = open_[index]
            v, a = moved(v, a, own, lower @ cells.w_in.T + before @ cells.w_rec.T + bias)
            open_[index] = (v, a, emitted(cells, v, a, ready))
            told_from.append(open_[index][2])
        outputs = received @ net.w_out.T + net.b_out
        each_loss = 0.5 * (outputs - batch.targets[t - 1]).square().sum(-1)
        loss = (batch.weights[t - 1] * each_loss).sum() / batch.trials
        found = torch.autograd.grad(loss, [*instant, net.w_out, net.b_out])
        for learning_signal, own in zip(found, told_from, strict=False):
            surrogate = surrogate + (learning_signal * own).sum()
        wanted["w_out"] += found[-2]
        wanted["b_out"] += found[-1]
    hidden = [name for name in parameters if name not in ("w_out", "b_out")]
    complete = torch.autograd.grad(surrogate, [parameters[name] for name in hidden])
    masks = dict(net.named_buffers())
    for name, each in zip(hidden, complete, strict=True):
        mask = masks.get(name.replace("w_", "mask_"))
        wanted[name] = each if mask is None else each * mask
    return wanted


@pytest.mark.parametrize("build", [spiking, adaptive_above])
def test_eprop_of_a_stack_hears_what_comes_down_within_the_step(build: Callable[[], StackedRNN]) -> None:
    """Traces of the leak and errors of the step from above; the memory of the population above is what is dropped."""
    net = build()
    batch = batch_of(net)
    found = gradients(net, tca.RULES["eprop"], batch)
    assert_same(found, eprop_of_a_stack(net, batch), EXACT)
    assert relative(found["layers.0.w_in"], autograd(net, batch)["layers.0.w_in"]) > 1e-2


@pytest.mark.thirds
@each_stack
@pytest.mark.parametrize("name", tca.RULES)
def test_forward_equals_reverse(build: Callable[[], StackedRNN], name: str) -> None:
    """Every rule runs both ways to the same sum, or says what it cannot do here."""
    net = build()
    batch = batch_of(net, steps=8)
    rule = tca.RULES[name]
    try:
        learner = tca.Learner(net, rule)
    except ValueError as error:
        assert "population" in str(error)  # noqa: PT017 - any rule may be refused, each with its reason
        return
    reverse = learner.grads(batch)[0]
    if rule.eligibility.joint:
        with pytest.raises(ValueError, match="remembers across populations"):
            learner.grads(batch, execution="forward")
    elif "forward" in rule.eligibility.executions:
        assert_same(learner.grads(batch, execution="forward")[0], reverse, EXACT)


@each_stack
@pytest.mark.parametrize("signal", [Random(), Broadcast(), Sparse(Drawn(0.5))], ids=repr)
def test_feedback_reaches_every_population(build: Callable[[], StackedRNN], signal: Signal) -> None:
    """Random, broadcast and sparse errors go to each population by weights of its own; the readout stays exact."""
    net = build()
    batch = batch_of(net)
    learner = tca.Learner(net, tca.Rule(signal, Leak()))
    tape, learning_signal = learner.tape(batch), learner.signals(batch)
    for level in tape.levels:
        assert learning_signal[level.population.name].abs().sum() > 0
        feedback = learner.buffers[f"{level.population.name}.feedback"]
        wanted = level.lift(tape.filtered_error[1:] @ feedback.T, slice(1, batch.steps + 1))
        assert torch.allclose(learning_signal[level.population.name][1:], wanted, rtol=1e-12, atol=1e-14)
    found, true = learner.grads(batch)[0], autograd(net, batch)
    assert_same({key: found[key] for key in ("w_out", "b_out")}, {key: true[key] for key in ("w_out", "b_out")}, EXACT)
    assert relative(found["layers.0.w_in"], true["layers.0.w_in"]) > 1e-2


@pytest.mark.parametrize("build", STACKS.values(), ids=STACKS)
def test_windows_leave_no_seam(build: Callable[[], StackedRNN], monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps a window, forwards and backwards, give what the whole trial in one gives."""
    net = build()
    batch = batch_of(net)
    rules = [tca.RULES["bptt"], tca.RULES["eprop"], tca.Rule(Random(), Leak())]
    wanted = [gradients(net, rule, batch) for rule in rules]
    for module in ("tape.tape", "nets.spiking.spiking_population"):
        monkeypatch.setattr(f"tca.{module}.WINDOW_BYTES", 3 * batch.trials * 6 * 8)
    assert len(list(net.run(batch.inputs).windows())) >= 8
    for rule, whole in zip(rules, wanted, strict=True):
        assert_same(gradients(net, rule, batch), whole, EXACT)


def test_stacks_refuse_what_makes_no_sense() -> None:
    """Constant slopes of spikes, later errors within one population, streams, and learned initial states of spikes."""
    net = spiking()
    with pytest.raises(ValueError, match="replaces the slope"):
        tca.Learner(net, tca.RULES["modprop"])
    with pytest.raises(ValueError, match="is one of several"):
        tca.Learner(net, tca.Rule(Horizon(3), Leak()))
    with pytest.raises(ValueError, match="has no readout weights of its own"):
        tca.Learner(net, tca.RULES["diffusion"])
    with pytest.raises(ValueError, match=r"^StackedRNN runs through whole trials, not step by step"):
        tca.Learner(net, tca.RULES["eprop"]).stream(1)
    with pytest.raises(ValueError, match="learn_initial must be False for spiking cells"):
        StackedRNN(3, [SpikingLayer(4, learn_initial=True)], 2)
    with pytest.raises(ValueError, match="learn_initial must be False for spiking cells"):
        SpikingRNN(3, 4, 2, learn_initial=True)


def test_mean_rates_do_not_exist_online() -> None:
    """The mean over a trial is not known within it: a firing-rate term is refused on a stream, with the reason."""
    rule = tca.Rule(Regularised(Random(), (FiringRate(),)), Leak())
    with pytest.raises(ValueError, match="Regularised is made from whole trials only and cannot run online"):
        tca.Learner(SpikingRNN(3, 4, 2), rule).stream(1)


def test_a_run_describes_a_stack() -> None:
    """Layers are mappings; cells are leaky unless said otherwise; names are checked where they are given."""
    layers = [
        {"cells": "spiking", "size": 6, "threshold": 0.5, "surrogate_gradient": {"name": "gaussian", "gamma": 0.5}},
        {"size": 4, "tau": 30.0},
    ]
    described = tca.NetworkConfig("stacked_rnn", {"layers": layers, "readout_tau": 20.0})
    net: Any = described.build(3, 2, dt=1.0, seed=4)
    assert [cells.spiking for cells in net.layers] == [True, False]
    assert net.layers[0].surrogate_gradient == tca.cells.surrogate_gradients.Gaussian(0.5)
    again: Any = described.build(3, 2, dt=1.0, seed=4)
    assert all(torch.equal(one, same) for one, same in zip(net.parameters(), again.parameters(), strict=True))
    with pytest.raises(ValueError, match="threshold"):
        tca.NetworkConfig("stacked_rnn", {"layers": [{"cells": "spiking", "size": 6, "treshold": 0.5}]}).build(
            3, 2, dt=1.0, seed=0
        )
    with pytest.raises(ValueError, match="cells of a layer"):
        tca.NetworkConfig("stacked_rnn", {"layers": [{"cells": "spikes", "size": 6}]}).build(3, 2, dt=1.0, seed=0)


def test_private_noise_goes_to_its_own_population() -> None:
    """Noise of a stack is drawn for all cells and split among the populations, each in its own size."""
    net = StackedRNN(2, [SpikingLayer(40, noise=0.5), LeakyLayer(30)], 1, dt=1.0, seed=1, dtype=F64)
    noise = net.draw_noise(5, 2)
    assert noise is not None
    assert noise.shape == (5, 2, 70)
    assert noise[..., :40].abs().min() > 0
    assert not noise[..., 40:].any()
