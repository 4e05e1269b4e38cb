"""Networks of several populations: stacks of leaky ones, and feedforward networks, against autograd.

Shapes: T time, B batch, O outputs. Everything is float64 unless a test converts it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tca
from tca.eligibilities import Diagonal, Eligibility, Full, Homotopy, Instant, Leak, Windowed
from tca.losses import MSE, CrossEntropy
from tca.nets import (
    CNN,
    MLP,
    AvgPool,
    ConvLayer,
    DenseLayer,
    Dropout,
    LeakyLayer,
    LocalLayer,
    LocalNet,
    MaxPool,
    Network,
    RMSNorm,
    StackedRNN,
)
from tca.signals import Direct, Exact, Horizon, Random
from tests.support.small_networks import scattered

F64 = torch.float64
EXACT = 1e-12


def stack(**options: Any) -> StackedRNN:
    """Three leaky populations that differ in everything, with a filtered readout and one learned initial state."""
    generator = torch.Generator().manual_seed(3)
    mask = (torch.rand(4, 5, generator=generator) < 0.7).double()
    layers = [
        LeakyLayer(5, tau=20.0, learn_initial=True),
        LeakyLayer(4, form="B", tau=[10.0, 20.0, 30.0, 40.0], activation="softplus", mask_in=mask),
        LeakyLayer(6, tau=15.0, autapses=False),
    ]
    return scattered(StackedRNN(3, layers, 2, readout_tau=20.0, dtype=F64, **options))


def plain_stack() -> StackedRNN:
    """Two populations of form A with one leak each and no filter."""
    return scattered(StackedRNN(3, [LeakyLayer(5, tau=20.0), LeakyLayer(4, tau=15.0)], 2, dtype=F64))


FEEDFORWARD: dict[str, Callable[[], Network]] = {
    "mlp": lambda: scattered(MLP(6, [5, 4], 3, dtype=F64)),
    "deep": lambda: scattered(MLP(6, [5, 4, 7], 3, activation="tanh", then=(RMSNorm(),), bias=False, dtype=F64)),
    "cnn": lambda: scattered(
        CNN(
            (2, 7, 6),
            [ConvLayer(4, 3, padding=1, then=(AvgPool(),)), ConvLayer(3, 2, then=(MaxPool(2, 1),)), DenseLayer(5)],
            3,
            dtype=F64,
        )
    ),
    "cnn without a dense layer": lambda: scattered(
        CNN((1, 6, 6), [ConvLayer(4, 3, stride=2, then=(AvgPool(), RMSNorm()))], 3, activation="softplus", dtype=F64)
    ),
    "local": lambda: scattered(
        LocalNet((2, 6, 6), [LocalLayer(3, 3, stride=2, padding=1), DenseLayer(5)], 3, dtype=F64)
    ),
}
NETS: dict[str, Callable[[], Network]] = {"stack": stack, "plain stack": plain_stack, **FEEDFORWARD}
each_net = pytest.mark.parametrize("build", NETS.values(), ids=NETS)


def batch_of(net: Network, steps: int = 7, trials: int = 4, dtype: torch.dtype = F64) -> tca.Batch:
    """A regression problem with a weight of its own at every step."""
    generator = torch.Generator().manual_seed(11)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=F64, generator=generator)

    weights = torch.rand(steps, trials, dtype=F64, generator=generator)
    batch = tca.Batch(normal(steps, trials, net.n_in), normal(steps, trials, net.n_out), weights, MSE())
    return batch.to(dtype=dtype)


def autograd(net: Network, batch: tca.Batch, noise: Tensor | None = None) -> dict[str, Tensor]:
    """The gradient of the whole network."""
    names = [name for name, _ in net.named_parameters()]
    loss = batch.loss.mean(net.functional({}, batch.inputs, noise), batch.targets, batch.weights)
    return dict(zip(names, torch.autograd.grad(loss, list(net.parameters())), strict=True))


def distance(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """The largest relative difference of a parameter."""
    assert found.keys() == wanted.keys()
    return max(float((found[name] - each).norm() / each.norm()) for name, each in wanted.items())


def gradients(net: Network, rule: tca.Rule, batch: tca.Batch, **options: Any) -> dict[str, Tensor]:
    return tca.Learner(net, rule).grads(batch, **options)[0]


@each_net
def test_run_equals_functional(build: Callable[[], Network]) -> None:
    """The pass without a graph gives what the differentiable one gives."""
    net = build()
    inputs = batch_of(net).inputs
    assert torch.allclose(net.run(inputs).outputs, net.functional({}, inputs), rtol=1e-12, atol=1e-13)


@each_net
@pytest.mark.parametrize(
    "eligibility", [Instant(), Leak(), Diagonal(), Full(), Windowed(3), Homotopy(0.4)], ids=lambda each: repr(each)
)
def test_every_eligibility_has_an_exact_signal(build: Callable[[], Network], eligibility: Eligibility) -> None:
    """``mu = lambda - D^T lambda`` of every population gives the gradient."""
    net = build()
    batch = batch_of(net)
    assert distance(gradients(net, tca.Rule(Exact(), eligibility), batch), autograd(net, batch)) < EXACT


@each_net
def test_whole_jacobian_passes_between_populations(build: Callable[[], Network]) -> None:
    """Direct errors filtered by the Jacobian are the gradient; cut once, they are not where there is memory."""
    net = build()
    batch = batch_of(net)
    true = autograd(net, batch)
    assert distance(gradients(net, tca.RULES["rtrl"], batch), true) < EXACT
    assert distance(gradients(net, tca.Rule(Direct(), Windowed(8)), batch), true) < EXACT
    cut = distance(gradients(net, tca.Rule(Direct(), Windowed(3)), batch), true)
    assert cut > 1e-2 if isinstance(net, StackedRNN) else cut < EXACT


def test_windows_cut_the_states_of_all_populations() -> None:
    """Truncation equals autograd with all states detached every three steps, counted from the end."""
    net = plain_stack()
    batch = batch_of(net)
    names = [name for name, _ in net.named_parameters()]
    states, total = [torch.zeros(4, 5, dtype=F64), torch.zeros(4, 4, dtype=F64)], torch.zeros((), dtype=F64)
    for t in range(batch.steps):
        if (batch.steps - t) % 3 == 0:
            states = [each.detach() for each in states]
        lower, states = batch.inputs[t], list(states)
        for index, cells in enumerate(net.layers):
            drive = lower @ cells.w_in.T + torch.tanh(states[index]) @ cells.w_rec.T + cells.b
            states[index] = cells.leak * states[index] + (1 - cells.leak) * drive
            lower = torch.tanh(states[index])
        outputs = lower @ net.w_out.T + net.b_out
        total = total + (batch.weights[t] * 0.5 * (outputs - batch.targets[t]).square().sum(-1)).sum() / 4
    wanted = dict(zip(names, torch.autograd.grad(total, list(net.parameters())), strict=True))
    assert distance(gradients(net, tca.Rule(Direct(), Windowed(3)), batch), wanted) < EXACT


def eprop_of_a_stack(net: Any, batch: tca.Batch) -> dict[str, Tensor]:
    """E-prop by surgery: what reaches a rate within its step, times traces of the cell's own leak."""
    rates = [batch.inputs, *(tape.rate[1:].clone() for tape in reversed(net.run(batch.inputs).levels))]
    names = [name for name, _ in net.named_parameters()]
    parameters = dict(net.named_parameters())
    wanted = {name: torch.zeros_like(each) for name, each in parameters.items()}
    surrogate = torch.zeros((), dtype=F64)
    states = [torch.zeros(4, cells.n_rec, dtype=F64) for cells in net.layers]
    for t in range(batch.steps):
        received, instant = batch.inputs[t], []
        for index, cells in enumerate(net.layers):  # one step from detached states: how an error comes down
            before = rates[index + 1][t - 1] if t else torch.zeros_like(states[index])
            drive = received @ cells.w_in.detach().T + before @ cells.w_rec.detach().T + cells.b.detach()
            value = cells.leak * states[index].detach() + (1 - cells.leak) * drive
            received = torch.tanh(value).requires_grad_() if not index else torch.tanh(value)
            received.retain_grad()
            instant.append(received)
        outputs = received @ net.w_out.T + net.b_out
        loss = (batch.weights[t] * 0.5 * (outputs - batch.targets[t]).square().sum(-1)).sum() / 4
        learning_signal = torch.autograd.grad(loss, [*instant, net.w_out, net.b_out])
        for index, cells in enumerate(net.layers):  # the cell's own leak open, all its inputs closed
            before = rates[index + 1][t - 1] if t else torch.zeros_like(states[index])
            drive = rates[index][t] @ cells.w_in.T + before @ cells.w_rec.T + cells.b
            states[index] = cells.leak * states[index] + (1 - cells.leak) * drive
            surrogate = surrogate + (learning_signal[index] * torch.tanh(states[index])).sum()
        wanted["w_out"] += learning_signal[-2]
        wanted["b_out"] += learning_signal[-1]
    hidden = [name for name in names if name not in ("w_out", "b_out")]
    found = torch.autograd.grad(surrogate, [parameters[name] for name in hidden])
    return wanted | dict(zip(hidden, found, strict=True))


def test_eprop_of_a_stack_hears_what_comes_down_within_the_step() -> None:
    """Leak traces and direct errors: the path through the memory of a population above is what is dropped."""
    net = plain_stack()
    batch = batch_of(net)
    found = gradients(net, tca.RULES["eprop"], batch)
    assert distance(found, eprop_of_a_stack(net, batch)) < EXACT
    assert distance(found, autograd(net, batch)) > 1e-2


@each_net
def test_windows_leave_no_seam(build: Callable[[], Network], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps a window give what the whole trial in one gives."""
    net = build()
    batch = batch_of(net)
    rules = [tca.RULES["bptt"], tca.RULES["eprop"], tca.Rule(Direct(), Windowed(3)), tca.Rule(Random(), Leak())]
    wanted = [gradients(net, rule, batch) for rule in rules]
    widest = max(population.cells for population in net.populations())
    monkeypatch.setattr("tca.tape.tape.WINDOW_BYTES", 2 * batch.trials * widest * 8)
    assert len(list(net.run(batch.inputs).windows())) >= 4
    for rule, whole in zip(rules, wanted, strict=True):
        assert distance(gradients(net, rule, batch), whole) < EXACT


@pytest.mark.thirds
@each_net
@pytest.mark.parametrize("name", tca.RULES)
def test_forward_equals_reverse(build: Callable[[], Network], name: str) -> None:
    """Every rule runs both ways to the same sum, or says what it cannot do here."""
    net = build()
    batch = batch_of(net, steps=4)
    refusal = ""
    try:
        learner = tca.Learner(net, tca.RULES[name])
    except ValueError as error:
        refusal = str(error)
    if refusal:
        assert "population" in refusal
        return
    reverse = learner.grads(batch)[0]
    if len(tca.RULES[name].executions) < 2:
        other = ({"forward", "reverse"} - {*tca.RULES[name].executions}).pop()
        with pytest.raises(ValueError, match="execution of"):
            learner.grads(batch, execution=other)
        return
    if tca.RULES[name].eligibility.joint and len(net.populations()) > 1:
        with pytest.raises(ValueError, match="remembers across populations"):
            learner.grads(batch, execution="forward")
        return
    assert distance(learner.grads(batch, execution="forward")[0], reverse) < EXACT


@each_net
def test_random_feedback_reaches_every_population(build: Callable[[], Network]) -> None:
    """``G_p = F_p s`` with a matrix of its own for each population, and the readout stays exact."""
    net = build()
    batch = batch_of(net)
    learner = tca.Learner(net, tca.Rule(Random(), Instant()))
    tape = learner.tape(batch)
    learning_signal = learner.signals(batch)
    for level in tape.levels:
        feedback = learner.buffers[f"{level.population.name}.feedback"]
        wanted = level.lift(tape.filtered_error[1:] @ feedback.T, slice(1, batch.steps + 1))
        assert torch.allclose(learning_signal[level.population.name][1:], wanted, rtol=1e-12, atol=1e-14)
    found, true = learner.grads(batch)[0], autograd(net, batch)
    for name in ("w_out", "b_out"):
        assert torch.allclose(found[name], true[name], rtol=1e-11)
    assert distance(found, true) > 1e-2


@pytest.mark.parametrize("build", FEEDFORWARD.values(), ids=FEEDFORWARD)
def test_steps_of_a_feedforward_network_are_examples(build: Callable[[], Network]) -> None:
    """A trial of T steps gives the gradient of T trials of one step."""
    net = build()
    batch = batch_of(net, steps=3, trials=4)
    once = tca.Batch(
        batch.inputs.reshape(1, 12, -1), batch.targets.reshape(1, 12, -1), batch.weights.reshape(1, 12) * 3, MSE()
    )
    rule = tca.Rule(Direct(), Instant())
    assert distance(gradients(net, rule, once), gradients(net, rule, batch)) < EXACT


def test_dropout_is_drawn_in_training_only() -> None:
    """With the numbers it drew the gradient is exact; evaluation keeps every rate; draws go on from a saved state."""
    net = scattered(MLP(6, [40, 30], 3, then=(Dropout(0.25),), dtype=F64))
    batch = batch_of(net, steps=1, trials=5)
    saved = {name: each.clone() for name, each in net.state_dict().items()}
    noise = net.draw_noise(1, 5)
    assert noise is not None
    assert noise.shape == (1, 5, 70)
    found = tca.Learner(net, tca.RULES["bptt"]).grads(batch, noise=noise)[0]
    assert distance(found, autograd(net, batch, noise)) < EXACT
    assert distance(found, autograd(net, batch)) > 1e-2
    last, first = net.run(batch.inputs, noise).levels
    for pre, rate, drawn in (
        (last.links[0].pre, first.rate[1:], noise[..., :40]),
        (last.readout.links[0].pre, last.rate[1:], noise[..., 40:]),
    ):
        active = rate > 0
        assert torch.allclose((pre / rate)[active], ((drawn >= 0.25).to(pre) / 0.75)[active], rtol=1e-12)
    net.load_state_dict(saved)
    assert torch.equal(net.draw_noise(1, 5), noise)  # type: ignore[arg-type]
    assert not torch.equal(net.draw_noise(1, 5), noise)  # type: ignore[arg-type]
    info = tca.Learner(net, tca.RULES["bptt"]).backward(batch)
    assert not torch.allclose(info.outputs, net.run(batch.inputs).outputs)


def test_convolutions_equal_their_modules() -> None:
    """Outputs equal those of torch's own layers with the same weights."""
    net = CNN((2, 8, 8), [ConvLayer(4, 3, stride=2, padding=1, then=(MaxPool(2),)), DenseLayer(6)], 3, dtype=F64)
    scattered(net)
    peer = nn.Sequential(
        nn.Conv2d(2, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3)
    ).double()
    own = dict(net.named_parameters())
    with torch.no_grad():
        for name, module in (("1", peer[0]), ("2", peer[4]), ("out", peer[6])):
            module.weight.copy_(own[f"w_{name}"])
            module.bias.copy_(own[f"b_{name}"])
    inputs = torch.randn(1, 5, 128, dtype=F64, generator=torch.Generator().manual_seed(0))
    wanted = peer(inputs[0].view(5, 2, 8, 8))
    assert torch.allclose(net(inputs)[0], wanted, rtol=1e-12)


def test_a_local_layer_with_one_kernel_is_a_convolution() -> None:
    """Copies of a kernel at every position give the outputs of the convolution."""
    options: dict[str, Any] = {"dtype": F64}
    conv = scattered(CNN((2, 6, 6), [ConvLayer(3, 3, padding=1), DenseLayer(4)], 2, **options))
    local = LocalNet((2, 6, 6), [LocalLayer(3, 3, padding=1), DenseLayer(4)], 2, **options)
    with torch.no_grad():
        local.w_1.copy_(conv.w_1.flatten(1).unsqueeze(1).expand(3, 36, 18))
        local.b_1.copy_(conv.b_1.repeat_interleave(36))
        for name in ("w_2", "b_2", "w_out", "b_out"):
            local.get_parameter(name).copy_(conv.get_parameter(name))
    inputs = torch.randn(1, 5, 72, dtype=F64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(local(inputs), conv(inputs), rtol=1e-12)


@each_net
def test_training_lowers_the_loss_and_single_precision_is_close(build: Callable[[], Network]) -> None:
    """Fifty updates of backpropagation fit a few trials better; float32 gives nearly the same gradient."""
    net = build()
    batch = batch_of(net)
    single = build().float()
    found = gradients(single, tca.RULES["bptt"], batch.to(dtype=torch.float32))
    assert distance({name: each.double() for name, each in found.items()}, autograd(net, batch)) < 1e-3
    learner, optimizer = tca.Learner(net, tca.RULES["bptt"]), torch.optim.Adam(net.parameters(), 1e-2)
    before = learner.grads(batch)[1].loss
    for _ in range(50):
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
        net.project_()
    assert learner.grads(batch)[1].loss < 0.9 * before


@pytest.mark.cuda
@each_net
def test_gpu_equals_cpu(build: Callable[[], Network]) -> None:
    """The same gradient on a GPU."""
    net = build()
    batch = batch_of(net)
    wanted = gradients(net, tca.RULES["bptt"], batch)
    found = gradients(net.to("cuda"), tca.RULES["bptt"], batch.to("cuda"))
    assert distance({name: each.cpu() for name, each in found.items()}, wanted) < 1e-10


def test_one_population_of_a_stack_is_a_leaky_network() -> None:
    """With the same weights, its changes are those of a `LeakyRNN`, whose outputs another pass may compute."""
    one = tca.nets.LeakyRNN(3, 6, 2, seed=5, tau=30.0, noise=0.3, dtype=F64)
    same = StackedRNN(3, [LeakyLayer(6, tau=30.0, noise=0.3)], 2, seed=5, dtype=F64)
    assert torch.equal(one.w_rec, same.layers[0].w_rec)
    assert torch.equal(one.w_out, same.w_out)
    noise = one.draw_noise(7, 4)
    assert torch.equal(noise, same.draw_noise(7, 4))  # type: ignore[arg-type]
    batch = batch_of(one)
    for name in ("eprop", "bptt", "eprop_random", "diffusion", "mdgl_online"):
        found = tca.Learner(same, tca.RULES[name]).grads(batch, noise=noise)[0]
        wanted = tca.Learner(one, tca.RULES[name]).grads(batch, noise=noise)[0]
        torch.testing.assert_close(found["layers.0.w_rec"], wanted["w_rec"], rtol=1e-12, atol=1e-14)


def test_populations_of_a_stack_keep_their_step_and_their_constraints() -> None:
    """Each leaks by the duration of a step; missing synapses and wrong signs are put back in all of them."""
    layers = [LeakyLayer(5, tau=20.0, autapses=False), LeakyLayer(4, tau=40.0, dale=(1,))]
    net = StackedRNN(3, layers, 2, dt=5.0, dtype=F64)
    assert [cells.leak for _, cells in net.hidden_layers] == pytest.approx([math.exp(-5 / 20), math.exp(-5 / 40)])
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(-1.0)
    net.project_()
    lower, upper = (cells.w_rec for _, cells in net.hidden_layers)
    assert torch.equal(lower, torch.eye(5, dtype=F64) - 1)
    assert not upper.any()


@pytest.mark.parametrize(
    ("init", "variance"), [("he_normal", 2), ("he_uniform", 2), ("lecun_normal", 1), ("lecun_uniform", 1)]
)
def test_weights_have_the_variance_of_their_name(init: str, variance: int) -> None:
    """That over the number of synapses onto a cell, times the gain squared, in maps and in dense layers."""
    net = CNN((3, 6, 6), [ConvLayer(64), DenseLayer(30)], 2, init=init, gain=3.0, dtype=F64)
    for weight, synapses in ((net.w_1, 27), (net.w_2, 1024)):
        assert float(weight.detach().var()) * synapses == pytest.approx(9 * variance, rel=0.15)


def test_normalised_rates_have_a_mean_square_of_one() -> None:
    """But for what is added to the mean square."""
    rates = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=F64)
    wanted = rates / (12.5 + 0.25) ** 0.5
    assert torch.allclose(RMSNorm(0.25).through(rates, (2,), None), wanted, rtol=1e-12)


CARELESS: tuple[tuple[Callable[[], Any], type[Exception], str], ...] = (
    (lambda: MLP(3, [], 2), ValueError, "layers must hold at least one layer"),
    (lambda: MLP(3, [4, 0], 2), ValueError, "must be at least 1, got 0"),
    (lambda: CNN((1, 4, 4), [ConvLayer(2, 5)], 2), ValueError, "kernel of a layer must fit"),
    (lambda: CNN((1, 4, 4), [DenseLayer(3), ConvLayer(2)], 2), ValueError, "must lie on maps"),
    (lambda: CNN((1, 4, 4), [LocalLayer(2)], 2), TypeError, "ConvLayer or DenseLayer"),
    (lambda: CNN((4, 4), [ConvLayer(2)], 2), ValueError, "shape must be a number of inputs, or channels"),
    (lambda: MLP(3, [4], 2, then=(AvgPool(),)), ValueError, "pooling needs a map"),
    (lambda: MLP(3, [4], 2, init="he"), ValueError, "init"),
    (lambda: Dropout(1.0), ValueError, "share of the dropout"),
    (lambda: StackedRNN(3, [], 2), ValueError, "layers must hold at least one population"),
    (lambda: StackedRNN(3, [LeakyLayer(4, tau=-1.0)], 2), ValueError, "tau must be positive"),
    (lambda: tca.Learner(plain_stack(), tca.RULES["eprop_adaptive"]), ValueError, "no readout weights of its own"),
    (
        lambda: tca.Learner(plain_stack(), tca.RULES["eprop"]).stream(1),
        ValueError,
        "StackedRNN runs through whole trials, not step by step",
    ),
    (lambda: tca.Learner(plain_stack(), tca.RULES["eprop"]).signal(batch_of(plain_stack())), ValueError, "signals()"),
    (lambda: tca.Learner(MLP(3, [4, 4], 2), tca.Rule(Horizon(2), Instant())), ValueError, "one of several"),
    (lambda: MLP(3, [4], 2)(torch.zeros(1, 2, 5)), ValueError, "inputs must have shape"),
)


@pytest.mark.parametrize(("call", "kind", "message"), CARELESS, ids=[message for _, _, message in CARELESS])
def test_careless_use_is_refused(call: Callable[[], Any], kind: type[Exception], message: str) -> None:
    """Every error says what was wrong."""
    with pytest.raises(kind, match=message.replace("(", r"\(").replace(")", r"\)")):
        call()


def test_cross_entropy_through_a_network_of_maps() -> None:
    """Class targets and a batch without weights at some steps."""
    net = FEEDFORWARD["cnn"]()
    batch = replace(
        batch_of(net), targets=torch.arange(28).view(7, 4) % 3, loss=CrossEntropy(), weights=torch.eye(7, 4).double()
    )
    assert distance(gradients(net, tca.RULES["bptt"], batch), autograd(net, batch)) < EXACT
