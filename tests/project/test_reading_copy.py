"""The reading copy of e-prop computes what the library computes."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

import tca

COPY = Path(__file__).parents[2] / "docs" / "eprop.py"
TAU, DT = 40.0, 10.0
SIZES = [  # steps, trials, inputs, cells, outputs, time constant of the readout
    (1, 1, 1, 1, 1, None),
    (12, 3, 2, 5, 2, None),
    (12, 3, 2, 5, 2, 25.0),
    (30, 7, 4, 16, 1, None),
    (30, 7, 4, 16, 3, 60.0),
]


@pytest.fixture(scope="module")
def copy() -> ModuleType:
    if not COPY.exists():
        pytest.skip("no pages beside an installed package")
    spec = importlib.util.spec_from_file_location("eprop_reading_copy", COPY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def example(size: tuple) -> tuple[tca.nets.LeakyRNN, tca.Batch]:
    """A network with weights everywhere, biases too, and trials of which some end early, with noise in the padding."""
    steps, trials, n_in, n_rec, n_out, readout_tau = size
    net = tca.nets.LeakyRNN(n_in, n_rec, n_out, tau=TAU, dt=DT, readout_tau=readout_tau, dtype=torch.float64)
    source = torch.Generator().manual_seed(steps)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=source, dtype=torch.float64)

    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(1.5 * normal(*parameter.shape) / math.sqrt(n_rec))
    weights = torch.rand(steps, trials, generator=source, dtype=torch.float64)
    for trial in range(1, trials):
        weights[steps - trial :, trial] = 0
    return net, tca.Batch(normal(steps, trials, n_in), normal(steps, trials, n_out), weights, tca.losses.MSE())


def copied(
    copy: ModuleType, net: tca.nets.LeakyRNN, batch: tca.Batch, size: tuple, execution: str
) -> dict[str, Tensor]:
    leaks = [math.exp(-DT / TAU), math.exp(-DT / size[-1]) if size[-1] else 0.0]
    weights = {name: parameter.detach() for name, parameter in net.named_parameters()}
    return copy.eprop(weights, batch.inputs, batch.targets, batch.weights, *leaks, getattr(copy, execution))


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("execution", ["forward", "reverse"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_copy_is_the_rule_of_the_library(copy: ModuleType, size: tuple, execution: str) -> None:
    net, batch = example(size)
    wanted, _ = tca.Learner(net, tca.RULES["eprop"]).grads(batch, execution)
    found = copied(copy, net, batch, size, execution)
    assert set(found) == set(wanted)
    assert all(float(each.norm()) > 0 for name, each in wanted.items() if name != "w_rec" or size[0] > 1)
    differences = {name: apart(found[name], wanted[name]) for name in wanted if wanted[name].any()}
    assert max(differences.values()) <= 1e-12, differences
    assert all(not found[name].any() for name in wanted if not wanted[name].any())


@pytest.mark.parametrize("size", SIZES[1:], ids=str)
def test_the_copy_is_not_backpropagation_through_time(copy: ModuleType, size: tuple) -> None:
    """By more than one percent in every parameter of the cells; that of the readout is the gradient."""
    net, batch = example(size)
    loss = batch.loss.mean(net(batch.inputs), batch.targets, batch.weights)
    names, parameters = zip(*net.named_parameters(), strict=True)
    gradients = dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))
    found = copied(copy, net, batch, size, "reverse")
    differences = {name: apart(found[name], gradients[name]) for name in names}
    assert min(differences[name] for name in ("w_in", "w_rec", "b")) > 0.01, differences
    assert max(differences[name] for name in ("w_out", "b_out")) <= 1e-12, differences


def test_the_script_prints_that_forward_is_reverse() -> None:
    printed = subprocess.run([sys.executable, str(COPY)], capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in printed.splitlines()] == ["w_in", "w_rec", "b"]
    assert all(float(line.split()[-1]) <= 1e-15 for line in printed.splitlines()), printed


def test_the_copy_fits_on_a_page() -> None:
    assert len(COPY.read_text(encoding="utf-8").splitlines()) <= 80
