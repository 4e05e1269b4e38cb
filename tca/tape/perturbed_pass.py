"""A second pass over the same trials with perturbed drives or parameters.

Shapes: T time, B batch, N cells, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from tca.connections.connection import ConnectionInput

if TYPE_CHECKING:
    from tca.tape.tape import Tape

__all__ = ["ByPopulation", "PerturbedPass", "Replay"]

ByPopulation = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Replay:
    """Run the trials of a forward pass again; made by `Network.replay`.

    Args:
        with_drive: Returns the tape of a pass with perturbations, by population and each of shape ``(T, B, N)``,
            added to the drives.
        with_parameters: Returns the outputs ``(T, B, O)`` of a pass with other tensors for the parameters they name.
        parameter: Returns the parameter of a name.
        noise: Private noise of the first pass; ``None`` for none.
    """

    with_drive: Callable[[ByPopulation], Tape]
    with_parameters: Callable[[Mapping[str, Tensor]], Tensor]
    parameter: Callable[[str], Tensor]
    noise: Tensor | None


@dataclass(frozen=True, eq=False)
class PerturbedPass:
    """A perturbed pass, as perturbation rules use it.

    Attributes:
        outputs: Outputs of the perturbed pass, shape ``(T, B, O)``.
        against: Outputs of the pass to compare with, shape ``(T, B, O)``.
        size: Distance between the two passes, in units of the perturbation.
        post: Postsynaptic factor of the eligibility traces, shape ``(T, B, N)``, by population.
        links: Connections and their presynaptic activity, by population.
        weights: Perturbation of every weight, by name.
    """

    outputs: Tensor
    against: Tensor
    size: float
    post: ByPopulation = field(default_factory=dict)
    links: Mapping[str, tuple[ConnectionInput, ...]] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
