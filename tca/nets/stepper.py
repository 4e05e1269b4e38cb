"""Recurrent populations online, one step at a time.

Shapes: B batch, J presynaptic cells or inputs, N cells, M numbers of their state.
"""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from tca.connections.connection import Connection, Initial
from tca.tape.local_step import LocalStep

__all__ = ["Stepper", "carried"]


class Stepper(abc.ABC):
    """A recurrent population between two steps, where its weights may change.

    Attributes:
        rate: Rates of the last step, shape ``(B, N)``.
    """

    rate: Tensor

    @property
    @abc.abstractmethod
    def memory(self) -> Tensor:
        """State of the cells, shape ``(B, M)``."""

    @abc.abstractmethod
    def start_from(self, memory: Tensor) -> None:
        """Continue from a value of ``memory``."""

    @abc.abstractmethod
    def advance(self, inputs: Tensor, noise: Tensor | None, to_go: int | Tensor | None) -> LocalStep:
        """Advance by one step and return its local quantities.

        Args:
            inputs: Inputs of the step, shape ``(B, J)``.
            noise: Noise in the drive, shape ``(B, N)``; ``None`` for none.
            to_go: Number of steps that follow, or one for each trial; ``None`` if unknown.
        """


def carried(
    connections: tuple[Connection, ...], inputs: Tensor, rate: Tensor, noise: Tensor | None
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return the presynaptic activity of every connection and the total drive.

    Args:
        connections: The connections into a population: input, recurrent, biases, a learned initial state.
        inputs: Inputs of the step, shape ``(B, J)``.
        rate: Rates of the step before, shape ``(B, N)``.
        noise: Noise in the drive, shape ``(B, N)``; ``None`` for none.
    """
    one, zero = rate.new_ones(1, 1), rate.new_zeros(1, 1)
    drive = torch.zeros_like(rate) if noise is None else noise.clone()
    constant = [zero if isinstance(connection, Initial) else one for connection in connections[2:]]
    pres = (inputs, rate, *constant)
    for connection, pre in zip(connections, pres, strict=True):
        if not isinstance(connection, Initial):
            drive += connection.drive(pre)
    return pres, drive
