"""Recurrent populations online: one step of time after another.

Shapes: B batch, J presynaptic cells or inputs, N cells.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tca.cells.spiking_cell import SpikingMoment
from tca.connections.connection import Connection, Initial
from tca.nets.leaky.leaky_rnn import LeakyRNN
from tca.nets.network import Network
from tca.nets.spiking.spiking_rnn import SpikingRNN
from tca.tape.local_step import LeakyMoment, Moment

__all__ = ["STEPPERS", "LeakyStepper", "SpikingStepper", "Stepper"]


class Stepper(abc.ABC):
    """A recurrent population between two steps of time; its weights may change there.

    Attributes:
        rate: Rates of the last step, shape ``(B, N)``.
    """

    rate: Tensor

    @abc.abstractmethod
    def advance(self, inputs: Tensor, noise: Tensor | None, to_go: int | Tensor | None) -> Moment:
        """Advance by one step and return its local quantities.

        Args:
            inputs: Inputs of the step, shape ``(B, J)``.
            noise: What is added to the drive, shape ``(B, N)``; ``None`` for none.
            to_go: Number of steps that follow, or one for each trial; ``None`` if that is not known.
        """


def _heard(
    connections: tuple[Connection, ...], inputs: Tensor, rate: Tensor, noise: Tensor | None
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return what every connection carries, and the drive it all adds up to.

    Args:
        connections: The connections into a population: input, recurrent, biases, a learned initial state.
        inputs: Inputs of the step, shape ``(B, J)``.
        rate: Rates of the step before, shape ``(B, N)``.
        noise: What is added to the drive, shape ``(B, N)``; ``None`` for none.
    """
    one, zero = rate.new_ones(1, 1), rate.new_zeros(1, 1)
    drive = torch.zeros_like(rate) if noise is None else noise.clone()
    constant = [zero if isinstance(connection, Initial) else one for connection in connections[2:]]
    pres = (inputs, rate, *constant)
    for connection, pre in zip(connections, pres, strict=True):
        if not isinstance(connection, Initial):
            drive += connection.drive(pre)
    return pres, drive


class LeakyStepper(Stepper):
    """A leaky population online."""

    def __init__(self, cells: LeakyRNN, trials: int) -> None:
        """Start at the initial state.

        Args:
            cells: The network of the population.
            trials: Number of trials B.
        """
        initial = cells.w_rec.new_zeros(cells.n_rec) if cells.s_0 is None else cells.s_0
        self.cells = cells
        self.state = initial.expand(trials, -1).clone()
        self.rate = cells.form.start(cells.activation, self.state)
        self.slope = self._slope(self.rate)

    def advance(self, inputs: Tensor, noise: Tensor | None, to_go: int | Tensor | None) -> LeakyMoment:
        """Advance by one step and return its local quantities.

        Args:
            inputs: Inputs of the step, shape ``(B, J)``.
            noise: What is added to the drive, shape ``(B, N)``; ``None`` for none.
            to_go: Number of steps that follow, or one for each trial; ``None`` if that is not known.
        """
        cells = self.cells
        into = cells.into_cells()
        pres, drive = _heard(into, inputs, self.rate, noise)
        self.state, self.rate, activity = cells.form.advance(
            cells.activation, cells.leak, cells.gain, self.state, drive
        )
        slope_before, self.slope = self.slope, self._slope(activity)
        leak, gain = _at_least_1d(cells.leak, self.rate), _at_least_1d(cells.gain, self.rate)
        emits = cells.form.slope_at_emission
        return LeakyMoment(
            pres=pres,
            cells=cells.n_rec,
            leak=leak,
            gain=gain if emits else gain * cells.activation.slope(activity),
            slope=self.slope,
            slope_before=slope_before,
            constant_gain=gain,
            recurrent=into[1].effective(),
            recurrent_mask=cells.mask_rec,
            types=cells.types,
            to_go=to_go,
            constant_leak=leak if emits else None,
        )

    def _slope(self, activity: Tensor) -> Tensor:
        """Return ``dz/ds`` at a rate, which is one where the leak is on the rate."""
        form = self.cells.form
        return self.cells.activation.slope(activity) if form.slope_at_emission else activity.new_ones(1)


class SpikingStepper(Stepper):
    """A spiking population online."""

    def __init__(self, cells: SpikingRNN, trials: int) -> None:
        """Start at rest.

        Args:
            cells: The network of the population.
            trials: Number of trials B.
        """
        self.cells = cells
        self.constants = cells.cells
        self.state = cells.start(trials)
        self.rate = self.state.rate
        self.slope = torch.zeros_like(self.rate)

    def advance(self, inputs: Tensor, noise: Tensor | None, to_go: int | Tensor | None) -> SpikingMoment:
        """Advance by one step and return its local quantities.

        Args:
            inputs: Inputs of the step, shape ``(B, J)``.
            noise: What is added to the drive, shape ``(B, N)``; ``None`` for none.
            to_go: Number of steps that follow, or one for each trial; ``None`` if that is not known.
        """
        cells, constants = self.cells, self.constants
        into = cells.into_cells()
        pres, drive = _heard(into, inputs, self.rate, noise)
        before = self.slope
        self.state, self.slope = cells.advance(self.state, drive)
        self.rate = self.state.rate
        synapses = constants.synapses(into[1].effective())
        return constants.moment(pres, (before, self.slope), synapses, cells.mask_rec, cells.types, to_go)


def _at_least_1d(value: Tensor | float, like: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else like.new_full((1,), value)


STEPPERS: dict[type[Network], Callable[[Any, int], Stepper]] = {LeakyRNN: LeakyStepper, SpikingRNN: SpikingStepper}
