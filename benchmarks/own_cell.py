"""A GRU of PyTorch as a cell module and as a whole model: time and memory of a gradient beside a loop of autograd.

Run ``python -m benchmarks.own_cell`` from the root. One thread, float32, 100 steps of 32 trials with 3 inputs; process
time, the least of several rounds in which all take turns. Memory is the growth of the resident set at its peak, each in
a process of its own.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import tca
from benchmarks.memory import RESET, measurable, resident
from benchmarks.results import Result, add_options, finish, measure
from benchmarks.timing import one_core

STEPS, TRIALS = 100, 32
RULES = ("bptt", "tbptt", "three_factor")
LOOP = "autograd through a loop over steps"


class Loop(nn.Module):
    """A cell run over time, with a readout."""

    def __init__(self, cell: nn.Module, readout: nn.Linear) -> None:
        super().__init__()
        self.cell, self.readout = cell, readout

    def forward(self, inputs: Tensor) -> Tensor:
        state, rates = inputs.new_zeros(inputs.shape[1], self.readout.in_features), []
        for x in inputs.unbind(0):
            state = self.cell(x, state)
            rates.append(state)
        return self.readout(torch.stack(rates))  # type: ignore[no-any-return]


def contestants(cells: int) -> dict[str, Callable[[], object]]:
    """Return what computes a gradient, by name."""
    torch.manual_seed(0)
    cell, readout = nn.GRUCell(3, cells), nn.Linear(cells, 2)
    loop, source = Loop(cell, readout), torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(STEPS, TRIALS, size, generator=source) for size in (3, 2))
    batch = tca.Batch(inputs, targets, torch.full((STEPS, TRIALS), 1 / STEPS), tca.losses.MSE())

    def autograd() -> None:
        loss = (batch.weights * (loop(inputs) - targets).square().sum(-1) / 2).sum() / TRIALS
        loss.backward()

    learners = {
        f"from_module, {rule}": tca.Learner(tca.nets.from_module(cell, readout), tca.RULES[rule]) for rule in RULES
    }
    learners["wrap, bptt"] = tca.Learner(tca.nets.wrap(loop), tca.RULES["bptt"])
    found: dict[str, Callable[[], object]] = {LOOP: autograd}
    return found | {name: lambda each=each: each.backward(batch) for name, each in learners.items()}


def _peak(name: str, cells: int) -> int:
    """Return the growth of memory by one gradient, after a small one has loaded the code."""
    contestants(4)[name]()
    work = contestants(cells)[name]
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    RESET.write_text("5")
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before


def _measured(name: str, cells: int) -> int:
    command = [sys.executable, "-m", "benchmarks.own_cell", "--of", name, "--cells", str(cells)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.own_cell", description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[128, 256], help="numbers of cells (128 256)")
    parser.add_argument("--of", help="print the memory of one contestant in bytes")
    add_options(parser, longest=20.0)
    given = parser.parse_args()
    one_core()
    if given.of is not None:
        print(_peak(given.of, given.cells[0]))
        return
    columns = {f"{cells} cells": partial(contestants, cells) for cells in given.cells}
    rows = measure(columns, given.rounds, given.longest)
    question = f"Gradients of a GRU cell of PyTorch, {STEPS} steps, {TRIALS} trials, float32"
    finish(Result("own_cell", question, LOOP, rows), given.save)
    if measurable():
        print("| cells | gradient | MiB |\n| --- | --- | ---: |")
        for cells in given.cells:
            for name in rows:
                print(f"| {cells} | {name} | {_measured(name, cells) / 2**20:.0f} |")


if __name__ == "__main__":
    main()
