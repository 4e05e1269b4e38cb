"""What a gradient costs: the library's rules against their floors, against autograd, and against peers, in one run.

Run ``python -m benchmarks.rules`` from the root. One thread on one core; times are process time, the least of several
rounds in which all contestants take turns. Compilation and a first run are not timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

import tca
from benchmarks.code_versions import executed
from benchmarks.contestants import LIBRARY, LOOPS, TORCH_PEERS, Contestant
from benchmarks.jax_peers import JAX_PEERS, installed
from benchmarks.memory import extra_bytes, measurable, run
from benchmarks.problem import FLOORS, TRIALS, make_problem
from benchmarks.results import Bound, Result, Row, add_options, finish, measure
from benchmarks.timing import one_core

CAPTION = """The floor of e-prop is T products (B,N)x(N,N), T times torch.tanh of (B,N) and one product (N,TB)x(TB,N);
that of BPTT is T more products (B,N)x(N,N). Recurrent weights only: the products of inputs and readout, the loss, the
leak and all other element-wise work are not in it. A target is a bound on the time."""
TOLERANCE = 1e-4  # between two computations of one gradient in float32


BOUNDS = [
    Bound("tca e-prop", "floor of e-prop", 1.35),
    Bound("tca e-prop", "autograd loop", 0.65),
    Bound("tca RFLO, form B", "floor of e-prop", 1.35),
    Bound("tca RFLO, form B", "autograd loop, form B", 0.65),
    Bound("tca BPTT", "floor of BPTT", 1.35),
    Bound("tca BPTT", "autograd loop", 0.85),
    Bound("tca SnAp-1", "tca e-prop", 2.0),
    Bound("tca MDGL, two cell types", "tca e-prop", 1.5),
    Bound("tca ModProp, two cell types", "tca e-prop", 1.5),
]
REFERENCE = "autograd loop"
MOST_ONLINE = 16  # megabytes
MEMORY_CELLS, MEMORY_STEPS = 512, (100, 1000)


def contestants() -> list[Contestant]:
    """Return all that can run here; those of JAX where it is installed."""
    there = [each for each, package in JAX_PEERS.items() if installed(package)]
    return [*LIBRARY, *LOOPS, *TORCH_PEERS, *there]


def agreement(everyone: Sequence[Contestant]) -> Result:
    """Return how far each gradient is from the library's; raise where it must be the same and is not."""
    problem = make_problem(64, 50)
    rows, bounds = {}, []
    for each in everyone:
        work = each.prepare(problem)
        found, code = (work(), executed(work)) if each.same_as else ({}, {})
        for rule in each.same_as:
            form = "B" if each.loop.endswith("form B") else "A"
            expected, _ = tca.Learner(problem.nets[form], tca.RULES[rule]).grads(problem.batch)
            off = {name: relative_difference(found[name], gradient) for name, gradient in expected.items()}
            row = f"{each.name} beside tca {rule}"
            rows[row] = Row({"w_rec": off["w_rec"], "worst parameter": max(off.values())}, code)
            if each.exact and not max(off.values()) < TOLERANCE:
                raise AssertionError(f"{each.name} does not compute the gradient of {rule}: {off}")
            bounds += [Bound(row, None, TOLERANCE)] * each.exact
    question = f"Gradients of two computations, N = 64, 50 steps, {TRIALS} trials, float32"
    return Result("gradients_agreement", question, None, rows, bounds, measure="norm of the difference, relative")


def relative_difference(found: Any, expected: Tensor) -> float:
    """Return the norm of the difference over that of what is expected."""
    return float(np.linalg.norm(np.asarray(found) - expected.numpy()) / np.linalg.norm(expected.numpy()))


def works(everyone: Sequence[Contestant], cells: int, steps: int) -> dict[str, Callable[[], object]]:
    """Return the gradients of all contestants, after the floors, for N cells and T steps."""
    problem = make_problem(cells, steps)
    floors: dict[str, Callable[[], object]] = {name: floor(problem) for name, floor in FLOORS.items()}
    return floors | {each.name: each.prepare(problem) for each in everyone}


def memory() -> Result:
    """Return what rules need beyond weights, gradients and the batch, each in a process of its own."""
    rows = {
        rule: Row(
            {f"T = {steps}": extra_bytes(rule, MEMORY_CELLS, steps) / 1e6 for steps in MEMORY_STEPS},
            executed(partial(run, rule, MEMORY_CELLS, 3)),
        )
        for rule in ("online eprop", "eprop", "bptt")
    }
    question = f"Memory beyond weights, gradients and batch, N = {MEMORY_CELLS}, {TRIALS} trials, float32"
    bounds = [Bound("online eprop", None, MOST_ONLINE)]
    return Result("gradients_memory", question, None, rows, bounds, measure="megabytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[128, 512], help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 1000], help="(default: %(default)s)")
    parser.add_argument("--without", nargs="+", default=[], metavar="NAME", help="contestants to leave out")
    add_options(parser, rounds=5, longest=20.0)
    options = parser.parse_args()
    one_core()
    everyone = [each for each in contestants() if each.name not in options.without]
    print(f"{CAPTION}\n")
    finish(agreement(everyone), options.save)
    for steps in options.steps:
        columns = {f"N = {cells}": partial(works, everyone, cells, steps) for cells in options.cells}
        rows = measure(columns, options.rounds, options.longest)
        question = f"Gradients of leaky tanh networks, {steps} steps, {TRIALS} trials, float32"
        finish(Result(f"gradients_{steps}", question, REFERENCE, rows, BOUNDS), options.save)
    if measurable():
        finish(memory(), options.save)


if __name__ == "__main__":
    main()
