"""Shift and scale of pixels before a network sees them: ``(x - shift) / scale``, where black is 0 and white is 1.

Shapes: M images, C channels.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.images.pixels import Pixels

__all__ = ["NORMALISATIONS", "Centred", "Normalisation", "Standard", "Unit"]


@dataclass(frozen=True)
class Normalisation(abc.ABC):
    """A choice of shift and scale, which may depend on the training images alone."""

    @abc.abstractmethod
    def fit(self, pixels: Pixels, chosen_M: Tensor) -> tuple[Tensor, Tensor]:
        """Return shift and scale, float64, shape ``(C,)`` each.

        Args:
            chosen_M: Numbers of the images in it that may be trained on.
        """


@dataclass(frozen=True)
class Unit(Normalisation):
    """Black is 0 and white is 1."""

    def fit(self, pixels: Pixels, chosen_M: Tensor) -> tuple[Tensor, Tensor]:
        ones_C = torch.ones(pixels.images.shape[1], dtype=torch.float64, device="cpu")
        return torch.zeros_like(ones_C), ones_C


@dataclass(frozen=True)
class Centred(Normalisation):
    """Black is -1 and white is 1."""

    def fit(self, pixels: Pixels, chosen_M: Tensor) -> tuple[Tensor, Tensor]:
        half_C = torch.full((pixels.images.shape[1],), 0.5, dtype=torch.float64, device="cpu")
        return half_C, half_C


@dataclass(frozen=True)
class Standard(Normalisation):
    """Every channel has mean 0 and standard deviation 1 over the training images; a constant channel becomes 0."""

    def fit(self, pixels: Pixels, chosen_M: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation."""
        mean_C, deviation_C = (torch.from_numpy(each) / pixels.white for each in pixels.moments(chosen_M))
        return mean_C, torch.where(deviation_C > 0, deviation_C, 1.0)


NORMALISATIONS: dict[str, Normalisation] = {"unit": Unit(), "centred": Centred(), "standard": Standard()}
