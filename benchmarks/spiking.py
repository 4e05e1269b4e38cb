"""What the gradient of a spiking network costs: the reverse filter of e-prop against traces carried forwards.

Shapes: T time, B batch, N cells, I postsynaptic, J presynaptic, O outputs.

Half the cells adapt, the loss is read in the last steps of a trial, as in the tasks of the field. *Traces* is the
textbook loop: the trace of the adaptation of every synapse and trial, ``(B, N, J)``, taken through all steps, once as
the equation is written and once in place, and read where there is an error. The readout is not filtered, which spares
that loop a second trace. The *pass* is the forward pass of the library alone, from which nothing has been learned.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import tca
from benchmarks.results import Bound, Result, add_options, finish, measure
from benchmarks.timing import one_core

CHANNELS, OUTPUTS, WINDOW = 40, 2, 50
EPROP, BPTT, AUTOGRAD = "tca e-prop", "tca BPTT", "BPTT by autograd"
WRITTEN, IN_PLACE = "traces as written", "traces in place"


def network(cells: int) -> tca.nets.SpikingRNN:
    """Return a network whose cells spike now and then."""
    return tca.nets.SpikingRNN(CHANNELS, cells, OUTPUTS, readout_tau=None, gain_in=3.0, seed=0)


def trials(count: int, steps: int) -> tca.Batch:
    """Return trials of Poisson inputs with an answer at the end."""
    generator = torch.Generator().manual_seed(1)
    inputs = (torch.rand(steps, count, CHANNELS, generator=generator) < 0.02).float()
    targets = torch.randint(OUTPUTS, (steps, count), generator=generator)
    weights = torch.zeros(steps, count)
    weights[-WINDOW:] = 1 / WINDOW
    return tca.Batch(inputs, targets, weights, tca.losses.CrossEntropy())


Advance = Callable[[Tensor, Tensor, Tensor, Tensor, float, float], Tensor]


def written(eps_a: Tensor, eps_v: Tensor, psi: Tensor, beta: Tensor, rho: float, gain_a: float) -> Tensor:
    """The trace of the adaptation one step further, as the equation is written."""
    moved = psi.unsqueeze(-1) * (eps_v.unsqueeze(1) - beta.unsqueeze(-1) * eps_a)
    return rho * eps_a + gain_a * moved


def in_place(eps_a: Tensor, eps_v: Tensor, psi: Tensor, beta: Tensor, rho: float, gain_a: float) -> Tensor:
    """The same in two passes over the trace."""
    own = (gain_a * psi).unsqueeze(-1)
    return eps_a.mul_(rho - own * beta.unsqueeze(-1)).addcmul_(own, eps_v.unsqueeze(1))


def traces(net: tca.nets.SpikingRNN, batch: tca.Batch, advance: Advance) -> dict[str, Tensor]:
    """The textbook loop of e-prop: a step of the network, of its traces, and of the gradient where there is error."""
    w_in, w_rec, w_out = (net.get_parameter(name).detach() for name in ("w_in", "w_rec", "w_out"))
    count, cells = batch.trials, net.n_rec
    v, a, z, wait, psi = (torch.zeros(count, cells) for _ in range(5))
    eps_v, pre_count = torch.zeros(count, CHANNELS + cells), CHANNELS + cells
    eps_a = torch.zeros(count, cells, pre_count)
    change, change_out = torch.zeros(cells, pre_count), torch.zeros(OUTPUTS, cells)
    kappa, gain, rho, gain_a = (
        float(each[0]) for each in (net.leak, net.gain, net.adaptation_leak, net.adaptation_gain)
    )
    beta, thr = net.beta, net.threshold
    for x, target, weight in zip(batch.inputs, batch.targets, batch.weights, strict=True):
        eps_a = advance(eps_a, eps_v, psi, beta, rho, gain_a)
        eps_v.mul_(kappa).add_(torch.cat([x, z], 1), alpha=gain)
        wait = torch.where(z > 0, float(net.refractory), (wait - 1).clamp(min=0))
        v = kappa * v + gain * (x @ w_in.t() + z @ w_rec.t()) - thr * z
        a = rho * a + gain_a * z
        distance = (v - thr - beta * a) / thr
        ready = (wait == 0).float()
        z = (distance > 0).float() * ready
        psi = 0.3 / thr * torch.relu(1 - distance.abs()) * ready
        if weight.any():
            outputs = (z @ w_out.t()).softmax(-1)
            score = (outputs - torch.nn.functional.one_hot(target, OUTPUTS)) * (weight / count).unsqueeze(-1)
            learning_signal = (score @ w_out) * psi
            change += learning_signal.t() @ eps_v - torch.einsum("bi,bij->ij", learning_signal * beta, eps_a)
            change_out += score.t() @ z
    off_diagonal = 1 - torch.eye(cells)
    return {"w_in": change[:, :CHANNELS], "w_rec": change[:, CHANNELS:] * off_diagonal, "w_out": change_out}


def contestants(net: tca.nets.SpikingRNN, batch: tca.Batch) -> dict[str, Callable[[], dict[str, Tensor]]]:
    """Return everyone, each a function that returns the gradients."""

    def rule(name: str) -> Callable[[], dict[str, Tensor]]:
        learner = tca.Learner(net, tca.RULES[name])

        def work() -> dict[str, Tensor]:
            net.zero_grad()
            learner.backward(batch)
            return {key: each.grad for key, each in net.named_parameters()}

        return work

    def alone() -> dict[str, Tensor]:
        net.run(batch.inputs)
        return {}

    def autograd() -> dict[str, Tensor]:
        net.zero_grad()
        outputs = net.functional({}, batch.inputs)
        batch.loss.mean(outputs, batch.targets, batch.weights).backward()
        return {key: each.grad for key, each in net.named_parameters()}

    return {
        "forward pass alone": alone,
        EPROP: rule("eprop"),
        WRITTEN: lambda: traces(net, batch, written),
        IN_PLACE: lambda: traces(net, batch, in_place),
        BPTT: rule("bptt"),
        AUTOGRAD: autograd,
    }


def error(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """Return the largest relative difference of two gradients."""
    return max(float((found[key] - wanted[key]).norm() / wanted[key].norm()) for key in ("w_in", "w_rec", "w_out"))


def checked(cells: int, count: int, steps: int) -> dict[str, Callable[[], dict[str, Tensor]]]:
    """Return everyone for N cells, after a check that they compute the same."""
    net, batch = network(cells), trials(count, steps)
    everyone = contestants(net, batch)
    for one, other in ((EPROP, WRITTEN), (EPROP, IN_PLACE), (BPTT, AUTOGRAD)):
        found = {key: each.clone() for key, each in everyone[one]().items() if each is not None}
        apart = error(found, everyone[other]())
        if apart > 1e-3:
            raise RuntimeError(f"{one} and {other} differ by {apart:.1e}: one of them is wrong")
    hertz = 1000 * float(net.run(batch.inputs).rate[1:].mean())
    print(f"{cells} cells fire at {hertz:.1f} Hz", flush=True)
    return everyone


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spiking", description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[64, 256], help="numbers of cells (default: 64 256)")
    parser.add_argument("--steps", type=int, default=1000, help="steps of a trial (default: 1000)")
    parser.add_argument("--trials", type=int, default=32, help="trials of a batch (default: 32)")
    add_options(parser, rounds=3, longest=20.0)
    given = parser.parse_args()
    one_core()
    columns = {f"{cells} cells": partial(checked, cells, given.trials, given.steps) for cells in given.cells}
    rows = measure(columns, given.rounds, given.longest)
    question = f"Gradients of spiking networks, {given.trials} trials of {given.steps} steps, float32"
    bounds = [Bound(WRITTEN, EPROP, 10, at_least=True), Bound(IN_PLACE, EPROP, 10, at_least=True)]
    finish(Result("spiking", question, EPROP, rows, bounds), given.save)


if __name__ == "__main__":
    main()
