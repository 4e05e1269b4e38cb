"""Losses of activity against autograd, in every kind of network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Full, Instant, Leak
from tca.nets import Network
from tca.signals import Direct, Exact, Random, Regularised
from tca.signals.regularisers.activity_regularisers import ActivityL1, LayerEntropy, Power, TrackedEntropy
from tests.tca.signals.decorrelation.test_decorrelation import batch_of_f1, by_hand, net_of_f1
from tests.tca.test_stacks import FEEDFORWARD, NETS, batch_of, distance, gradients, plain_stack

F64 = torch.float64


def moment(part: Any, z: Tensor, before: Tensor) -> Tensor:
    return part.kept * before + (1 - part.kept) * z.T @ z / len(z)


PARTS: dict[Any, Callable[[Tensor], Tensor]] = {
    Power(0.3, 0.4): lambda z: 0.3 * (z.square().mean(0) - 0.4).square().sum(),
    ActivityL1(0.2): lambda z: 0.2 * z.abs().mean(0).sum(),
    LayerEntropy(0.5, 0.9, 1e-3): lambda z: (
        -0.25 * torch.logdet(0.9 * unit(z) + 0.1 * z.T @ z / len(z) + 1e-3 * unit(z))
    ),
    TrackedEntropy(0.5, 0.9, 1e-3): lambda z: -0.25 * torch.logdet(0.9 * (1 + 1e-3) * unit(z) + 0.1 * z.T @ z / len(z)),
}


def unit(z: Tensor) -> Tensor:
    return torch.eye(z.shape[1], dtype=z.dtype)


@pytest.mark.parametrize("part", PARTS, ids=repr)
def test_gradient_of_each_layer(part: Any) -> None:
    """What is added to the changes is the derivative of the loss of each layer by its own synapses."""
    net, batch = net_of_f1(), batch_of_f1()
    plain = tca.Learner(net, tca.Rule(Random(), Instant())).grads(batch)[0]
    found = tca.Learner(net, tca.Rule(Regularised(Random(), (part,)), Instant())).grads(batch)[0]
    hand = by_hand(net, batch)
    for layer, rate in enumerate(hand.rates, 1):
        names = [f"w_{layer}", f"b_{layer}"]
        wanted = torch.autograd.grad(PARTS[part](rate), [hand.leaves[name] for name in names])
        for name, each in zip(names, wanted, strict=True):
            assert float(each.norm()) > 1e-4
            assert torch.allclose(found[name] - plain[name], each, rtol=1e-10, atol=1e-13)
    assert torch.equal(found["w_out"], plain["w_out"])


@pytest.mark.parametrize("build", FEEDFORWARD.values(), ids=FEEDFORWARD)
def test_losses_of_several_kinds_add_up_on_maps(build: Callable[[], Network]) -> None:
    """Each beside the others gives what each gives alone, in cells of maps as well."""
    net = build()
    batch = batch_of(net, steps=2)
    plain = gradients(net, tca.Rule(Random(), Instant()), batch)
    total = {name: each.clone() for name, each in plain.items()}
    for part in PARTS:
        alone = gradients(net, tca.Rule(Regularised(Random(), (part,)), Instant()), batch)
        for name, each in alone.items():
            total[name] += each - plain[name]
    assert distance(gradients(net, tca.Rule(Regularised(Random(), tuple(PARTS)), Instant()), batch), total) < 1e-10


@pytest.mark.parametrize("cells", [3, 9])
def test_inverse_carried_on_equals_the_inverse(cells: int) -> None:
    """After many batches of five trials the inverse is that of the averaged matrix, for few cells and for many."""
    net = tca.nets.MLP(4, [cells], 2, dtype=F64)
    part = TrackedEntropy(1.0, 0.8, 0.1)
    learner = tca.Learner(net, tca.Rule(Regularised(Random(), (part,)), Instant()))
    matrix = 1.1 * torch.eye(cells, dtype=F64)
    for seed in range(20):
        inputs = torch.randn(1, 5, 4, dtype=F64, generator=torch.Generator().manual_seed(seed))
        batch = tca.Batch(inputs, torch.zeros(1, 5, 2, dtype=F64), torch.ones(1, 5, dtype=F64), tca.losses.MSE())
        learner.backward(batch)
        matrix = moment(part, torch.relu(inputs[0] @ net.w_1.detach().T), matrix)
    found = learner.buffers["hidden_1.regulariser_0.precision"]
    assert torch.allclose(found @ matrix, torch.eye(cells, dtype=F64), atol=1e-10)
    assert torch.allclose(found, found.T, atol=1e-12)


def test_large_populations_are_left_alone() -> None:
    """No matrix of all pairs of cells is made where there are too many of them."""
    net = FEEDFORWARD["mlp"]()
    batch = batch_of(net, steps=2)
    for kind in (LayerEntropy, TrackedEntropy):
        learner = tca.Learner(net, tca.Rule(Regularised(Random(), (kind(1.0, 0.5, most=4),)), Instant()))
        assert {name.split(".")[0] for name in learner.buffers if "regulariser" in name} == {"hidden_2"}
        found, plain = learner.grads(batch)[0], gradients(net, tca.Rule(Random(), Instant()), batch)
        assert torch.equal(found["w_1"], plain["w_1"])
        assert not torch.allclose(found["w_2"], plain["w_2"])


@pytest.mark.parametrize(("name", "floor", "size"), [("mlp", 1e-8, 1e-4), ("cnn", 1e-5, 3e-3)])
def test_floors_are_the_published_ones(name: str, floor: float, size: float) -> None:
    """Where activity is as small as the floor, the derivative of the entropy has it in dense layers and in maps."""
    net, part = FEEDFORWARD[name](), LayerEntropy(1.0, 0.0)
    tape = tca.Learner(net, tca.Rule(Random(), Instant())).tape(batch_of(net, steps=2)).levels[-1]
    tape.rate.copy_(size * torch.randn(tape.rate.shape, dtype=F64, generator=torch.Generator().manual_seed(3)))
    z = tape.rate[1:].flatten(0, 1).clone().requires_grad_()
    buffers = part.buffers(tape.population)
    part.update_statistics_(tape, buffers)
    found = part.windowed_signal(tape, buffers)(slice(1, 3)).flatten(0, 1)
    (wanted,) = torch.autograd.grad(-0.5 * torch.logdet(z.T @ z / len(z) + floor * unit(z)), z)
    assert torch.allclose(found, wanted, rtol=1e-6)
    inverse = TrackedEntropy(1.0).buffers(tape.population)["precision"]
    assert torch.allclose(inverse, unit(z) / (1 + floor), rtol=1e-14)


def test_a_floor_that_is_too_low_is_named() -> None:
    """A second moment that cannot be inverted in its type is an error of one line."""
    net = FEEDFORWARD["mlp"]().float()
    learner = tca.Learner(net, tca.Rule(Regularised(Random(), (LayerEntropy(1.0, 0.0, 1e-12),)), Instant()))
    with pytest.raises(ValueError, match=r"floor must be large enough .* inverted in torch.float32, got 1e-12"):
        learner.backward(batch_of(net, steps=1, trials=2).to(dtype=torch.float32))


def test_in_time_a_loss_meets_the_traces() -> None:
    """With the whole Jacobian as memory it is the derivative by autograd through time; with the leak it is not."""
    net = tca.nets.LeakyRNN(3, 5, 2, seed=1, tau=30.0, dtype=F64)
    batch = batch_of(net)
    rule = tca.Rule(Regularised(Direct(), (Power(0.3, 0.4),)), Full())
    found = gradients(net, rule, batch)
    leaves = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
    state, rates = torch.zeros(4, 5, dtype=F64), []
    for x in batch.inputs:
        drive = torch.tanh(state) @ leaves["w_rec"].T + x @ leaves["w_in"].T + leaves["b"]
        state = net.leak * state + (1 - net.leak) * drive
        rates.append(torch.tanh(state))
    z = torch.stack(rates)
    outputs = z @ leaves["w_out"].T + leaves["b_out"]
    cost = batch.loss.mean(outputs, batch.targets, batch.weights)
    cost = cost + 0.3 * (z.square().mean((0, 1)) - 0.4).square().sum()
    wanted = dict(zip(leaves, torch.autograd.grad(cost, list(leaves.values())), strict=True))
    assert distance(found, wanted) < 1e-12
    assert distance(gradients(net, replace(rule, eligibility=Leak()), batch), wanted) > 1e-2


@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
def test_both_executions_agree_and_state_has_its_names(build: Callable[[], Network]) -> None:
    """In stacks too; what the signal hands down is as without regularisers."""
    net = build()
    batch = batch_of(net, steps=4)
    learner = tca.Learner(net, tca.Rule(Regularised(Direct(), tuple(PARTS)), Leak()))
    assert distance(learner.grads(batch, execution="forward")[0], learner.grads(batch)[0]) < 1e-12
    kinds = {name.split("regulariser_")[1] for name in learner.buffers}
    assert kinds == {"2.second_moment", "3.precision"}
    learning_signal = learner.signals(batch)
    bare = tca.Learner(net, tca.Rule(Direct(), Leak())).signals(batch)
    weightless = tca.Rule(Regularised(Direct(), (Power(0.0),)), Leak())
    assert all(torch.allclose(each, bare[name]) for name, each in tca.Learner(net, weightless).signals(batch).items())
    assert any(not torch.allclose(learning_signal[name], bare[name]) for name in learning_signal)


def test_what_the_signal_promises_is_kept() -> None:
    """Locality, horizon and fit are those of the signal; a signal that fits one propagator refuses many."""
    power = (Power(),)
    assert Regularised(Direct(), power).local
    assert not Regularised(Exact(), power).local
    assert Regularised(Direct(), power).horizon == 0
    assert Regularised(Exact(), power).horizon is None
    with pytest.raises(ValueError, match="cannot run online"):
        tca.Learner(tca.nets.LeakyRNN(2, 3, 1), tca.Rule(Regularised(Direct(), power), Leak())).stream(1)
    with pytest.raises(ValueError, match="no readout weights of its own"):
        tca.Learner(plain_stack(), tca.Rule(Regularised(tca.signals.Adaptive(), power), Leak()))


CARELESS: tuple[tuple[Callable[[], Any], str], ...] = (
    (lambda: Regularised(Direct(), ()), "regularisers must hold at least one"),
    (lambda: Power(-1.0), "weight must be 0 or greater"),
    (lambda: Power(1.0, 0.0), "target must be greater than 0"),
    (lambda: ActivityL1(-1.0), "weight must be 0 or greater"),
    (lambda: LayerEntropy(1.0, 1.0), "kept must lie in"),
    (lambda: LayerEntropy(1.0, 0.9, 0.0), "floor must be greater than 0"),
    (lambda: LayerEntropy(1.0, most=0), "most must be at least 1"),
    (lambda: TrackedEntropy(1.0, 0.0), "kept must be greater than 0"),
)


@pytest.mark.parametrize(("call", "message"), CARELESS, ids=[message for _, message in CARELESS])
def test_careless_use_is_refused(call: Callable[[], Any], message: str) -> None:
    """Every error says what was wrong."""
    with pytest.raises(ValueError, match=message):
        call()
