"""Every rule of the library bound to a network that it works in, with private noise where the network has any."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

import tca
from tca.nets import MLP, Dropout, DualStreamRNN, LeakyRNN, Network, VectorRNN
from tests.support.rows import ELSEWHERE

TRIALS, STEPS = 6, 5


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(kind: str, noise: float = 0.1) -> Network:
    """Return a fresh network with three inputs and two outputs in double precision, in the mode of training."""
    makers: dict[str, Callable[[], Network]] = {
        "recurrent": lambda: LeakyRNN(3, 6, 2, cell_types=torch.tensor([0, 1, 0, 1, 0, 1]), noise=noise, seed=3),
        "leak on the rate": lambda: LeakyRNN(3, 6, 2, form="B", noise=noise, seed=3),
        "two streams": lambda: DualStreamRNN(3, 4, 2, noise=noise, seed=3),
        "vectors": lambda: VectorRNN(3, 4, 2, seed=3),
        "feedforward": lambda: MLP(3, [6, 5], 2, then=(Dropout(),) if noise else (), seed=3),
    }
    return makers[kind]().double().train()


def batch(trials: int = TRIALS, steps: int = STEPS) -> tca.Batch:
    """Return trials with weights at most steps, the same each time."""
    weights = (normal(2, steps, trials).abs() + 0.1) / steps
    weights[0] = 0.0
    targets = normal(1, steps, trials, 2)
    return tca.Batch(normal(0, steps, trials, 3), targets, weights, tca.losses.MSE())


@lru_cache
def kind_for(rule: str) -> str:
    """Return the kind of network that a rule works in."""
    words = {"needs the two streams": "two streams", "carry a vector": "vectors"}
    if tca.RULES[rule].form == "B":
        return "leak on the rate"
    return next((kind for word, kind in words.items() if word in ELSEWHERE.get(rule, "")), "recurrent")


def trained(rule: str, noise: float = 0.1, updates: int = 2) -> tuple[tca.Learner, torch.optim.Optimizer]:
    """Return a learner of a rule after some updates by hand, the last of which the rule has not followed yet."""
    learner = tca.Learner(network(kind_for(rule), noise), tca.RULES[rule], seed=1)
    optimizer = torch.optim.Adam(learner.net.parameters(), 0.01)
    for _ in range(updates):
        update(learner, optimizer)
    return learner, optimizer


def update(learner: tca.Learner, optimizer: torch.optim.Optimizer) -> None:
    """Make one update, as a user would."""
    optimizer.zero_grad()
    learner.backward(batch())
    optimizer.step()
    learner.net.project_()
