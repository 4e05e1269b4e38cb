"""The specification of a population: its size, its readout and its synapses.

Shapes: N cells, O outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from tca.connections.connection import Connection

__all__ = ["Population", "needs_rates", "needs_synapses"]


@dataclass(frozen=True, eq=False)
class Population:
    """A population of cells and its connections to the outputs.

    Attributes:
        name: Name of the population; empty if the network has no other.
        shape: Layout of its cells: ``(N,)``, or channels, height and width of a map.
        n_out: Number of outputs O of the network.
        like: A tensor with the type and the device of the network.
        weights: Readout weights, shape ``(O, N)``; ``None`` if the cells project to other populations only.
        onwards: The connection from the cells into the population above, or into the outputs.
        recurrent: Whether the cells have recurrent synapses.
        alone: Whether the network has no other population.
        signs: Stream of every cell, +1 or -1, shape ``(N,)``; ``None`` if the network has one stream.
        n_in: Number of inputs I of the network; 0 if unknown.
        spiking: Whether the cells spike: their rates are zeros and ones, with a surrogate gradient.
        perron_root_bound: Bound at or below which the network keeps the gated Perron root of its recurrent weights;
            ``None`` if it has none.
        form: Where the leak of the cells acts: ``"A"`` on the potential, ``"B"`` on the rate, ``"cell"`` as the cell
            defines; ``None`` without a leak.
        module: Kind of user's module that computes it, ``"cell"`` or ``"model"``; empty for cells of the library.
        components: Numbers in the state of a cell.
        drives: Numbers that drive a cell.
        learned: Names of the constants of the cells that are learned.

    >>> import torch
    >>> Population("conv1", (8, 4, 4), 10, torch.zeros(1)).cells
    128
    """

    name: str
    shape: tuple[int, ...]
    n_out: int
    like: Tensor
    weights: Tensor | None = None
    onwards: Connection | None = None
    recurrent: bool = False
    alone: bool = False
    signs: Tensor | None = None
    n_in: int = 0
    spiking: bool = False
    perron_root_bound: float | None = None
    form: str | None = None
    module: str = ""
    components: int = 1
    drives: int = 1
    learned: tuple[str, ...] = ()

    @property
    def cells(self) -> int:
        """Number of cells N."""
        return math.prod(self.shape)

    @property
    def general(self) -> bool:
        """Whether its cells are general ones, whose derivatives are blocks of every step."""
        return self.form == "cell" or bool(self.learned)

    @property
    def title(self) -> str:
        """Name of the population in error messages."""
        return f"population {self.name!r}" if self.name else "the population"

    @property
    def readout(self) -> Tensor:
        """Readout weights, shape ``(O, N)``.

        Raises:
            ValueError: The population has none.
        """
        if self.weights is None:
            raise ValueError(f"{self.title} has no readout weights of its own: use a signal that does not read them")
        return self.weights


def needs_synapses(what: str, population: Population) -> None:
    """Raise if a population has no recurrent synapses.

    Args:
        what: Name of the part that needs them.

    Raises:
        ValueError: It has none.
    """
    if not population.recurrent:
        raise ValueError(f"{what} needs recurrent synapses, and {population.title} has none")


def needs_rates(what: str, population: Population) -> None:
    """Raise if the cells of a population spike or are general cells.

    Args:
        what: Name of the part that needs rates, for the message.

    Raises:
        ValueError: They spike, or their leak and gain are not constants.
    """
    if population.general:
        defined = "are learned" if population.learned else "are defined by its cell"
        raise ValueError(
            f"{what} replaces the slope of every rate by one constant, which needs a constant leak and gain, "
            f"and those of {population.title} {defined}"
        )
    if population.spiking:
        raise ValueError(
            f"{what} replaces the slope of every rate by one constant, and "
            f"{population.title} spikes: the slope of "
            "a spike is zero but near the threshold"
        )
