"""The same trials again, with something changed: what rules that try things out see of a network.

Shapes: T time, B batch, N cells, O outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from tca.batch import Batch
from tca.connections import Link
from tca.nets.layered import Layered
from tca.nets.network import Network
from tca.tape import Tape

__all__ = ["Attempt", "Replay"]

ByPopulation = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Replay:
    """A network, the trials it has run, and the private noise it had then.

    Args:
        net: The network.
        batch: The trials.
        noise: Private noise of the run that is repeated; ``None`` for none.
    """

    net: Network
    batch: Batch
    noise: Tensor | None

    def with_drive(self, extra: ByPopulation) -> Tape:
        """Return the tape of a run with something added to the drives.

        Args:
            extra: What to add to the drive of every population, by its name, each of shape ``(T, B, N)``.
        """
        run = next(run for kind, run in LOUDER.items() if isinstance(self.net, kind))
        lengths = self.batch.trial_lengths if self.batch.padded else None
        return replace(run(self.net, self.batch.inputs, self.noise, extra), lengths=lengths)

    @torch.no_grad()
    def with_parameters(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the outputs of a run with other parameters, shape ``(T, B, O)``.

        Args:
            parameters: Tensors that stand in for the parameters of these names.
        """
        return self.net.functional(parameters, self.batch.inputs, self.noise)


@dataclass(frozen=True, eq=False)
class Attempt:
    """What came of a run with something changed.

    Attributes:
        outputs: Outputs of the changed run, shape ``(T, B, O)``.
        against: Outputs that they are compared with, shape ``(T, B, O)``.
        size: How far the two runs are apart, in units of what was drawn.
        post: What every cell contributes to the traces of its synapses, shape ``(T, B, N)``, by population.
        links: Connections and what they carried, as the traces see it, by population.
        weights: What was drawn for every weight, by name.
    """

    outputs: Tensor
    against: Tensor
    size: float
    post: ByPopulation = field(default_factory=dict)
    links: Mapping[str, tuple[Link, ...]] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)


def _through_layers(net: Network, inputs: Tensor, noise: Tensor | None, extra: ByPopulation) -> Tape:
    """Run a feedforward network, whose populations record what they are driven by; its noise is that of passages."""
    assert isinstance(net, Layered)
    louder = copy.copy(net)  # its parameters are those of the network
    louder.populations = [each._replace(record=_added(each.record, extra[each.name])) for each in net.populations]
    return louder.run(inputs, noise)


def _added(record: Callable[..., Tape], extra: Tensor) -> Callable[..., Tape]:
    """Return what records a population with something added to its drive."""

    def louder(activation: Any, driven: Tensor, rate: Tensor, **rest: Any) -> Tape:
        return record(activation, driven + extra, rate, **rest)

    return louder


def _through_noise(net: Network, inputs: Tensor, noise: Tensor | None, extra: ByPopulation) -> Tape:
    """Run a recurrent network, whose private noise is what is added to its drives, from the first population on."""
    added = torch.cat([extra[place.name] for place in reversed(net.places())], -1)
    return net.run(inputs, added if noise is None else noise + added)


# How something is added to the drives of a kind of network; the first that fits.
LOUDER: dict[type, Callable[[Network, Tensor, Tensor | None, ByPopulation], Tape]] = {
    Layered: _through_layers,
    Network: _through_noise,
}
