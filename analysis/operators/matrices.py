"""Connections that can be taken for a matrix, differentiated by all vectors in one product.

Shapes: T time, B batch, V vectors, C steps of a window, I postsynaptic cells, J presynaptic, K components of a cell.
The equations are in ``synapses``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from analysis.operators.synapses import Other, Synapses
from tca.connections.connection import Bias, Connection, Dense, Link
from tca.connections.signed import ScaledBias, SignedDense
from tca.connections.vector_weights import InputVectors, VectorBias, Vectors

__all__ = ["MATRICES", "Matrix", "synapses_of"]


@dataclass(frozen=True, eq=False)
class _Laid:
    """Changes of a matrix, shape ``(V, I, J)``, in both orders in which products take them."""

    weights: Tensor

    @cached_property
    def columns(self) -> Tensor:
        """From presynaptic cells to vectors and postsynaptic cells, shape ``(J, V * I)``."""
        return self.weights.flatten(0, 1).t()

    @cached_property
    def rows(self) -> Tensor:
        """From postsynaptic cells to vectors and presynaptic cells, shape ``(I, V * J)``."""
        return self.weights.movedim(0, 1).flatten(1)


class _Matrix(NamedTuple):
    """How a connection can be taken for a matrix: entry by entry the parameter times a factor.

    Attributes:
        pre: What it carries, shape ``(T, B, K * J)``.
        factor: The factor, broadcastable to ``(I, J)``.
        components: Number of components K that share the matrix.
        constant: Whether what it carries is always one.
    """

    pre: Tensor
    factor: Tensor | float = 1.0
    components: int = 1
    constant: bool = False


@dataclass(frozen=True, eq=False)
class Matrix(Synapses):
    """A connection that is a matrix from cells to cells, all vectors in one product.

    Attributes:
        name: Name of its parameter.
        weights: The matrix at the point, shape ``(I, J)``, gain and signs in it.
        pre: What it carried, shape ``(T, B, K * J)``.
        factor: What an entry of the parameter is multiplied by in the matrix, broadcastable to ``(I, J)``.
        components: Number of components K that share the matrix; component k of cell i is ``k I + i``.
        shape: Shape of the parameter.
        constant: Whether what it carries is always one.
    """

    name: str
    weights: Tensor
    pre: Tensor
    factor: Tensor | float
    components: int
    shape: torch.Size
    constant: bool

    def laid(self, move: Tensor) -> _Laid:
        """Return them as matrices, in both orders."""
        return _Laid(self._scaled(move.reshape(len(move), *self.weights.shape)).contiguous())

    def carry_(self, drive: Tensor, tangent: Tensor) -> None:
        """Add it, one product."""
        post, pre = self.weights.shape
        drive.view(-1, post).addmm_(tangent.view(-1, pre), self.weights.t())

    def move_(self, drive: Tensor, laid: _Laid, steps: slice) -> None:
        """Add it, one product."""
        self._add_(drive, self._heard(steps), laid.columns)

    def return_(self, into: Tensor, signal: Tensor) -> None:
        """Write it, one product."""
        post, pre = self.weights.shape
        torch.mm(signal.view(-1, post), self.weights, out=into.view(-1, pre))

    def move_back_(self, into: Tensor, laid: _Laid, told: Tensor) -> None:
        """Add it, one product."""
        self._add_(into, told.reshape(-1, len(self.weights)), laid.rows)

    def sums(self, count: int) -> tuple[Tensor, ...]:
        """Return zeros in the shape of the matrix; of a skinny one, or a shared one, of signals and of what is carried.

        A skinny product is slow unless it lies along its long side.
        """
        post, pre = self.weights.shape
        if 4 * pre >= post and self.components == 1:
            return (self.weights.new_zeros(count, post, pre),)
        return self.weights.new_zeros(pre, count * post), self.weights.new_zeros(post, count * pre)

    def gather_(self, sums: tuple[Tensor, ...], signal: Tensor, steps: slice) -> None:
        """Add it, one product, or a sum if what is carried is always one."""
        if self.constant:
            gathered = signal.sum((0, 1))
            sums[0].add_(gathered.view(sums[0].shape))
        elif len(sums) == 1:
            sums[0].flatten(0, 1).addmm_(self._rows(signal).t(), self._heard(steps))
        else:
            sums[0].addmm_(self._heard(steps).t(), self._rows(signal))

    def gather_moved_(self, sums: tuple[Tensor, ...], told: Tensor, tangent: Tensor) -> None:
        """Add it, one product, or one for each vector."""
        signal = told.reshape(-1, len(self.weights)).t()
        if len(sums) == 1:
            for gradient, each in zip(sums[0], tangent.flatten(0, 1).unbind(1), strict=True):
                gradient.addmm_(signal, each)
        else:
            sums[1].addmm_(signal, self._rows(tangent))

    def finish(self, sums: tuple[Tensor, ...]) -> Tensor:
        """Return all of it times the factor."""
        post, pre = self.weights.shape
        if len(sums) == 1:
            return self._scaled(sums[0]).reshape(-1, *self.shape)
        own, moved = sums
        total = own.view(pre, -1, post).permute(1, 2, 0) + moved.view(post, -1, pre).movedim(1, 0)
        return self._scaled(total).reshape(-1, *self.shape)

    def _scaled(self, matrices: Tensor) -> Tensor:
        return matrices if isinstance(self.factor, float) and self.factor == 1.0 else matrices * self.factor

    def _heard(self, steps: slice) -> Tensor:
        """Return what it carried, shape ``(C * B * K, J)``."""
        return self.pre[steps.start - 1 : steps.stop - 1].reshape(-1, self.weights.shape[1])

    def _rows(self, moved: Tensor) -> Tensor:
        """Return ``(C, B, V, K * N)`` as ``(C * B * K, V * N)``, the same memory unless V and K are both above one."""
        steps, trials, count, _ = moved.shape
        apart = moved.view(steps, trials, count, self.components, -1).transpose(2, 3)
        return apart.reshape(steps * trials * self.components, -1)

    def _add_(self, into: Tensor, left: Tensor, right: Tensor) -> None:
        """Add a product whose rows are those of ``_rows``."""
        rows = self._rows(into)
        rows.addmm_(left, right)
        if rows.data_ptr() != into.data_ptr():
            steps, trials, count, _ = into.shape
            apart = rows.view(steps, trials, self.components, count, -1).transpose(2, 3)
            into.copy_(apart.reshape(into.shape))


def _dense(connection: Dense, pre: Tensor) -> _Matrix:
    return _Matrix(pre)


def _bias(connection: Bias, pre: Tensor) -> _Matrix:
    return _Matrix(pre, constant=True)


def _scaled_bias(connection: ScaledBias, pre: Tensor) -> _Matrix:
    return _Matrix(pre, connection.scale, constant=True)


def _signed(connection: SignedDense, pre: Tensor) -> _Matrix:
    """Signs are factors of the magnitudes; those of an input that both streams copy are put on the input."""
    if connection.copied:
        return _Matrix(connection.pre(pre), connection.post(pre.new_ones(connection.n_post)).unsqueeze(-1))
    return _Matrix(
        pre,
        connection.back(
            torch.eye(connection.n_post, dtype=pre.dtype, device=pre.device), torch.ones_like(connection.effective())
        ),
    )


def _input_vectors(connection: InputVectors, pre: Tensor) -> _Matrix | None:
    return _Matrix(pre) if connection.inner is Dense else None


def _vector_bias(connection: VectorBias, pre: Tensor) -> _Matrix | None:
    return _Matrix(pre, constant=True) if connection.positions == 1 else None


def _vectors(connection: Vectors, pre: Tensor) -> _Matrix | None:
    return _Matrix(pre, components=connection.components) if connection.inner is Dense else None


MATRICES: dict[type[Connection], Callable[[Any, Tensor], _Matrix | None]] = {
    Dense: _dense,
    Bias: _bias,
    ScaledBias: _scaled_bias,
    SignedDense: _signed,
    InputVectors: _input_vectors,
    VectorBias: _vector_bias,
    Vectors: _vectors,
}


def synapses_of(link: Link, like: Tensor, gain: Tensor | float = 1.0) -> Synapses:
    """Return a connection at its present weights.

    Args:
        link: The connection and what it carried.
        like: Something of every step, shape ``(T, B, ...)``.
        gain: What its drive is multiplied by, a number or ``(I,)``, default 1.

    Raises:
        TypeError: There is a gain, and the connection is no matrix.
    """
    connection, pre = link
    weight = connection.effective()
    one = isinstance(gain, float) and gain == 1.0
    see = MATRICES.get(type(connection))
    matrix = see(connection, pre.expand(*like.shape[:2], -1)) if see else None
    if matrix is None:
        if not one:
            raise TypeError(f"{type(connection).__name__} cannot be differentiated with a gain")
        return Other(connection.name, connection, weight, pre)
    column = gain.unsqueeze(-1) if isinstance(gain, Tensor) else gain
    factor = matrix.factor if one else matrix.factor * column
    pre = matrix.pre.contiguous()
    flat = weight.reshape(-1, pre.shape[-1] // matrix.components)
    parts = (flat * factor).contiguous(), pre, factor, matrix.components, weight.shape, matrix.constant
    return Matrix(connection.name, *parts)
