"""How a tape records the connections of a population to the population below and to the outputs.

Shapes: B batch, J presynaptic cells, C consecutive steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from tca.connections.connection import Connection, ConnectionInput

__all__ = ["Afferent", "Back", "Readout"]

Back = Callable[[Tensor, slice], Tensor]


class Afferent(NamedTuple):
    """The connection from the population below, without delay.

    Attributes:
        connection: The connection.
        back: Function from a signal to the connection's presynaptic cells, shape ``(C, B, J)``, to one to the rates of
            the population below, back through pooling and the like. ``None`` if they are the same.
    """

    connection: Connection
    back: Back | None = None


class Readout(NamedTuple):
    """The connections into the outputs.

    Attributes:
        links: The weights, then the bias, with their presynaptic activity.
        leak: Leak per step of the filter of the readout, 0 (default) without one.
        back: Function from a signal to the readout's input to one to the rates; ``None`` (default) if they are
            the same.
        carried: Whether the first presynaptic activity of the weights is not the rates alone, but holds those filtered
            before, too; default ``False``.
    """

    links: tuple[ConnectionInput, ...] = ()
    leak: float = 0.0
    back: Back | None = None
    carried: bool = False
