"""What a field costs: gradients with a diffusing error against e-prop without a field, at one core and one thread.

Run ``python -m benchmarks.diffusion`` from the root. Every rule has the trace of e-prop and 10 percent of the feedback
weights; they differ in the field. A ratio of 1 is a field for nothing. The last table times a step of the field
alone in every way to run it: what the choice in
``tca/signals/diffusion/fields/solvers.py`` rests on.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import tca
from benchmarks.problem import TRIALS, make_problem
from benchmarks.results import Bound, Result, add_options, finish, measure
from benchmarks.timing import one_core
from tca.eligibilities import Leak
from tca.signals import Diffusion, Sparse, StationaryDiffusion
from tca.signals.diffusion.fields import Box, Exponential, Grid
from tca.signals.diffusion.fields.laplacian_modes import AxisModes, FourierModes
from tca.signals.diffusion.fields.solvers import FieldRun, InModes, cheapest
from tca.signals.diffusion.release import PerError

MOST = 1.10  # times the cost of sparse e-prop at a thousand cells
REFERENCE, CHOSEN = "sparse feedback, no field", "the way that is chosen"
BOUNDED = ("settled box", "box, k = 0.75", "box without flux", "exact, D = 1/3")


def rules(cells: int) -> dict[str, tca.Rule]:
    """Return the rules for so many cells, the one without a field first."""
    side = math.isqrt(cells - 1) + 1
    signals = {
        REFERENCE: Sparse(),
        "settled box": StationaryDiffusion(),
        "box, k = 0.75": Diffusion(),
        "box without flux": Diffusion(Box(), Grid((side, side), "no-flux")),
        "exact, D = 1/3": Diffusion(Exponential()),
        "box, a field per error": Diffusion(release=PerError()),
        "box, shuffled at every step": Diffusion(shuffle="every step"),
    }
    return {name: tca.Rule(signal, Leak()) for name, signal in signals.items()}


def gradients(cells: int, steps: int) -> dict[str, Callable[[], object]]:
    """Return a gradient with every field."""
    problem = make_problem(cells, steps)
    learners = {name: tca.Learner(problem.nets["A"], rule) for name, rule in rules(cells).items()}
    return {name: partial(learner.grads, problem.batch) for name, learner in learners.items()}


def steps_of_a_field(shape: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    """Return many steps of a box field, read at the sites, in every way to run it, the chosen one first."""
    space, like = Grid(shape), torch.zeros(())
    before = torch.randn(TRIALS, space.sites, generator=torch.Generator().manual_seed(0))
    runs: dict[str, FieldRun] = {
        CHOSEN: cheapest(space, Box(), like),
        "stencil": cheapest(space, Box(), like, at_sites=True),
        "modes of the axes": InModes(AxisModes(space, like), Box()),
        "Fourier modes": InModes(FourierModes(space, like), Box()),
    }
    ways = {name: stepping(run, run.enter(before).clone()) for name, run in runs.items()}
    if space.sites <= 1200:
        matrix = Box().matrix(space).float()
        ways["dense matrix"] = lambda: before @ matrix
    repeat = max(1, 400_000 // space.sites)
    return {name: repeated(way, repeat) for name, way in ways.items()}


def stepping(run: FieldRun, before: Tensor) -> Callable[[], object]:
    """Return one step with the release of nothing, and a look at all sites."""
    now = torch.zeros_like(before)

    def step() -> Tensor:
        run.advance_(now.zero_(), before)
        return run.leave(now)

    return step


def repeated(work: Callable[[], object], times: int) -> Callable[[], object]:
    """Return a work done many times, warm."""
    work()
    return lambda: [work() for _ in range(times)] and None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[100, 400, 1000], help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="(default: %(default)s)")
    add_options(parser, rounds=7, longest=60.0)
    options = parser.parse_args()
    one_core()
    for cells in options.cells:
        rows = measure({f"{cells} cells": partial(gradients, cells, options.steps)}, options.rounds, options.longest)
        bounds = [Bound(name, REFERENCE, MOST) for name in BOUNDED if cells >= 1000]
        question = (
            f"Gradients with errors through a field, {cells} cells, {options.steps} steps, {TRIALS} trials, float32"
        )
        finish(Result(f"diffusion_{cells}", question, REFERENCE, rows, bounds), options.save)
    shapes = [(10, 10), (20, 20), (32, 32), (64, 64), (100, 100), (1000,), (10, 10, 10)]
    columns = {" x ".join(map(str, shape)): partial(steps_of_a_field, shape) for shape in shapes}
    rows = measure(columns, options.rounds, min(options.longest, 2.0))
    question = f"A step of a box field on grids, {TRIALS} trials, float32"
    finish(Result("field_steps", question, CHOSEN, rows), options.save)


if __name__ == "__main__":
    main()
