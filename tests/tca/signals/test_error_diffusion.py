"""Error diffusion in networks of two streams: signs, routing, centring, the original rule, and what it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

import tca
from tca.cells.activations import Sigmoid
from tca.connections.signed import ScaledBias, Signed, SignedConv, SignedDense, negated
from tca.eligibilities import Instant, Leak
from tca.losses import MSE, CrossEntropy, Logistic
from tca.nets import AvgPool, ConvLayer, DenseLayer, DualStreamCNN, DualStreamMLP, DualStreamRNN, Network, RMSNorm
from tca.nets.dual_stream.dual_stream_networks import streams_of
from tca.rule import Rule
from tca.signals import Direct, ErrorDiffusion, Random, Regularised
from tca.signals.error_diffusion import (
    BatchCentre,
    ModuloRouting,
    NoCentre,
    RandomRouting,
    RunningCentre,
    SingleClassWarning,
)
from tca.signals.regularisers.activity_regularisers import ActivityL1
from tests.tca.test_stacks import autograd, batch_of, distance, gradients

F64 = torch.float64
EXACT = 1e-12
DIFFUSION = Rule(ErrorDiffusion(), Instant())


def rattled(net: Any) -> Any:
    """Move every parameter, magnitudes staying above the floor."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.2 * torch.rand(parameter.shape, dtype=parameter.dtype, generator=generator)
    net.project_()
    return net


NETS: dict[str, Callable[[], Network]] = {
    "mlp": lambda: rattled(DualStreamMLP(6, [5, 4], 3, dtype=F64)),
    "presynaptic": lambda: rattled(DualStreamMLP(6, [5, 4], 3, wiring="presynaptic", block=True, dtype=F64)),
    "rectified and normalised": lambda: rattled(
        DualStreamMLP(6, [5, 4], 3, activation="relu", then=(RMSNorm(),), dtype=F64)
    ),
    "cnn": lambda: rattled(
        DualStreamCNN((2, 6, 6), [ConvLayer(3, padding=1, then=(AvgPool(),)), DenseLayer(4)], 3, dtype=F64)
    ),
    "rnn": lambda: rattled(DualStreamRNN(6, 5, 3, dtype=F64)),
    "rnn of form B": lambda: rattled(DualStreamRNN(6, 5, 3, form="B", wiring="presynaptic", dtype=F64)),
}
each_net = pytest.mark.parametrize("build", NETS.values(), ids=NETS)


def changes(net: Network, rule: Rule, batch: tca.Batch) -> dict[str, Tensor]:
    """What a rule gives, but for the biases of the outputs, whose centred errors add up to zero."""
    found = gradients(net, rule, batch)
    found.pop("b_out")
    return found


def classes(net: Network, steps: int = 1, trials: int = 12, loss: Any = None) -> tca.Batch:
    """Trials of all classes; every step counts."""
    batch = batch_of(net, steps, trials)
    labels = torch.arange(steps * trials).view(steps, trials) % net.n_out
    weights = torch.ones(steps, trials, dtype=F64)
    if isinstance(loss, Logistic):
        return replace(batch, targets=torch.nn.functional.one_hot(labels).double(), weights=weights, loss=loss)
    return replace(batch, targets=labels, weights=weights, loss=CrossEntropy())


@pytest.mark.parametrize("width", [0.4, 3.0, 6.0])
def test_slope_of_the_sigmoid(width: float) -> None:
    """At most ``1 / (2 width)``, and equal to autograd."""
    u = torch.linspace(-4 * width, 4 * width, 401, dtype=F64, requires_grad=True)
    activation = Sigmoid(width)
    (slope,) = torch.autograd.grad(activation(u).sum(), u)
    found = activation.slope(activation(u).detach())
    assert torch.allclose(found, slope, rtol=0, atol=EXACT)
    assert float(found.max()) == pytest.approx(1 / (2 * width), abs=1e-9)
    out = torch.empty_like(u)
    activation.into(u.detach(), out)
    assert torch.allclose(out, activation(u), rtol=0, atol=EXACT)


@each_net
def test_run_equals_functional_and_the_gradient_is_exact(build: Callable[[], Network]) -> None:
    """The pass without a graph, and backpropagation to the magnitudes."""
    net = build()
    batch = batch_of(net, steps=5)
    assert torch.allclose(net.run(batch.inputs).outputs, net.functional({}, batch.inputs), rtol=1e-12)
    true = autograd(net, batch)
    for connection in net.connections():
        if connection.mask is not None:
            true[connection.name] = true[connection.name] * connection.mask
    assert distance(gradients(net, tca.RULES["bptt"], batch), true) < EXACT


@each_net
@pytest.mark.parametrize("signal", [ErrorDiffusion(), ErrorDiffusion(RandomRouting(), NoCentre(), 2.0)], ids=repr)
def test_forward_equals_reverse(build: Callable[[], Network], signal: ErrorDiffusion) -> None:
    """Traces and the reverse filter agree."""
    net = build()
    learner = tca.Learner(net, Rule(signal, Leak()))
    batch = classes(net, steps=6)
    reverse, _ = learner.grads(batch)
    assert distance(learner.grads(batch, execution="forward")[0], reverse) < EXACT


@pytest.mark.parametrize("outputs", [1, 10])
def test_every_path_has_the_sign_of_the_stream(outputs: int) -> None:
    """``sign(dy_c / dh_k) = t_k`` for all cells, outputs and inputs; not so with presynaptic signs."""
    right = {}
    for wiring in ("streams", "presynaptic"):
        signs = []
        for seed in range(20 if wiring == "presynaptic" else 1):
            net = DualStreamMLP(8, [20, 20, 20], outputs, wiring=wiring, seed=seed, dtype=F64)
            inputs = torch.rand(1, 5, 8, dtype=F64, generator=torch.Generator().manual_seed(seed))
            tape = net.run(inputs)
            for output in range(outputs):
                learning_signal = torch.zeros(2, 5, outputs, dtype=F64)
                learning_signal[1, :, output] = 1.0
                windowed_signal = tca.Learner(net, tca.RULES["backprop"]).rule.signal.windowed_signal
                for level in tape.with_error(learning_signal[1:]).levels:
                    lifted = windowed_signal(level, {}, Instant())(slice(1, 2))[0]
                    signs.append((lifted * level.population.signs > 0).double().mean())
        right[wiring] = float(torch.stack(signs).mean())
    assert right["streams"] == 1.0
    assert right["presynaptic"] < 0.95


def test_normalised_rates_break_the_signs_of_paths() -> None:
    """A + cell with a weak synapse takes more from the rates of the others than it gives to the output."""
    net = DualStreamMLP(4, [3], 1, dtype=F64)
    with torch.no_grad():
        net.w_out.copy_(torch.tensor([[net.floor, 1.0, 1.0, net.floor, net.floor, net.floor]]))
    (w_out, _) = net.readout_connections()
    rates = torch.ones(1, 6, dtype=F64, requires_grad=True)
    plain, normalised = (
        torch.autograd.grad(w_out.drive(passed).sum(), rates)[0][0] * streams_of(6)
        for passed in (rates, RMSNorm().through(rates, (6,), None))
    )
    assert (plain > 0).all()
    assert normalised.sign().tolist() == [-1.0, 1.0, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("cells", "outputs"), [(20, 10), (23, 10), (4, 10), (7, 1)])
def test_routing_by_number(cells: int, outputs: int) -> None:
    """``R_i = D_{i mod O}``, also where O does not divide H; with few cells every error reaches one."""
    matrix = ModuloRouting().matrix(cells, outputs, torch.Generator())
    errors = torch.randn(3, outputs, dtype=F64, generator=torch.Generator().manual_seed(0))
    if cells >= outputs:
        assert torch.equal(errors @ matrix.T, errors[:, torch.arange(cells) % outputs])
    assert (matrix.sum(0) >= 1).all()


@each_net
def test_it_is_direct_feedback_with_a_fixed_matrix(build: Callable[[], Network]) -> None:
    """``L = -slope [+M; -M] D`` in every population; the four blocks change as published."""
    net = build()
    batch = classes(net, steps=3)
    learner = tca.Learner(net, DIFFUSION)
    tape, learning_signal = learner.tape(batch), learner.signals(batch)
    errors = torch.nn.functional.one_hot(batch.targets, 3) - torch.softmax(tape.outputs, -1)
    centred = (errors - errors.mean(1, keepdim=True)) / batch.trials
    assert float(centred.sum(1).abs().max()) < EXACT
    found = learner.grads(batch)[0]
    for level in tape.levels:
        channels, positions = level.population.shape[0] // 2, level.population.cells // level.population.shape[0]
        routing = ModuloRouting().matrix(channels, 3, torch.Generator()).repeat_interleave(positions, 0) / positions
        fixed = torch.cat([routing, -routing])
        wanted = level.lift(-(centred @ fixed.T), slice(1, 4))
        assert torch.allclose(learning_signal[level.population.name][1:], wanted, rtol=1e-11, atol=1e-15)
    if isinstance(net, DualStreamMLP) and net.hidden_layers[0].wires[0][1].keywords["by_post"]:
        lower = tape.levels[1].rate[1:]
        if net.hidden_layers[0].operations:
            lower = lower / (lower.square().mean(-1, keepdim=True) + 1e-8).sqrt()
        p_1, n_1 = lower.chunk(2, -1)
        slopes = tape.levels[0].activation.slope(tape.levels[0].rate[1:]).chunk(2, -1)
        routed = centred @ ModuloRouting().matrix(4, 3, torch.Generator()).T
        u_p, u_n = slopes[0] * routed, -slopes[1] * routed

        def product(u: Tensor, pre: Tensor) -> Tensor:
            return u.flatten(0, 1).T @ pre.flatten(0, 1)

        rows = [[product(u_p, p_1), -product(u_p, n_1)], [-product(u_n, p_1), product(u_n, n_1)]]
        blocks = torch.cat([torch.cat(row, 1) for row in rows])
        assert torch.allclose(-found["w_2"], blocks, rtol=1e-11, atol=1e-16)


def test_a_constant_in_the_errors_teaches_nothing() -> None:
    """What all trials of a step have in common is centred away, from the readout too; without centring it is not."""
    net = NETS["mlp"]()
    batch = replace(batch_of(net, 1, 9), weights=torch.ones(1, 9, dtype=F64), loss=MSE())
    shifted = replace(batch, targets=batch.targets + torch.tensor([1.0, -2.0, 3.0], dtype=F64))
    assert distance(changes(net, DIFFUSION, shifted), changes(net, DIFFUSION, batch)) < 1e-11
    plain = Rule(ErrorDiffusion(centring=NoCentre()), Instant())
    assert distance(changes(net, plain, shifted), changes(net, plain, batch)) > 0.1


def test_padded_trials_do_not_count_in_the_mean() -> None:
    """A trial without a weight leaves the change as it is but for the number of trials."""
    net = NETS["rnn"]()
    batch = classes(net, steps=3, trials=8)
    weights = batch.weights.clone()
    weights[:, 6:] = 0
    few = batch.select(slice(0, 6))
    found = changes(net, DIFFUSION, replace(batch, weights=weights * 8 / 6))
    assert distance(found, changes(net, DIFFUSION, few)) < 1e-11


def test_the_running_mean_follows_the_errors() -> None:
    """``D = d - m`` and then ``m <- m + rate (d - m)``, by training and not by looking."""
    net = NETS["mlp"]()
    batch = classes(net)
    learner = tca.Learner(net, Rule(ErrorDiffusion(centring=RunningCentre(0.25)), Instant()))
    learner.grads(batch)
    assert learner.buffers["hidden_1.mean"].abs().sum() == 0
    errors = -batch.loss.output_error(net.run(batch.inputs).outputs, batch.targets)
    learner.backward(batch)
    assert torch.allclose(learner.buffers["hidden_1.mean"], 0.25 * errors.mean((0, 1)), rtol=1e-12)
    assert torch.equal(learner.buffers["hidden_1.mean"], learner.buffers["hidden_2.mean"])
    bias = net.get_parameter("b_out")
    assert torch.allclose(bias.grad, -2 / 6 * errors.mean((0, 1)), rtol=1e-12)  # type: ignore[arg-type]
    bias.grad = None
    learner.backward(batch)
    assert torch.allclose(bias.grad, -2 / 6 * 0.75 * errors.mean((0, 1)), rtol=1e-12)  # type: ignore[arg-type]


def test_the_running_mean_is_that_of_before_each_step() -> None:
    """Step by step, over the trials that count, by a loop; no error is centred by itself or a later one."""
    net = rattled(DualStreamRNN(6, 5, 3, dtype=F64))
    batch = replace(batch_of(net, 6, 4), loss=MSE())
    batch.weights[2] = 0
    batch.weights[4:, 1:] = 0
    rule = Rule(ErrorDiffusion(centring=RunningCentre(0.25)), Leak())
    learner = tca.Learner(net, rule)
    errors = batch.targets - net.run(batch.inputs).outputs
    mean, centred = torch.zeros(3, dtype=F64), torch.zeros_like(errors)
    for _ in range(2):
        for t in range(6):
            centred[t] = errors[t] - mean
            counts = batch.weights[t] > 0
            if counts.any():
                mean = mean + 0.25 * (errors[t, counts].mean(0) - mean)
        learner.backward(batch)
        assert torch.allclose(learner.buffers["mean"], mean, rtol=1e-12)
    bias = net.get_parameter("b_out").grad
    learning_signal = -(centred * batch.weights.unsqueeze(-1) / 4).sum((0, 1))
    fresh = tca.Learner(net, rule)
    first = fresh.grads(batch)[0]["b_out"]
    assert torch.allclose(bias, first + learning_signal, rtol=1e-11)  # type: ignore[operator]
    before = fresh.signal(batch)
    for t in range(1, 7):
        moved = batch.targets.clone()
        moved[t:] += 1
        assert torch.equal(fresh.signal(replace(batch, targets=moved))[: t + 1], before[: t + 1])


def test_a_batch_of_one_class_is_named() -> None:
    """Centred errors of a single class say nothing about the others; without centring there is nothing to warn of."""
    net = NETS["mlp"]()
    batch = replace(classes(net), targets=torch.ones(1, 12, dtype=torch.int64))
    with pytest.warns(SingleClassWarning, match="single class"):
        tca.Learner(net, DIFFUSION).grads(batch)
    tca.Learner(net, Rule(ErrorDiffusion(centring=NoCentre()), Instant())).grads(batch)


@each_net
def test_magnitudes_stay_above_the_floor_and_rise_again(build: Callable[[], Network]) -> None:
    """After large steps no magnitude lies below the floor; one that lies there leaves it when it is driven up."""
    net = build()
    batch = classes(net, steps=2)
    learner, optimizer = tca.Learner(net, DIFFUSION), torch.optim.SGD(net.parameters(), 50.0)
    for _ in range(5):
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
        net.project_()
        for connection in net.connections():
            if isinstance(connection, (SignedDense, SignedConv)):
                exists = connection.weight if connection.mask is None else connection.weight[connection.mask > 0]
                assert float(exists.detach().min()) >= 1e-4 * (1 - 1e-9) or isinstance(net, DualStreamRNN)
                assert float(exists.detach().min()) > 0
    with torch.no_grad():
        net.w_out.fill_(1e-4)
    up = net.w_out.clone()
    gradient = learner.grads(batch)[0]["w_out"]
    net.w_out.data -= gradient
    net.project_()
    driven = gradient < 0
    if net.connections()[-2].mask is not None:
        driven &= net.connections()[-2].mask > 0
    assert bool((net.w_out > up)[driven].all())


def test_blocks_of_the_readout_lie_alike_in_both_streams() -> None:
    """Output c reads the cells whose place in their stream is c modulo O; the floor makes no other synapse."""
    net = DualStreamMLP(4, [5], 3, block=True, dtype=F64)
    net.project_()
    place = torch.arange(5) % 3
    received = torch.cat([place, place]) == torch.arange(3).unsqueeze(1)
    assert torch.equal(net.w_out.detach() != 0, received)


@pytest.mark.slow
def test_the_original_rule_only_grows() -> None:
    """No magnitude falls in a thousand random updates; a positive error moves synapses from + cells, else from -."""
    net = DualStreamMLP(4, [8], 1, wiring="streams", width=0.4, dtype=F64)
    learner = tca.Learner(net, tca.RULES["kaneko"])
    shrinking = tca.Learner(net, Rule(ErrorDiffusion(centring=NoCentre()), Instant()))
    generator = torch.Generator().manual_seed(1)
    fell = False
    for _ in range(1000):
        inputs = torch.rand(1, 3, 4, dtype=F64, generator=generator)
        targets = torch.randint(0, 2, (1, 3, 1), generator=generator).double()
        batch = tca.Batch(inputs, targets, torch.ones(1, 3, dtype=F64), Logistic())
        found = learner.grads(batch)[0]
        assert all(float(found[name].max()) <= 0 for name in ("w_1", "w_out"))
        fell |= float(shrinking.grads(batch)[0]["w_1"].max()) > 0
    assert fell
    for target, silent in ((1.0, slice(8, 16)), (0.0, slice(0, 8))):
        batch = tca.Batch(inputs, torch.full((1, 3, 1), target, dtype=F64), torch.ones(1, 3, dtype=F64), Logistic())
        found = learner.grads(batch)[0]["w_out"]
        assert (found[:, silent] == 0).all()
        assert float(found.abs().sum()) > 0


@each_net
def test_the_original_rule_only_grows_in_every_network_and_with_terms_added(build: Callable[[], Network]) -> None:
    """No change lets a magnitude fall, in dense connections, convolutions and loops; a plain signal lets some."""
    net = build()
    batch = replace(classes(net, steps=4), inputs=torch.rand(4, 12, net.n_in, dtype=F64))
    grow = ErrorDiffusion(centring=NoCentre(), grow_only=True)
    magnitudes = [each.name for each in net.connections() if isinstance(each, Signed)]
    for signal in (grow, Regularised(grow, (ActivityL1(0.01),))):
        learner = tca.Learner(net, Rule(signal, Leak()))
        found = learner.grads(batch)[0]
        assert all(float(found[name].max()) <= 0 < float(found[name].abs().max()) for name in magnitudes)
        with pytest.raises(ValueError, match="must be 'reverse', got 'forward'"):
            learner.grads(batch, execution="forward")
    plain = tca.Learner(net, Rule(ErrorDiffusion(centring=NoCentre()), Leak())).grads(batch)[0]
    assert all(float(plain[name].max()) > 0 for name in magnitudes)


def test_one_output_is_descended_along_every_weight() -> None:
    """For a scalar output and one example the change has the sign of minus the gradient; other signs do not."""
    net = DualStreamMLP(8, [12, 10], 1, seed=3, dtype=F64)
    inputs = torch.rand(1, 1, 8, dtype=F64, generator=torch.Generator().manual_seed(2))
    batch = tca.Batch(inputs, torch.full((1, 1, 1), 3.0, dtype=F64), torch.ones(1, 1, dtype=F64), MSE())
    learner = tca.Learner(net, Rule(ErrorDiffusion(centring=NoCentre()), Instant()))
    found, true = learner.grads(batch)[0], autograd(net, batch)
    assert all(bool((found[name] * true[name] >= 0).all()) for name in true)
    assert all(float((found[name] * true[name]).sum()) > 0 for name in true)
    for name in ("hidden_1", "hidden_2"):
        learner.buffers[f"{name}.routing"].neg_()
    flipped = learner.grads(batch)[0]
    assert all(bool((flipped[name] * true[name] <= 0).all()) for name in ("w_1", "w_2"))
    strict = DualStreamMLP(8, [20, 20, 20], 1, wiring="presynaptic", seed=1, dtype=F64)
    one = tca.Learner(strict, Rule(ErrorDiffusion(centring=NoCentre()), Instant())).grads(batch)[0]
    agree = torch.cat([(one[name] * autograd(strict, batch)[name] >= 0).double().flatten() for name in ("w_1", "w_2")])
    assert 0.05 < 1 - float(agree.mean()) < 0.6


def test_traces_of_a_recurrent_network() -> None:
    """``sum_t L_k slope hbar_i sigma`` is the derivative of ``sum_t L h`` with presynaptic rates held."""
    net = DualStreamRNN(2, 3, 2, tau=45.0, dtype=F64)
    rattled(net)
    batch = classes(net, steps=5, trials=4)
    learner = tca.Learner(net, tca.RULES["error_diffusion"])
    found = learner.grads(batch)[0]["w_rec"]
    tape = learner.tape(batch)
    rate_signal = learner.signals(batch)[""][1:] / tape.activation.slope(tape.rate[1:])
    magnitude = net.w_rec.detach().clone().requires_grad_()
    t = streams_of(6)
    signed_in = torch.outer(t, torch.cat([torch.ones(2), -torch.ones(2)]).double()) * net.w_in.detach()
    state, total = torch.zeros(4, 6, dtype=F64), torch.zeros((), dtype=F64)
    for step in range(5):
        external = torch.cat([batch.inputs[step]] * 2, -1) @ signed_in.T + net.b.detach()
        drive = tape.rate[step] @ (torch.outer(t, t) * magnitude).T + external
        state = net.leak * state + (1 - net.leak) * drive
        total = total + (rate_signal[step] * torch.sigmoid(2 / 3 * state)).sum()
    (wanted,) = torch.autograd.grad(total, magnitude)
    assert torch.allclose(found, wanted * (1 - torch.eye(6)), rtol=1e-11, atol=1e-16)


def test_spectrum_and_bound_of_the_recurrent_network() -> None:
    """Signs by both cells leave the eigenvalues of the magnitudes, the largest real and positive; the bound holds."""
    net = DualStreamRNN(2, 20, 2, seed=1, dtype=F64)
    with torch.no_grad():
        net.w_rec.mul_(50)
    net.project_()
    magnitude = net.w_rec.detach()
    t = streams_of(40)
    signed, plain = (torch.linalg.eigvals(each) for each in (torch.outer(t, t) * magnitude, magnitude))
    assert torch.allclose(signed.abs().sort().values, plain.abs().sort().values, atol=1e-10)
    leading = signed[signed.abs().argmax()]
    assert abs(float(leading.imag)) < 1e-10
    assert float(leading.real) > 0
    assert float(magnitude.sum(1).max()) <= 0.9 * 2 * 3 + 1e-12
    assert float(leading.real) / (2 * 3) <= 0.9 + 1e-12
    assert (magnitude.diagonal() == 0).all()
    with torch.no_grad():
        net.w_rec.fill_(0.01)
    net.project_()
    assert float(net.w_rec.detach().max()) == 0.01
    free = DualStreamRNN(2, 20, 2, seed=1, loop_gain_bound=None, dtype=F64)
    with torch.no_grad():
        free.w_rec.mul_(50)
    free.project_()
    assert float(free.w_rec.detach().sum(1).max()) > 5.4


def test_relays_make_it_dale() -> None:
    """With an inhibitory relay for each cell outputs stay the same and every cell makes synapses of one sign."""
    net = NETS["mlp"]()
    inputs = batch_of(net, 1, 5).inputs
    rates = [torch.cat([inputs[0]] * 2, -1)]
    parameters = dict(net.named_parameters())
    for number in (1, 2):
        magnitude, bias = parameters[f"w_{number}"].detach(), parameters[f"b_{number}"].detach()
        post, pre = streams_of(len(magnitude)), streams_of(magnitude.shape[1])
        same = post.unsqueeze(1) == pre
        outgoing = torch.cat([magnitude * same, -magnitude * ~same], 1)  # principal cells, then their relays
        assert all(len(column[column != 0].sign().unique()) <= 1 for column in outgoing.T)
        without = magnitude * torch.where(same, 1, -1)  # control: a cell that both excites and inhibits
        assert all(len(column.sign().unique()) == 2 for column in without.T)
        drive = torch.cat([rates[-1]] * 2, -1) @ outgoing.T + bias
        rates.append(torch.sigmoid(2 / 6 * drive))
    out, pre = parameters["w_out"].detach(), streams_of(8)
    outgoing = torch.cat([out * (pre > 0), -out * (pre < 0)], 1)
    outputs = (torch.cat([rates[-1]] * 2, -1) @ outgoing.T + parameters["b_out"].detach()) * 2 / 6
    assert torch.allclose(outputs, net.run(inputs).outputs[0], rtol=1e-12)


def test_what_the_readout_learns_from() -> None:
    """Softmax outputs: minus the centred error; logistic outputs: times their slope, unless switched off."""
    net = NETS["mlp"]()
    batch = classes(net, loss=Logistic())
    rates, scale = net.run(batch.inputs).rate[1], 2 / 6
    share = torch.sigmoid(net.run(batch.inputs).outputs[0])
    errors = batch.targets[0] - share
    centred = (errors - errors.mean(0)) / 12
    for gate in (True, False):
        learning_signal = -centred * (share * (1 - share) if gate else 1)
        found = gradients(net, Rule(ErrorDiffusion(gate_outputs=gate), Instant()), batch)
        assert torch.allclose(found["w_out"], scale * learning_signal.T @ negated(rates), rtol=1e-11)
        assert torch.allclose(found["b_out"], scale * learning_signal.sum(0), rtol=1e-11, atol=1e-16)


def test_connections_agree_with_their_matrix() -> None:
    """Drive, way back and gradient of signed connections equal those of the signed weights."""
    generator = torch.Generator().manual_seed(0)
    for options in ({}, {"by_post": False, "scale": 0.3}, {"copied": True}):
        weight = torch.rand(6, 8, dtype=F64, generator=generator)
        connection = SignedDense("w", weight, **options)
        matrix = connection.matrix()
        pre = torch.randn(5, connection.n_pre, dtype=F64, generator=generator)
        learning_signal = torch.randn(5, 6, dtype=F64, generator=generator)
        assert torch.allclose(connection.drive(pre), pre @ matrix.T, rtol=1e-12)
        assert torch.allclose(connection.back(learning_signal), learning_signal @ matrix, rtol=1e-12)
        gradient = connection.gradient()
        connection.outer_(gradient, learning_signal, pre)
        free = weight.clone().requires_grad_()
        (wanted,) = torch.autograd.grad((connection.apply(free, pre) * learning_signal).sum(), free)
        assert torch.allclose(gradient, wanted, rtol=1e-12)
    bias = ScaledBias("b", torch.ones(3, dtype=F64), scale=0.25)
    assert bias.drive(torch.ones(1)).tolist() == [0.25] * 3
    assert bias.fold(torch.ones(3, 1, dtype=F64)).tolist() == [0.25] * 3


@pytest.mark.cuda
@each_net
def test_gpu_equals_cpu(build: Callable[[], Network]) -> None:
    """The same change on a GPU."""
    net = build()
    batch = classes(net, steps=2)
    wanted = gradients(net, DIFFUSION, batch)
    found = gradients(net.to("cuda"), DIFFUSION, batch.to("cuda"))
    assert distance({name: each.cpu() for name, each in found.items()}, wanted) < 1e-10


def test_careless_use_is_refused() -> None:
    """Errors name what was wrong."""
    with pytest.raises(ValueError, match="wiring"):
        DualStreamMLP(3, [4], 2, wiring="dale")
    with pytest.raises(TypeError, match="ConvLayer"):
        DualStreamCNN((1, 4, 4), [tca.nets.LocalLayer(2)], 2)
    with pytest.raises(ValueError, match="loop_gain_bound"):
        DualStreamRNN(3, 4, 2, loop_gain_bound=0.0)
    with pytest.raises(ValueError, match="rate of the running mean"):
        RunningCentre(0.0)
    with pytest.raises(ValueError, match="one stream"):
        tca.Learner(tca.nets.MLP(3, [4], 2), tca.RULES["error_diffusion"])


def digits(rule: Rule, rate: float, epochs: int, **options: Any) -> float:
    """Accuracy on held-out digits after plain gradient steps, in percent."""
    data = load_digits()
    inputs, labels = torch.tensor(data.data / 16).float(), torch.tensor(data.target)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(inputs), generator=generator)
    train, test = order[:1437], order[1437:]
    net = DualStreamMLP(64, [200, 100], 10, **options)
    learner, optimizer = tca.Learner(net, rule), torch.optim.SGD(net.parameters(), rate)
    targets = torch.nn.functional.one_hot(labels).float()
    for _ in range(epochs):
        for part in train[torch.randperm(1437, generator=generator)].split(128):
            batch = tca.Batch(inputs[part][None], targets[part][None], torch.ones(1, len(part)), Logistic())
            optimizer.zero_grad()
            learner.backward(batch)
            optimizer.step()
            net.project_()
    with torch.no_grad():
        return 100 * float((net(inputs[test][None])[0].argmax(-1) == labels[test]).float().mean())


@pytest.mark.slow
def test_it_learns_digits_and_what_it_needs_for_that() -> None:
    """Wide sigmoids, shrinking magnitudes, and signals to hidden cells, in a short training."""
    learned = digits(DIFFUSION, 30.0, 15)
    assert learned > 88
    assert digits(DIFFUSION, 30.0, 6, width=1.0, width_out=1.0) < 60
    assert digits(Rule(ErrorDiffusion(grow_only=True), Instant()), 30.0, 6) < 45
    assert digits(Rule(ErrorDiffusion(gain=1e-9), Instant()), 30.0, 6) < 45
    assert digits(Rule(Direct(), Instant()), 30.0, 6) < 60
    assert BatchCentre() == ErrorDiffusion().centring
    assert Random() != ErrorDiffusion()
