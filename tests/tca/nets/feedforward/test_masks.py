"""Synapses that do not exist: they stay at zero under every rule, and the rest learn as they would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.nets import CNN, MLP, ConvLayer, DenseLayer, LocalLayer, LocalNet
from tests.support.small_networks import scattered
from tests.tca.test_stacks import autograd, batch_of, distance, gradients

F64 = torch.float64


def mask(seed: int, *shape: int) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 0.45).double()


MASKED: dict[str, Callable[[], Any]] = {
    "mlp": lambda: MLP(6, [5, 4], 3, masks={"w_1": mask(1, 5, 6), "w_out": mask(2, 3, 4)}, dtype=F64),
    "cnn": lambda: CNN(
        (2, 5, 5),
        [ConvLayer(3), DenseLayer(4)],
        3,
        masks={"w_1": mask(1, 3, 2, 3, 3), "w_2": mask(2, 4, 27)},
        dtype=F64,
    ),
    "local": lambda: LocalNet((1, 4, 4), [LocalLayer(3)], 3, masks={"w_1": mask(1, 3, 4, 9)}, dtype=F64),
}


@pytest.mark.parametrize("build", MASKED.values(), ids=MASKED)
def test_gradient_of_the_synapses_that_exist(build: Callable[[], Any]) -> None:
    """Backpropagation equals autograd whatever values lie where no synapse is; those never matter."""
    net = scattered(build())
    batch = batch_of(net)
    found = gradients(net, tca.RULES["backprop"], batch)
    assert distance(found, autograd(net, batch)) < 1e-12
    before = net(batch.inputs)
    for name, each in list(net.named_buffers()):
        if name.startswith("mask_"):
            assert not found[name.removeprefix("mask_")][each == 0].any()
            with torch.no_grad():
                net.get_parameter(name.removeprefix("mask_")).add_(1 - each)
    assert torch.equal(net(batch.inputs), before)


@pytest.mark.parametrize("build", MASKED.values(), ids=MASKED)
@pytest.mark.parametrize("name", ["ebd", "dfa_sparse", "backprop"])
def test_missing_synapses_stay_missing(build: Callable[[], Any], name: str) -> None:
    """They begin at zero and are there after momentum has been at work; others move."""
    net = build()
    learner, batch = tca.Learner(net, tca.RULES[name]), batch_of(net)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    start = {each: value.detach().clone() for each, value in net.named_parameters()}
    for _ in range(3):
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
    for key, each in net.named_buffers():
        if key.startswith("mask_"):
            weight = net.get_parameter(key.removeprefix("mask_")).detach()
            assert not weight[each == 0].any()
            assert (weight != start[key.removeprefix("mask_")])[each == 1].any()


def test_masks_must_fit() -> None:
    """A name, a shape or a value that is wrong is refused."""
    with pytest.raises(ValueError, match="weights in masks"):
        MLP(6, [5], 3, masks={"w_3": mask(1, 5, 6)})
    with pytest.raises(ValueError, match=r"masks\['w_1'\] must hold zeros and ones in the shape \(5, 6\)"):
        MLP(6, [5], 3, masks={"w_1": mask(1, 6, 5)})
    with pytest.raises(ValueError, match="must hold zeros and ones"):
        MLP(6, [5], 3, masks={"w_1": 0.5 * torch.ones(5, 6)})
