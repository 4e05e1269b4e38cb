"""BPTT of the modules of snnTorch and norse beside e-prop and BPTT of the library, on recurrent spiking networks.

Shapes: T time, B batch, N cells.

These libraries learn by autograd, so that their gradient is that of BPTT. The cells of snnTorch obey the library's
equations where these have neither adaptation nor a refractory time, and its gradient is held against the library's: the
reset is a synapse of a cell onto itself, since snnTorch cuts the derivative of its own. Cells of norse have a current
that fades and a reset to zero, so that only the size of the work is the same. What these modules leave to their user,
input and readout of all steps, is one product each.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

import tca
from benchmarks.results import Result, add_options, finish, measure
from benchmarks.spiking import CHANNELS, OUTPUTS, error, trials
from benchmarks.timing import one_core

__all__ = ["checked", "installed", "main", "network"]

Gradients = dict[str, Tensor]
TRIALS = 32
EPROP, BPTT, SNNTORCH, NORSE = "tca e-prop", "tca BPTT", "snnTorch", "norse"
NORSE_GAIN = 7.0  # of its input weights, so that its cells spike now and then
PEERS = {SNNTORCH: "snntorch", NORSE: "norse"}


def installed() -> list[str]:
    """Return which of the two libraries are here."""
    return [name for name, module in PEERS.items() if importlib.util.find_spec(module) is not None]


def network(cells: int) -> tca.nets.SpikingRNN:
    """Return a network of leaky integrate-and-fire cells that spike now and then and are never refractory.

    Args:
        cells: Number of cells N.
    """
    options = {"adaptive": 0.0, "refractory": 0.0, "scaled_drive": False, "gain_in": 0.05, "gain_rec": 0.03}
    return tca.nets.SpikingRNN(CHANNELS, cells, OUTPUTS, readout_tau=None, seed=0, **options)


class _Spike(torch.autograd.Function):
    """A spike where the distance to the threshold is positive, with the library's surrogate gradient."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, threshold: float) -> Tensor:
        ctx.save_for_backward(distance)
        ctx.threshold = threshold
        return (distance > 0).to(distance)

    @staticmethod
    def backward(ctx: Any, *passed: Tensor) -> tuple[Tensor, None]:
        (distance,) = ctx.saved_tensors
        slope = 0.3 / ctx.threshold * torch.relu(1 - distance.abs() / ctx.threshold)
        return passed[0] * slope, None


def of_snntorch(net: tca.nets.SpikingRNN, batch: tca.Batch) -> Callable[[], Gradients]:
    """Return the gradient of snnTorch's recurrent module on the same cells, weights and trials."""
    from snntorch import RLeaky

    weights = {name: net.get_parameter(name).detach().clone().requires_grad_() for name in ("w_in", "w_rec", "w_out")}
    cells = RLeaky(
        beta=float(net.leak[0]),
        linear_features=net.n_rec,
        threshold=net.threshold,
        spike_grad=lambda distance: _Spike.apply(distance, net.threshold),  # type: ignore[no-untyped-call]
        reset_mechanism="none",
    )
    own_reset = net.threshold * torch.eye(net.n_rec)
    cells.recurrent.weight = torch.nn.Parameter(weights["w_rec"].detach() - own_reset)
    cells.recurrent.bias = None
    weights["w_rec"] = cells.recurrent.weight

    def work() -> Gradients:
        for each in weights.values():
            each.grad = None
        spikes, potential = torch.zeros(2, batch.trials, net.n_rec)
        found = []
        for drive in batch.inputs @ weights["w_in"].t():
            spikes, potential = cells(drive, spikes, potential)
            found.append(spikes)
        return _backward(torch.stack(found) @ weights["w_out"].t(), batch, weights)

    return work


def of_norse(net: tca.nets.SpikingRNN, batch: tca.Batch) -> Callable[[], Gradients]:
    """Return the gradient of norse's recurrent module, whose equations are its own, with as many cells."""
    from norse.torch import LIFRecurrent

    torch.manual_seed(0)
    cells = LIFRecurrent(CHANNELS, net.n_rec)
    cells.input_weights.data *= NORSE_GAIN
    w_out = net.w_out.detach().clone().requires_grad_()
    weights = {"w_in": cells.input_weights, "w_rec": cells.recurrent_weights, "w_out": w_out}

    def work() -> Gradients:
        for each in weights.values():
            each.grad = None
        return _backward(cells(batch.inputs)[0] @ w_out.t(), batch, weights)

    return work


def _backward(outputs: Tensor, batch: tca.Batch, weights: Gradients) -> Gradients:
    batch.loss.mean(outputs, batch.targets, batch.weights).backward()
    return {name: each.grad for name, each in weights.items() if each.grad is not None}


def checked(cells: int, steps: int, peers: list[str]) -> dict[str, Callable[[], Gradients]]:
    """Return everyone for N cells, after a check that snnTorch computes the library's gradient.

    Args:
        cells: Number of cells N.
        steps: Steps of a trial.
        peers: Which of the two libraries take part.
    """
    net, batch = network(cells), trials(TRIALS, steps)
    net.b_out.requires_grad_(False)
    rules = {EPROP: tca.Learner(net, tca.RULES["eprop"]), BPTT: tca.Learner(net, tca.RULES["bptt"])}
    works: dict[str, Callable[[], Gradients]] = {
        name: lambda learner=learner: learner.grads(batch)[0] for name, learner in rules.items()
    }
    makers = {SNNTORCH: of_snntorch, NORSE: of_norse}
    works |= {name: makers[name](net, batch) for name in peers}
    if SNNTORCH in works:
        found = works[SNNTORCH]()
        found["w_rec"] = found["w_rec"] * (1 - torch.eye(cells))
        if (apart := error(found, works[BPTT]())) > 1e-3:
            raise RuntimeError(f"tca and snnTorch differ by {apart:.1e}: one of them is wrong")
    return works


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spiking_modules", description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[64, 128], help="numbers of cells (default: 64 128)")
    parser.add_argument("--steps", type=int, default=250, help="steps of a trial (default: 250)")
    add_options(parser, rounds=3, longest=20.0)
    given = parser.parse_args()
    if not (peers := installed()):
        print("neither snnTorch nor norse is installed: make bench-peers")
        return
    one_core()
    columns = {f"{cells} cells": partial(checked, cells, given.steps, peers) for cells in given.cells}
    rows = measure(columns, given.rounds, given.longest)
    question = f"Gradients of recurrent spiking networks, {TRIALS} trials of {given.steps} steps, float32"
    finish(Result("spiking_modules", question, EPROP, rows), given.save)


if __name__ == "__main__":
    main()
