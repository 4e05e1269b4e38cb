"""Recursive least squares for the readout: FORCE of Sussillo and Abbott (2009)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Leak, NodeNoise
from tca.nets import MLP, LeakyLayer, StackedRNN, VectorRNN
from tca.signals import Direct, Exact, Random, RecursiveLeastSquares, RewardDifference
from tests.support.cases import CASES, F1, Case
from tests.support.rows import assert_same, learner, relative
from tests.support.spiking_cases import SPIKING

F64 = torch.float64
RIDGE = 0.2
FROZEN = Case("frozen", sizes=(3, 9, 2), steps=20, trials=4, seed=41)


def readout_only(net: Any) -> torch.optim.Optimizer:
    """Freeze the cells; the readout takes steps of size one."""
    for name, each in net.named_parameters():
        each.requires_grad_(name in ("w_out", "b_out"))
    return torch.optim.SGD([net.w_out, net.b_out], lr=1.0)


def inputs_of(bound: tca.Learner, batch: tca.Batch) -> Tensor:
    """Return ``[zbar_t, 1]`` of every step, the rates filtered here."""
    rates, leak = bound.tape(batch).readout.links[0].pre, bound.net.readout_leak
    value, found = torch.zeros_like(rates[0]), []
    for rate in rates:
        value = leak * value + (1 - leak) * rate
        found.append(torch.cat([value, torch.ones_like(value[:, :1])], 1))
    return torch.stack(found)


def ridge_regression(inputs: Tensor, targets: Tensor, weights: Tensor, start: Tensor) -> Tensor:
    """Return ``argmin_W sum w |W x - target|^2 / 2 + RIDGE |W - W_0|^2 / 2`` as an ordinary least-squares problem."""
    root = weights.sqrt().unsqueeze(-1)
    rows = [(root * inputs).flatten(0, 1), RIDGE**0.5 * torch.eye(inputs.shape[-1], dtype=F64)]
    wanted = [(root * targets).flatten(0, 1), RIDGE**0.5 * start.t()]
    return torch.linalg.lstsq(torch.cat(rows), torch.cat(wanted)).solution.t()


def joint(net: Any) -> Tensor:
    return torch.cat([net.w_out.detach(), net.b_out.detach().unsqueeze(1)], 1)


@pytest.mark.parametrize("readout_leak", [0.0, 0.7])
@pytest.mark.parametrize("batches", [1, 3])
def test_the_readout_is_the_ridge_regression_to_all_trials_so_far(readout_leak: float, batches: int) -> None:
    """After any number of batches, in closed form, with the weights of steps and with or without a filter."""
    case = replace(FROZEN, readout_leak=readout_leak)
    bound = learner(case, tca.Rule(RecursiveLeastSquares(ridge=RIDGE), Leak()))
    optimizer, start = readout_only(bound.net), joint(bound.net)
    trials = [replace(case, seed=seed).batch() for seed in range(batches)]
    for batch in trials:
        optimizer.zero_grad()
        bound.backward(batch)
        optimizer.step()
    rows = torch.cat([inputs_of(bound, batch) for batch in trials])
    targets, weights = (torch.cat([getattr(each, name) for each in trials]) for name in ("targets", "weights"))
    wanted = ridge_regression(rows, targets, weights / case.trials, start)
    assert relative(joint(bound.net), wanted) < 1e-12


@pytest.mark.parametrize(("loss", "rate"), [("mse", 1.0), ("mse", 0.5), ("cross_entropy", 1.0), ("poisson", 1.0)])
def test_other_losses_and_rates_descend_along_the_inverse_correlation_and_are_no_regression(
    loss: str, rate: float
) -> None:
    """The slope of loss and penalty by autograd: the step is that times ``P``, and only a regression leaves none."""
    case = replace(FROZEN, loss=loss)
    bound, batch = learner(case, tca.Rule(RecursiveLeastSquares(ridge=RIDGE), Leak())), case.batch()
    optimizer, start, inputs = readout_only(bound.net), joint(bound.net), inputs_of(bound, batch)
    optimizer.param_groups[0]["lr"] = rate

    def slope(readout: Tensor) -> Tensor:
        leaf = readout.clone().requires_grad_()
        cost = batch.loss.mean(inputs @ leaf.t(), batch.targets, batch.weights)
        return torch.autograd.grad(cost + RIDGE / 2 * (leaf - start).square().sum(), leaf)[0]

    bound.backward(batch)
    optimizer.step()
    rows = ((batch.weights / case.trials).sqrt().unsqueeze(-1) * inputs).flatten(0, 1)
    inverse = torch.linalg.inv(RIDGE * torch.eye(rows.shape[1], dtype=F64) + rows.t() @ rows)
    assert relative(joint(bound.net), start - rate * slope(start) @ inverse) < 1e-12
    left = float(slope(joint(bound.net)).norm() / slope(start).norm())
    assert left < 1e-12 if (loss, rate) == ("mse", 1.0) else left > 0.05


def test_a_step_at_a_time_it_is_force_and_ends_at_the_same_readout() -> None:
    """Online, ``e_+(t) = e_-(t) (1 - x^T P(t) x)``, as the paper states; the last readout is the ridge regression."""
    case = replace(FROZEN, trials=1, readout_leak=0.6, plain=True)
    bound, batch = learner(case, tca.Rule(RecursiveLeastSquares(ridge=RIDGE), Leak())), case.batch()
    optimizer, start = readout_only(bound.net), joint(bound.net)
    inputs = inputs_of(bound, batch)
    stream = bound.stream(1)
    for t in range(batch.steps):
        optimizer.zero_grad()
        before = stream.step(batch.inputs[t], batch.targets[t], batch.weights[t], batch.loss) - batch.targets[t]
        optimizer.step()
        x, p = inputs[t, 0], bound.buffers["inverse_correlation"][0]
        after = joint(bound.net) @ x - batch.targets[t, 0]
        assert relative(after, before[0] * (1 - x @ p @ x)) < 1e-12
    assert relative(joint(bound.net), ridge_regression(inputs, batch.targets, batch.weights, start)) < 1e-12


def test_it_learns_in_one_batch_what_descent_does_not() -> None:
    """With a tiny penalty the error after one step is that of least squares, far below a gradient step's."""
    bound, batch = learner(FROZEN, tca.Rule(RecursiveLeastSquares(ridge=1e-9), Leak())), FROZEN.batch()
    before = float(bound.backward(batch).loss)
    readout_only(bound.net).step()
    inputs = inputs_of(bound, batch)
    root = batch.weights.sqrt().unsqueeze(-1)
    best = torch.linalg.lstsq((root * inputs).flatten(0, 1), (root * batch.targets).flatten(0, 1))
    left = (root * (inputs @ best.solution - batch.targets)).square().sum() / 2 / batch.trials
    after = float(bound.grads(batch)[1].loss)
    assert after == pytest.approx(float(left), rel=1e-6)
    assert after < 0.9 * before


@pytest.mark.parametrize("signal", [Random(), Exact()], ids=repr)
def test_cells_learn_by_the_signal_inside(signal: Any) -> None:
    """All but the readout is the rule without it; also in stacks and with spikes."""
    for net, batch in (
        (CASES[1].net(), CASES[1].batch()),
        (SPIKING[2].net(), SPIKING[2].batch()),
        (StackedRNN(3, [LeakyLayer(4), LeakyLayer(3)], 2, dtype=F64), F1.batch()),
    ):
        alone = tca.Learner(net, tca.Rule(signal, Leak()), seed=3).grads(batch)[0]
        found = tca.Learner(net, tca.Rule(RecursiveLeastSquares(signal), Leak()), seed=3).grads(batch)[0]
        assert all((relative(found[name], alone[name]) < 1e-14) == ("out" not in name) for name in alone)


def test_it_goes_with_rewards_and_layers() -> None:
    """The readout of a feedforward network, and one above cells that try things out."""
    net = MLP(3, [5, 4], 2, dtype=F64)
    batch = replace(F1, steps=1).batch()
    bound = tca.Learner(net, tca.Rule(RecursiveLeastSquares(ridge=RIDGE), Leak()))
    optimizer, start = torch.optim.SGD([net.w_out, net.b_out], lr=1.0), joint(net)
    bound.backward(batch)
    rows = bound.tape(batch).readout.links[0].pre
    rows = torch.cat([rows, torch.ones_like(rows[..., :1])], -1)
    optimizer.step()
    assert relative(joint(net), ridge_regression(rows, batch.targets, batch.weights / batch.trials, start)) < 1e-12
    rule = tca.Rule(RecursiveLeastSquares(RewardDifference()), NodeNoise())
    found = learner(F1, rule).grads(F1.batch())[0]
    wanted = learner(F1, tca.Rule(RewardDifference(), NodeNoise())).grads(F1.batch())[0]
    assert torch.equal(found["w_rec"], wanted["w_rec"])


def test_missing_synapses_of_the_readout_take_no_part() -> None:
    """Every output regresses on the cells it reads: the same as one learner for each output alone."""
    case = CASES[3]
    rule = tca.Rule(RecursiveLeastSquares(Direct(), RIDGE), Leak())
    found = learner(case, rule).grads(case.batch())[0]["w_out"]
    mask = case.options["mask_out"]
    assert not found[mask == 0].any()
    assert learner(case, rule).buffers["inverse_correlation"].shape == (3, 7, 7)


def test_it_resumes_and_is_refused_where_the_readout_is_not_dense() -> None:
    """The state continues bit for bit; vector networks and bad arguments get one line."""
    rule = tca.RULES["force"]
    first, second = learner(F1, rule), learner(F1, rule)
    first.backward(F1.batch())
    second.load_state_dict(first.state_dict())
    assert_same(second.grads(F1.batch())[0], first.grads(F1.batch())[0], 0)
    with pytest.raises(ValueError, match="all-to-all weights"):
        tca.Learner(VectorRNN(3, 4, 2), rule)
    with pytest.raises(ValueError, match="ridge"):
        RecursiveLeastSquares(ridge=0.0)
    with pytest.raises(TypeError, match="signal"):
        RecursiveLeastSquares("direct")  # type: ignore[arg-type]


@pytest.mark.slow
def test_outputs_fed_back_are_force_as_published() -> None:
    """A chaotic network whose output returns as an input: the paper's loop, and afterwards it runs by itself."""
    source = torch.Generator().manual_seed(2)
    net = tca.nets.LeakyRNN(1, 100, 1, tau=10.0, dt=1.0, activation="tanh", dtype=F64, seed=0)
    drawn = torch.randn(100, 101, dtype=F64, generator=source)
    with torch.no_grad():
        net.w_rec.copy_(1.5 / 100**0.5 * drawn[:, :100])
        net.w_in.copy_(2 * torch.rand(100, 1, dtype=F64, generator=source) - 1)
        net.b.zero_()
        net.w_out.zero_()
        net.b_out.zero_()
    optimizer = readout_only(net)
    stream = tca.Learner(net, tca.Rule(RecursiveLeastSquares(Direct(), ridge=0.1), Leak())).stream(trials=1)
    w, inverse, v = torch.zeros(101, dtype=F64), 10 * torch.eye(101, dtype=F64), torch.zeros(100, dtype=F64)
    target = torch.sin(torch.arange(1800, dtype=F64) * 2 * torch.pi / 60)
    keep, returned, z = net.leak, torch.zeros(1, 1, dtype=F64), torch.zeros((), dtype=F64)
    errors, one, loss = [], torch.ones(1, dtype=F64), tca.losses.MSE()
    for t, wanted in enumerate(target):
        learns = t < 1500
        returned = stream.step(returned, wanted.view(1, 1), one if learns else 0 * one, loss)
        if learns:
            optimizer.step()
        optimizer.zero_grad()
        if t < 60:  # the equations of the paper, with a bias as one more input of the readout
            drive = net.w_rec.detach() @ v.tanh() + net.w_in.detach()[:, 0] * z
            v = keep * v + (1 - keep) * drive
            r = torch.cat([v.tanh(), one])
            z = w @ r
            inverse = inverse - torch.outer(inverse @ r, inverse @ r) / (1 + r @ inverse @ r)
            w = w - (z - wanted) * (inverse @ r)
            assert abs(z - returned.item()) < 1e-9
            assert relative(net.w_out.detach()[0], w[:-1]) < 1e-8
        errors.append((returned - wanted).abs().item())
    assert max(errors[1500:]) < 0.1
    assert max(errors[:30]) > 0.3
