"""How many threads suit a network: updates of `tca.train` by one thread and by several, on the clock, by size.

Run ``python -m benchmarks.threads`` from the root, on a machine that has nothing else to do: other processes take cores
from several threads before they take them from one. Float32, trials of 50 steps with 3 inputs and a class of 3 at every
step, 32 a batch; the least of many updates, all contestants in turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch

import tca
from benchmarks.results import Result, add_options, finish, measure
from benchmarks.updates import STEPS, TRIALS, run, trials

RULES = {"e-prop": "eprop", "BPTT": "bptt"}
Works = dict[str, Callable[[], object]]


def on(threads: int, rule: str, cells: int) -> Callable[[], object]:
    """Return an update of a run by so many threads."""
    loop = run(rule, tca.NetworkConfig(size=cells), trials(STEPS, 3, 3))

    def update() -> None:
        torch.set_num_threads(threads)
        loop.update()

    return update


def works(rule: str, cells: int, threads: int) -> Works:
    """Return an update by one thread and by several."""
    return {"1 thread": on(1, rule, cells), f"{threads} threads": on(threads, rule, cells)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cells", type=int, nargs="+", default=[64, 128, 256, 512, 1024], help="(default: 64, 128, 256, 512 and 1024)"
    )
    parser.add_argument("--threads", type=int, default=2, help="of the second contestant (default: %(default)s)")
    add_options(parser, rounds=20, longest=3.0)
    options = parser.parse_args()
    for title, rule in RULES.items():
        columns = {f"{cells} cells": partial(works, rule, cells, options.threads) for cells in options.cells}
        rows = measure(columns, options.rounds, options.longest, time.perf_counter)
        question = f"Updates of `tca.train` on the clock, {title}, {STEPS} steps, {TRIALS} trials, float32"
        finish(Result(f"threads_{rule}", question, "1 thread", rows), options.save)


if __name__ == "__main__":
    main()
