"""A recurrent network on some trials at a point, taken from its tape: its populations as ``Level``s.

Shapes: T time, B batch, N cells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from analysis.curvature.analytic.cell_derivatives import Cells, PotentialCells, RateCells, distances, spike_curvature
from analysis.curvature.analytic.population_derivatives import Level
from analysis.curvature.analytic.synapses import Synapses
from tca.connections.connection import Initial
from tca.nets.network import Network
from tca.nets.spiking.spiking_population import SpikingPopulation
from tca.tape.leaky_tape import LeakyTape
from tca.tape.spiking_tape import SpikingTape
from tca.tape.tape import Tape
from tca.tape.vector_tape import VectorTape
from tca.utils.numerics import Workspace

__all__ = ["levels_of"]


def levels_of(net: Network, tape: Tape, space: Callable[[str], Workspace]) -> list[Level]:
    """Return the populations of a network, from the first to the last.

    Args:
        tape: The tape of its last population.
        space: Returns the memory of a population by its name.
    """
    tapes = (tape, *tape.lower)  # not its levels, which refer to each other and would outlive their use
    return [_level(net, each, space(each.population.name)) for each in reversed(tapes)]


def _level(net: Network, tape: Tape, kept: Workspace) -> Level:
    """Return a population; the first of its connections is the afferent one, the second the recurrent one."""
    gain = tape.gain if tape.slope_at_emission else 1.0
    initial = [link.connection.name for link in tape.links if isinstance(link.connection, Initial)]
    afferent, recurrent, *biases = [
        Synapses.of(link, tape.rate[1:], gain) for link in tape.links if not isinstance(link.connection, Initial)
    ]
    cells = CELLS[type(tape)](tape, net, recurrent.weights)
    return Level(cells, tape.rate, afferent, recurrent, tuple(biases), initial[0] if initial else None, kept)


def _leaky(tape: LeakyTape, net: Network, weights: Tensor) -> Cells:
    """Return cells with an activation function; the initial value of a leaky rate is a state, without activity."""
    kind, gain = (PotentialCells, 1.0) if tape.slope_at_emission else (RateCells, tape.gain)
    slope = tape.activation.slope(tape.activity).mul_(gain)

    def second() -> Tensor:
        values = tape.activation.second_derivative(tape.activity).mul_(gain)
        if not tape.slope_at_emission:
            values[0] = 0.0
        return values

    if not tape.slope_at_emission:
        slope[0] = 1.0
    return kind(slope=slope, second=second, weights=weights, leak=tape.leak)


def _gated(tape: VectorTape, net: Network, weights: Tensor) -> Cells:
    """Return cells with gates, which are constants to every derivative."""
    slope = tape.gates.repeat(1, 1, tape.components).to(tape.rate)
    return PotentialCells(slope=slope, second=None, weights=weights, leak=tape.leak)


def _spiking(tape: SpikingTape, net: Network, recurrent: Tensor) -> Cells:
    """Return spiking cells."""
    population = cast(SpikingPopulation, net.get_submodule(tape.population.name))
    weights = recurrent - torch.diag(tape.cells.reset)

    def second() -> Tensor:
        driven = torch.zeros_like(tape.rate[1:])
        for link in (tape.links[0], *tape.links[2:]):
            driven += link.connection.drive(link.pre)
        upper = distances(tape.cells, weights, driven.mul_(tape.gain), tape.rate)
        values = torch.zeros_like(tape.rate)
        values[1:] = spike_curvature(population.surrogate_gradient, population.threshold, upper, tape.slope[1:])
        return values

    adaptation = tape.cells if len(tape.cells.adaptive) else None
    return PotentialCells(slope=tape.slope, second=second, weights=weights, leak=tape.cells.leak, adaptation=adaptation)


CELLS: dict[type[Tape], Callable[[Any, Network, Tensor], Cells]] = {
    LeakyTape: _leaky,
    VectorTape: _gated,
    SpikingTape: _spiking,
}
