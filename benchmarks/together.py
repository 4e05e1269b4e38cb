"""What training several runs together gains: updates of S runs, one after the other and as one ensemble.

Run ``python -m benchmarks.together`` from the root. One thread, float32, leaky tanh networks, trials of 50 steps with 3
inputs and a class of 3 at every step, 32 a batch; process time, the least of several rounds in turns. An update is that
of `tca.train` and `tca.train_together`: trials, checks, gradients, their norm and bound, Adam, constraints. The command
stops if the weights of both differ by more than round-off after the first updates.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch

import tca
from benchmarks.results import Bound, Result, add_options, finish, measure
from benchmarks.timing import one_core
from benchmarks.updates import BOUND, RATE, SET, STEPS, TRIALS, trials
from tca.experiments.together.group import Group
from tca.experiments.training.training_loop import TrainingLoop

SINGLY, TOGETHER = "one by one", "together"
RULES = {"e-prop": "eprop", "BPTT": "bptt"}
CHECKED, TOLERANCE = 5, 1e-4  # updates, and a relative difference of weights in float32
Works = dict[str, Callable[[], object]]


def loops(rule: str, cells: int, count: int) -> tuple[TrainingLoop, ...]:
    """Return the training of runs that differ in seeds, before their first update, each with trials of its own."""
    given, net, optimizer = trials(STEPS, 3, 3), tca.NetworkConfig(size=cells), tca.Optimizer(lr=RATE, clip=BOUND)
    sizes = {"batch_size": TRIALS, "steps": 10**6, "n_train": SET - 1, "n_test": 1}
    return tuple(
        TrainingLoop(
            tca.Run(given, rule, net=net, optimizer=optimizer, seeds=tca.Seeds(net=seed, batches=seed), **sizes)
        )
        for seed in range(count)
    )


def works(rule: str, cells: int, count: int) -> Works:
    """Return an update of each of S runs, singly and together."""
    singly, together = (loops(rule, cells, count) for _ in range(2))
    group = Group(together, (), ())

    def one_by_one() -> None:
        for each in singly:
            each.update()

    found: Works = {SINGLY: one_by_one, TOGETHER: lambda: group.update(together)}
    for _ in range(CHECKED):
        for work in found.values():
            work()
    for one, other in zip(singly, together, strict=True):
        for name, each in one.net.named_parameters():
            torch.testing.assert_close(
                each, other.net.get_parameter(name), rtol=TOLERANCE, atol=TOLERANCE * float(each.detach().abs().max())
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[64, 128], help="(default: 64 and 128)")
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 8, 32], help="(default: 1, 8 and 32)")
    add_options(parser, rounds=7, longest=10.0)
    options = parser.parse_args()
    one_core()
    for cells in options.cells:
        columns = {
            f"{title}, S = {count}": partial(works, rule, cells, count)
            for title, rule in RULES.items()
            for count in options.runs
        }
        rows = measure(columns, options.rounds, options.longest)
        question = f"Updates of S runs, {cells} cells, {STEPS} steps, {TRIALS} trials, float32"
        bounds = [Bound(TOGETHER, SINGLY, 1.05)]
        finish(Result(f"together_{cells}", question, SINGLY, rows, bounds), options.save)


if __name__ == "__main__":
    main()
