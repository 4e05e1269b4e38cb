"""Curvature of models of PyTorch: products, top eigenvalue, trace and memory beside PyHessian and curvlinops.

Run ``python -m benchmarks.any_model`` from the root. One thread, float64; times are process time, the least of several
rounds in which all take turns; memory is the growth of the resident set by the first product in a process of its own.
The data are one batch, the parameters all. PyHessian and our operator keep the graph of the gradient between products,
curvlinops builds it anew for every block of vectors. The top eigenvalue is that of the loosest tolerance, out
of powers of ten, at which three seeds are right to the accuracy asked for, judged by ARPACK at 1e-12: Lanczos for both
ends here, power iteration for the end of larger modulus in PyHessian, ARPACK for one end on the products of curvlinops.
Traces take 30 random vectors each.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.util
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor, nn

import analysis
from benchmarks.code_versions import executed
from benchmarks.curvature import first_accurate, joined
from benchmarks.memory import RESET, measurable, resident
from benchmarks.results import Result, Row, add_options, finish, measure
from benchmarks.timing import one_core

PROBES = 30
TOLERANCES = [10.0**-k for k in range(1, 11)]


class Recurrent(nn.Module):
    """A recurrent layer whose last step is read out."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(3, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.rnn(inputs)[0][:, -1])


class Attentive(nn.Module):
    """Two encoder layers whose mean over time is read out."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.into, self.encoder, self.head = nn.Linear(3, 32), nn.TransformerEncoder(layer, 2), nn.Linear(32, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.encoder(self.into(inputs)).mean(1))


def _convolutional() -> nn.Module:
    blocks = [
        part
        for few, many in ((3, 16), (16, 32), (32, 32))
        for part in (nn.Conv2d(few, many, 3, stride=2, padding=1), nn.BatchNorm2d(many), nn.ReLU())
    ]
    return nn.Sequential(*blocks, nn.Flatten(), nn.Linear(128, 10))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "cnn": (_convolutional, (3, 16, 16)),
    "gru": (Recurrent, (20, 3)),
    "transformer": (Attentive, (20, 3)),
}


NAMES = {"cnn": "three convolutions", "gru": "GRU of 64 cells", "transformer": "two encoder layers"}


def problem(kind: str, samples: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a model after some steps of Adam, its inputs and classes."""
    torch.manual_seed(0)
    build, shape = MODELS[kind]
    net, inputs = build().double(), torch.randn(samples, *shape, dtype=torch.float64)
    classes = inputs.flatten(1)[:, :10].argmax(1)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), classes).backward()
        optimizer.step()
    return net.eval(), inputs, classes


@dataclass(frozen=True)
class Contestant:
    """A library on one problem: products with a vector, the top eigenvalue by tolerance and seed, and the trace."""

    product: Callable[[Tensor], Tensor]
    top: Callable[[float, int], tuple[float, int]]
    trace: Callable[[], float]


def ours(net: nn.Module, inputs: Tensor, classes: Tensor) -> Contestant:
    operator = analysis.operator(net, (inputs, classes), "all", loss=nn.CrossEntropyLoss())

    def top(tolerance: float, seed: int) -> tuple[float, int]:
        before = operator.products
        found = analysis.spectrum(operator, k=1, engine="lanczos", tolerance=tolerance, seed=seed, only_largest=True)
        return found.largest[0].value, operator.products - before

    return Contestant(operator.product, top, lambda: analysis.trace(operator, probes=PROBES).value)


def pyhessian(net: nn.Module, inputs: Tensor, classes: Tensor) -> Contestant:
    import pyhessian as library
    from pyhessian.hessian import hessian_vector_product

    solver: Any = library.hessian(net, nn.CrossEntropyLoss(), data=(inputs, classes), cuda=False)
    shapes = [each.shape for each in solver.params]

    def product(vector: Tensor) -> Tensor:
        parts = torch.split(vector, [math.prod(shape) for shape in shapes])
        given = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
        return torch.cat([each.flatten() for each in hessian_vector_product(solver.gradsH, solver.params, given)])

    def top(tolerance: float, seed: int) -> tuple[float, int]:
        torch.manual_seed(seed)
        return solver.eigenvalues(maxIter=200, tol=tolerance)[0][0], 0

    return Contestant(product, top, lambda: float(np.mean(solver.trace(maxIter=PROBES, tol=0.0))))


def curvlinops(net: nn.Module, inputs: Tensor, classes: Tensor) -> Contestant:
    import curvlinops as library

    parameters = [each for each in net.parameters() if each.requires_grad]
    data = [(inputs, classes)]
    operator = library.HessianLinearOperator(net, nn.CrossEntropyLoss(), parameters, data, check_deterministic=False)

    def top(tolerance: float, seed: int) -> tuple[float, int]:
        start = np.random.default_rng(seed).standard_normal(operator.shape[0])
        return float(
            eigsh(operator.to_scipy(), 1, which="LA", v0=start, tol=tolerance, return_eigenvectors=False)[0]
        ), 0

    return Contestant(operator.__matmul__, top, lambda: float(library.hutchinson_trace(operator, num_matvecs=PROBES)))


OURS = "tca"
CONTESTANTS = {OURS: ours, "PyHessian": pyhessian, "curvlinops": curvlinops}


def _memory(name: str, kind: str, samples: int) -> int:
    net, inputs, classes = problem(kind, samples)
    few = inputs[:2], classes[:2]
    CONTESTANTS[name](net, *few).product(torch.ones(_size(net), dtype=torch.float64))  # code is loaded
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    RESET.write_text("5")
    before = resident("VmRSS")
    CONTESTANTS[name](net, inputs, classes).product(torch.ones(_size(net), dtype=torch.float64))
    return resident("VmHWM") - before


def _size(net: nn.Module) -> int:
    return sum(each.numel() for each in net.parameters())


def contestants(kind: str, samples: int) -> tuple[dict[str, Contestant], float, int]:
    """Return the libraries whose product is right for a model, its largest eigenvalue and its number of parameters."""
    net, inputs, classes = problem(kind, samples)
    exact = analysis.operator(net, (inputs, classes), "all", loss=nn.CrossEntropyLoss())
    vector = torch.randn(exact.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = exact.product(vector)
    there: dict[str, Contestant] = {}
    for name, make in CONTESTANTS.items():
        if importlib.util.find_spec("analysis" if name == OURS else name.lower()) is None:
            print(f"{name} is not installed")
            continue
        try:
            there[name] = make(net, inputs, classes)
            error = float((there[name].product(vector) - wanted).norm() / wanted.norm())
            assert error < 1e-9, (name, error)
        except RuntimeError as refusal:
            there.pop(name, None)
            print(f"{kind}: {name} fails: {str(refusal).splitlines()[0]}")
    start = np.random.default_rng(0).standard_normal(exact.size)
    largest = eigsh(exact.linear_operator(), 1, which="LA", v0=start, tol=1e-12, return_eigenvectors=False)[0]
    return there, float(largest), exact.size


def measured(kind: str, options: argparse.Namespace) -> dict[str, dict[str, Row]]:
    """Return the times and the memory of all libraries for a model, by what is measured."""
    there, largest, size = contestants(kind, options.samples)
    vector = torch.ones(size, dtype=torch.float64)
    column = f"{NAMES[kind]}, {size:,} parameters"
    found: dict[str, dict[str, Row]] = {
        "product": measure(
            {column: lambda: {name: partial(each.product, vector) for name, each in there.items()}},
            3 * options.rounds, options.longest,
        ),
        "trace": measure(
            {column: lambda: {name: each.trace for name, each in there.items()}}, options.rounds, options.longest
        ),
        "largest": {},
        "memory": {},
    }  # fmt: skip
    for name, each in there.items():
        at = first_accurate(each.top, largest, options.accuracy, TOLERANCES, options.rounds)
        if at is not None:
            print(f"{kind}: {name} at tolerance {at.tolerance:.0e}, relative error {at.error:.1e}", flush=True)
            found["largest"][name] = Row({column: at.spent}, executed(partial(each.top, at.tolerance, 0)))
        if measurable():
            words = ["--samples", str(options.samples), "--memory", name, kind]
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.any_model", *words]
            used = subprocess.run(command, check=True, capture_output=True, text=True)
            found["memory"][name] = Row({column: float(used.stdout)}, found["product"][name].code)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS, help="default: %(default)s")
    parser.add_argument("--samples", type=int, default=64, help="samples of the batch (default: %(default)s)")
    parser.add_argument("--accuracy", type=float, default=1e-4, help="of the top eigenvalue (default: %(default)s)")
    parser.add_argument("--memory", nargs=2, metavar=("LIBRARY", "MODEL"), help="print bytes of one product, alone")
    add_options(parser, rounds=3, longest=20.0)
    options = parser.parse_args()
    one_core()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if options.memory:
            print(_memory(*options.memory, options.samples))
            return
        parts = [measured(kind, options) for kind in options.models]
    questions = {
        "product": "A product with the Hessian",
        "trace": f"Its trace by {PROBES} random vectors",
        "largest": f"Its largest eigenvalue to a relative accuracy of {options.accuracy:g}, three seeds",
        "memory": "Growth of the process by a first product",
    }
    for what, question in questions.items():
        rows = joined(part[what] for part in parts)
        whole = f"{question}: models of PyTorch, all parameters, {options.samples} samples, float64"
        kind = "memory" if what == "memory" else "times"
        if rows:
            finish(Result(f"any_model_{what}", whole, OURS, rows, measure=kind), options.save)


if __name__ == "__main__":
    main()
