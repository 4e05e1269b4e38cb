"""The problem that all contestants solve, and the floors below which none can go.

Shapes: T time, B batch, N cells, I inputs, O outputs.

A leaky tanh network with dense weights, 3 inputs, 3 outputs and cross-entropy at each step; the answer is the largest
input of two steps before. Both forms of the leak have the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import tca

__all__ = ["FLOORS", "Problem", "make_problem"]

TRIALS, CHANNELS, DELAY = 64, 3, 2


@dataclass(frozen=True, eq=False)
class Problem:
    """A batch, and a network for each form of the leak."""

    nets: dict[str, tca.nets.LeakyRNN]
    batch: tca.Batch

    @property
    def steps(self) -> int:
        return self.batch.steps


def make_problem(cells: int, steps: int) -> Problem:
    """Return the problem with N cells and T steps, always the same one."""
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(steps, TRIALS, CHANNELS, generator=source)
    targets = torch.cat([inputs[:DELAY], inputs[:-DELAY]]).argmax(-1)
    weights = torch.full((steps, TRIALS), 1 / steps)
    nets = {form: tca.nets.LeakyRNN(CHANNELS, cells, CHANNELS, form=form) for form in "AB"}
    return Problem(nets, tca.Batch(inputs, targets, weights, tca.losses.CrossEntropy()))


def eprop_floor(problem: Problem) -> Callable[[], object]:
    """T products (B,N)x(N,N) and T activations forwards, one product (N,TB)x(TB,N) for the gradient; nothing else."""
    forwards, gradient, _ = _parts(problem)
    return lambda: (forwards(), gradient())


def bptt_floor(problem: Problem) -> Callable[[], object]:
    """The floor of e-prop and T products (B,N)x(N,N) backwards."""
    forwards, gradient, backwards = _parts(problem)
    return lambda: (forwards(), backwards(), gradient())


FLOORS: dict[str, Callable[[Problem], Callable[[], object]]] = {
    "floor of e-prop": eprop_floor,
    "floor of BPTT": bptt_floor,
}


def _parts(problem: Problem) -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
    net = problem.nets["A"]
    rate = net.run(problem.batch.inputs).rate
    signal, drive = torch.randn_like(rate), torch.empty_like(rate[0])
    weights = net.w_rec.detach()
    result = torch.empty_like(weights)
    rates, signals = rate.unbind(0), signal.unbind(0)

    def forwards() -> None:
        transposed = weights.t()
        for t in range(1, len(rates)):
            torch.mm(rates[t - 1], transposed, out=drive)
            torch.tanh(drive, out=rates[t])

    def backwards() -> None:
        for t in range(len(signals) - 1, 0, -1):
            torch.mm(signals[t], weights, out=drive)

    def gradient() -> Tensor:
        return torch.mm(signal[1:].flatten(0, 1).t(), rate[:-1].flatten(0, 1), out=result)

    return forwards, gradient, backwards
