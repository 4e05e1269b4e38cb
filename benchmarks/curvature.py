"""Curvature: a Hessian-vector product against a gradient, and the top eigenvalue against PyHessian at equal accuracy.

Run ``python -m benchmarks.curvature`` from the root. One thread; times are process time, the least of several repeats.
The network is a leaky tanh RNN (form A, 3 inputs, 3 outputs, cross-entropy at every step) at its initial weights and
after some steps of Adam on the same trials; the parameters are its recurrent weights.

Both solvers get the same operator, whose gradient has been computed already. Each is run with tolerances from loose to
tight; what counts is the loosest at which its top eigenvalue is right to the accuracy asked for, judged by a run of
Lanczos with a tolerance of 1e-10. PyHessian iterates towards the largest modulus only and is timed as it comes, without
the guards and the second iteration that ``analysis`` puts around it; it cannot do better than 2e-6, the error of the
length of its vectors. Lanczos finds both ends of the spectrum and checks them.
"""

from __future__ import annotations

import argparse
import importlib
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import tca
from analysis.engines import ENGINES
from analysis.operators import Hessian, build
from analysis.problem import problem_of
from tca.losses import CrossEntropy

CHANNELS = 3
MOST_PRODUCTS = 3000


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the least process time of several runs."""
    least = math.inf
    for _ in range(repeats):
        start = time.process_time()
        work()
        least = min(least, time.process_time() - start)
    return least


def problem(
    cells: int, steps: int, trials: int, dtype: torch.dtype, updates: int
) -> tuple[tca.nets.LeakyRNN, tca.Batch]:
    """Return a network and trials; the target of a step is the largest input of two steps before."""
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(steps, trials, CHANNELS, generator=source, dtype=torch.float64)
    targets = torch.cat([inputs[:1], inputs[:1], inputs[:-2]]).argmax(-1)
    weights = torch.full((steps, trials), 1 / steps, dtype=dtype)
    batch = tca.Batch(inputs.to(dtype), targets, weights, CrossEntropy())
    net = tca.nets.LeakyRNN(CHANNELS, cells, CHANNELS, dtype=dtype)
    learner, optimizer = tca.Learner(net, tca.RULES["bptt"]), torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(updates):
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
    return net, batch


def print_products(cells: int, steps: int, trials: int, dtype: torch.dtype, repeats: int) -> None:
    """Print the times of gradients and products."""
    net, batch = problem(cells, steps, trials, dtype, 0)
    learner, w_rec = tca.Learner(net, tca.RULES["bptt"]), net.w_rec

    def autograd() -> tuple[Tensor, ...]:
        outputs = net.functional({"w_rec": w_rec}, batch.inputs)
        return torch.autograd.grad(batch.loss.mean(outputs, batch.targets, batch.weights), [w_rec])

    kept = build.hessian(problem_of(net, batch, dtype=dtype, memory=1e6))
    rebuilt = Hessian(kept.losses, kept.theta, keep_graph=False)
    vector = torch.randn(kept.size, generator=torch.Generator().manual_seed(1)).to(dtype)
    works: dict[str, Callable[[], object]] = {
        "gradient, autograd": autograd,
        "gradient, tca (all parameters)": lambda: learner.grads(batch),
        "product, graph kept": lambda: kept.product(vector),
        "product, graph rebuilt": lambda: rebuilt.product(vector),
    }
    times = {}
    for name, work in works.items():
        work()
        times[name] = seconds(work, repeats)
    for name, spent in times.items():
        against = "".join(f"{spent / times[base]:>12.2f}" for base in list(works)[:2])
        print(f"{cells:>5}{steps:>6}{trials:>7}  {str(dtype)[6:]:<9}{name:<32}{1e3 * spent:>9.1f}{against}")


@dataclass(frozen=True)
class Found:
    """What a solver needed to be accurate enough."""

    tolerance: float
    spent: float
    products: int
    error: float


def first_accurate(
    solve: Callable[[float], tuple[float, int]], exact: float, accuracy: float, tolerances: list[float], repeats: int
) -> Found | None:
    """Return the time at the loosest tolerance that gives the accuracy; ``None`` if none does."""
    for tolerance in tolerances:
        value, products = solve(tolerance)
        error = abs(value - exact) / abs(exact)
        if error <= accuracy:
            return Found(tolerance, seconds(lambda tolerance=tolerance: solve(tolerance), repeats), products, error)
    return None


class Counted(nn.Module):
    """A module for PyHessian: the chosen parameters, whose output is the loss."""

    def __init__(self, hessian: Hessian) -> None:
        super().__init__()
        self.theta = nn.Parameter(hessian.theta.detach().clone())
        self.losses = hessian.losses

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([loss(self.theta) for loss in self.losses])


def power_iteration(hessian: Hessian) -> Callable[[float], tuple[float, int]]:
    """Return PyHessian's power iteration, its gradient already computed."""
    import pyhessian

    module = importlib.import_module("pyhessian.hessian")  # the package gives this name to a class

    unused = torch.zeros(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solver: Any = pyhessian.hessian(Counted(hessian), lambda y, _: y.sum(), data=(unused, unused), cuda=False)
    count = 0
    product = module.hessian_vector_product

    def counted(*args: Any) -> Any:
        nonlocal count
        count += 1
        return product(*args)

    def solve(tolerance: float) -> tuple[float, int]:
        nonlocal count
        count = 0
        module.hessian_vector_product = counted
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            (value,), _ = solver.eigenvalues(maxIter=MOST_PRODUCTS, tol=tolerance)
        module.hessian_vector_product = product
        return value, count

    return solve


def lanczos(hessian: Hessian) -> Callable[[float], tuple[float, int]]:
    """Return the engine of ``analysis``."""

    def solve(tolerance: float) -> tuple[float, int]:
        before = hessian.products
        ends = ENGINES["lanczos"](hessian, tolerance, MOST_PRODUCTS, 0)
        return ends.largest.value, hessian.products - before

    return solve


def print_solvers(cells: int, steps: int, trials: int, updates: int, accuracy: float, repeats: int) -> None:
    """Print what each solver needs for the top eigenvalue."""
    net, batch = problem(cells, steps, trials, torch.float64, updates)
    hessian = build.hessian(problem_of(net, batch, memory=1e6))
    ends = ENGINES["lanczos"](hessian, 1e-10, MOST_PRODUCTS, 0)
    exact = ends.largest.value
    where = f"{cells} cells after {updates} updates, loss {hessian.loss:.3g}"
    print(f"{where}: largest {exact:.6g}, smallest {ends.smallest.value:.6g}")
    solvers = {
        "lanczos (both ends)": (lanczos(hessian), [10.0**-k for k in range(1, 11)]),
        "PyHessian (one end)": (power_iteration(hessian), [10.0**-k for k in range(2, 15)]),
    }
    spent: dict[str, float] = {}
    for name, (solve, tolerances) in solvers.items():
        found = first_accurate(solve, exact, accuracy, tolerances, repeats)
        if found is None:
            print(f"  {name:<22}not accurate to {accuracy:g} at any tolerance")
            continue
        spent[name] = found.spent
        print(
            f"  {name:<22}tolerance {found.tolerance:7.0e}{found.products:>7} products{found.spent:>9.3f} s"
            f"   relative error {found.error:.1e}"
        )
    if len(spent) == 2:
        ours, theirs = spent.values()
        print(f"  PyHessian takes {theirs / ours:.1f} times as long")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[128], help="numbers of cells (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="steps of a trial (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=64, help="trials (default: %(default)s)")
    parser.add_argument("--updates", type=int, nargs="+", default=[0, 100], help="steps of Adam (default: %(default)s)")
    parser.add_argument("--accuracy", type=float, default=1e-5, help="of the top eigenvalue (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of which the fastest counts (default: %(default)s)"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)

    print(f"{'N':>5}{'T':>6}{'B':>7}  {'dtype':<9}{'':<32}{'ms':>9}{'/ autograd':>12}{'/ tca':>12}")
    for cells in options.cells:
        for dtype in (torch.float32, torch.float64):
            print_products(cells, options.steps, options.trials, dtype, 3 * options.repeats)
    size = f"{options.steps} steps, {options.trials} trials"
    print(f"\ntop eigenvalue to a relative accuracy of {options.accuracy:g}, float64, {size}")
    for cells in options.cells:
        for updates in options.updates:
            print_solvers(cells, options.steps, options.trials, updates, options.accuracy, options.repeats)


if __name__ == "__main__":
    main()
