"""The same trials again, with something changed: what rules that try things out see of a network.

Shapes: T time, B batch, N cells, O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tca.batch import Batch
from tca.connections import Link
from tca.nets.network import Network
from tca.tape import Tape

__all__ = ["Attempt", "Replay"]


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

    def with_drive(self, extra: Tensor) -> tuple[Tape, Tensor]:
        """Return the tape of a run with something added to the drive, and all that was added, private noise included.

        Args:
            extra: What to add, shape ``(T, B, N)``.
        """
        added = extra if self.noise is None else self.noise + extra
        return self.net.run(self.batch.inputs, added), added

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
        post: What every cell contributes to the traces of its synapses, shape ``(T, B, N)``; empty if nothing.
        links: Connections and what they carried, as the traces see it.
        weights: What was drawn for every weight, by name.
    """

    outputs: Tensor
    against: Tensor
    size: float
    post: Tensor = field(default_factory=lambda: torch.empty(0))
    links: tuple[Link, ...] = ()
    weights: Mapping[str, Tensor] = field(default_factory=dict)
