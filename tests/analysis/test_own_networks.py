"""Measurements of networks made of a user's modules: each runs, and some are held against another computation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import analysis
import tca

F64 = torch.float64


def cell() -> Any:
    torch.manual_seed(0)
    return tca.nets.from_module(nn.GRUCell(3, 4).to(F64), nn.Linear(4, 2).to(F64))


def model() -> Any:
    torch.manual_seed(0)
    return tca.nets.wrap(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(F64))


def batch(seed: int = 0) -> tca.Batch:
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(5, 6, 3, generator=source, dtype=F64)
    target = torch.randint(2, (5, 6), generator=source)
    return tca.Batch(x, target, torch.full((5, 6), 0.2, dtype=F64), tca.losses.CrossEntropy())


def moved(net: Any) -> Any:
    other = copy.deepcopy(net)
    with torch.no_grad():
        for each in other.parameters():
            each.add_(0.1)
    return other


def last(net: Any) -> str:
    return [name for name, _ in net.named_parameters()][-1]


MEASURES: dict[str, Callable[[Any, tca.Batch], Any]] = {
    "alignment": lambda net, given: analysis.alignment(net, given, ["bptt", "three_factor"]),
    "barrier": lambda net, given: analysis.barrier(net, moved(net), given),
    "curvature": lambda net, given: analysis.curvature(net, given),
    "density": lambda net, given: analysis.density(net, given),
    "gradient_share": lambda net, given: analysis.gradient_share(net, given, 2),
    "landscape": lambda net, given: analysis.landscape(net, given),
    "learning_regime": lambda net, given: analysis.learning_regime(net, moved(net), given),
    "random_sharpness": lambda net, given: analysis.random_sharpness(net, given, pairs=3, probes=4),
    "rates": lambda net, given: analysis.rates(net, given),
    "sharpness": lambda net, given: analysis.sharpness(net, given),
    "spectrum": lambda net, given: analysis.spectrum(net, given, k=2),
    "stability": lambda net, given: analysis.stability(net, given, "bptt", last(net)),
    "trace": lambda net, given: analysis.trace(net, given),
    "weight_changes": lambda net, given: analysis.weight_changes(net, moved(net)),
}


@pytest.mark.thirds
@pytest.mark.parametrize("make", [cell, model])
@pytest.mark.parametrize("measure", MEASURES)
def test_measures_accept_modules_of_users(measure: str, make: Callable[[], Any]) -> None:
    net = make()
    before = {name: each.clone() for name, each in net.state_dict().items()}
    assert MEASURES[measure](net, batch()) is not None
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())


@pytest.mark.parametrize("make", [cell, model])
def test_eigenvalues_are_those_of_the_dense_hessian(make: Callable[[], Any]) -> None:
    net, given = make(), batch()
    name = last(net).replace("bias", "weight")
    weight = net.get_parameter(name)

    def loss(theta: Tensor) -> Tensor:
        use = {name: theta.view_as(weight)}
        return given.loss.mean(net.functional(use, given.inputs), given.targets, given.weights)

    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, weight.detach().flatten()))
    found = analysis.curvature(net, given, name, probes=0)
    assert found.largest.value == pytest.approx(float(values[-1]), rel=1e-8)
    assert found.smallest.value == pytest.approx(float(values[0]), abs=1e-10)


def test_fixed_points_of_a_cell_are_those_of_its_step() -> None:
    net = cell()
    found = analysis.fixed_points(net, [0.1, 0.2, -0.1], torch.zeros(1, 4, dtype=F64))
    x = torch.tensor([[0.1, 0.2, -0.1]], dtype=F64)
    after = net.cell(x, found.states[:1])
    torch.testing.assert_close(after, found.states[:1], rtol=0, atol=1e-8)
