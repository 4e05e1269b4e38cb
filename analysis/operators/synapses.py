"""Connections at a point, differentiated by their weights and by what they carry.

Shapes: T time, B batch, V vectors, C steps of a window, I postsynaptic cells, J presynaptic, K components of a cell.
What moves has the shape ``(C, B, V, ...)``, what is fixed ``(C, B, ...)``.

A connection is linear in its weights w and linear in what it carries, ``u = C(w, z)``, so that its derivative along a
vector is ``u' = C(w, z') + C(w', z)``. A signal goes back as ``C(w)^T told' + C(w')^T told``, and the weights gather
``told' (x) z + told (x) z'``.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tca.connections.connection import Connection, Link

__all__ = ["Other", "Synapses"]


class Synapses(abc.ABC):
    """A connection at a point.

    Attributes:
        name: Name of its parameter.
    """

    name: str

    @abc.abstractmethod
    def laid(self, move: Tensor) -> Any:
        """Return changes of the weights as the other methods take them.

        Args:
            move: The changes, in the shape of the parameter with a leading axis of V.
        """

    @abc.abstractmethod
    def carry_(self, drive: Tensor, tangent: Tensor) -> None:
        """Add ``C(w, z')`` to a drive in place.

        Args:
            drive: The drive, shape ``(C, B, V, I)``, contiguous.
            tangent: The ``z'``, shape ``(C, B, V, J)``, contiguous.
        """

    @abc.abstractmethod
    def move_(self, drive: Tensor, laid: Any, steps: slice) -> None:
        """Add ``C(w', z)`` to a drive in place.

        Args:
            drive: The drive, shape ``(C, B, V, I)``, contiguous.
            laid: The ``w'``.
            steps: The steps, counted from the initial state.
        """

    @abc.abstractmethod
    def return_(self, into: Tensor, signal: Tensor) -> None:
        """Write ``C(w)^T told'``.

        Args:
            into: Where to, shape ``(C, B, V, J)``, contiguous.
            signal: The ``told'``, shape ``(C, B, V, I)``, contiguous.
        """

    @abc.abstractmethod
    def move_back_(self, into: Tensor, laid: Any, told: Tensor) -> None:
        """Add ``C(w')^T told``.

        Args:
            into: What to add to, shape ``(C, B, V, J)``, contiguous.
            laid: The ``w'``.
            told: The signal, shape ``(C, B, I)``.
        """

    @abc.abstractmethod
    def sums(self, count: int) -> tuple[Tensor, ...]:
        """Return zeros to gather into.

        Args:
            count: Number of vectors V.
        """

    @abc.abstractmethod
    def gather_(self, sums: tuple[Tensor, ...], signal: Tensor, steps: slice) -> None:
        """Add ``told' (x) z``.

        Args:
            sums: What has been gathered.
            signal: The ``told'``, shape ``(C, B, V, I)``.
            steps: The steps, counted from the initial state.
        """

    @abc.abstractmethod
    def gather_moved_(self, sums: tuple[Tensor, ...], told: Tensor, tangent: Tensor) -> None:
        """Add ``told (x) z'``.

        Args:
            sums: What has been gathered.
            told: The signal, shape ``(C, B, I)``.
            tangent: The ``z'``, shape ``(C, B, V, J)``.
        """

    @abc.abstractmethod
    def finish(self, sums: tuple[Tensor, ...]) -> Tensor:
        """Return what has been gathered in the shape of the parameter with a leading axis of V.

        Args:
            sums: What has been gathered.
        """


@dataclass(frozen=True, eq=False)
class Other(Synapses):
    """Any other connection, through its own ways forwards and back, one vector after the other.

    Attributes:
        name: Name of its parameter.
        connection: The connection.
        weight: Its weights at the point.
        pre: What it carried, shape ``(T, B, J)``, or ``(1, 1, 1)`` if that is always one.
    """

    name: str
    connection: Connection
    weight: Tensor
    pre: Tensor

    def laid(self, move: Tensor) -> Tensor:
        """Return them as they are."""
        return move

    def carry_(self, drive: Tensor, tangent: Tensor) -> None:
        """Add it, all vectors at once."""
        drive.add_(self.connection.apply(self.weight, tangent))

    def move_(self, drive: Tensor, laid: Tensor, steps: slice) -> None:
        """Add it, vector by vector."""
        pre = Link(self.connection, self.pre).at(steps)
        for into, move in zip(drive.unbind(2), laid, strict=True):
            into.add_(self.connection.apply(move, pre))

    def return_(self, into: Tensor, signal: Tensor) -> None:
        """Write it, all vectors at once."""
        into.copy_(self.connection.back(signal, self.weight))

    def move_back_(self, into: Tensor, laid: Tensor, told: Tensor) -> None:
        """Add it, vector by vector."""
        for each, move in zip(into.unbind(2), laid, strict=True):
            each.add_(self.connection.back(told, move))

    def sums(self, count: int) -> tuple[Tensor, ...]:
        """Return zeros in the shape of the parameter."""
        return (self.weight.new_zeros(count, *self.weight.shape),)

    def gather_(self, sums: tuple[Tensor, ...], signal: Tensor, steps: slice) -> None:
        """Add it, vector by vector."""
        pre = Link(self.connection, self.pre).at(steps)
        for gradient, each in zip(sums[0], signal.unbind(2), strict=True):
            self.connection.outer_(gradient, each, pre)

    def gather_moved_(self, sums: tuple[Tensor, ...], told: Tensor, tangent: Tensor) -> None:
        """Add it, vector by vector."""
        for gradient, each in zip(sums[0], tangent.unbind(2), strict=True):
            self.connection.outer_(gradient, told, each)

    def finish(self, sums: tuple[Tensor, ...]) -> Tensor:
        """Return it as it is."""
        return sums[0]
