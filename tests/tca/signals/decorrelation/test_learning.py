"""What decorrelation learns, and how it fails: small networks on handwritten digits.

Accuracy with a slow average passes a wrong sign and a correlation that is never averaged:
the tests against autograd do. Here the average matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import tca
from tca.eligibilities import Instant
from tca.losses import MSE, CrossEntropy, Loss
from tca.signals import Decay, Decorrelation, NormalStart, Signal
from tca.signals.signal import Buffers, WindowFunction
from tca.tape.population import Population
from tca.tape.tape import Tape

Data = tuple[Tensor, Tensor, Tensor, Tensor]


def digits(seed: int) -> Data:
    """Images of 8 x 8 between 0 and 1 and their classes: 1347 to train, 450 to test."""
    datasets = pytest.importorskip("sklearn.datasets")
    found = datasets.load_digits()
    images, classes = torch.tensor(found.data / 16, dtype=torch.float32), torch.tensor(found.target)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(100 + seed))
    train, test = order[:1347], order[1347:]
    return images[train], classes[train], images[test], classes[test]


def moved_digits(seed: int) -> Data:
    """Images of 16 x 16, turned, scaled, shifted and noisy: 12000 to train, 2000 to test."""
    images, classes, test_images, test_classes = digits(seed)
    source = torch.Generator().manual_seed(seed)
    return (*_moved(images, classes, 12_000, source), *_moved(test_images, test_classes, 2000, source))


def _moved(images: Tensor, classes: Tensor, count: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
    chosen = torch.randint(len(images), (count,), generator=source)
    turn, size, right, down = torch.rand(4, count, generator=source) * 2 - 1
    angle, scale = turn * math.radians(20), 1 + 0.2 * size
    cos, sin = angle.cos() / scale, angle.sin() / scale
    theta = torch.stack([torch.stack([cos, -sin, right / 4], 1), torch.stack([sin, cos, down / 4], 1)], 1)
    grid = functional.affine_grid(theta, [count, 1, 16, 16], align_corners=False)
    seen = functional.grid_sample(images[chosen].view(-1, 1, 8, 8), grid, align_corners=False)
    return (seen + 0.25 * torch.randn(seen.shape, generator=source)).flatten(1), classes[chosen]


@dataclass(frozen=True)
class WrongSign(Signal):
    """Decorrelation whose batches are taken away from the average instead of into it."""

    right: Decorrelation
    local = True
    horizon = None  # type: ignore[assignment]
    equation = "R <- lam R - (1 - lam) mean g(z) s^T"  # type: ignore[assignment]

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        return self.right.buffers(population, generator)

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:
        before = buffers["correlation"].clone()
        self.right.update_statistics_(tape, buffers)
        buffers["correlation"].copy_(2 * self.right.average.lam * before - buffers["correlation"])

    def windowed_signal(
        self, tape: Tape, buffers: Buffers, eligibility: tca.eligibilities.Eligibility
    ) -> WindowFunction:
        return self.right.windowed_signal(tape, buffers, eligibility)


def trained(
    data: Data, signal: Signal, epochs: int, loss: Loss | None = None, seed: int = 0, hidden: bool = True
) -> tuple[float, float]:
    """Train by Adam on batches of 32; return the accuracy, and the rms of the activity of the last population."""
    images, classes, test_images, test_classes = data
    net = tca.nets.MLP(images.shape[1], [256, 128], 10, seed=seed)
    learner = tca.Learner(net, tca.Rule(signal, Instant()), seed=seed)
    optimizer = torch.optim.Adam(net.parameters() if hidden else [net.w_out, net.b_out], 1e-3)
    source = torch.Generator().manual_seed(seed + 7)
    squared = loss is None
    for _ in range(epochs):
        for chosen in torch.randperm(len(images), generator=source).split(32)[:-1]:
            wanted = functional.one_hot(classes[chosen], 10).float() if squared else classes[chosen]
            optimizer.zero_grad()
            learner.backward(
                tca.Batch(images[chosen].unsqueeze(0), wanted.unsqueeze(0), torch.ones(1, len(chosen)), loss or MSE())
            )
            optimizer.step()
    tape = net.run(test_images.unsqueeze(0))
    right = (tape.outputs[0].argmax(-1) == test_classes).float().mean().item()
    return right, tape.rate[1:].square().mean().sqrt().item()


def squared_error(lam: float) -> Decorrelation:
    return Decorrelation(Decay(lam), start=NormalStart(1e-3))


@pytest.fixture(scope="module")
def moved() -> Data:
    return moved_digits(0)


@pytest.mark.slow
def test_learning_a_correlation_pays(moved: Data) -> None:
    """Within two epochs the average learns what the same matrix held still does not, and the wrong sign nothing."""
    adaptive, _ = trained(moved, squared_error(0.9999), 2)
    still, _ = trained(moved, squared_error(1.0), 2)
    wrong, size = trained(moved, WrongSign(squared_error(0.9999)), 1)
    assert adaptive > 0.5
    assert still < 0.42
    assert wrong < 0.2
    assert size > 10, "the wrong sign runs away"


@pytest.mark.slow
def test_fast_averages_let_activity_vanish() -> None:
    """lam = 0.99 silences the last population within ten epochs, lam = 0.999 does not."""
    fast, silent = trained(digits(0), Decorrelation(Decay(0.99)), 10)
    slow, alive = trained(digits(0), Decorrelation(Decay(0.999)), 10)
    assert silent < 0.02
    assert fast < 0.3
    assert alive > 0.3
    assert slow > 0.92


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_eight_epochs_of_moved_digits(seed: int) -> None:
    """Average, matrix held still, readout alone, wrong sign, and a fast average under cross-entropy."""
    data = moved_digits(seed)
    assert trained(data, squared_error(0.9999), 8, seed=seed)[0] >= 0.80
    assert trained(data, squared_error(1.0), 8, seed=seed)[0] <= 0.78
    assert trained(data, Decorrelation(Decay(1.0)), 8, seed=seed, hidden=False)[0] <= 0.55
    assert trained(data, WrongSign(squared_error(0.9999)), 8, seed=seed)[0] <= 0.15
    assert trained(data, Decorrelation(Decay(0.999)), 8, CrossEntropy(), seed=seed)[0] <= 0.20
