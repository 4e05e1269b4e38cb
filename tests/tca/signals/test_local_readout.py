"""DECOLLE (Kaiser, Mostafa and Neftci 2020): every layer learns from a fixed random readout of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional

import tca
from tca.eligibilities import Instant
from tca.losses import CrossEntropy
from tca.nets import MLP
from tca.signals import LocalReadout
from tests.support import oracle_spiking as oracle
from tests.support.cases import CASES, F1
from tests.support.rows import assert_same, learner, relative
from tests.support.spiking_cases import SPIKING
from tests.tca.nets.spiking.test_stacks import EXACT, batch_of
from tests.tca.rules.test_online_spiking import layers_of, stack
from tests.tca.test_online import gathered, run

F64 = torch.float64


def test_layers_of_a_stack_descend_losses_of_their_own() -> None:
    """Autograd, layer by layer, of local losses with the inputs of the layer, reset and synapses stopped."""
    net = stack()
    batch = batch_of(net)
    bound = tca.Learner(net, tca.RULES["decolle"], seed=5)
    found, pre = bound.grads(batch)[0], batch.inputs
    assert_same(bound.grads(batch, execution="forward")[0], found, EXACT)
    for name, model, weights in layers_of(net, 0.0):
        leaves = {key: each.clone().requires_grad_() for key, each in weights.items()}
        rates = torch.stack([state.z for state in oracle.presynaptic(model, leaves, pre)[1:]])
        assert int(rates.sum()) > 15
        local = rates @ bound.buffers[f"{name}.local_readout"].t()
        loss = batch.loss.mean(local, batch.targets, batch.weights)
        for key, wanted in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
            assert relative(found[f"{name}.{key}"], model.weight({key: wanted}, key)) < EXACT, (name, key)
        pre = rates.detach()


def test_no_error_passes_between_layers() -> None:
    """Other weights above change nothing below, bit for bit; the readout of the network keeps its exact gradient."""
    net = stack()
    batch = batch_of(net)
    bound = tca.Learner(net, tca.RULES["decolle"], seed=5)
    before = bound.grads(batch)[0]
    names = [name for name, _ in net.hidden_layers]
    with torch.no_grad():
        for name, each in net.named_parameters():
            if not name.startswith(names[0]):
                each.add_(0.3)
    net.project_()
    after = bound.grads(batch)[0]
    assert all(torch.equal(after[name], before[name]) == name.startswith(names[0]) for name in before)
    wanted = tca.Learner(net, tca.RULES["eprop"]).grads(batch)[0]
    assert all(torch.equal(after[name], wanted[name]) for name in ("w_out", "b_out"))


def test_feedforward_layers_learn_classes() -> None:
    """A perceptron of two layers with cross-entropy, against autograd of the local losses."""
    net = MLP(6, [5, 4], 3, dtype=F64, seed=1)
    generator = torch.Generator().manual_seed(2)
    inputs = torch.randn(1, 8, 6, dtype=F64, generator=generator)
    targets = torch.randint(3, (1, 8), generator=generator)
    batch = tca.Batch(inputs, targets, torch.ones(1, 8, dtype=F64), CrossEntropy())
    bound = tca.Learner(net, tca.Rule(LocalReadout(), Instant()), seed=5)
    found, pre = bound.grads(batch)[0], inputs[0]
    for layer in (1, 2):
        weight, bias = (net.get_parameter(f"{kind}_{layer}").detach().clone().requires_grad_() for kind in "wb")
        rates = torch.relu(pre @ weight.t() + bias)
        local = rates @ bound.buffers[f"hidden_{layer}.local_readout"].t()
        for name, wanted in zip(
            "wb", torch.autograd.grad(functional.cross_entropy(local, targets[0]), (weight, bias)), strict=True
        ):
            assert relative(found[f"{name}_{layer}"], wanted) < EXACT
        pre = rates.detach()


def test_local_readouts_are_fixed_and_drawn_with_their_scale() -> None:
    """``N(0, scale^2 / N)``; training leaves them as they are."""
    wide: Any = replace(F1, sizes=(3, 400, 50))
    drawn = learner(wide, tca.Rule(LocalReadout(3.0), Instant())).buffers["local_readout"]
    assert drawn.shape == (50, 400)
    assert float(drawn.std()) * 20 == pytest.approx(3, rel=0.02)
    bound = learner(F1, tca.RULES["decolle"])
    before = bound.buffers["local_readout"].clone()
    bound.backward(F1.batch())
    torch.optim.SGD(bound.net.parameters(), lr=0.1).step()
    bound.backward(F1.batch())
    assert torch.equal(bound.buffers["local_readout"], before)


@pytest.mark.parametrize("case", [*CASES, *SPIKING], ids=str)
def test_online_it_sums_to_the_trial(case: Any) -> None:
    """The local readout reads rates without the filter of the network's readout, online as in a whole trial."""
    bound, batch = tca.Learner(case.net(), tca.RULES["decolle"]), case.batch()
    run(bound.stream(case.trials), batch)
    assert_same(gathered(bound.net), bound.grads(batch)[0])
