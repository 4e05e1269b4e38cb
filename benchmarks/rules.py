"""What a gradient costs: the library's rules against their floors, against autograd, and against peers, in one run.

Run ``python -m benchmarks.rules`` from the root. One thread on one core; times are process time, the least of several
rounds in which all contestants take turns. Compilation and a first run are not timed. Where one run would take too
long, fewer steps are run and the time is scaled up, marked ``~``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import tca
from benchmarks.contestants import LIBRARY, LOOPS, TORCH_PEERS, Contestant
from benchmarks.jax_peers import JAX_PEERS, installed
from benchmarks.memory import extra_bytes, measurable
from benchmarks.problem import FLOORS, TRIALS, make_problem
from benchmarks.timing import one_core, process_seconds, race

CAPTION = """The floor of e-prop is T products (B,N)x(N,N), T times torch.tanh of (B,N) and one product (N,TB)x(TB,N);
that of BPTT is T more products (B,N)x(N,N). Recurrent weights only: the products of inputs and readout, the loss, the
leak and all other element-wise work are not in it. A target is a bound on the time."""
PROBE = 100  # steps of the warm-up, and of those that are too slow for more
TOLERANCE = 1e-4  # between two computations of one gradient in float32


@dataclass(frozen=True)
class Target:
    """A ratio of times that must not be exceeded."""

    name: str
    against: str
    most: float


TARGETS = (
    Target("tca e-prop", "floor of e-prop", 1.35),
    Target("tca e-prop", "autograd loop", 0.65),
    Target("tca RFLO, form B", "floor of e-prop", 1.35),
    Target("tca RFLO, form B", "autograd loop, form B", 0.65),
    Target("tca BPTT", "floor of BPTT", 1.35),
    Target("tca BPTT", "autograd loop", 0.85),
    Target("tca SnAp-1", "tca e-prop", 2.0),
    Target("tca MDGL, two cell types", "tca e-prop", 1.5),
    Target("tca ModProp, two cell types", "tca e-prop", 1.5),
)
MOST_ONLINE_BYTES = 16e6
MEMORY_CELLS, MEMORY_STEPS = 512, 1000


def contestants() -> tuple[list[Contestant], list[str]]:
    """Return all that can run here, and the names of those whose package is missing."""
    there = [each for each, package in JAX_PEERS.items() if installed(package)]
    missing = [each.name for each, package in JAX_PEERS.items() if not installed(package)]
    return [*LIBRARY, *LOOPS, *TORCH_PEERS, *there], missing


def versions() -> str:
    """Return what runs here, in one line."""
    others = [f"{name} {importlib.metadata.version(name)}" for name in ("jax", "braintrace") if installed(name)]
    return ", ".join([f"torch {torch.__version__}", torch.backends.cpu.get_cpu_capability(), *others])


def check_gradients(everyone: Sequence[Contestant]) -> None:
    """Print how far each gradient is from the library's, and raise where it must be the same."""
    problem = make_problem(64, 50)
    print("| gradient of | compared with | relative difference: w_rec | worst parameter | must agree |")
    print("| --- | --- | ---: | ---: | --- |")
    for each in everyone:
        found = each.prepare(problem)() if each.same_as else {}
        for rule in each.same_as:
            form = "B" if each.loop.endswith("form B") else "A"
            expected, _ = tca.Learner(problem.nets[form], tca.RULES[rule]).grads(problem.batch)
            off = {name: relative_difference(found[name], gradient) for name, gradient in expected.items()}
            worst, exact = max(off.values()), "yes" if each.exact else "no"
            print(f"| {each.name} | tca {rule} | {off['w_rec']:.0e} | {worst:.0e} | {exact} |", flush=True)
            if each.exact and not worst < TOLERANCE:
                raise AssertionError(f"{each.name} does not compute the gradient of {rule}: {off}")
    print()


def relative_difference(found: Any, expected: Tensor) -> float:
    """Return the norm of the difference over that of what is expected."""
    return float(np.linalg.norm(np.asarray(found) - expected.numpy()) / np.linalg.norm(expected.numpy()))


def measure(
    everyone: Sequence[Contestant], cells: int, steps: int, options: argparse.Namespace
) -> tuple[dict[str, float], set[str]]:
    """Return seconds by name, floors included, and the names of those whose time has been scaled up."""
    whole, probe = make_problem(cells, steps), make_problem(cells, min(steps, PROBE))
    scale = whole.steps / probe.steps
    works, scaled = {name: floor(whole) for name, floor in FLOORS.items()}, set()
    for each in everyone:
        work = each.prepare(probe)
        work()
        if scale > 1 and process_seconds(work) * scale > options.longest:
            scaled.add(each.name)
        elif scale > 1:
            work = each.prepare(whole)
            work()
        works[each.name] = work
    times = race(works, options.rounds, options.longest)
    return {name: spent * (scale if name in scaled else 1) for name, spent in times.items()}, scaled


def print_table(
    everyone: Sequence[Contestant], missing: Sequence[str], times: dict[str, float], scaled: set[str]
) -> None:
    """Print the times and ratios of one size."""
    print("| | ms | / its floor | / autograd loop | targets |")
    print("| --- | ---: | ---: | ---: | --- |")
    for name in FLOORS:
        print(f"| {name} | {1e3 * times[name]:.1f} | 1.00 | {times[name] / times['autograd loop']:.2f} | |")
    for each in everyone:
        spent = times[each.name]
        floor = f"{spent / times[each.floor]:.2f}" if each.floor else ""
        mark = "~" if each.name in scaled else ""
        loop = f"{spent / times[each.loop]:.2f}"
        print(f"| {each.name} | {mark}{1e3 * spent:.1f} | {floor} | {loop} | {verdicts(each.name, times)} |")
    for name in missing:
        print(f"| {name} | not installed | | | |")
    print(flush=True)


def verdicts(name: str, times: dict[str, float]) -> str:
    """Return the targets of a contestant, each met or missed."""
    return ", ".join(
        f"{target.most} x {target.against}: "
        f"{'pass' if times[name] <= target.most * times[target.against] else '**miss**'}"
        for target in TARGETS
        if target.name == name
    )


def print_memory() -> None:
    """Print what rules need beyond weights, gradients and the batch."""
    if not measurable():
        print("memory: not measurable on this system")
        return
    print("| rule | T | extra memory, MB | target |")
    print("| --- | ---: | ---: | --- |")
    for rule in ("online eprop", "eprop", "bptt"):
        for steps in (MEMORY_STEPS // 10, MEMORY_STEPS):
            needed = extra_bytes(rule, MEMORY_CELLS, steps)
            verdict = "pass" if needed <= MOST_ONLINE_BYTES else "**miss**"
            target = f"at most {MOST_ONLINE_BYTES / 1e6:.0f}: {verdict}" if rule.startswith("online") else ""
            print(f"| {rule} | {steps} | {needed / 1e6:.1f} | {target} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[128, 512], help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 1000], help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the fastest counts (default: %(default)s)")
    parser.add_argument(
        "--longest",
        type=float,
        default=60.0,
        help="seconds that one run may take, or all rounds of one contestant (default: %(default)s)",
    )
    options = parser.parse_args()
    one_core()
    everyone, missing = contestants()
    print(f"{CAPTION}\n\n{versions()}\n")
    check_gradients(everyone)
    for cells in options.cells:
        for steps in options.steps:
            print(f"N = {cells} cells, T = {steps} steps, B = {TRIALS} trials, float32\n")
            print_table(everyone, missing, *measure(everyone, cells, steps, options))
    print(f"Memory beyond weights, gradients and batch, N = {MEMORY_CELLS}\n")
    print_memory()


if __name__ == "__main__":
    main()
