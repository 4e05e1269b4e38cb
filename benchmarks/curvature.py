"""Curvature: a Hessian-vector product against a gradient, and the top eigenvalue against PyHessian at equal accuracy.

Run ``python -m benchmarks.curvature`` from the root. One thread; times are process time, the least of several rounds in
which all take turns. Networks have 3 inputs and 3 outputs, cross-entropy at every step, and are taken at their initial
weights and after some steps of Adam on the same trials; the parameters are the recurrent weights of all populations
unless a row says all. N is the number of cells of each population.

A product by hand goes through the trials once forwards and once backwards, without a graph; the same by autograd
differentiates the gradient again, whose graph is kept from one product to the next or, where it does not fit into
memory, built anew. Eight vectors at once are quoted per vector.

Both solvers find the top eigenvalue of one loss. Ours takes products by hand; PyHessian those of autograd, whose graph
has been built already. Each is run with tolerances from loose to tight and three seeds; what counts is the loosest
tolerance at which all three are right to the accuracy asked for, judged by ARPACK at a tolerance of 1e-12, and the time
of the three. PyHessian iterates towards the largest modulus only, stops when two successive values agree to its
tolerance, ``|a - b| / (|a| + 1e-6)``, and is timed as it comes, without the guards and the second iteration that
``analysis`` puts around it; it cannot do better than 2e-6, the error of the length of its vectors. Lanczos finds both
ends of the spectrum to its tolerance and judges them by two further products, which are counted.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor

import tca
from analysis.curvature import network_operators
from analysis.curvature.eigensolvers import ENGINES
from analysis.curvature.eigensolvers.power_iteration import LossModule
from analysis.curvature.operators import Hessian, Operator
from analysis.curvature.problem import problem_of
from benchmarks.timing import one_core, race
from tca import nets
from tca.losses import CrossEntropy
from tca.nets.network import Network

CHANNELS, BLOCK = 3, 8
MOST_PRODUCTS = 3000
SEEDS = range(3)
SOLVED = ["leaky, A", "stack", "spiking"]
MOST_GRADIENTS = 2.5  # what a product may cost
LEAST_SPEEDUP = 3.0  # over PyHessian


def _stack(cells: int, dtype: torch.dtype) -> Network:
    return nets.StackedRNN(CHANNELS, [cells, nets.LeakyLayer(cells, form="B")], CHANNELS, dtype=dtype)


NETWORKS: dict[str, Callable[[int, torch.dtype], Network]] = {
    "leaky, A": lambda cells, dtype: nets.LeakyRNN(CHANNELS, cells, CHANNELS, dtype=dtype),
    "leaky, B": lambda cells, dtype: nets.LeakyRNN(CHANNELS, cells, CHANNELS, form="B", dtype=dtype),
    "stack": _stack,
    "spiking": lambda cells, dtype: nets.SpikingRNN(CHANNELS, cells, CHANNELS, dtype=dtype),
    "two streams": lambda cells, dtype: nets.DualStreamRNN(CHANNELS, cells // 2, CHANNELS, dtype=dtype),
    "vectors": lambda cells, dtype: nets.VectorRNN(CHANNELS, cells, CHANNELS, dtype=dtype),
}


def problem(
    kind: str, cells: int, steps: int, trials: int, dtype: torch.dtype, updates: int
) -> tuple[Network, tca.Batch]:
    """Return a network and trials; the target of a step is the largest input of two steps before."""
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(steps, trials, CHANNELS, generator=source, dtype=torch.float64)
    targets = torch.cat([inputs[:1], inputs[:1], inputs[:-2]]).argmax(-1)
    weights = torch.full((steps, trials), 1 / steps, dtype=dtype)
    batch = tca.Batch(inputs.to(dtype), targets, weights, CrossEntropy())
    net = NETWORKS[kind](cells, dtype)
    learner, optimizer = tca.Learner(net, tca.RULES["bptt"]), torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(updates):
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
        net.project_()
    return net, batch


def recurrent(net: Network) -> list[str]:
    """Return the names of the recurrent weights."""
    return [each.name for each in net.hidden_connections() if each.name.endswith("w_rec")]


def print_products(kind: str, cells: int, steps: int, trials: int, dtype: torch.dtype, rounds: int) -> None:
    """Print the times of gradients and products."""
    net, batch = problem(kind, cells, steps, trials, dtype, 0)
    learner, names = tca.Learner(net, tca.RULES["bptt"]), recurrent(net)
    weights = {name: net.get_parameter(name) for name in names}

    def autograd() -> tuple[Tensor, ...]:
        outputs = net.functional(weights, batch.inputs)
        return torch.autograd.grad(batch.loss.mean(outputs, batch.targets, batch.weights), list(weights.values()))

    def made(matrix: str, of: str | list[str]) -> Operator:
        return network_operators.OPERATORS[matrix](problem_of(net, batch, of, dtype=dtype, memory=1e6))

    def columns(operator: Operator, count: int) -> Tensor:
        return torch.randn(operator.size, count, generator=torch.Generator().manual_seed(1)).to(dtype)

    own, everything, newton = made("hessian", names), made("hessian", "all"), made("gauss_newton", names)
    losses = problem_of(net, batch, names, dtype=dtype, memory=1e6).losses()
    kept, rebuilt = (Hessian(losses, own.theta, keep=keep) for keep in (True, False))
    works: dict[str, Callable[[], object]] = {
        "gradient, autograd": autograd,
        "gradient, tca (all parameters)": lambda: learner.grads(batch),
    }
    for name, operator, count in (
        ("product", own, 1),
        ("product, all parameters", everything, 1),
        (f"product, {BLOCK} vectors at once", own, BLOCK),
        ("Gauss-Newton product", newton, 1),
        ("product by autograd, graph kept", kept, 1),
        ("product by autograd, graph rebuilt", rebuilt, 1),
    ):
        works[name] = partial(operator.__matmul__, columns(operator, count))
    for work in works.values():
        work()
    times = race(works, rounds, math.inf)
    times[f"product, {BLOCK} vectors at once"] /= BLOCK
    judged = {"product", "product, all parameters"}
    base, ours = (times[name] for name in list(works)[:2])
    for name, spent in times.items():
        verdict = f"   at most {MOST_GRADIENTS}: {'pass' if spent <= MOST_GRADIENTS * ours else 'MISS'}"
        print(
            f"{kind:<12}{cells:>5}{steps:>6}{trials:>5}  {str(dtype)[6:]:<9}{name:<36}{1e3 * spent:>9.1f}"
            f"{spent / base:>12.2f}{spent / ours:>8.2f}{verdict if name in judged else ''}"
        )


@dataclass(frozen=True)
class Found:
    """What a solver needed to be accurate enough."""

    tolerance: float
    spent: float
    products: int
    error: float


Solve = Callable[[float, int], tuple[float, int]]
"""From a tolerance and a seed to the eigenvalue and the number of products."""


def each_seed(solve: Solve, tolerance: float) -> list[tuple[float, int]]:
    return [solve(tolerance, seed) for seed in SEEDS]


def first_accurate(solve: Solve, exact: float, accuracy: float, tolerances: list[float], repeats: int) -> Found | None:
    """Return the time at the loosest tolerance that gives the accuracy for every seed; ``None`` if none does."""
    for tolerance in tolerances:
        found = each_seed(solve, tolerance)
        error = max(abs(value - exact) / abs(exact) for value, _ in found)
        if error <= accuracy:
            spent = race(
                {"": lambda tolerance=tolerance: [solve(tolerance, seed) for seed in SEEDS]}, repeats, math.inf
            )
            return Found(tolerance, spent[""], sum(products for _, products in found), error)
    return None


def power_iteration(hessian: Hessian) -> Solve:
    """Return PyHessian's power iteration, its gradient already computed."""
    import pyhessian

    module = importlib.import_module("pyhessian.hessian")  # the package gives this name to a class

    unused = torch.zeros(1, dtype=torch.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        solver: Any = pyhessian.hessian(LossModule(hessian), lambda y, _: y.sum(), data=(unused, unused), cuda=False)
    count = 0
    product = module.hessian_vector_product

    def counted(*args: Any) -> Any:
        nonlocal count
        count += 1
        return product(*args)

    def solve(tolerance: float, seed: int) -> tuple[float, int]:
        nonlocal count
        count = 0
        module.hessian_vector_product = counted
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            (value,), _ = solver.eigenvalues(maxIter=MOST_PRODUCTS, tol=tolerance)
        module.hessian_vector_product = product
        return value, count

    return solve


def lanczos(hessian: Hessian) -> Solve:
    """Return the engine of ``analysis``."""

    def solve(tolerance: float, seed: int) -> tuple[float, int]:
        before = hessian.products
        ends = ENGINES["lanczos"](hessian, tolerance, MOST_PRODUCTS, seed)
        return ends.largest.value, hessian.products - before

    return solve


def print_solvers(kind: str, cells: int, steps: int, trials: int, updates: int, accuracy: float, repeats: int) -> None:
    """Print what each solver needs for the top eigenvalue."""
    net, batch = problem(kind, cells, steps, trials, torch.float64, updates)
    hessian = network_operators.hessian(problem_of(net, batch, recurrent(net), memory=1e6))
    start = np.random.default_rng(0).standard_normal(hessian.size)
    (exact,) = eigsh(hessian.linear_operator(), 1, which="LA", v0=start, tol=1e-12, return_eigenvectors=False)
    print(f"{kind}, {cells} cells after {updates} updates, loss {hessian.loss:.3g}: largest {exact:.6g}")
    solvers = {
        "lanczos (both ends)": (lanczos(hessian), [10.0 ** (-k / 2) for k in range(2, 21)]),
        "PyHessian (one end)": (power_iteration(hessian), [10.0**-k for k in range(2, 15)]),
    }
    spent: dict[str, float] = {}
    for name, (solve, tolerances) in solvers.items():
        found = first_accurate(solve, float(exact), accuracy, tolerances, repeats)
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
        verdict = "pass" if theirs >= LEAST_SPEEDUP * ours else "MISS"
        print(f"  PyHessian takes {theirs / ours:.1f} times as long   at least {LEAST_SPEEDUP:g}: {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[128], help="numbers of cells (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="steps of a trial (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=64, help="trials (default: %(default)s)")
    parser.add_argument(
        "--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS, help="for products (default: %(default)s)"
    )
    parser.add_argument(
        "--solved", nargs="*", default=SOLVED, choices=NETWORKS, help="for the top eigenvalue (default: %(default)s)"
    )
    parser.add_argument("--updates", type=int, nargs="+", default=[0, 100], help="steps of Adam (default: %(default)s)")
    parser.add_argument("--accuracy", type=float, default=1e-5, help="of the top eigenvalue (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of which the fastest counts (default: %(default)s)"
    )
    options = parser.parse_args()
    one_core()

    print(f"{'network':<12}{'N':>5}{'T':>6}{'B':>5}  {'dtype':<9}{'':<36}{'ms':>9}{'/ autograd':>12}{'/ tca':>8}")
    for cells in options.cells:
        for kind in options.networks:
            for dtype in (torch.float32, torch.float64):
                print_products(kind, cells, options.steps, options.trials, dtype, 2 * options.repeats)
    size = f"{options.steps} steps, {options.trials} trials"
    print(f"\ntop eigenvalue to a relative accuracy of {options.accuracy:g}, float64, {size}, {len(SEEDS)} seeds")
    for cells in options.cells:
        for kind, updates in itertools.product(options.solved, options.updates):
            print_solvers(kind, cells, options.steps, options.trials, updates, options.accuracy, options.repeats)


if __name__ == "__main__":
    main()
