"""What compiled passes gain over PyTorch's operations: gradients and whole updates of leaky networks, by size.

A *gradient* is everything from a batch to the gradients of all parameters, an *update* one step of `tca.train`: also
trials, checks, optimizer and projection.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import tca
from benchmarks.results import Result, add_options, finish, measure
from benchmarks.timing import one_core
from tca.experiments.training.training_loop import TrainingLoop
from tca.kernels import use

RULES = {"e-prop": "eprop", "BPTT": "bptt", "RFLO": "rflo"}
ROWS = {"PyTorch's operations": "eager", "compiled passes": "compiled"}
DTYPES = {"float32": torch.float32, "float64": torch.float64}
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
Gradients = dict[str, Tensor]


def gradient(rule: str, cells: int, steps: int, trials: int, dtype: str) -> Callable[[], Gradients]:
    """Return a function to the gradients of a batch."""
    source = torch.Generator().manual_seed(0)
    net = tca.nets.LeakyRNN(3, cells, 3, form=tca.RULES[rule].form or "A", dtype=DTYPES[dtype])
    inputs = torch.randn(steps, trials, 3, generator=source).to(DTYPES[dtype])
    weights = torch.full((steps, trials), 1 / steps, dtype=DTYPES[dtype])
    batch = tca.Batch(inputs, inputs.argmax(-1), weights, tca.losses.CrossEntropy())
    learner = tca.Learner(net, tca.RULES[rule])

    def work() -> Gradients:
        net.zero_grad()
        learner.backward(batch)
        return {name: each.grad for name, each in net.named_parameters() if each.grad is not None}

    return work


def update(rule: str, cells: int, steps: int, trials: int, dtype: str) -> Callable[[], str]:
    """Return a function that makes the next update of a run."""
    net, long = tca.NetworkConfig(size=cells), {"steps": steps}
    sizes = {"batch_size": trials, "n_train": 16 * trials, "n_test": 1, "steps": 10**6, "dtype": dtype}
    return TrainingLoop(tca.Run("adding_problem", rule, long, net=net, **sizes)).update


def under(mode: str, work: Callable[[], object]) -> Callable[[], object]:
    """Return the work with one kind of passes."""

    def chosen() -> object:
        use(mode)
        return work()

    return chosen


def both(make: Callable[..., Callable[[], object]], dtype: str, *sizes: int | str) -> dict[str, Callable[[], object]]:
    """Return the work with each kind of passes; raise if their gradients differ."""
    works = {name: under(mode, make(*sizes, dtype)) for name, mode in ROWS.items()}
    if make is gradient:
        expected, got = (work() for work in works.values())
        for name, each in expected.items():  # type: ignore[attr-defined]
            off = float((got[name] - each).abs().max() / each.abs().max())  # type: ignore[index]
            if not off < TOLERANCES[dtype]:
                raise AssertionError(f"the gradients of {name} differ by {off:.1e}")
    return works


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[32, 64, 128, 256], help="(default: %(default)s)")
    parser.add_argument("--steps", type=int, default=50, help="(default: %(default)s)")
    parser.add_argument("--trials", type=int, default=32, help="(default: %(default)s)")
    parser.add_argument("--rules", choices=RULES, nargs="+", default=["e-prop", "BPTT"], help="(default: %(default)s)")
    add_options(parser)
    options = parser.parse_args()
    one_core()
    for make, dtype in ((gradient, "float32"), (gradient, "float64"), (update, "float32")):
        columns = {
            f"{name}, N = {cells}": partial(both, make, dtype, RULES[name], cells, options.steps, options.trials)
            for name in options.rules
            for cells in options.cells
        }
        rows = measure(columns, options.rounds, options.longest)
        title = "Gradients" if make is gradient else "Updates of `tca.train`"
        question = f"{title}, leaky tanh networks, T = {options.steps}, B = {options.trials}, {dtype}"
        finish(Result(f"kernels_{make.__name__}_{dtype}", question, next(iter(ROWS)), rows), options.save)


if __name__ == "__main__":
    main()
