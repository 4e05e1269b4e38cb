"""Segments of recurrent policies that start at the state where the segment before ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tasks
import tca
from tca.experiments.config.agent import Agent
from tca.experiments.reinforcement.actor import Actor
from tests.support.rows import relative

F64 = torch.float64
T, B, N = 6, 4, 5
AGENT = Agent(T, clip=0.2, epochs=2, minibatches=2)


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def network(form: str) -> Any:
    return tca.nets.LeakyRNN(3, N, 2, form=form, tau=20.0, seed=1, dtype=F64)


def started() -> tca.Batch:
    return tca.Batch(
        numbers(T, B, 3, seed=2), numbers(T, B, 2, seed=3), torch.rand(T, B, dtype=F64), tca.losses.MSE(),
        start=numbers(B, N, seed=4),
    )  # fmt: skip


def by_hand(form: str, weights: dict[str, Tensor], leak: float, batch: tca.Batch) -> Tensor:
    """Return the outputs of the equations of the network, from the start of the batch."""
    state = batch.start
    assert state is not None
    outputs = []
    for x in batch.inputs:
        rate = torch.tanh(state) if form == "A" else state
        drive = rate @ weights["w_rec"].t() + x @ weights["w_in"].t() + weights["b"]
        state = leak * state + (1 - leak) * (drive if form == "A" else torch.tanh(drive))
        outputs.append((torch.tanh(state) if form == "A" else state) @ weights["w_out"].t() + weights["b_out"])
    return torch.stack(outputs)


@pytest.mark.parametrize("form", ["A", "B"])
def test_bptt_from_a_given_state_is_autograd(form: str) -> None:
    net, batch = network(form), started()
    weights = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
    outputs = by_hand(form, weights, net.leak, batch)
    loss = (((outputs - batch.targets) ** 2).sum(-1) / 2 * batch.weights).sum() / B
    found, info = tca.Learner(net, tca.RULES["bptt"]).grads(batch)
    assert relative(info.outputs, outputs.detach()) < 1e-13
    for name, wanted in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
        assert relative(found[name], wanted) < 1e-12, name
    reset = tca.Learner(net, tca.RULES["bptt"]).grads(replace(batch, start=None))[0]
    assert relative(reset["w_rec"], found["w_rec"]) > 1e-2


def test_eprop_from_a_given_state_is_its_equation() -> None:
    """``dW = sum_t slope_t W_out^T err_t e_t`` with ``e_t = k e_t-1 + (1 - k) z_t-1`` from the rate of the state."""
    net, batch = network("A"), started()
    assert batch.start is not None
    k, state = net.leak, batch.start
    trace, wanted = torch.zeros(B, N, dtype=F64), torch.zeros(N, N, dtype=F64)
    for x, target, weight in zip(batch.inputs, batch.targets, batch.weights, strict=True):
        rate = torch.tanh(state)
        trace = k * trace + (1 - k) * rate
        state = k * state + (1 - k) * (rate @ net.w_rec.t() + x @ net.w_in.t() + net.b)
        error = (torch.tanh(state) @ net.w_out.t() + net.b_out - target) * weight.unsqueeze(-1) / B
        wanted += ((1 - torch.tanh(state) ** 2) * (error @ net.w_out)).t() @ trace
    learner = tca.Learner(net, tca.RULES["eprop"])
    for execution in ("reverse", "forward"):
        assert relative(learner.grads(batch, execution)[0]["w_rec"], wanted.detach()) < 1e-12  # type: ignore[arg-type]


def test_an_actor_goes_on_from_its_state_and_learns_from_there() -> None:
    """Each segment has the state before its first step; from there the learner computes the outputs acted on."""
    net = tca.nets.LeakyRNN(4, N, 3, tau=40.0, seed=1, dtype=F64)
    learner = tca.Learner(net, tca.RULES["bptt"])
    environments = tasks.make("CartPole-v1").environments(B, 0)
    actor = Actor(learner, environments, torch.Generator().manual_seed(0), carry=True)
    first, second = actor.act(T, None), actor.act(T, None)
    assert first.start is not None
    assert second.start is not None
    assert not first.start.any()
    joined = tca.Batch(
        torch.cat([first.inputs, second.inputs]), torch.zeros(2 * T, B, 3, dtype=F64),
        torch.ones(2 * T, B, dtype=F64), tca.losses.MSE(), start=first.start,
    )  # fmt: skip
    outputs = learner.tape(joined).outputs.clone()
    assert relative(torch.cat([first.outputs, second.outputs]), outputs) < 1e-12
    assert relative(first.next_values, outputs[T, :, -1]) < 1e-12, "the value after the segment is of the next state"
    for batch in second.batches(AGENT, torch.Generator().manual_seed(1)):
        rows = [int((second.inputs - batch.inputs[:, [place]]).abs().sum((0, 2)).argmin()) for place in range(2)]
        assert batch.start is not None
        assert torch.equal(batch.start, second.start[rows])
        assert relative(learner.tape(batch).outputs, second.outputs[:, rows]) < 1e-12


def test_what_cannot_start_anywhere_begins_anew() -> None:
    """Filtered readouts, learned initial states, other networks, and rules that run trials again."""
    for options in ({"readout_tau": 20.0}, {"learn_initial": True}):
        assert not tca.nets.LeakyRNN(3, N, 2, **options).starts_anywhere  # type: ignore[arg-type]
    batch = started()
    mlp = tca.nets.MLP(3, [4], 2, dtype=F64)
    with pytest.raises(ValueError, match="start must be None in this MLP, which begins at its initial state"):
        tca.Learner(mlp, tca.RULES["backprop"]).grads(batch)
    with pytest.raises(ValueError, match="start must be None with a perturbation eligibility"):
        tca.Learner(network("A"), tca.RULES["node_perturbation"]).grads(batch)
    with pytest.raises(ValueError, match=r"start must have shape \(B, N\) = \(4, 5\), got \(4, 3\)"):
        tca.Learner(network("A"), tca.RULES["bptt"]).grads(replace(batch, start=numbers(B, 3, seed=0)))
    with pytest.raises(ValueError, match="start must be a real tensor of one state for each of the 4 trials"):
        replace(batch, start=numbers(3, N, seed=0))
    environments = tasks.make("CartPole-v1").environments(1, 0)
    for rule in ("eprop", "node_perturbation"):
        net = tca.nets.LeakyRNN(4, N, 3, seed=1)
        actor = Actor(tca.Learner(net, tca.RULES[rule]), environments, torch.Generator().manual_seed(0), carry=True)
        assert actor.carry == (rule == "eprop")


def test_starts_are_joined_and_moved_with_their_trials() -> None:
    batch = started()
    assert batch.start is not None
    joined = tca.Batch.joined([batch.select(slice(2, 4)), batch.select(slice(0, 2))])
    assert torch.equal(joined.start, batch.start[[2, 3, 0, 1]])  # type: ignore[arg-type]
    assert batch.to(dtype=torch.float32).start.dtype == torch.float32  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="parts must all have a start, or none of them"):
        tca.Batch.joined([batch, replace(batch, start=None)])
