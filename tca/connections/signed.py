"""Connections between populations of two streams: nonnegative magnitudes with fixed signs.

Shapes: I postsynaptic cells, J presynaptic, each half in the + stream and half in the - stream, + first.

The weight is ``sigma_ij m_ij`` with ``m >= 0``. With both signs, ``sigma_ij = t_i t_j``: cells excite their own stream
and inhibit the other. With the presynaptic sign, ``sigma_ij = t_j``: cells of the + stream excite, those of the -
stream inhibit, which is Dale's principle cell by cell. A synapse onto an output has the sign of its presynaptic cell.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.connections.convolution import POINT, Conv, Geometry

__all__ = ["ScaledBias", "Signed", "SignedConv", "SignedDense", "negated"]


def negated(values: Tensor, axis: int = -1) -> Tensor:
    """Return values with those of the - stream, the second half of an axis, negated.

    Args:
        values: Values of cells of both streams.
        axis: The axis of the cells, default the last.

    >>> negated(torch.tensor([1.0, 2.0])).tolist()
    [1.0, -2.0]
    """
    plus, minus = values.chunk(2, axis)
    return torch.cat([plus, -minus], axis)


@dataclass(frozen=True, eq=False)
class Signed(Connection, abc.ABC):
    """Magnitudes with signs.

    Args:
        by_pre: Whether weights have the sign of the presynaptic cell, default ``True``; false for inputs of any sign.
        by_post: Whether weights have the sign of the postsynaptic cell, default ``True``.
        copied: Whether both presynaptic streams are copies of the same cells, as of an input, default ``False``.
        scale: A constant factor of the drive, default 1.
    """

    by_pre: bool = True
    by_post: bool = True
    copied: bool = False
    scale: float = 1.0

    def post(self, signal: Tensor) -> Tensor:
        """Return a postsynaptic signal or drive with the cells' signs and the factor."""
        signed = negated(signal) if self.by_post else signal
        return signed if self.scale == 1.0 else signed * self.scale

    def pre(self, pre: Tensor) -> Tensor:
        """Return presynaptic activity with the signs of the streams."""
        both = torch.cat([pre, pre], -1) if self.copied else pre
        return negated(both) if self.by_pre else both

    def unsigned(self, signed_signal: Tensor) -> Tensor:
        """Return a signal to signed presynaptic activity without the signs: the transpose of ``pre``."""
        signed = negated(signed_signal) if self.by_pre else signed_signal
        return signed[..., : signed.shape[-1] // 2] + signed[..., signed.shape[-1] // 2 :] if self.copied else signed

    def fold(self, per_pair: Tensor) -> Tensor:
        return self.gather_pairs(per_pair)

    @abc.abstractmethod
    def product_(self, gradient: Tensor, signed_signal: Tensor, signed_pre: Tensor) -> None:
        """Add the gradient of the magnitudes without signs in place.

        Args:
            gradient: Accumulated gradient, in the shape of the magnitudes.
            signed_signal: Signal of the postsynaptic cells, with their signs, shape ``(..., I)``.
            signed_pre: Presynaptic activity with its signs, shape ``(..., J)``.
        """

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add ``scale sigma (signal (x) pre)`` in one product."""
        self.product_(gradient, self.post(signal), self.pre(pre))

    def grow_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add the part of ``outer_`` whose descent increases magnitudes.

        The part is taken trial by trial; activity must be positive.

        Args:
            gradient: Accumulated gradient, in the shape of the magnitudes.
            signal: Signal to the postsynaptic cells, shape ``(..., I)``.
            pre: Presynaptic activity, shape ``(..., J)``.
        """
        signed_signal, signed_pre, half = self.post(signal), self.pre(pre), self.weight.shape[1] // 2
        for stream, passed in (
            (slice(half), signed_signal.clamp(max=0)),
            (slice(half, None), signed_signal.clamp(min=0)),
        ):
            found = torch.zeros_like(gradient)
            self.product_(found, passed, signed_pre)
            gradient[:, stream] += found[:, stream]


@dataclass(frozen=True, eq=False)
class SignedDense(Signed):
    """``drive_i = scale sum_j sigma_ij m_ij pre_j``; the magnitudes have shape ``(I, J)``.

    >>> signed = SignedDense("m", torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    >>> signed.drive(torch.tensor([1.0, 1.0])).tolist()
    [-1.0, 1.0]
    """

    @property
    def n_pre(self) -> int:
        return self.weight.shape[1] // (2 if self.copied else 1)

    def matrix(self) -> Tensor:
        """Return the weights ``scale sigma m`` between the cells, shape ``(I, n_pre)``, without a graph."""
        return self.back(torch.eye(self.n_post, dtype=self.weight.dtype, device=self.weight.device))

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        return self.post(self.pre(pre) @ weight.t())

    def back(self, signal: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return ``scale (sigma m)^T signal``."""
        return self.unsigned(self.post(signal) @ (self.effective() if weight is None else weight))

    def product_(self, gradient: Tensor, signed_signal: Tensor, signed_pre: Tensor) -> None:
        """Add one matrix product."""
        gradient.addmm_(
            signed_signal.reshape(-1, signed_signal.shape[-1]).t(), signed_pre.reshape(-1, signed_pre.shape[-1])
        )


@dataclass(frozen=True, eq=False)
class SignedConv(Signed):
    """A convolution of magnitudes ``(C', C, K, K)`` with signs by channel; half of the channels of each map are +.

    Args:
        geometry: Geometry of the kernel on the maps of both streams.
    """

    geometry: Geometry = POINT

    @property
    def inner(self) -> Conv:
        """The convolution of the magnitudes, without signs."""
        return Conv(self.name, self.weight, self.mask, self.geometry)

    @property
    def n_post(self) -> int:
        return self.inner.n_post

    @property
    def n_pre(self) -> int:
        return self.inner.n_pre // (2 if self.copied else 1)

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        return self.post(self.inner.apply(weight, self.pre(pre)))

    def back(self, signal: Tensor, weight: Tensor | None = None) -> Tensor:
        return self.unsigned(self.inner.back(self.post(signal), weight))

    def product_(self, gradient: Tensor, signed_signal: Tensor, signed_pre: Tensor) -> None:
        """Add the weight gradient of the convolution."""
        self.inner.outer_(gradient, signed_signal, signed_pre)


@dataclass(frozen=True, eq=False)
class ScaledBias(Connection):
    """One weight per cell times a constant factor, ``drive_i = scale b_i``.

    Args:
        scale: The factor, default 1.
    """

    scale: float = 1.0

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        return weight * self.scale

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add the sum of the signal over all leading axes, times the factor."""
        gradient.add_(signal.reshape(-1, signal.shape[-1]).sum(0), alpha=self.scale)

    def fold(self, per_pair: Tensor) -> Tensor:
        """Return the only column, times the factor."""
        return self.gather_pairs(per_pair)
