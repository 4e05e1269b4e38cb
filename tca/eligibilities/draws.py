"""Seeds of random eligibilities: advanced with every batch, saved with the learner."""

from __future__ import annotations

import torch
from torch import Tensor

from tca.tape.population import Population
from tca.utils.noise import source

__all__ = ["DRAWS", "draws_of", "fresh", "move_on_"]

DRAWS = "draws"  # name of the buffer


def fresh(generator: torch.Generator) -> dict[str, Tensor]:
    """Return the buffer with the seed of the first batch."""
    return {DRAWS: torch.randint(2**62, (1,), generator=generator, device="cpu")}


def move_on_(buffers: dict[str, Tensor]) -> None:
    """Advance to the seed of the next batch in place.

    Args:
        buffers: The eligibility's state in the population.
    """
    buffers[DRAWS].add_(1)


def draws_of(population: Population, buffers: dict[str, Tensor]) -> torch.Generator:
    """Return the random generator of a batch in a population.

    Args:
        buffers: The eligibility's state in all populations, by full name.
    """
    return source(buffers[f"{population.name}.{DRAWS}" if population.name else DRAWS])
