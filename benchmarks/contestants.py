"""The rules of the library and their PyTorch peers, each as a function that returns all gradients of one batch.

Shapes: T time, B batch, N or I postsynaptic cells, J presynaptic, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import tca
from benchmarks.problem import CHANNELS, TRIALS, Problem

__all__ = ["LIBRARY", "LOOPS", "TORCH_PEERS", "Contestant", "Gradients", "Work"]

TYPED: Mapping[str, Any] = {"cell_types": (0.8, 0.2), "dale": (1, -1)}  # excitatory and inhibitory cells
Gradients = Mapping[str, Any]  # by parameter; tensors, or arrays of another library
Work = Callable[[], Gradients]


@dataclass(frozen=True)
class Contestant:
    """A way to a gradient.

    Attributes:
        name: What the table calls it.
        prepare: Everything that need not be done again for each batch; returns what is timed.
        same_as: Rules of the library with which its gradient is compared.
        exact: Whether it must be the same as these.
        floor: The floor it stands on, ``None`` for those that compute something else.
        loop: The autograd loop of the same network.
    """

    name: str
    prepare: Callable[[Problem], Work]
    same_as: tuple[str, ...] = ()
    exact: bool = True
    floor: str | None = None
    loop: str = "autograd loop"


def library_rule(rule: str, form: str, **options: Any) -> Callable[[Problem], Work]:
    """Return a contestant's preparation: a rule of the library, whole trials at once, on a network with options."""

    def prepare(problem: Problem) -> Work:
        net = problem.nets[form]
        if options:
            net = tca.nets.LeakyRNN(CHANNELS, net.n_rec, CHANNELS, form=form, **options)
        learner = tca.Learner(net, tca.RULES[rule])

        def work() -> Gradients:
            net.zero_grad()
            learner.backward(problem.batch)
            return gradients_of(net)

        return work

    return prepare


def library_online(rule: str) -> Callable[[Problem], Work]:
    """Return a contestant's preparation: a rule of the library, step after step."""

    def prepare(problem: Problem) -> Work:
        net, batch = problem.nets["A"], problem.batch
        learner = tca.Learner(net, tca.RULES[rule])

        def work() -> Gradients:
            net.zero_grad()
            stream = learner.stream(batch.trials)
            for inputs, targets, weights in zip(batch.inputs, batch.targets, batch.weights, strict=True):
                stream.step(inputs, targets, weights, batch.loss)
            return gradients_of(net)

        return work

    return prepare


def autograd_loop_a(problem: Problem) -> Work:
    """Leak on the potential, written as well as plain autograd allows: inputs and outputs of all steps at once."""
    net, batch = problem.nets["A"], problem.batch
    leak, gain = float(net.leak), float(net.gain)

    def work() -> Gradients:
        net.zero_grad()
        weights = gain * net.w_rec.t()
        potential = rate = torch.zeros(TRIALS, net.n_rec)
        rates = []
        for drive in functional.linear(batch.inputs, gain * net.w_in, gain * net.b).unbind(0):
            potential = torch.add(torch.addmm(drive, rate, weights), potential, alpha=leak)
            rate = torch.tanh(potential)
            rates.append(rate)
        return backproject(net, torch.stack(rates), batch)

    return work


def autograd_loop_b(problem: Problem) -> Work:
    """Leak on the rate, in the same way."""
    net, batch = problem.nets["B"], problem.batch
    leak = float(net.leak)

    def work() -> Gradients:
        net.zero_grad()
        weights = net.w_rec.t()
        rate = torch.zeros(TRIALS, net.n_rec)
        rates = []
        for drive in functional.linear(batch.inputs, net.w_in, net.b).unbind(0):
            rate = torch.lerp(torch.tanh(torch.addmm(drive, rate, weights)), rate, leak)
            rates.append(rate)
        return backproject(net, torch.stack(rates), batch)

    return work


def backproject(net: nn.Module, rates: Tensor, batch: tca.Batch) -> Gradients:
    """Return the gradients by autograd of the mean cross-entropy of a linear readout."""
    outputs = functional.linear(rates, net.w_out, net.b_out)
    functional.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten()).backward()
    return gradients_of(net)


def torch_rnn(problem: Problem) -> Work:
    """The fused Elman network of PyTorch, which has no leak."""
    cells = problem.nets["A"].n_rec
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        net = nn.ModuleDict({"rnn": nn.RNN(CHANNELS, cells), "readout": nn.Linear(cells, CHANNELS)})

    def work() -> Gradients:
        net.zero_grad()
        outputs = net["readout"](net["rnn"](problem.batch.inputs)[0])
        functional.cross_entropy(outputs.flatten(0, 1), problem.batch.targets.flatten()).backward()
        return gradients_of(net)

    return work


@torch.no_grad()
def naive_eprop(problem: Problem) -> Work:
    """E-prop as its equations are written: one trace for each synapse and trial, updated at every step."""
    net, batch = problem.nets["A"], problem.batch
    leak, gain = float(net.leak), float(net.gain)
    w_in, w_rec, b, w_out, b_out = (each.detach() for each in (net.w_in, net.w_rec, net.b, net.w_out, net.b_out))
    identity = torch.eye(net.n_out)

    def work() -> Gradients:
        gradients = {name: torch.zeros_like(each) for name, each in net.named_parameters()}
        potential, rate = torch.zeros(TRIALS, net.n_rec), torch.zeros(TRIALS, net.n_rec)
        traces = {
            name: torch.zeros(TRIALS, *shape)
            for name, shape in {"w_in": w_in.shape, "w_rec": w_rec.shape, "b": (net.n_rec, 1)}.items()
        }
        for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
            before = {"w_in": inputs, "w_rec": rate, "b": torch.ones(TRIALS, 1)}
            potential = leak * potential + gain * (inputs @ w_in.t() + rate @ w_rec.t() + b)
            rate = torch.tanh(potential)
            score = (torch.softmax(rate @ w_out.t() + b_out, -1) - identity[targets]) / (batch.steps * batch.trials)
            signal = (score @ w_out) * (1 - rate**2)
            for name, trace in traces.items():
                trace.mul_(leak).add_(before[name].unsqueeze(1), alpha=gain)
                gradients[name] += torch.einsum("bi,bij->ij", signal, trace).view_as(gradients[name])
            gradients["w_out"] += score.t() @ rate
            gradients["b_out"] += score.sum(0)
        return gradients

    return torch.no_grad()(work)


def gradients_of(net: nn.Module) -> Gradients:
    return {name: parameter.grad for name, parameter in net.named_parameters()}


LOOPS = (
    Contestant("autograd loop", autograd_loop_a, ("bptt",), floor="floor of BPTT"),
    Contestant(
        "autograd loop, form B", autograd_loop_b, ("bptt",), floor="floor of BPTT", loop="autograd loop, form B"
    ),
)

LIBRARY = (
    Contestant("tca e-prop", library_rule("eprop", "A"), floor="floor of e-prop"),
    Contestant("tca e-prop, random feedback", library_rule("eprop_random", "A"), floor="floor of e-prop"),
    Contestant("tca RFLO, form B", library_rule("rflo", "B"), floor="floor of e-prop", loop="autograd loop, form B"),
    Contestant("tca BPTT", library_rule("bptt", "A"), floor="floor of BPTT"),
    Contestant("tca SnAp-1", library_rule("snap1", "A"), floor="floor of e-prop"),
    Contestant("tca three-factor", library_rule("three_factor", "A"), floor="floor of e-prop"),
    Contestant("tca truncated BPTT, windows of 10", library_rule("tbptt", "A"), floor="floor of BPTT"),
    Contestant("tca MDGL, two cell types", library_rule("mdgl", "A", **TYPED), floor="floor of e-prop"),
    Contestant("tca ModProp, two cell types", library_rule("modprop", "A", **TYPED), floor="floor of e-prop"),
    Contestant("tca e-prop, online", library_online("eprop"), ("eprop",), floor="floor of e-prop"),
)

TORCH_PEERS = (
    Contestant("naive per-synapse e-prop", naive_eprop, ("eprop",), floor="floor of e-prop"),
    Contestant("torch.nn.RNN, Elman: another model", torch_rnn),
)
