"""Facts about scores that are broadcast and decorrelated: forms to round-off, and why fast averages are dangerous.

Shapes: T time, B batch, N cells, O outputs. Everything is float64 unless said otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Diagonal, Instant, Leak
from tca.losses import Brier, CrossEntropy
from tca.signals import Decay, Decorrelation, NormalStart, OutputError, Random, Regularised
from tca.signals.regularisers.activity_regularisers import ActivityL1, LayerEntropy, Power, TrackedEntropy
from tests.support.rows import relative
from tests.tca.signals.decorrelation.test_decorrelation import batch_of_f1, bound, by_hand, net_of_f1, normal
from tests.tca.signals.decorrelation.test_in_time import F2_CASE, F2_SIGNALS, online
from tests.tca.signals.decorrelation.test_learning import WrongSign, digits, trained

F64 = torch.float64


def unit(z: Tensor) -> Tensor:
    return torch.eye(z.shape[1], dtype=z.dtype)


LOSSES: dict[Any, Any] = {
    Power(0.3, 0.25): lambda z: 0.3 * (z.square().mean(0) - 0.25).square().sum(),
    ActivityL1(0.2): lambda z: 0.2 * z.abs().mean(0).sum(),
    LayerEntropy(0.5, 0.9, 1e-3): lambda z: (
        -0.25 * torch.logdet(0.9 * unit(z) + 0.1 * z.T @ z / len(z) + 1e-3 * unit(z))
    ),
    TrackedEntropy(0.5, 0.9, 1e-3): lambda z: -0.25 * torch.logdet(0.9 * (1 + 1e-3) * unit(z) + 0.1 * z.T @ z / len(z)),
}


@pytest.mark.parametrize("part", LOSSES, ids=repr)
def test_regularisers_are_derivatives_to_round_off(part: Any) -> None:
    """Power, sparseness and entropy of a layer, averaged from the unit matrix: 1e-12 of the largest number."""
    net, batch = net_of_f1(), batch_of_f1()
    plain = tca.Learner(net, tca.Rule(Random(), Instant())).grads(batch)[0]
    found = tca.Learner(net, tca.Rule(Regularised(Random(), (part,)), Instant())).grads(batch)[0]
    hand = by_hand(net, batch)
    for layer, rate in enumerate(hand.rates, 1):
        names = [f"w_{layer}", f"b_{layer}"]
        wanted = torch.autograd.grad(LOSSES[part](rate), [hand.leaves[name] for name in names])
        for name, each in zip(names, wanted, strict=True):
            scale = max(float(each.abs().max()), float(plain[name].abs().max()))
            assert float((found[name] - plain[name] - each).abs().max()) < 1e-12 * scale
            assert float(each.abs().max()) > 1e-5


@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "poisson", "brier"])
def test_forward_broadcast_is_a_derivative_to_round_off(loss: str) -> None:
    """``dW_L = (1 - lam) mean (Hess l R^T g(z)) z^T`` of both layers, against autograd through the score."""
    net, function = net_of_f1(), tca.losses.LOSSES[loss]
    classes = torch.tensor([[0, 2, 1, 0, 0, 1, 2]])
    targets = classes if isinstance(function, (CrossEntropy, Brier)) else normal(21, 1, 7, 3).abs()
    batch = replace(batch_of_f1(), loss=function, targets=targets)
    learner = bound(net, Decorrelation(Decay(0.9), forward_broadcast=0.3))
    before = learner.state_dict()
    found, plain = learner.grads(batch)[0], bound(net, Decorrelation(Decay(0.9))).grads(batch)[0]
    hand = by_hand(net, batch)
    leaves = [hand.leaves["w_out"], hand.leaves["b_out"]]
    outputs = (hand.rates[1].detach() @ leaves[0].T + leaves[1]).unsqueeze(0)
    (score,) = torch.autograd.grad(function.value(outputs, targets).sum(), outputs, create_graph=True)
    cost = torch.zeros((), dtype=F64)
    for k, rate in enumerate(hand.rates, 1):
        now = 0.9 * before[f"hidden_{k}.correlation"] + 0.1 / 7 * rate.detach().T @ score[0]
        cost = cost + 0.5 * now.square().sum()
    for name, each in zip(("w_out", "b_out"), torch.autograd.grad(cost, leaves), strict=True):
        scale = max(float(each.abs().max()), float(found[name].abs().max()))
        assert float((0.1 * (found[name] - plain[name]) - 0.3 * each).abs().max()) < 1e-12 * scale
        assert float(each.norm()) > 1e-3


@pytest.mark.parametrize("signal", F2_SIGNALS.values(), ids=F2_SIGNALS)
@pytest.mark.parametrize("eligibility", [Leak(), Diagonal()], ids=repr)
def test_online_traces_equal_the_rule_to_round_off(signal: Decorrelation, eligibility: Any) -> None:
    """Five tanh cells, a = .3, six steps: traces carried forwards, filtered or not, with and without the own path."""
    batch = F2_CASE.batch()
    learner = bound(F2_CASE.net(), signal, eligibility)
    found = learner.grads(batch)[0]["w_rec"]
    wanted = online(learner, batch, isinstance(eligibility, Diagonal))
    assert relative(found, wanted) < 1e-12
    assert relative(learner.grads(batch, execution="forward")[0]["w_rec"], wanted) < 1e-12
    assert relative(found, online(learner, batch, not isinstance(eligibility, Diagonal))) > 0.01


def test_a_correlation_is_averaged_at_every_scored_step() -> None:
    """``R <- lam R + (1 - lam) mean g(z_t) s_t^T`` in the order of steps; a step without a score leaves it alone."""
    net, batch = F2_CASE.net(), F2_CASE.batch()
    scored = [1, 3, 4]
    weights = torch.zeros_like(batch.weights)
    weights[scored] = 1.0
    batch = replace(batch, weights=weights)
    learner = bound(net, Decorrelation(Decay(0.9)), Leak())
    wanted, tape = learner.buffers["correlation"].clone(), learner.tape(batch)
    for t in scored:
        score = batch.loss.output_error(tape.outputs, batch.targets)[t]
        wanted = 0.9 * wanted + 0.1 * tape.rate[t + 1].T @ score / batch.trials
    learner.backward(batch)
    assert relative(learner.buffers["correlation"], wanted) < 1e-13


def test_the_readout_learns_from_its_gradient_whatever_is_broadcast() -> None:
    """Where outputs are no linear function the error itself is broadcast, and the readout still gets the derivative."""
    net = net_of_f1()
    batch = replace(batch_of_f1(), loss=Brier(), targets=torch.tensor([[0, 2, 1, 0, 0, 1, 2]]))
    true = tca.Learner(net, tca.RULES["backprop"]).grads(batch)[0]
    for source in (OutputError(), Decorrelation().source):
        found = bound(net, Decorrelation(Decay(0.9), source=source)).grads(batch)[0]
        assert all(relative(found[name], true[name]) < 1e-13 for name in ("w_out", "b_out"))
        assert relative(found["w_2"], true["w_2"]) > 0.1


@pytest.mark.parametrize("lam", [0.5, 0.9, 0.999])
def test_an_example_adds_a_decay_of_activity_gated_by_its_error(lam: float) -> None:
    """One example moves the learning signal of its cells by ``(1 - lam) |s|^2 g(z)``."""
    net, total = net_of_f1(), 0.0
    for index in range(7):
        batch = batch_of_f1().select(slice(index, index + 1))
        learning_signal = {kept: bound(net, Decorrelation(Decay(kept))).signals(batch) for kept in (lam, 1.0)}
        tape = net.run(batch.inputs)
        size = batch.loss.output_error(tape.outputs, batch.targets)[0].square().sum()
        for level in tape.levels:
            added = (
                learning_signal[lam][level.population.name][1] - lam * learning_signal[1.0][level.population.name][1]
            )
            scale = float(learning_signal[lam][level.population.name].abs().max())
            assert float((added - (1 - lam) * size * level.rate[1]).abs().max()) <= 1e-12 * scale
            assert bool((added >= 0).all()), "descent along it makes every active cell quieter"
            total += float(added.sum())
    assert total > (1 - lam)


def test_what_the_last_correlation_learns_is_the_readouts_own_way_turned_round() -> None:
    """Plain steps of the readout: ``R - lam R_before = -(1 - lam) / eta (V - V_before)^T`` at every update."""
    net, batch = net_of_f1(), batch_of_f1()
    lam, eta = 0.999, 0.01
    learner = bound(net, Decorrelation(Decay(lam)))
    optimizer = torch.optim.SGD(net.parameters(), lr=eta)
    first = (learner.buffers["hidden_2.correlation"].clone(), net.w_out.detach().clone())
    for _ in range(20):
        before, weights = learner.buffers["hidden_2.correlation"].clone(), net.w_out.detach().clone()
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
        step = learner.buffers["hidden_2.correlation"] - lam * before
        wanted = -(1 - lam) / eta * (net.w_out.detach() - weights).T
        assert float((step - wanted).abs().max()) < 1e-12 * float(before.abs().max())
    moved = lam**20 * first[0] - (1 - lam) / eta * (net.w_out.detach() - first[1]).T
    assert relative(learner.buffers["hidden_2.correlation"], moved) < 1e-2


def test_one_update_tells_a_wrong_sign_from_the_right_one() -> None:
    """What accuracy does not see below is plain in a single change of the weights."""
    net, batch = net_of_f1(), batch_of_f1()
    fast = Decorrelation(Decay(0.9))
    found = [bound(net, signal).grads(batch)[0]["w_1"] for signal in (fast, WrongSign(fast))]
    assert relative(found[1], found[0]) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_accuracy_with_a_slow_average_does_not_see_a_wrong_sign(seed: int) -> None:
    """Digits, ten epochs, lam = .9999, first numbers of 1e-2: right and turned round end alike, held still near."""
    data = digits(seed)
    slow = Decorrelation(Decay(0.9999), start=NormalStart(1e-2))
    right, wrong, still = (
        trained(data, signal, 10, seed=seed)[0] for signal in (slow, WrongSign(slow), replace(slow, average=Decay(1.0)))
    )
    assert min(right, wrong) > 0.9
    assert abs(right - wrong) < 0.03
    assert still > 0.8
