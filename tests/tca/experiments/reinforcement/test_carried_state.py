"""Segments of recurrent policies that start at the state where the segment before ended."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tasks
import tca
from tca.experiments.config.agent import Agent
from tca.experiments.reinforcement.actor import Actor
from tca.kernels.choice import VARIABLE
from tests.support.rows import relative

F64 = torch.float64
T, B, N = 6, 4, 5
AGENT = Agent(T, clip=0.2, epochs=2, minibatches=2)


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def network(form: str, readout_tau: float | None = None) -> Any:
    return tca.nets.LeakyRNN(3, N, 2, form=form, tau=20.0, readout_tau=readout_tau, seed=1, dtype=F64)


def started(filtered: bool = False) -> tca.Batch:
    return tca.Batch(
        numbers(T, B, 3, seed=2), numbers(T, B, 2, seed=3), torch.rand(T, B, dtype=F64), tca.losses.MSE(),
        start=numbers(B, 2 * N if filtered else N, seed=4),
    )  # fmt: skip


def by_hand(net: Any, weights: dict[str, Tensor], inputs: Tensor, start: Tensor, ends: Tensor | None = None) -> Tensor:
    """Return the outputs of the equations of a leaky network from a state, set to zero after each end."""
    read_leak = math.exp(-net.dt / 30) if net.readout_leak else 0.0
    state, read, outputs = start[:, :N], start[:, N:] if net.readout_leak else start * 0, []
    for t, x in enumerate(inputs):
        if ends is not None and t:
            state, read = (each * ~ends[t - 1].unsqueeze(-1) for each in (state, read))
        rate = torch.tanh(state) if net.form.name == "A" else state
        drive = rate @ weights["w_rec"].t() + x @ weights["w_in"].t() + weights["b"]
        state = net.leak * state + (1 - net.leak) * (drive if net.form.name == "A" else torch.tanh(drive))
        read = read_leak * read + (1 - read_leak) * (torch.tanh(state) if net.form.name == "A" else state)
        outputs.append(read @ weights["w_out"].t() + weights["b_out"])
    return torch.stack(outputs)


@pytest.mark.parametrize("readout_tau", [None, 30.0])
@pytest.mark.parametrize("form", ["A", "B"])
def test_bptt_from_a_given_state_is_autograd(
    form: str, readout_tau: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With compiled passes, where there is a compiler."""
    monkeypatch.setenv(VARIABLE, "auto")
    net, batch = network(form, readout_tau), started(readout_tau is not None)
    assert batch.start is not None
    weights = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
    outputs = by_hand(net, weights, batch.inputs, batch.start)
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


KINDS: dict[str, Any] = {
    "leaky": lambda: tca.nets.LeakyRNN(4, N, 3, tau=40.0, seed=1, dtype=F64),
    "learned": lambda: tca.nets.LeakyRNN(4, N, 3, tau=40.0, learn=["tau"], seed=1, dtype=F64),
    "spiking": lambda: tca.nets.SpikingRNN(
        4, 20, 3, readout_tau=None, threshold=0.3, beta=0.5, refractory=3.0, bias=True, seed=1, dtype=F64
    ),
    "gru": lambda: tca.nets.CellRNN(tca.cells.GRU(), 4, N, 3, seed=1, dtype=F64),
    "lstm": lambda: tca.nets.CellRNN(tca.cells.LSTM(), 4, N, 3, seed=1, dtype=F64),
    "leaky, filtered readout": lambda: tca.nets.LeakyRNN(4, N, 3, tau=40.0, readout_tau=30.0, seed=1, dtype=F64),
    "spiking, filtered readout": lambda: tca.nets.SpikingRNN(
        4, 20, 3, readout_tau=30.0, threshold=0.1, beta=0.5, bias=True, seed=1, dtype=F64
    ),
    "gru, filtered readout": lambda: tca.nets.CellRNN(tca.cells.GRU(), 4, N, 3, readout_tau=30.0, seed=1, dtype=F64),
}
LONG = Agent(30, clip=0.2, epochs=1, minibatches=2)


def acted(net: Any) -> Any:
    """Return the second of two blocks in four environments, in which trials end."""
    environments = tasks.make("CartPole-v1").environments(B, 0)
    learner = tca.Learner(net, tca.RULES["bptt"])
    actor = Actor(learner, environments, torch.Generator().manual_seed(0), carry=True)
    actor.act(LONG.steps, None)
    episode = actor.act(LONG.steps, None)
    assert actor.carry
    assert episode.ends[:-1].any(0).sum() > 1
    return episode


@pytest.mark.parametrize("kind", KINDS)
def test_trials_that_end_within_a_segment_are_learned_apart(kind: str) -> None:
    """The learner computes the outputs that were acted on, piece by piece, the first from the state carried over."""
    net = KINDS[kind]()
    episode = acted(net)
    assert episode.start.abs().max() > 0
    learner, seen = tca.Learner(net, tca.RULES["bptt"]), []
    for batch in episode.batches(LONG, torch.Generator().manual_seed(1)):
        outputs, steps = learner.tape(batch).outputs, batch.trial_lengths.tolist()
        for piece, length in enumerate(steps):
            inputs = batch.inputs[:length, piece]
            distance = (episode.inputs - inputs[0]).abs().sum(-1)
            t, environment = divmod(int(distance.argmin()), B)
            assert torch.equal(inputs, episode.inputs[t : t + length, environment])
            assert relative(outputs[:length, piece], episode.outputs[t : t + length, environment]) < 1e-12
            start = episode.start[environment] if t == 0 else torch.zeros_like(episode.start[0])
            assert torch.equal(batch.start[piece], start)  # type: ignore[index]
            assert t + length == LONG.steps or episode.ends[t + length - 1, environment]
            assert not batch.weights[length:, piece].any()
            seen.append((environment, t, length))
        assert float(batch.weights.sum()) / batch.trials == pytest.approx(1.0)
    assert sum(length for *_, length in seen) == LONG.steps * B
    assert len(seen) == B + int(episode.ends[:-1].sum())


@pytest.mark.parametrize("kind", ["leaky", "leaky, filtered readout"])
def test_the_gradient_with_ends_is_that_of_cells_set_back_there(kind: str) -> None:
    """By autograd through the equations of a leaky network, whose state is multiplied by zero after an end."""
    net = KINDS[kind]()
    episode, agent = acted(net), replace(LONG, minibatches=1)
    (batch,) = episode.batches(agent, torch.Generator())
    weights = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
    outputs = by_hand(net, weights, episode.inputs, episode.start, episode.ends)
    loss = batch.loss.value(outputs, episode.batch(agent).targets).mean()
    found = tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0]
    for name, wanted in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
        assert relative(found[name], wanted) < 1e-12, name


@pytest.mark.parametrize("kind", ["leaky, filtered readout", "spiking, filtered readout", "gru, filtered readout"])
def test_segments_of_a_filtered_readout_are_the_whole_episode(kind: str) -> None:
    """Outputs, and the gradient of the readout, which needs no later errors; both executions of e-prop."""
    net = KINDS[kind]()
    environments = tasks.make("CartPole-v1").environments(B, 0)
    learner = tca.Learner(net, tca.RULES["eprop"])
    actor = Actor(learner, environments, torch.Generator().manual_seed(0), carry=True)
    first, second = actor.act(T, None), actor.act(T, None)
    assert first.start is not None
    assert second.start is not None
    assert not torch.cat([first.ends, second.ends]).any()
    assert not first.start.any()
    targets, ones = numbers(2 * T, B, 3, seed=3), torch.ones(2 * T, B, dtype=F64)
    whole = tca.Batch(torch.cat([first.inputs, second.inputs]), targets, ones, tca.losses.MSE())
    parts = [
        tca.Batch(each.inputs, some, ones[:T], tca.losses.MSE(), start=each.start)
        for each, some in zip((first, second), targets.split(T), strict=True)
    ]
    gradients, info = learner.grads(whole)
    made = [learner.grads(each) for each in parts]
    assert relative(torch.cat([its.outputs for _, its in made]), info.outputs) < 1e-12
    assert relative(torch.cat([first.outputs, second.outputs]), info.outputs) < 1e-12
    for name in ("w_out", "b_out"):
        assert relative(made[0][0][name] + made[1][0][name], gradients[name]) < 1e-12, name
    cells = learner.grads(replace(parts[1], start=torch.zeros_like(second.start)))[0]
    assert relative(cells["w_out"], made[1][0]["w_out"]) > 1e-2, "control: the segment from zero"
    forward = learner.grads(parts[1], "forward")[0]
    assert all(relative(forward[name], each) < 1e-12 for name, each in made[1][0].items())


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gated_cells_from_a_given_state_are_those_of_torch(kind: str) -> None:
    module: Any = {"gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[kind](3, N, dtype=F64)
    readout = torch.nn.Linear(N, 2, dtype=F64)
    net, parts = tca.nets.CellRNN.from_torch(module, readout), 2 if kind == "lstm" else 1
    start = numbers(B, parts * N, seed=4)
    batch = replace(started(), start=start)
    split = tuple(each.unsqueeze(0).contiguous() for each in start.split(N, -1))
    by_name = dict(zip(net.bound_cell().components, split, strict=True))
    given = (by_name["h"], by_name["c"]) if kind == "lstm" else split[0]
    outputs = readout(module(batch.inputs, given)[0])
    loss = (((outputs - batch.targets) ** 2).sum(-1) / 2 * batch.weights).sum() / B
    found, info = tca.Learner(net, tca.RULES["bptt"]).grads(batch)
    assert relative(info.outputs, outputs.detach()) < 1e-12
    wanted = torch.autograd.grad(loss, [module.weight_ih_l0, module.weight_hh_l0, *readout.parameters()])
    for name, each in zip(("w_in", "w_rec", "w_out", "b_out"), wanted, strict=True):
        assert relative(found[name], each) < 1e-11, name


def test_spiking_cells_from_a_given_state_learn_as_autograd_says() -> None:
    """Cells that are refractory or adapted at the start: forward pass, BPTT, and both executions of e-prop."""
    net = KINDS["spiking"]()
    drawn = torch.Generator().manual_seed(4)
    shape = (B, 20)
    spiked = torch.rand(shape, dtype=F64, generator=drawn) < 0.3
    wait = torch.randint(0, 4, shape, generator=drawn) * ~spiked
    parts = (
        numbers(*shape, seed=5) * 0.2,
        torch.rand(shape, dtype=F64, generator=drawn),
        spiked.double(),
        wait.double(),
    )
    batch = tca.Batch(
        2 * numbers(T, B, 4, seed=2), numbers(T, B, 3, seed=3), torch.ones(T, B, dtype=F64), tca.losses.MSE(),
        start=torch.cat(parts, -1),
    )  # fmt: skip
    weights = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
    state, rows = net.state_of(batch.start), []
    for x in batch.inputs:
        drive = x @ weights["w_in"].t() + state.rate @ (weights["w_rec"] * (1 - torch.eye(20))).t() + weights["b"]
        state, _ = net.advance(state, drive)
        rows.append(state.rate @ weights["w_out"].t() + weights["b_out"])
    outputs = torch.stack(rows)
    loss = ((outputs - batch.targets) ** 2).sum() / 2 / B
    found, info = tca.Learner(net, tca.RULES["bptt"]).grads(batch)
    assert torch.stack(rows).std() > 0.1, "cells spike"
    assert relative(info.outputs, outputs.detach()) < 1e-12
    for name, wanted in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
        assert relative(found[name], wanted) < 1e-11, name
    learner = tca.Learner(net, tca.RULES["eprop"])
    reverse, forward = (learner.grads(batch, execution)[0] for execution in ("reverse", "forward"))  # type: ignore[arg-type]
    assert all(relative(forward[name], each) < 1e-12 for name, each in reverse.items())


def test_what_cannot_start_anywhere_begins_anew() -> None:
    """Learned initial states, other networks, and rules that run trials again."""
    assert not tca.nets.LeakyRNN(3, N, 2, learn_initial=True).starts_anywhere
    batch = started()
    with pytest.raises(ValueError, match="start must be None in this StackedRNN, which begins at its initial state"):
        tca.Learner(tca.nets.StackedRNN(3, [N, N], 2, dtype=F64), tca.RULES["bptt"]).grads(batch)
    mlp = tca.nets.MLP(3, [4], 2, dtype=F64)
    with pytest.raises(ValueError, match="start must be None in this MLP, which begins at its initial state"):
        tca.Learner(mlp, tca.RULES["backprop"]).grads(batch)
    with pytest.raises(ValueError, match="start must be None with a perturbation eligibility"):
        tca.Learner(network("A"), tca.RULES["node_perturbation"]).grads(batch)
    with pytest.raises(ValueError, match=r"start must have shape \(B, M\) = \(4, 5\), got \(4, 3\)"):
        tca.Learner(network("A"), tca.RULES["bptt"]).grads(replace(batch, start=numbers(B, 3, seed=0)))
    with pytest.raises(ValueError, match=r"start must have shape \(B, M\) = \(4, 10\), got \(4, 5\)"):
        tca.Learner(network("A", 30.0), tca.RULES["bptt"]).grads(batch)
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
