"""Tangent kernels and representations against closed forms; lazy against rich learning."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import analysis
import tca

F64 = torch.float64


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def batch(outputs: int = 1, trials: int = 5) -> tca.Batch:
    weights = torch.ones(1, trials, dtype=F64)
    return tca.Batch(normal(1, trials, 3), normal(1, trials, outputs, seed=1), weights, tca.losses.MSE())


def deep(scale: float = 1.0) -> Any:
    """Return ``y = a^T W x`` with its weights."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 1, bias=False)).to(F64)
    for each in model.parameters():
        each.data.mul_(scale)
    return tca.nets.wrap(model)


def kernel(net: Any, x: Tensor) -> Tensor:
    """``|a|^2 x . x' + (W x) . (W x')``."""
    w, a = net.model[0].weight.detach(), net.model[1].weight.detach()
    hidden = x @ w.mT
    return a.square().sum() * x @ x.mT + hidden @ hidden.mT


def test_the_kernel_of_a_linear_model_is_that_of_its_inputs() -> None:
    model, given = nn.Linear(3, 2).to(F64), batch(2)
    x = given.inputs[0]
    wanted = torch.kron(x @ x.mT + 1, torch.eye(2, dtype=F64))
    torch.testing.assert_close(analysis.tangent_kernel(tca.nets.wrap(model), given), wanted, rtol=1e-12, atol=1e-12)


def test_the_kernel_of_two_layers_has_a_closed_form() -> None:
    net, given = deep(), batch()
    torch.testing.assert_close(analysis.tangent_kernel(net, given), kernel(net, given.inputs[0]), rtol=1e-12, atol=0)
    one = analysis.tangent_kernel(net, given, "model.1.weight")
    hidden = given.inputs[0] @ net.model[0].weight.detach().mT
    torch.testing.assert_close(one, hidden @ hidden.mT, rtol=1e-12, atol=1e-14)


def test_the_regime_is_made_of_three_distances() -> None:
    before, given = deep(), batch()
    after = copy.deepcopy(before)
    with torch.no_grad():
        after.model[0].weight.add_(normal(4, 3, seed=5))
    found = analysis.learning_regime(before, after, given)
    old, new = (kernel(net, given.inputs[0]) for net in (before, after))
    assert found.tangent_kernel == pytest.approx(1 - float((old * new).sum() / old.norm() / new.norm()), rel=1e-10)
    assert found.tangent_kernel_size == pytest.approx(float(new.norm() / old.norm()), rel=1e-10)
    length = torch.cat([each.flatten() for each in before.parameters()]).norm()
    assert found.weights == pytest.approx(float(normal(4, 3, seed=5).norm() / length.detach()), rel=1e-10)
    assert math.isnan(found.representations), "a whole model shows no hidden rates"


def test_scaling_is_no_change_of_direction() -> None:
    before, given = deep(), batch()
    found = analysis.learning_regime(before, deep(scale=2.0), given)
    assert found.tangent_kernel == pytest.approx(0, abs=1e-12)
    assert found.tangent_kernel_size == pytest.approx(4, rel=1e-12)
    assert found.weights == pytest.approx(1, rel=1e-12)


def test_representations_are_compared_by_their_gram_matrices() -> None:
    before, given = tca.nets.MLP(3, [6], 1, dtype=F64, seed=0), batch()
    after = tca.nets.MLP(3, [6], 1, dtype=F64, seed=1)
    first, second = (net.run(given.inputs).rate[1] for net in (before, after))
    old, new = first @ first.mT, second @ second.mT
    wanted = 1 - float((old * new).sum() / old.norm() / new.norm())
    assert analysis.learning_regime(before, after, given).representations == pytest.approx(wanted, rel=1e-10)
    net = tca.nets.LeakyRNN(3, 6, 1, dtype=F64, seed=0)
    turned = analysis.learning_regime(net, analysis.permuted(net, torch.arange(6).roll(1)), given)
    assert turned.representations == pytest.approx(0, abs=1e-12), "the order of cells is no change"
    assert turned.tangent_kernel == pytest.approx(0, abs=1e-12)
    assert turned.weights > 0.1


@pytest.mark.slow
def test_large_weights_learn_lazily_and_small_ones_richly() -> None:
    """Chizat et al. (2019): the same errors are learned with less change from larger weights."""
    changes = []
    for scale in (0.1, 10.0):
        before = tca.nets.MLP(3, [20], 1, dtype=F64, seed=0, activation="linear")
        for each in before.parameters():
            each.data.mul_(scale)
        net, given = copy.deepcopy(before), batch(trials=3)
        with torch.no_grad():
            given = tca.Batch(given.inputs, 3 * given.targets + net(given.inputs), given.weights, given.loss)
        learner = tca.Learner(net, tca.RULES["backprop"])
        for _ in range(250):
            net.zero_grad()
            loss = float(learner.backward(given).loss)
            rate = 0.5 / float(torch.linalg.eigvalsh(analysis.tangent_kernel(net, given))[-1])
            with torch.no_grad():
                for each in net.parameters():
                    each.sub_(rate * given.trials * each.grad)
        assert loss < 0.01
        changes.append(analysis.learning_regime(before, net, given))
    rich, lazy = changes
    assert lazy.tangent_kernel < 0.01 * rich.tangent_kernel
    assert lazy.representations < 0.01 * rich.representations
    assert lazy.weights < 0.1 * rich.weights
