"""A network on some trials at a point, taken from its tape: its populations as ``Level``s, and its readout.

Shapes: T time, B batch, N cells, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from analysis.operators.bridge import Bridge
from analysis.operators.cells import Cells
from analysis.operators.leaky import Instant, OnPotential, OnRate
from analysis.operators.level import Level
from analysis.operators.matrices import Matrix, synapses_of
from analysis.operators.spiking import Spiking, distances, second_of
from tca.connections.connection import Initial, Link
from tca.nets.feedforward.layered_network import Layered
from tca.nets.network import Network
from tca.nets.spiking.spiking_population import SpikingPopulation
from tca.tape.leaky_tape import LeakyTape
from tca.tape.spiking_tape import SpikingTape
from tca.tape.tape import Tape
from tca.tape.vector_tape import VectorTape
from tca.utils.numerics import Workspace

__all__ = ["CELLS", "levels_of"]


def levels_of(net: Network, tape: Tape, space: Callable[[str], Workspace]) -> list[Level]:
    """Return the populations of a network, from the first to the last.

    Args:
        net: The network.
        tape: The tape of its last population.
        space: Memory for what does not depend on a vector, of a population by its name.
    """
    tapes = (tape, *tape.below)  # not its levels, which know each other and would outlive their use
    hearing = (tape.readout_links[0], *(each.links[0] for each in tapes[:-1]))
    return [
        _level(net, each, above, space(each.place.name))
        for each, above in reversed(list(zip(tapes, hearing, strict=True)))
    ]


def _level(net: Network, tape: Tape, above: Link, kept: Workspace) -> Level:
    """Return a population; the first of its connections is from below, the second recurrent if it has any."""
    gain = tape.gain if tape.slope_at_emission else 1.0
    initial = [link.connection.name for link in tape.links if isinstance(link.connection, Initial)]
    heard, *others = [
        synapses_of(link, tape.rate[1:], gain) for link in tape.links if not isinstance(link.connection, Initial)
    ]
    loop = others.pop(0) if tape.place.recurrent else None
    return Level(
        cells=CELLS[type(tape)](tape, net, loop, kept),
        rate=tape.rate,
        heard=heard,
        loop=loop,
        biases=tuple(others),
        initial=initial[0] if initial else None,
        bridge=_bridge(net, tape),
        width=above.connection.n_pre,
        kept=kept,
    )


def _bridge(net: Network, tape: Tape) -> Bridge | None:
    """Return what the rates of a population pass."""
    if not isinstance(net, Layered):
        return None
    (population,) = (each for each in net.populations if each.name == tape.place.name)
    return Bridge(population.passages, population.shape) if population.passages else None


def _leaky(tape: LeakyTape, net: Network, loop: Matrix | None, kept: Workspace) -> Cells:
    """Return cells whose activation function is all that bends."""
    emits, activity = tape.slope_at_emission, tape.activity
    slope = kept.empty("slope", tuple(tape.rate.shape), tape.rate).fill_(1.0)
    tape.activation.times_slope_(slope, activity)

    def bend(into: Tensor) -> None:
        tape.activation.times_bend_(into.fill_(1.0), activity)
        if not emits:  # the initial rate is a state
            into[0] = 0.0

    if loop is None:
        return Instant(slope, bend, tape.rate.new_empty(0, 0))
    if emits:
        return OnPotential(slope, bend, loop.weights, leak=tape.leak)
    slope.mul_(tape.gain)[0] = 1.0
    return OnRate(slope, bend, loop.weights, spare=activity, leak=tape.leak)


def _gated(tape: VectorTape, net: Network, loop: Matrix | None, kept: Workspace) -> Cells:
    """Return cells whose gates are constants to every derivative."""
    slope = kept.empty("slope", tuple(tape.rate.shape), tape.rate)
    slope.view(*slope.shape[:2], tape.components, -1).copy_(tape.gates.unsqueeze(2))
    if loop is None:
        return Instant(slope, None, tape.rate.new_empty(0, 0))
    return OnPotential(slope, None, loop.weights, leak=tape.leak)


def _spiking(tape: SpikingTape, net: Network, loop: Matrix | None, kept: Workspace) -> Cells:
    """Return cells that spike."""
    population = cast(SpikingPopulation, net.get_submodule(tape.place.name))
    assert loop is not None
    weights = loop.weights - torch.diag(tape.cells.reset)

    def bend(into: Tensor) -> None:
        driven = into[1:].zero_()
        for link in (tape.links[0], *tape.links[2:]):
            driven += link.connection.drive(link.pre)
        above = distances(tape.cells, weights, driven.mul_(tape.gain), tape.rate)
        into[0] = 0.0
        into[1:] = second_of(population.pseudo, population.threshold, above, tape.slope[1:])

    return Spiking(tape.slope, bend, weights, constants=tape.cells)


CELLS: dict[type[Tape], Callable[[Any, Network, Any, Workspace], Cells]] = {
    LeakyTape: _leaky,
    VectorTape: _gated,
    SpikingTape: _spiking,
}
