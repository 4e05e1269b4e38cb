"""Connections at a point, differentiated by their weights and by the presynaptic activity.

Shapes: T time, B batch, V vectors, C steps of a window, I postsynaptic cells, J presynaptic, K components of a cell.
Tangents have the shape ``(C, B, V, ...)``, values at the point ``(C, B, ...)``.

A connection is linear in its weights w and in the presynaptic activity z, ``u = C(w, z)``, and its derivative along a
vector is ``u' = C(w, z') + C(w', z)``. A signal e' goes back as ``C(w)^T e' + C(w')^T e``, and the weights gather ``e'
(x) z + e (x) z'``. All vectors share one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tca.connections.connection import Bias, Connection, ConnectionInput
from tca.connections.signed import ScaledBias, SignedDense
from tca.connections.vector_weights import VectorBias, Vectors

__all__ = ["Synapses", "WeightTangents"]


@dataclass(frozen=True, eq=False)
class WeightTangents:
    """Changes of a matrix in both orders that products need.

    Attributes:
        weights: The changes, shape ``(V, I, J)``.
    """

    weights: Tensor

    @cached_property
    def columns(self) -> Tensor:
        """From presynaptic cells to vectors and postsynaptic cells, shape ``(J, V * I)``."""
        return self.weights.flatten(0, 1).t()

    @cached_property
    def rows(self) -> Tensor:
        """From postsynaptic cells to vectors and presynaptic cells, shape ``(I, V * J)``."""
        return self.weights.movedim(0, 1).flatten(1)


@dataclass(frozen=True, eq=False)
class Synapses:
    """A connection as a matrix between cells: entry by entry its parameter times a factor.

    Attributes:
        name: Name of its parameter.
        weights: The matrix at the point, shape ``(I, J)``, with its factor.
        pre: Presynaptic activity, shape ``(T, B, K * J)``.
        factor: The factor, broadcastable to ``(I, J)``: gain and signs.
        components: Number of components K that share the matrix; component k of cell i is ``k I + i``.
        shape: Shape of the parameter.
        constant: Whether the presynaptic activity is always one.
    """

    name: str
    weights: Tensor
    pre: Tensor
    factor: Tensor | float
    components: int
    shape: torch.Size
    constant: bool

    @classmethod
    def of(cls, link: ConnectionInput, like: Tensor, gain: Tensor | float = 1.0) -> Synapses:
        """Return a connection of a recurrent network at its present weights.

        Args:
            link: The connection and its presynaptic activity.
            like: A tensor of all steps, shape ``(T, B, ...)``.
            gain: Factor of its drive, a number or ``(I,)``, default 1.
        """
        connection, pre = link
        pre, factor = _factored(connection, pre.expand(*like.shape[:2], -1))
        components = connection.components if isinstance(connection, Vectors) else 1
        weight = connection.effective()
        factor = factor * (gain.unsqueeze(-1) if isinstance(gain, Tensor) else gain)
        return cls(
            name=connection.name,
            weights=(weight.reshape(-1, pre.shape[-1] // components) * factor).contiguous(),
            pre=pre.contiguous(),
            factor=factor,
            components=components,
            shape=weight.shape,
            constant=isinstance(connection, Bias | ScaledBias | VectorBias),
        )

    def tangents(self, move: Tensor) -> WeightTangents:
        """Return changes of the parameter as changes of the matrix.

        Args:
            move: The changes, in the shape of the parameter with a leading axis of V.
        """
        return WeightTangents((move.reshape(len(move), *self.weights.shape) * self.factor).contiguous())

    def push_(self, drive: Tensor, tangent: Tensor) -> None:
        """Add ``C(w, z')`` to a drive in place.

        Args:
            drive: The drive, shape ``(C, B, V, I)``, contiguous.
            tangent: The ``z'``, shape ``(C, B, V, J)``, contiguous.
        """
        post, pre = self.weights.shape
        drive.view(-1, post).addmm_(tangent.view(-1, pre), self.weights.t())

    def push_weights_(self, drive: Tensor, moved: WeightTangents, steps: slice) -> None:
        """Add ``C(w', z)`` to a drive in place.

        Args:
            drive: The drive, shape ``(C, B, V, I)``, contiguous.
            moved: The ``w'``.
            steps: The steps, counted from the initial state.
        """
        self._add_(drive, self._pre(steps), moved.columns)

    def pull(self, into: Tensor, signal: Tensor) -> None:
        """Write ``C(w)^T e'``.

        Args:
            into: Receives it, shape ``(C, B, V, J)``, contiguous.
            signal: The ``e'``, shape ``(C, B, V, I)``, contiguous.
        """
        post, pre = self.weights.shape
        torch.mm(signal.view(-1, post), self.weights, out=into.view(-1, pre))

    def pull_weights_(self, into: Tensor, moved: WeightTangents, adjoint: Tensor) -> None:
        """Add ``C(w')^T e``.

        Args:
            into: The sum, shape ``(C, B, V, J)``, contiguous.
            moved: The ``w'``.
            adjoint: The e, shape ``(C, B, I)``.
        """
        self._add_(into, adjoint.reshape(-1, len(self.weights)), moved.rows)

    def sums(self, count: int) -> tuple[Tensor, ...]:
        """Return zeros to gather into: of the matrix, or for a skinny or a shared one of both outer products apart.

        A skinny product is slow unless it lies along its long side.

        Args:
            count: Number of vectors V.
        """
        post, pre = self.weights.shape
        if 4 * pre >= post and self.components == 1:
            return (self.weights.new_zeros(count, post, pre),)
        return self.weights.new_zeros(pre, count * post), self.weights.new_zeros(post, count * pre)

    def gather_(self, sums: tuple[Tensor, ...], signal: Tensor, steps: slice) -> None:
        """Add ``e' (x) z``.

        Args:
            signal: The ``e'``, shape ``(C, B, V, I)``.
            steps: The steps, counted from the initial state.
        """
        if self.constant:
            sums[0].add_(signal.sum((0, 1)).view(sums[0].shape))
        elif len(sums) == 1:
            sums[0].flatten(0, 1).addmm_(self._rows(signal).t(), self._pre(steps))
        else:
            sums[0].addmm_(self._pre(steps).t(), self._rows(signal))

    def gather_tangents_(self, sums: tuple[Tensor, ...], adjoint: Tensor, tangent: Tensor) -> None:
        """Add ``e (x) z'``.

        Args:
            adjoint: The e, shape ``(C, B, I)``.
            tangent: The ``z'``, shape ``(C, B, V, J)``.
        """
        signal = adjoint.reshape(-1, len(self.weights)).t()
        if len(sums) == 1:
            for gradient, each in zip(sums[0], tangent.flatten(0, 1).unbind(1), strict=True):
                gradient.addmm_(signal, each)
        else:
            sums[1].addmm_(signal, self._rows(tangent))

    def finish(self, sums: tuple[Tensor, ...]) -> Tensor:
        """Return the sums in the shape of the parameter with a leading axis of V."""
        total = sums[0]
        if len(sums) == 2:
            post, pre = self.weights.shape
            total = sums[0].view(pre, -1, post).permute(1, 2, 0) + sums[1].view(post, -1, pre).movedim(1, 0)
        return (total * self.factor).reshape(-1, *self.shape)

    def _pre(self, steps: slice) -> Tensor:
        """Return the presynaptic activity, shape ``(C * B * K, J)``."""
        return self.pre[steps.start - 1 : steps.stop - 1].reshape(-1, self.weights.shape[1])

    def _rows(self, values: Tensor) -> Tensor:
        """Return ``(C, B, V, K * N)`` as ``(C * B * K, V * N)``, the same memory unless V and K are both above one."""
        steps, trials, count, _ = values.shape
        apart = values.view(steps, trials, count, self.components, -1).transpose(2, 3)
        return apart.reshape(steps * trials * self.components, -1)

    def _add_(self, into: Tensor, left: Tensor, right: Tensor) -> None:
        """Add a product whose rows are those of ``_rows``."""
        rows = self._rows(into)
        rows.addmm_(left, right)
        if rows.data_ptr() != into.data_ptr():
            steps, trials, count, _ = into.shape
            apart = rows.view(steps, trials, self.components, count, -1).transpose(2, 3)
            into.copy_(apart.reshape(into.shape))


def _factored(connection: Connection, pre: Tensor) -> tuple[Tensor, Tensor | float]:
    """Return the presynaptic activity of the matrix of a connection, and the factor of its parameter."""
    if isinstance(connection, ScaledBias):
        return pre, connection.scale
    if not isinstance(connection, SignedDense):
        return pre, 1.0
    if connection.copied:  # the signs of the copies are those of their activity
        return connection.pre(pre), connection.post(pre.new_ones(connection.n_post)).unsqueeze(-1)
    identity = torch.eye(connection.n_post, dtype=pre.dtype, device=pre.device)
    return pre, connection.back(identity, torch.ones_like(connection.effective()))
