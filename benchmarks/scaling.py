"""How the cost of every rule grows with cells and with steps, measured, beside what theory says.

Run ``python -m benchmarks.scaling`` from the root. One thread on one core, process time, the least of several rounds,
64 trials, dense weights, cells of two types. An exponent is the slope of log time over log size through the largest
three sizes that were measured: below them the loop over steps and not the arithmetic is what is timed. A size is left
out where the rule's own growth predicts that one run takes longer than ``--longest``.
"""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import tca
from analysis.figures.plots import Series, save
from benchmarks.problem import CHANNELS, TRIALS, make_problem
from benchmarks.scaling_figure import HIGHLIGHTED, scaling
from benchmarks.timing import one_core, race
from studies.every_rule import TEMPORAL

FIT = 3  # sizes through which a slope is laid
REVERSE, FORWARD = "reverse", "forward"


@dataclass(frozen=True)
class Theory:
    """What a rule must cost on a dense network, batch and channels fixed.

    Attributes:
        cells: Exponent of the number of cells.
        steps: Exponent of the number of steps.
        because: What costs that.
    """

    cells: int
    steps: int
    because: str


PRODUCTS = Theory(2, 1, "a product with N x N numbers a step")
THEORY: Mapping[tuple[str, str], Theory] = {
    **{(rule, REVERSE): PRODUCTS for rule in TEMPORAL},
    ("snap2", REVERSE): Theory(3, 1, "N x N numbers a step for each of N postsynaptic cells"),
    ("eprop", FORWARD): Theory(2, 1, "a trace for each presynaptic cell, spent on N x N synapses a step"),
    ("rflo", FORWARD): Theory(2, 1, "a trace for each synapse"),
    ("snap1", FORWARD): Theory(2, 1, "a trace for each synapse"),
    ("modprop", FORWARD): Theory(2, 1, "a trace for each presynaptic cell and type, spent on N x N synapses a step"),
    ("rtrl", FORWARD): Theory(4, 1, "N x N products with N x N traces a step"),
    ("uoro", FORWARD): Theory(2, 1, "a product with N x N numbers and a trace for each synapse a step"),
    ("kf_rtrl", FORWARD): Theory(3, 1, "a product of N x N with N x N numbers a step and trial"),
    ("r_kf_rtrl", FORWARD): Theory(3, 1, "a product of N x N with N x N numbers a step and trial"),
    ("kernl", FORWARD): Theory(2, 1, "a trace for each synapse, products with N x N numbers"),
    ("node_perturbation", REVERSE): Theory(2, 1, "a run twice, a product of noise with activity"),
    ("weight_perturbation", REVERSE): Theory(2, 1, "a run twice, noise for each synapse"),
    ("miconi", REVERSE): Theory(2, 1, "a run twice, potentials, a product of fluctuations with activity"),
}
CELLS = (64, 128, 256, 512, 1024, 2048)
FEWER_CELLS = (8, 16, 32, 64, 128, 256)  # where a rule costs more than N^2: further ones would take too long
STEPS = (100, 200, 500, 1000, 2000)
FIXED_STEPS, FIXED_CELLS, FIXED_FEWER = 100, 128, 16


@dataclass(frozen=True)
class Grown:
    """Times of a rule over one kind of size.

    Attributes:
        name: The rule, and how it is executed if that is forwards.
        along: ``"cells"`` or ``"steps"``.
        sizes: The sizes.
        seconds: The time of a gradient at each.
        theory: The exponent that theory gives.
    """

    name: str
    along: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    theory: int

    @property
    def exponent(self) -> float:
        """The slope through the largest sizes, NaN for fewer than two."""
        sizes, seconds = self.sizes[-FIT:], self.seconds[-FIT:]
        return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(sizes) > 1 else math.nan


def name_of(rule: str, execution: str) -> str:
    """Return what a rule in an execution is called."""
    return rule if execution == REVERSE else f"{rule}, {execution}"


def work_of(rule: str, execution: str, cells: int, steps: int) -> Callable[[], object]:
    """Return what is timed: everything from a batch to all gradients."""
    problem = make_problem(cells, steps)
    form = tca.RULES[rule].form or "A"
    net = tca.nets.LeakyRNN(CHANNELS, cells, CHANNELS, form=form, cell_types=(0.8, 0.2), dale=(1, -1))
    learner = tca.Learner(net, tca.RULES[rule])
    return lambda: learner.grads(problem.batch, execution=execution)


def measure(
    rules: Sequence[tuple[str, str]], along: str, limits: Mapping[str, int], options: argparse.Namespace
) -> list[Grown]:
    """Time rules over sizes of one kind, all rules of a size in turns."""
    sizes: dict[tuple[str, str], list[int]] = {each: [] for each in rules}
    seconds: dict[tuple[str, str], list[float]] = {each: [] for each in rules}
    ladders = {each: ladder(each, along, limits[along]) for each in rules}
    for size in sorted({size for each in ladders.values() for size in each}):
        works = {}
        for each in rules:
            growth = getattr(THEORY[each], along)
            expected = seconds[each][-1] * (size / sizes[each][-1]) ** growth if sizes[each] else 0.0
            if size in ladders[each] and expected <= options.longest:
                works[each] = work_of(*each, **shape_of(each, along, size))
                works[each]()
        for each, spent in race(works, options.rounds, options.longest).items():  # type: ignore[arg-type]
            sizes[each].append(size)
            seconds[each].append(spent)
    return [
        Grown(name_of(*each), along, tuple(sizes[each]), tuple(seconds[each]), getattr(THEORY[each], along))
        for each in rules
    ]


def ladder(rule: tuple[str, str], along: str, most: int) -> list[int]:
    """Return the sizes at which a rule is to be timed."""
    cells = CELLS if THEORY[rule].cells == 2 else FEWER_CELLS
    return [size for size in {"cells": cells, "steps": STEPS}[along] if size <= most]


def shape_of(rule: tuple[str, str], along: str, size: int) -> dict[str, int]:
    """Return cells and steps, of which one is the size."""
    fixed = FIXED_CELLS if THEORY[rule].cells == 2 else FIXED_FEWER
    return {"cells": fixed, "steps": FIXED_STEPS} | {along: size}


def print_table(cells: Sequence[Grown], steps: Sequence[Grown]) -> None:
    """Print exponents and times at the largest sizes."""
    because = {name_of(*each): theory.because for each, theory in THEORY.items()}
    print("| rule | N exponent, measured | theory | ms at the largest N | T exponent, measured | theory | "
          "ms at the largest T | the theory |")  # fmt: skip
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for by_cells, by_steps in zip(cells, steps, strict=True):
        columns = []
        for grown, letter in ((by_cells, "N"), (by_steps, "T")):
            columns += [f"{grown.exponent:.2f}", f"{grown.theory}"]
            columns += [f"{1e3 * grown.seconds[-1]:.0f} ({letter} = {grown.sizes[-1]})"]
        print(f"| {by_cells.name} | {' | '.join(columns)} | {because[by_cells.name]} |")
    print(flush=True)


def earlier(out: Path, besides: Sequence[Grown]) -> list[Grown]:
    """Return what an earlier run has left in a folder, but for rules that have been measured anew."""
    path, anew = out / "scaling.csv", {each.name for each in besides}
    if not path.exists():
        return []
    points: dict[tuple[str, str], list[tuple[int, float]]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            taken = (int(float(row["size"])), float(row["milliseconds"]) / 1e3)
            points.setdefault((row["label"], row["panel"]), []).append(taken)
    theories = {name_of(*each): theory for each, theory in THEORY.items()}
    return [
        Grown(name, along, *zip(*taken, strict=True), getattr(theories[name], along))  # type: ignore[arg-type]
        for (name, along), taken in points.items()
        if name in theories and name not in anew
    ]


def write(measured: Sequence[Grown], out: Path) -> None:
    """Write times as a figure with a CSV, and exponents as another CSV; rules of an earlier run there are kept."""
    out.mkdir(parents=True, exist_ok=True)
    order = [name_of(*each) for each in THEORY]
    both = [*measured, *earlier(out, measured)]
    found = sorted(both, key=lambda each: (each.along, order.index(each.name)))
    series = [Series(each.along, each.name, 0, each.sizes, [1e3 * one for one in each.seconds]) for each in found]
    save(scaling(series, HIGHLIGHTED, {"cells": 2.0, "steps": 1.0}), series, out / "scaling", "size", "milliseconds")
    with open(out / "scaling_exponents.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["rule", "along", "measured", "theory"])
        writer.writerows((each.name, each.along, f"{each.exponent:.3f}", each.theory) for each in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", nargs="+", help="names of rules (default: all)")
    parser.add_argument("--cells", type=int, default=CELLS[-1], help="largest number of cells (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS[-1], help="largest number of steps (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="of which the fastest counts (default: %(default)s)")
    parser.add_argument("--longest", type=float, default=15.0, help="seconds of a run (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, help="folder of the figure and its numbers, where others' are kept (default: none is drawn)"
    )
    options = parser.parse_args()
    one_core()
    rules = [each for each in THEORY if options.rules is None or each[0] in options.rules]
    limits = {"cells": options.cells, "steps": options.steps}
    print(
        f"torch {torch.__version__}, {TRIALS} trials, float32; over N at T = {FIXED_STEPS}, over T at N =", FIXED_CELLS
    )
    print(f"or N = {FIXED_FEWER} for what costs more than N^2\n")
    cells, steps = (measure(rules, along, limits, options) for along in ("cells", "steps"))
    print_table(cells, steps)
    if options.out is not None:
        write([*cells, *steps], options.out)


if __name__ == "__main__":
    main()
