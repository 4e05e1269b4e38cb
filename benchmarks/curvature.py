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
from collections.abc import Callable, Iterable
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
from benchmarks.code_versions import executed
from benchmarks.results import Bound, Result, Row, add_options, finish, measure
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
GRADIENT, PRODUCT, ALL = "gradient, all parameters", "product, recurrent weights", "product, all parameters"
BLOCKED = f"product, {BLOCK} vectors at once, each"
LANCZOS, PYHESSIAN = "Lanczos, both ends", "PyHessian, one end"


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


def products(kind: str, cells: int, steps: int, trials: int, dtype: torch.dtype) -> dict[str, Callable[[], object]]:
    """Return gradients and products of a network."""
    net, batch = problem(kind, cells, steps, trials, dtype, 0)
    learner, names = tca.Learner(net, tca.RULES["bptt"]), recurrent(net)

    def made(matrix: str, of: str | list[str]) -> Operator:
        return network_operators.OPERATORS[matrix](problem_of(net, batch, of, dtype=dtype, memory=1e6))

    def columns(operator: Operator, count: int) -> Tensor:
        return torch.randn(operator.size, count, generator=torch.Generator().manual_seed(1)).to(dtype)

    own, everything, newton = made("hessian", names), made("hessian", "all"), made("gauss_newton", names)
    losses = problem_of(net, batch, names, dtype=dtype, memory=1e6).losses()
    kept, rebuilt = (Hessian(losses, own.theta, keep=keep) for keep in (True, False))
    works: dict[str, Callable[[], object]] = {GRADIENT: lambda: learner.grads(batch)}
    for name, operator, count in (
        (PRODUCT, own, 1),
        (ALL, everything, 1),
        (BLOCKED, own, BLOCK),
        ("Gauss-Newton product", newton, 1),
        ("product by autograd, graph kept", kept, 1),
        ("product by autograd, graph rebuilt", rebuilt, 1),
    ):
        works[name] = partial(operator.__matmul__, columns(operator, count))
    return works


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


def solved(kind: str, updates: int, given: argparse.Namespace) -> dict[str, Row]:
    """Return the time that each solver needs for the top eigenvalue, and print its tolerance and products."""
    column = f"{kind}, {updates} updates"
    net, batch = problem(kind, given.solver_cells, given.solver_steps, given.trials, torch.float64, updates)
    hessian = network_operators.hessian(problem_of(net, batch, recurrent(net), memory=1e6))
    start = np.random.default_rng(0).standard_normal(hessian.size)
    (exact,) = eigsh(hessian.linear_operator(), 1, which="LA", v0=start, tol=1e-12, return_eigenvectors=False)
    print(f"{column}, loss {hessian.loss:.3g}: largest {exact:.6g}")
    solvers = {
        LANCZOS: (lanczos(hessian), [10.0 ** (-k / 2) for k in range(2, 21)]),
        PYHESSIAN: (power_iteration(hessian), [10.0**-k for k in range(2, 15)]),
    }
    rows: dict[str, Row] = {}
    for name, (solve, tolerances) in solvers.items():
        found = first_accurate(solve, float(exact), given.accuracy, tolerances, given.rounds)
        if found is None:
            print(f"  {name:<22}not accurate to {given.accuracy:g} at any tolerance")
            continue
        rows[name] = Row({column: found.spent}, executed(partial(solve, found.tolerance, 0)))
        print(
            f"  {name:<22}tolerance {found.tolerance:7.0e}{found.products:>7} products"
            f"   relative error {found.error:.1e}",
            flush=True,
        )
    return rows


def joined(parts: Iterable[dict[str, Row]]) -> dict[str, Row]:
    """Return the rows of several columns as those of one table."""
    rows: dict[str, Row] = {}
    for part in parts:
        for name, row in part.items():
            whole = rows.setdefault(name, Row({}, {}))
            whole.seconds.update(row.seconds)
            whole.code.update(row.code)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=128, help="cells of a population (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="steps of a trial (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=64, help="trials (default: %(default)s)")
    parser.add_argument(
        "--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS, help="for products (default: %(default)s)"
    )
    parser.add_argument(
        "--solved", nargs="*", default=SOLVED, choices=NETWORKS, help="for the top eigenvalue (default: %(default)s)"
    )
    parser.add_argument("--solver-cells", type=int, default=64, help="cells there (default: %(default)s)")
    parser.add_argument("--solver-steps", type=int, default=50, help="steps there (default: %(default)s)")
    parser.add_argument("--updates", type=int, nargs="+", default=[0, 100], help="steps of Adam (default: %(default)s)")
    parser.add_argument("--accuracy", type=float, default=1e-5, help="of the top eigenvalue (default: %(default)s)")
    add_options(parser, rounds=3, longest=10.0)
    given = parser.parse_args()
    one_core()
    for dtype in (torch.float32, torch.float64):
        columns = {
            kind: partial(products, kind, given.cells, given.steps, given.trials, dtype) for kind in given.networks
        }
        rows = measure(columns, given.rounds, given.longest)
        each = {name: spent / BLOCK for name, spent in rows[BLOCKED].seconds.items()}
        rows[BLOCKED] = Row(each, rows[BLOCKED].code)
        name = str(dtype)[6:]
        question = (
            f"Products with the Hessian, {given.cells} cells a population, {given.steps} steps, {given.trials} trials, "
            f"{name}"
        )
        bounds = [Bound(PRODUCT, GRADIENT, MOST_GRADIENTS), Bound(ALL, GRADIENT, MOST_GRADIENTS)]
        finish(Result(f"curvature_{name}", question, GRADIENT, rows, bounds), given.save)
    rows = joined(solved(kind, updates, given) for kind, updates in itertools.product(given.solved, given.updates))
    question = (
        f"Top eigenvalue to a relative accuracy of {given.accuracy:g}, {given.solver_cells} cells a population, "
        f"{given.solver_steps} steps, {given.trials} trials, {len(SEEDS)} seeds, float64"
    )
    bounds = [Bound(PYHESSIAN, LANCZOS, LEAST_SPEEDUP, at_least=True)]
    if rows:
        finish(Result("curvature_eigenvalue", question, LANCZOS, rows, bounds), given.save)


if __name__ == "__main__":
    main()
