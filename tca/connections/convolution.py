"""Connections between maps of cells: convolutions, locally connected layers, and their biases.

Shapes: M any number of leading steps and trials; C channels, H height, W width of a map, presynaptic without a prime
and postsynaptic with one; K kernel size. Cells of a map are counted channel by channel, row by row: ``N = C H W``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tca.connections.connection import Connection

__all__ = ["POINT", "Conv", "Geometry", "Local", "MapBias"]


@dataclass(frozen=True)
class Geometry:
    """Geometry of a convolution kernel on a map.

    Args:
        shape: Channels, height and width of the presynaptic map.
        kernel: Side of the square kernel K.
        stride: Step between two positions of the kernel.
        padding: Zeros around the presynaptic map.

    >>> Geometry((3, 8, 8), kernel=3, stride=2, padding=1).positions
    (4, 4)
    """

    shape: tuple[int, int, int]
    kernel: int
    stride: int = 1
    padding: int = 0

    @property
    def positions(self) -> tuple[int, int]:
        """Height and width of the postsynaptic map."""
        high, wide = ((side + 2 * self.padding - self.kernel) // self.stride + 1 for side in self.shape[1:])
        return high, wide

    @property
    def fan_in(self) -> int:
        """Number of synapses onto a cell, ``C K^2``."""
        return self.shape[0] * self.kernel**2

    def maps(self, pre: Tensor) -> Tensor:
        """Return presynaptic cells as maps, shape ``(M, C, H, W)``."""
        return pre.reshape(-1, *self.shape)

    def patches(self, pre: Tensor) -> Tensor:
        """Return the patch under the kernel at each position, shape ``(M, C K^2, H' W')``."""
        return functional.unfold(self.maps(pre), self.kernel, padding=self.padding, stride=self.stride)

    def folded(self, patches: Tensor) -> Tensor:
        """Return the sum of overlapping patches, ``(M, C H W)``: the transpose of ``patches``."""
        side = self.shape[1:]
        return functional.fold(patches, side, self.kernel, padding=self.padding, stride=self.stride).flatten(1)


POINT = Geometry((1, 1, 1), 1)  # a map of one cell, where no geometry is given


@dataclass(frozen=True, eq=False)
class Conv(Connection):
    """``drive_c'p = sum_{c,q} w_c'cq pre_c,p+q``: one kernel for all positions; the weight is ``(C', C, K, K)``.

    Args:
        geometry: Geometry of the kernel.
    """

    geometry: Geometry = POINT

    @property
    def n_post(self) -> int:
        """Number of postsynaptic cells, ``C' H' W'``."""
        high, wide = self.geometry.positions
        return self.weight.shape[0] * high * wide

    @property
    def n_pre(self) -> int:
        """Number of presynaptic cells, ``C H W``."""
        channels, high, wide = self.geometry.shape
        return channels * high * wide

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        """Return the convolution, shape ``(..., C' H' W')``."""
        at = self.geometry
        maps = functional.conv2d(at.maps(pre), weight, stride=at.stride, padding=at.padding)
        return maps.reshape(*pre.shape[:-1], -1)

    def back(self, signal: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the transposed convolution of a signal, shape ``(..., C H W)``."""
        weight = self.effective() if weight is None else weight
        like = signal.new_empty(1).expand(signal[..., 0].numel(), *self.geometry.shape)
        returned = self._backward(self._post(signal), like, weight, (True, False))[0]
        return returned.reshape(*signal.shape[:-1], -1)

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add the weight gradient of the convolution."""
        gradient.add_(self._backward(self._post(signal), self.geometry.maps(pre), self.weight, (False, True))[1])

    def fold(self, per_pair: Tensor) -> Tensor:
        return self.gather_pairs(per_pair)

    def _post(self, signal: Tensor) -> Tensor:
        return signal.reshape(-1, self.weight.shape[0], *self.geometry.positions)

    def _backward(self, post: Tensor, pre: Tensor, weight: Tensor, wanted: tuple[bool, bool]) -> tuple[Tensor, Tensor]:
        at = self.geometry
        both = [at.stride] * 2, [at.padding] * 2, [1, 1]
        found = torch.ops.aten.convolution_backward(
            post, pre, weight.detach(), None, *both, False, [0, 0], 1, [*wanted, False]
        )
        return found[0], found[1]


@dataclass(frozen=True, eq=False)
class Local(Connection):
    """``drive_c'p = sum_{c,q} w_c'p,cq pre_c,p+q``: a kernel for each position; the weight is ``(C', H' W', C K^2)``.

    Args:
        geometry: Geometry of the kernels.
    """

    geometry: Geometry = POINT

    @property
    def n_post(self) -> int:
        return self.weight.shape[0] * self.weight.shape[1]

    @property
    def n_pre(self) -> int:
        """Number of presynaptic cells, ``C H W``."""
        channels, high, wide = self.geometry.shape
        return channels * high * wide

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        """Return the drive, one product for each position, shape ``(..., C' H' W')``."""
        patches = self.geometry.patches(pre).permute(2, 1, 0)  # positions, C K^2, M
        driven = weight.transpose(0, 1) @ patches  # positions, C', M
        return driven.permute(2, 1, 0).reshape(*pre.shape[:-1], -1)

    def back(self, signal: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return ``W^T signal``, one product for each position, shape ``(..., C H W)``."""
        weight = self.effective() if weight is None else weight
        patches = weight.transpose(0, 1).mT @ self._post(signal)  # positions, C K^2, M
        return self.geometry.folded(patches.permute(2, 1, 0)).reshape(*signal.shape[:-1], -1)

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add the gradient, one product for each position."""
        patches = self.geometry.patches(pre).permute(2, 0, 1)  # positions, M, C K^2
        gradient.add_((self._post(signal) @ patches).transpose(0, 1))

    def fold(self, per_pair: Tensor) -> Tensor:
        return self.gather_pairs(per_pair)

    def _post(self, signal: Tensor) -> Tensor:
        """Return a signal as ``(H' W', C', M)``."""
        return signal.reshape(-1, *self.weight.shape[:2]).permute(2, 1, 0)


@dataclass(frozen=True, eq=False)
class MapBias(Connection):
    """One weight per channel, the same at every position: ``drive_c'p = b_c'``; the weight is ``(C',)``.

    Args:
        positions: Number of positions ``H' W'``.
    """

    positions: int = 1

    @property
    def n_post(self) -> int:
        return len(self.weight) * self.positions

    def apply(self, weight: Tensor, pre: Tensor) -> Tensor:
        return weight.repeat_interleave(self.positions)

    def outer_(self, gradient: Tensor, signal: Tensor, pre: Tensor) -> None:
        """Add the sum of the signal over all axes but channels."""
        gradient.add_(signal.reshape(-1, len(gradient), self.positions).sum((0, 2)))

    def fold(self, per_pair: Tensor) -> Tensor:
        return self.gather_pairs(per_pair)
