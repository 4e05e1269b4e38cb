"""Noise that is a list, so that a mean over all draws can be taken exactly: one trial for each of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

import tca
from tca.utils.noise import NoiseDistribution


@dataclass(frozen=True, eq=False)
class Listed(NoiseDistribution):
    """Numbers that are given: what is asked for first comes first."""

    rows: list[Tensor]

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return the next of the list, which must have the shape that is asked for."""
        found = self.rows.pop(0)
        assert tuple(found.shape) == shape
        return found

    def steps(self, steps: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Return the next of the list for all steps at once."""
        return self.draw((steps, *shape), generator)


def sign_patterns(*shape: int) -> Tensor:
    """Every pattern of signs of a shape, one behind another, ``(2^size, *shape)``, float64."""
    count = int(torch.tensor(shape).prod())
    return torch.tensor(list(itertools.product((-1.0, 1.0), repeat=count)), dtype=torch.float64).view(-1, *shape)


def copies(batch: tca.Batch, count: int) -> tca.Batch:
    """The first trial of a batch so many times."""
    return batch.select(torch.zeros(count, dtype=torch.int64))
