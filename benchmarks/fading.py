"""What errors cost that fade within a trial to subnormal numbers: gradients with a loss in the last step alone.

A leak of .9 and weak recurrent weights take an error below the smallest normal number of float32 within some 800 steps.
Compiled passes take such numbers for zero, PyTorch's operations compute with them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial

import torch

import tca
from benchmarks.kernels import ROWS, RULES, under
from benchmarks.results import Result, add_options, finish, measure
from benchmarks.timing import one_core

LEAK, RECURRENT = 0.9, 0.3  # that, and the scale of the recurrent weights, by which the errors of BPTT fade too
EVERY, LAST = "loss in every step", "loss in the last step"


def gradient(rule: str, cells: int, steps: int, trials: int, last: bool) -> Callable[[], object]:
    """Return a function that computes the gradient of a batch, with a loss in every step or in the last alone."""
    source = torch.Generator().manual_seed(0)
    net = tca.nets.LeakyRNN(3, cells, 3, form=tca.RULES[rule].form or "A", tau=-1 / math.log(LEAK), dt=1.0)
    with torch.no_grad():
        net.w_rec.mul_(RECURRENT)
    inputs, weights = torch.randn(steps, trials, 3, generator=source), torch.full((steps, trials), 1 / steps)
    weights[: steps - 1 if last else 0] = 0.0
    batch = tca.Batch(inputs, inputs.argmax(-1), weights, tca.losses.CrossEntropy())
    return partial(tca.Learner(net, tca.RULES[rule]).backward, batch)


def contestants(mode: str, rule: str, cells: int, steps: int, trials: int) -> dict[str, Callable[[], object]]:
    """Return the gradients of both kinds of trials under one kind of passes."""
    return {name: under(mode, gradient(rule, cells, steps, trials, name == LAST)) for name in (EVERY, LAST)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[64, 128], help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=1000, help="(default: %(default)s)")
    parser.add_argument("--trials", type=int, default=8, help="(default: %(default)s)")
    parser.add_argument("--rules", choices=RULES, nargs="+", default=["e-prop", "BPTT"], help="(default: %(default)s)")
    add_options(parser)
    options = parser.parse_args()
    one_core()
    for name, mode in ROWS.items():
        columns = {
            f"{rule}, N = {cells}": partial(contestants, mode, RULES[rule], cells, options.steps, options.trials)
            for rule in options.rules
            for cells in options.cells
        }
        rows = measure(columns, options.rounds, options.longest)
        question = f"Gradients by {name}, leak .9, T = {options.steps}, B = {options.trials}, float32"
        finish(Result(f"fading_{mode}", question, EVERY, rows), options.save)


if __name__ == "__main__":
    main()
