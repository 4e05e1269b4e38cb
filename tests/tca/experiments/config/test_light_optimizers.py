"""Light optimizers take the steps of PyTorch's, with the same state, and import no compiler."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from tca.experiments.config.light_optimizers import light

NAMES = ("Adam", "AdamW", "SGD", "Adagrad", "RMSprop", "NAdam", "RAdam", "Adamax", "Rprop", "Adadelta")
OPTIONS: dict[str, dict[str, Any]] = {
    **{name: {} for name in NAMES},
    "fused Adam": {"fused": True, "weight_decay": 0.1, "maximize": True},
    "fused AdamW": {"fused": True},
    "fused amsgrad Adam": {"fused": True, "amsgrad": True},
    "fused SGD": {"fused": True, "momentum": 0.9},
}


def pair(name: str) -> tuple[list[nn.Linear], list[torch.optim.Optimizer]]:
    """Return two equal networks, with a light optimizer and PyTorch's, of two groups."""
    kind = getattr(torch.optim, name.rpartition(" ")[2])
    torch.manual_seed(0)
    first = nn.Linear(4, 3)
    nets = [first, copy.deepcopy(first)]
    groups = [[{"params": [net.weight], "lr": 0.1}, {"params": [net.bias], "lr": 0.01}] for net in nets]
    return nets, [make(its, **OPTIONS[name]) for make, its in zip((light(kind), kind), groups, strict=True)]


def descend(nets: list[nn.Linear], optimizers: list[torch.optim.Optimizer], steps: int) -> None:
    for _ in range(steps):
        gradients = torch.randn(3, 4), torch.randn(3)
        for net, optimizer in zip(nets, optimizers, strict=True):
            optimizer.zero_grad()
            for each, gradient in zip(net.parameters(), gradients, strict=True):
                each.grad = gradient.clone() if each.requires_grad else None
            optimizer.step()


def equal(nets: list[nn.Linear]) -> bool:
    one, other = (torch.cat([each.detach().flatten() for each in net.parameters()]) for net in nets)
    return torch.equal(one, other)


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_and_states_are_those_of_pytorch(name: str) -> None:
    nets, (mine, theirs) = pair(name)
    start = nets[0].weight.detach().clone()
    descend(nets, [mine, theirs], 4)
    assert equal(nets)
    assert not torch.equal(nets[0].weight, start)
    states = [each.state_dict() for each in (mine, theirs)]
    assert states[0]["param_groups"] == states[1]["param_groups"]
    for index, state in states[1]["state"].items():
        for key, value in state.items():
            assert torch.equal(torch.as_tensor(states[0]["state"][index][key]), torch.as_tensor(value))
    mine.load_state_dict(copy.deepcopy(states[1]))  # each loads the other's
    theirs.load_state_dict(copy.deepcopy(states[0]))
    descend(nets, [mine, theirs], 3)
    assert equal(nets)


def test_a_parameter_that_learns_later_begins_at_its_first_step() -> None:
    nets, optimizers = pair("fused Adam")
    for net in nets:
        net.bias.requires_grad_(False)
    descend(nets, optimizers, 3)
    for net in nets:
        net.bias.requires_grad_(True)
    descend(nets, optimizers, 3)
    assert equal(nets)
    assert [optimizers[0].state[each]["step"].item() for each in nets[0].parameters()] == [6, 3]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
def test_copies_go_on(copied: Any) -> None:
    nets, (mine, theirs) = pair("fused Adam")
    descend(nets, [mine, theirs], 2)
    net, other = copied((nets[0], mine))
    assert type(other) is light(torch.optim.Adam)
    assert isinstance(other, torch.optim.Adam)
    descend([net, nets[1]], [other, theirs], 2)
    assert equal([net, nets[1]])


def test_hooks_closures_and_schedules_work() -> None:
    nets, (mine, theirs) = pair("fused Adam")
    seen: list[int] = []
    mine.register_step_post_hook(lambda *_: seen.append(1))
    schedules = [torch.optim.lr_scheduler.StepLR(each, 1, 0.5) for each in (mine, theirs)]
    for _ in range(3):
        descend(nets, [mine, theirs], 1)
        for each in schedules:
            each.step()
    assert len(seen) == 3
    assert equal(nets)
    assert mine.step(lambda: 2.5) == 2.5


def test_no_step_imports_the_compiler() -> None:
    program = """
import sys, torch
from tca.experiments.config.components import Optimizer
net = torch.nn.Linear(2, 1)
for name in ("Adam", "SGD"):
    optimizer = Optimizer(name).build(net)
    for each in net.parameters():
        each.grad = torch.ones_like(each)
    optimizer.step(), optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.zero_grad()
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
