"""How pixels are shifted and scaled before a network sees them.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.images.pixels import Pixels
from tca.utils.names import lookup

__all__ = ["NORMALISATIONS", "Centred", "Normalisation", "Scaling", "Standard", "Unit", "normalisation"]


@dataclass(frozen=True, eq=False)
class Scaling:
    """What is done to the pixels of each channel, ``(x - shift) / scale``, where black is 0 and white is 1.

    Args:
        shift: float64, shape ``(C,)``.
        scale: float64, shape ``(C,)``.
    """

    shift: Tensor
    scale: Tensor

    def apply_(self, images_BCHW: Tensor) -> Tensor:
        """Scale images in place and return them.

        Args:
            images_BCHW: Images between 0 and 1.
        """
        if not self.shift.any() and bool((self.scale == 1).all()):
            return images_BCHW
        shift_C11, scale_C11 = (each.to(images_BCHW)[:, None, None] for each in (self.shift, self.scale))
        return images_BCHW.sub_(shift_C11).div_(scale_C11)


@dataclass(frozen=True)
class Normalisation(abc.ABC):
    """A choice of shift and scale, which may depend on the images that are trained on and on no others."""

    @abc.abstractmethod
    def fit(self, pixels: Pixels, chosen_N: Tensor, white: int) -> Scaling:
        """Return shift and scale.

        Args:
            pixels: The training split.
            chosen_N: Those of its images that may be trained on.
            white: The largest value that a pixel can have.
        """


@dataclass(frozen=True)
class Unit(Normalisation):
    """Black is 0 and white is 1."""

    def fit(self, pixels: Pixels, chosen_N: Tensor, white: int) -> Scaling:
        """Return shift 0 and scale 1."""
        channels = pixels.images.shape[1]
        return Scaling(
            torch.zeros(channels, dtype=torch.float64, device="cpu"),
            torch.ones(channels, dtype=torch.float64, device="cpu"),
        )


@dataclass(frozen=True)
class Centred(Normalisation):
    """Black is -1 and white is 1."""

    def fit(self, pixels: Pixels, chosen_N: Tensor, white: int) -> Scaling:
        """Return shift 1/2 and scale 1/2."""
        half_C = torch.full((pixels.images.shape[1],), 0.5, dtype=torch.float64, device="cpu")
        return Scaling(half_C, half_C)


@dataclass(frozen=True)
class Standard(Normalisation):
    """Every channel has mean 0 and standard deviation 1 over the training images; a constant channel becomes 0."""

    def fit(self, pixels: Pixels, chosen_N: Tensor, white: int) -> Scaling:
        """Return mean and standard deviation."""
        mean_C, deviation_C = (torch.from_numpy(each) / white for each in pixels.moments(chosen_N))
        return Scaling(mean_C, torch.where(deviation_C > 0, deviation_C, 1.0))


NORMALISATIONS: dict[str, Normalisation] = {"unit": Unit(), "centred": Centred(), "standard": Standard()}


def normalisation(value: object) -> Normalisation:
    """Return a normalisation that was named or given.

    Args:
        value: A name in `NORMALISATIONS`, or a normalisation.

    Raises:
        ValueError: It is neither.
    """
    return value if isinstance(value, Normalisation) else lookup(NORMALISATIONS, value, "normalise")  # type: ignore[arg-type]
