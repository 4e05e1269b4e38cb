"""Eigenmodes of a space's Laplacian and the transforms to and from them.

Shapes: S sites, M coordinates of the modes (as many as sites, or two per complex mode).
"""

from __future__ import annotations

import abc
from functools import lru_cache

import torch
from torch import Tensor

from tca.signals.diffusion.fields.spaces import Grid, Space

__all__ = ["AxisModes", "FourierModes", "Modes"]


class Modes(abc.ABC):
    """Coordinates in which every propagator of a space is diagonal.

    Args:
        space: The space.
        like: A tensor with the wanted type and device.
    """

    eigenvalues: tuple[Tensor, ...]  # of -Lap, one tensor per axis, float64

    def __init__(self, space: Space, like: Tensor) -> None:
        self.shape, self.like = space.axes, like

    @abc.abstractmethod
    def to(self, at_sites: Tensor) -> Tensor:
        """Transform values at the sites ``(..., S)`` to modes ``(..., M)``."""

    @abc.abstractmethod
    def back(self, in_modes: Tensor) -> Tensor:
        """Transform modes ``(..., M)`` to values at the sites ``(..., S)``."""

    @abc.abstractmethod
    def numbers(self, factors: Tensor) -> Tensor:
        """Return factors of the modes in the layout of ``to``, ``(M,)``.

        Args:
            factors: Factor of each mode, computed from ``eigenvalues``.
        """


class AxisModes(Modes):
    """Eigenvectors along every axis, for every space and boundary."""

    def __init__(self, space: Space, like: Tensor) -> None:
        super().__init__(space, like)
        pairs = _eigenvectors(space)
        self.eigenvalues = tuple(values for values, _ in pairs)
        self.vectors = tuple(vectors.to(like) for _, vectors in pairs)

    def to(self, at_sites: Tensor) -> Tensor:
        return self._along_axes(at_sites, tuple(each.t() for each in self.vectors))

    def back(self, in_modes: Tensor) -> Tensor:
        return self._along_axes(in_modes, self.vectors)

    def numbers(self, factors: Tensor) -> Tensor:
        return factors.reshape(-1).to(self.like)

    def _along_axes(self, values: Tensor, matrices: tuple[Tensor, ...]) -> Tensor:
        lead = values.shape[:-1]
        result = values.reshape(-1, self.shape[-1]) @ matrices[-1].t()
        for axis, matrix in enumerate(matrices[:-1]):
            after = values.shape[-1]
            for length in self.shape[: axis + 1]:
                after //= length
            result = matrix @ result.view(-1, self.shape[axis], after)
        return result.view(*lead, -1)


class FourierModes(Modes):
    """The discrete Fourier transform, for a periodic grid with long axes."""

    def __init__(self, space: Grid, like: Tensor) -> None:
        super().__init__(space, like)
        *whole, last = space.axes
        counts = [torch.arange(n, dtype=torch.float64, device="cpu") for n in whole]
        counts.append(torch.arange(last // 2 + 1, dtype=torch.float64, device="cpu"))
        self.eigenvalues = tuple(
            2 - 2 * torch.cos(2 * torch.pi * each / n) for each, n in zip(counts, space.axes, strict=True)
        )
        self.axes = tuple(range(-len(self.shape), 0))

    def to(self, at_sites: Tensor) -> Tensor:
        """Return real and imaginary parts side by side."""
        grid = at_sites.reshape(*at_sites.shape[:-1], *self.shape)
        return torch.view_as_real(torch.fft.rfftn(grid, dim=self.axes)).flatten(-len(self.shape) - 1)

    def back(self, in_modes: Tensor) -> Tensor:
        """Return the inverse transform."""
        parts = in_modes.reshape(*in_modes.shape[:-1], *(len(each) for each in self.eigenvalues), 2)
        grid: Tensor = torch.fft.irfftn(torch.view_as_complex(parts), s=self.shape, dim=self.axes)
        return grid.flatten(-len(self.shape))

    def numbers(self, factors: Tensor) -> Tensor:
        """Return every factor twice: for the real and for the imaginary part."""
        return factors.reshape(-1).repeat_interleave(2).to(self.like)


@lru_cache(maxsize=16)
def _eigenvectors(space: Space) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return eigenvalues of ``-Lap`` and eigenvectors (in columns) of every axis, float64."""
    return tuple((-values, vectors) for values, vectors in map(torch.linalg.eigh, space.laplacians()))
