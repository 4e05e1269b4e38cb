"""What error diffusion learns and what it needs for that: handwritten digits, and a cue that must be held."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits

import tca
from tca.eligibilities import Instant
from tca.losses import Logistic
from tca.nets import DualStreamMLP, DualStreamRNN
from tca.rule import Rule
from tca.signals import Direct, ErrorDiffusion

CENTRED = Rule(ErrorDiffusion(), Instant())


def digits(rule: Rule, seed: int, **options: Any) -> float:
    """Percent of held-out digits after 60 epochs of steps of 30 along whole batches of 128."""
    data = load_digits()
    inputs, labels = torch.tensor(data.data / 16).float(), torch.tensor(data.target)
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    train, test, source = order[:1437], order[1437:], torch.Generator().manual_seed(seed)
    net = DualStreamMLP(64, [200, 100], 10, seed=seed, **options)
    learner, optimizer = tca.Learner(net, rule), torch.optim.SGD(net.parameters(), 30.0)
    targets = torch.nn.functional.one_hot(labels).float()
    for _ in range(60):
        for part in train[torch.randperm(1437, generator=source)].split(128):
            if len(part) < 128:  # its step would be as long as that of a whole batch
                continue
            batch = tca.Batch(inputs[part][None], targets[part][None], torch.ones(1, len(part)), Logistic())
            optimizer.zero_grad()
            learner.backward(batch)
            optimizer.step()
            net.project_()
    with torch.no_grad():
        return 100 * float((net(inputs[test][None])[0].argmax(-1) == labels[test]).float().mean())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_digits_of_sixty_epochs(seed: int) -> None:
    """Two streams 64-200-100-10: the rule as it is, narrow, only growing, readout alone, plain backpropagation.

    Accuracy depends on which digits are held out: between 93 and 97 percent, here as in a program written from the
    equations. Plain backpropagation under the same constraint mostly stays at chance.
    """
    assert 93 <= digits(CENTRED, seed) <= 97
    assert digits(CENTRED, seed, width=1.0, width_out=1.0) <= 60
    assert digits(Rule(ErrorDiffusion(grow_only=True), Instant()), seed) <= 45
    assert digits(Rule(ErrorDiffusion(gain=1e-9), Instant()), seed) <= 20
    assert digits(Rule(Direct(), Instant()), seed) <= 60


def recalled(kappa: float | None, seed: int) -> float:
    """Percent of cues recalled after 600 updates: one of four at the first of 20 steps, asked for at the last."""
    net = DualStreamRNN(4, 60, 4, loop_gain_bound=kappa, tau=-10 / math.log(0.7), seed=seed)
    learner = tca.Learner(net, tca.RULES["error_diffusion"], seed=seed)
    optimizer = torch.optim.Adam(net.parameters(), 0.003)
    source, weights = torch.Generator().manual_seed(seed), torch.zeros(20, 64)
    weights[-1] = 1.0

    def trials() -> tca.Batch:
        cues = torch.nn.functional.one_hot(torch.randint(4, (64,), generator=source), 4).float()
        inputs = torch.zeros(20, 64, 4)
        inputs[0] = cues
        return tca.Batch(inputs, cues.expand(20, -1, -1), weights, Logistic())

    for _ in range(600):
        optimizer.zero_grad()
        learner.backward(trials())
        optimizer.step()
        net.project_()
    batch = trials()
    with torch.no_grad():
        return 100 * float((net(batch.inputs)[-1].argmax(-1) == batch.targets[-1].argmax(-1)).float().mean())


@pytest.mark.slow
def test_a_cue_is_recalled_at_every_seed_only_where_the_gain_of_loops_is_bounded() -> None:
    """Without a bound growing weights end in latching at most seeds; with kappa = .9 each of five recalls."""
    free = sorted(recalled(None, seed) for seed in range(5))
    assert free[3] <= 45
    assert min(recalled(0.9, seed) for seed in range(5)) >= 95
