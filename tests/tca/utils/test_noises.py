"""Noise that rules draw: its moments are those of its distribution, to four standard errors."""

from __future__ import annotations

import math

import pytest
import torch

from tca.utils.noise import NoiseDistribution, Normal, Rare, Signs, Uniform

COUNT = 40_000


@pytest.mark.parametrize(
    ("noise", "variance", "kurtosis"),
    [
        (Signs(), 1.0, 1.0),
        (Normal(), 1.0, 3.0),
        (Uniform(2.0), 4 / 3, 1.8),
        (Rare(0.1, Uniform(3.0)), 0.3, 18.0),
        (Rare(0.2, Signs()), 0.2, 5.0),
    ],
    ids=repr,
)
def test_moments(noise: NoiseDistribution, variance: float, kurtosis: float) -> None:
    drawn = noise.draw((COUNT,), torch.Generator().manual_seed(4))
    assert drawn.dtype == torch.float64
    assert abs(drawn.mean().item()) < 4 * math.sqrt(variance / COUNT)
    error = variance * math.sqrt((kurtosis - 1) / COUNT)
    assert drawn.square().mean().item() == pytest.approx(variance, abs=4 * error + 1e-12)


def test_rare_noise_is_there_as_often_as_its_probability() -> None:
    there = Rare(0.1, Signs()).draw((COUNT,), torch.Generator().manual_seed(0)) != 0
    assert there.double().mean().item() == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / COUNT))


def test_uniform_noise_stays_within_its_size_and_reaches_it() -> None:
    drawn = Uniform(0.5).draw((COUNT,), torch.Generator().manual_seed(1))
    assert 0.499 < drawn.abs().max() <= 0.5
    assert drawn.min() < 0 < drawn.max()
