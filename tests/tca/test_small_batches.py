"""The smallest batches: one step of one trial is learned from by every rule in every network that it fits."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch

import tca
from tests.support.everything import NETS, trials


@pytest.mark.thirds
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", NETS)
def test_one_step_of_one_trial(kind: str) -> None:
    """Executions agree, and that of `bptt` is the gradient of PyTorch."""
    net = NETS[kind]().double().eval()
    drawn = trials(net)
    weights = torch.ones(1, 1, dtype=torch.float64)
    batch = tca.Batch(drawn.inputs[:1, :1].double(), drawn.targets[:1, :1], weights, drawn.loss)
    loss = batch.loss.mean(net(batch.inputs), batch.targets, batch.weights)
    gradients = torch.autograd.grad(loss, [*net.parameters()], materialize_grads=True)
    exact = {name: each for (name, _), each in zip(net.named_parameters(), gradients, strict=True)}
    ran = 0
    for name, rule in tca.RULES.items():
        found = {}
        for execution in rule.executions:
            with suppress(ValueError):  # the rule is for other networks
                found[execution] = tca.Learner(net, rule, seed=17).grads(batch, execution=execution)[0]
        ran += bool(found)
        if len(found) == 2:
            torch.testing.assert_close(found["forward"], found["reverse"], rtol=1e-10, atol=1e-13)
        if name == "bptt" and found:
            torch.testing.assert_close(found["reverse"], exact, rtol=1e-10, atol=1e-13)
    assert ran > 3
