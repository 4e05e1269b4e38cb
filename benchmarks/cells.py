"""Cost of the gradient of a gated network, beside `torch.nn.GRU` and `torch.nn.LSTM` with the same weights.

Shapes: T time, B batch, N cells.

A row is everything from a batch to the gradients of all parameters. *Automatic* is the same network with a cell whose
derivatives are not given in closed form.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

import tca
from benchmarks.results import Result, add_options, finish, measure
from benchmarks.timing import one_core
from tca import cells

CHANNELS, OUTPUTS = 3, 2
RULES = ("bptt", "eprop", "three_factor")
REFERENCE = "the module of PyTorch"


@dataclass(frozen=True)
class AutomaticGRU(cells.GRU):
    """A GRU without closed forms."""

    def derivatives(self, state: Any, drive: Any) -> None:
        return None

    def advance_(self, drive: Any, before: Any, after: Any) -> bool:
        return False


@dataclass(frozen=True)
class AutomaticLSTM(cells.LSTM):
    """An LSTM without closed forms."""

    def derivatives(self, state: Any, drive: Any) -> None:
        return None

    def advance_(self, drive: Any, before: Any, after: Any) -> bool:
        return False


AUTOMATIC: dict[type[nn.Module], cells.Cell] = {nn.GRU: AutomaticGRU(), nn.LSTM: AutomaticLSTM()}


def trials(steps: int, count: int) -> tca.Batch:
    """Return trials with targets at every step."""
    generator = torch.Generator().manual_seed(1)
    inputs, targets = (torch.randn(steps, count, each, generator=generator) for each in (CHANNELS, OUTPUTS))
    return tca.Batch(inputs, targets, torch.full((steps, count), 1 / steps), tca.losses.MSE())


def contestants(kind: type[nn.Module], n_rec: int, batch: tca.Batch) -> dict[str, Callable[[], object]]:
    """Return the contestants by name."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module: Any = kind(CHANNELS, n_rec)
        readout = nn.Linear(n_rec, OUTPUTS)

    def theirs() -> None:
        module.zero_grad()
        readout.zero_grad()
        batch.loss.mean(readout(module(batch.inputs)[0]), batch.targets, batch.weights).backward()

    def ours(net: tca.nets.CellRNN, rule: str) -> Callable[[], object]:
        learner = tca.Learner(net, tca.RULES[rule])

        def work() -> None:
            net.zero_grad()
            learner.backward(batch)

        return work

    net = tca.nets.CellRNN.from_torch(module, readout)
    automatic = tca.nets.CellRNN(AUTOMATIC[kind], CHANNELS, n_rec, OUTPUTS)
    automatic.load_state_dict(net.state_dict())
    found = {REFERENCE: theirs, **{rule: ours(net, rule) for rule in RULES}}
    return found | {f"{rule}, automatic": ours(automatic, rule) for rule in ("bptt", "eprop")}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cells", description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[128, 256], help="numbers of cells N")
    parser.add_argument("--steps", type=int, default=100, help="steps T of a trial")
    parser.add_argument("--trials", type=int, default=32, help="trials B of a batch")
    add_options(parser, rounds=9, longest=60.0)
    options = parser.parse_args()
    one_core()
    batch = trials(options.steps, options.trials)
    columns = {
        f"{kind.__name__}, {n_rec} cells": partial(contestants, kind, n_rec, batch)
        for kind in AUTOMATIC
        for n_rec in options.cells
    }
    question = f"Gradients of gated networks, {options.steps} steps, {options.trials} trials, float32"
    finish(Result("cells", question, REFERENCE, measure(columns, options.rounds, options.longest)), options.save)


if __name__ == "__main__":
    main()
