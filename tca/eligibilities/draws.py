"""What eligibilities that draw share: a seed that moves on with every batch and is saved with the learner."""

from __future__ import annotations

import torch
from torch import Tensor

from tca.tape.population import Population
from tca.utils.noise import source

__all__ = ["DRAWS", "draws_of", "fresh", "move_on_"]

DRAWS = "draws"  # name of the buffer


def fresh(generator: torch.Generator) -> dict[str, Tensor]:
    """Return the buffer before learning: the seed of the first batch.

    Args:
        generator: Source of the seed.
    """
    return {DRAWS: torch.randint(2**62, (1,), generator=generator, device="cpu")}


def move_on_(buffers: dict[str, Tensor]) -> None:
    """Go on to the seed of the next batch, in place.

    Args:
        buffers: What is kept in the population.
    """
    buffers[DRAWS].add_(1)


def draws_of(population: Population, buffers: dict[str, Tensor]) -> torch.Generator:
    """Return the source of what is drawn for a batch in a population.

    Args:
        population: Where it stands.
        buffers: What is kept in all populations, by their full names.
    """
    return source(buffers[f"{population.name}.{DRAWS}" if population.name else DRAWS])
