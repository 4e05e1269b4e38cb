"""No file of the library reads torch's defaults or a global generator: every call that could names what it wants."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for package in ("tca", "tasks", "analysis") for path in (ROOT / package).rglob("*.py"))
WHOLE = {"arange", "randint", "randperm", "tril_indices", "triu_indices"}  # int64 under any default
REAL = {"as_tensor", "asarray", "empty", "eye", "full", "linspace", "logspace", "ones", "rand", "randn", "range",
        "scalar_tensor", "tensor", "zeros"}  # fmt: skip
OTHER = {"bartlett_window", "blackman_window", "complex", "empty_strided", "hamming_window", "hann_window",
         "kaiser_window", "normal", "sparse_coo_tensor", "Tensor", "FloatTensor"}  # fmt: skip
DRAWING = {"bernoulli", "multinomial", "poisson", "rand", "randint", "randn", "randperm"}
DRAWING_IN_PLACE = {
    "bernoulli_",
    "cauchy_",
    "exponential_",
    "geometric_",
    "log_normal_",
    "normal_",
    "random_",
    "uniform_",
}
LIKE = {"rand_like", "randn_like", "randint_like", "dropout"}  # these take no generator
GLOBAL = {"get_default_dtype", "set_default_dtype", "get_default_device", "set_default_device",
          "set_default_tensor_type", "manual_seed", "seed", "initial_seed", "set_rng_state",
          "default_generator"}  # fmt: skip
NUMPY = {"default_rng", "Generator", "Philox", "SeedSequence"}
FREE = {"Tensor", "nn"}


def faults(source: str) -> list[str]:
    """Return what a file leaves to defaults or to global generators."""
    return [f"line {node.lineno}: {wrong}" for node in ast.walk(ast.parse(source)) for wrong in faults_of(node)]


def faults_of(node: ast.AST) -> Iterator[str]:
    """Yield what one expression or import leaves to them."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner, name, given = ast.unparse(node.func.value), node.func.attr, {each.arg for each in node.keywords}
        if owner == "torch" and name in OTHER | LIKE:
            yield f"torch.{name} is not to be used"
        if owner == "torch" and name in WHOLE | REAL and "device" not in given:
            yield f"torch.{name} names no device"
        if owner == "torch" and name in REAL and "dtype" not in given:
            yield f"torch.{name} names no dtype"
        if (name in DRAWING_IN_PLACE or (owner == "torch" and name in DRAWING)) and "generator" not in given:
            yield f"{owner}.{name} names no generator"
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "torch" and node.attr in GLOBAL:
        yield f"torch.{node.attr} is global"
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random" and node.attr not in NUMPY:
        yield f"np.random.{node.attr} is global"
    if isinstance(node, ast.Import):
        yield from (f"import of {each.name} as {each.asname}" for each in node.names if each.name == "random"
                    or (each.name == "torch" and each.asname))  # fmt: skip
    if isinstance(node, ast.ImportFrom) and node.module in ("torch", "numpy", "numpy.random", "random"):
        yield from (f"{each.name} from {node.module}" for each in node.names if each.name not in FREE)


def test_nothing_is_left_to_defaults() -> None:
    found = {str(path.relative_to(ROOT)): faults(path.read_text()) for path in FILES}
    # PyHessian and modules of users draw globally: seeded there and put back
    for file in ("analysis/curvature/eigensolvers/power_iteration.py", "tca/utils/module_contexts.py"):
        assert [each.split(": ")[1] for each in found.pop(file)] == ["torch.default_generator is global"]
    states = [each.split(": ")[1] for each in found.pop("analysis/fixed_data.py")]  # loaders draw globally: put back
    assert states == ["import of random as None", "np.random.get_state is global", "np.random.set_state is global"]
    states = [each.split(": ")[1] for each in found.pop("tca/cells/value_reads.py")]  # compared
    kinds = ["np.random.RandomState is global", "np.random.BitGenerator is global"]
    assert states == ["import of random as None", *kinds, "np.random.get_state is global"]
    assert not {file: wrong for file, wrong in found.items() if wrong}
    assert len(found) > 300


@pytest.mark.parametrize(
    "line",
    [
        "torch.zeros(3, dtype=torch.float64)",
        "torch.zeros(3, device='cpu')",
        "torch.arange(3)",
        "torch.randn(3, dtype=torch.float64, device='cpu')",
        "torch.Tensor([1.0])",
        "torch.rand_like(x)",
        "torch.nn.init.normal_(x)",
        "x.uniform_()",
        "np.random.rand(3)",
        "torch.manual_seed(0)",
        "torch.set_default_dtype(kept)",
        "from torch import zeros",
        "import torch as th",
        "import random",
    ],
)
def test_the_check_sees(line: str) -> None:
    assert faults(line)
