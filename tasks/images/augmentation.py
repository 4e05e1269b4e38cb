"""Random changes of images: each draws a few numbers for every image, then changes a whole batch.

Numbers are drawn on the CPU in float64 from a given generator, so every device and floating-point type sees the same
changes; pixels are changed where they are. Black is 0 and white is 1; borders enter in black. Options out of
their range raise a ValueError.

Shapes: B batch, C channels, H height, W width, K numbers drawn for an image.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tca.utils.checks import Count, Fraction, Kept, NotNegative, Whole, checked, settle
from tca.utils.names import lookup

__all__ = ["AUGMENTATIONS", "Affine", "Augmentation", "HorizontalFlip", "Noise", "RandomCrop", "Shift", "augmentations"]


@dataclass(frozen=True)
class Augmentation(abc.ABC):
    """A random change of images; fields are numbers with defaults."""

    def __post_init__(self) -> None:
        fields = dataclasses.fields(self)
        settle(self, **{each.name: type(getattr(type(self), each.name))(getattr(self, each.name)) for each in fields})

    @abc.abstractmethod
    def draw(self, images: int, source: torch.Generator) -> Tensor:
        """Return the random numbers of each image, shape ``(B, K)``, on the CPU."""

    @abc.abstractmethod
    def apply(self, images_BCHW: Tensor, drawn_BK: Tensor) -> Tensor:
        """Return changed images, of the same shape.

        Args:
            images_BCHW: The images, which may be overwritten.
        """

    def to_json(self) -> dict[str, Any]:
        """Return class and options by name, as `augmentations` reads them."""
        return {"class": type(self).__name__, **dataclasses.asdict(self)}


@checked
@final
@dataclass(frozen=True)
class RandomCrop(Augmentation):
    """Cut a piece as large as the image out of the image with a black border.

    Args:
        padding: Pixels added at every side, at least 1, default 4.

    >>> RandomCrop(1).apply(torch.arange(4.0).view(1, 1, 2, 2), torch.tensor([[0, 2]])).view(2, 2)
    tensor([[0., 0.],
            [1., 0.]])
    """

    padding: Count = 4

    def draw(self, images: int, source: torch.Generator) -> Tensor:
        return torch.randint(2 * self.padding + 1, (images, 2), generator=source, device="cpu")

    def apply(self, images_BCHW: Tensor, drawn_BK: Tensor) -> Tensor:
        return _moved(images_BCHW, self.padding - drawn_BK)


@checked
@final
@dataclass(frozen=True)
class Shift(Augmentation):
    """Move the image by whole pixels.

    Args:
        vertical: Pixels up or down at most, default 2.
        horizontal: Pixels left or right at most, default 2.
    """

    vertical: Whole = 2
    horizontal: Whole = 2

    def draw(self, images: int, source: torch.Generator) -> Tensor:
        """Return pixels down and to the right, uniform."""
        ranges = (self.vertical, self.horizontal)
        return torch.stack([torch.randint(-n, n + 1, (images,), generator=source, device="cpu") for n in ranges], 1)

    def apply(self, images_BCHW: Tensor, drawn_BK: Tensor) -> Tensor:
        return _moved(images_BCHW, drawn_BK)


@checked
@final
@dataclass(frozen=True)
class HorizontalFlip(Augmentation):
    """Exchange left and right.

    Args:
        probability: How often, default 0.5.
    """

    probability: Fraction = 0.5

    def draw(self, images: int, source: torch.Generator) -> Tensor:
        return torch.rand(images, 1, generator=source, dtype=torch.float64, device="cpu") < self.probability

    def apply(self, images_BCHW: Tensor, drawn_BK: Tensor) -> Tensor:
        """Return the images, some of them flipped."""
        flipped_B111 = drawn_BK.to(images_BCHW.device)[..., None, None]
        return torch.where(flipped_B111, images_BCHW.flip(-1), images_BCHW)


@checked
@final
@dataclass(frozen=True)
class Affine(Augmentation):
    """Rotate the image about its centre, scale it and move it, with bilinear interpolation.

    A point at ``p`` from the centre goes to ``s R(a) p + t`` with angle ``a``, scale ``s`` and shift ``t`` uniform in
    their ranges and independent; a positive angle turns anticlockwise.

    Args:
        rotation: Degrees to either side at most, default 0.
        scale: Scale is between ``1 - scale`` and ``1 + scale``, below 1, default 0.
        shift: Pixels in each direction at most, default 0.
    """

    rotation: NotNegative = 0.0
    scale: Kept = 0.0
    shift: NotNegative = 0.0

    def draw(self, images: int, source: torch.Generator) -> Tensor:
        """Return angle in radians, scale, and pixels down and to the right."""
        ranges = [math.radians(self.rotation), self.scale, self.shift, self.shift]
        uniform_B4 = 2 * torch.rand(images, 4, generator=source, dtype=torch.float64, device="cpu") - 1
        drawn_B4 = uniform_B4 * torch.tensor(ranges, dtype=torch.float64, device="cpu")
        drawn_B4[:, 1] += 1
        return drawn_B4

    def apply(self, images_BCHW: Tensor, drawn_BK: Tensor) -> Tensor:
        """Return the images, sampled by the inverse map."""
        height, width = images_BCHW.shape[2:]
        angle_B, scale_B, down_B, right_B = drawn_BK.unbind(1)
        cosine_B, sine_B = torch.cos(angle_B) / scale_B, torch.sin(angle_B) / scale_B
        # Rows of the inverse map; y goes down, and sampling wants coordinates in units of half the image.
        x_B3 = torch.stack([cosine_B, -sine_B, -cosine_B * right_B + sine_B * down_B], 1)
        y_B3 = torch.stack([sine_B, cosine_B, -sine_B * right_B - cosine_B * down_B], 1)
        half_3 = torch.tensor([width, height, 2.0], dtype=torch.float64, device="cpu") / 2
        map_B23 = torch.stack([x_B3 * half_3 * (2 / width), y_B3 * half_3 * (2 / height)], 1).to(images_BCHW)
        grid = functional.affine_grid(map_B23, list(images_BCHW.shape), align_corners=False)
        return functional.grid_sample(images_BCHW, grid, padding_mode="zeros", align_corners=False)


@checked
@final
@dataclass(frozen=True)
class Noise(Augmentation):
    """Add Gaussian noise to every pixel, ``x + N(0, sd^2)``.

    Args:
        sd: Its standard deviation, where black is 0 and white is 1; default 0.1.
        clip: Whether to clip the result to black and white, default no.
    """

    sd: NotNegative = 0.1
    clip: bool = False

    def draw(self, images: int, source: torch.Generator) -> Tensor:
        """Return a seed for each image: noise that is kept for an image takes no memory."""
        return torch.randint(2**62, (images, 1), generator=source, device="cpu")

    def apply(self, images_BCHW: Tensor, drawn_BK: Tensor) -> Tensor:
        """Return the noisy images."""
        size = images_BCHW[0].numel()
        drawn = [np.random.Generator(np.random.Philox(key=seed)).standard_normal(size) for seed in drawn_BK[:, 0]]
        noise_BCHW = torch.from_numpy(np.stack(drawn)).view(images_BCHW.shape).to(images_BCHW)
        noisy_BCHW = images_BCHW.add_(noise_BCHW, alpha=self.sd)
        return noisy_BCHW.clamp_(0, 1) if self.clip else noisy_BCHW


AUGMENTATIONS: dict[str, type[Augmentation]] = {
    each.__name__: each for each in (RandomCrop, Shift, HorizontalFlip, Affine, Noise)
}


def augmentations(value: object) -> tuple[Augmentation, ...]:
    """Return augmentations given as such or as JSON.

    Args:
        value: One or a sequence of augmentations, or of dictionaries with a ``class`` and its options.

    Raises:
        ValueError: A class or an option is unknown, or a value is not allowed.
        TypeError: An entry is neither.

    >>> augmentations([{"class": "RandomCrop", "padding": 2}, HorizontalFlip()])
    (RandomCrop(padding=2), HorizontalFlip(probability=0.5))
    """
    given = [value] if isinstance(value, Augmentation | Mapping) else value
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(f"must be augmentations such as RandomCrop(), got {value!r}")
    return tuple(_augmentation(each) for each in given)


def _augmentation(value: object) -> Augmentation:
    if isinstance(value, Augmentation):
        return value
    if not isinstance(value, Mapping) or "class" not in value:
        raise TypeError(f"must hold augmentations, or dictionaries with a class, got {value!r}")
    kind = lookup(AUGMENTATIONS, value["class"], "class")
    fields = {each.name: each for each in dataclasses.fields(kind)}
    options = {name: each for name, each in value.items() if name != "class"}
    for name in options:
        lookup(fields, name, f"option of {kind.__name__}")
    return kind(**options)


def _moved(images_BCHW: Tensor, way_B2: Tensor) -> Tensor:
    """Return images moved down and to the right by whole pixels, on black."""
    trials, _, height, width = images_BCHW.shape
    border = int(way_B2.abs().max())
    padded_BCHW = functional.pad(images_BCHW, (border,) * 4)
    top_B1, left_B1 = torch.tensor_split(border - way_B2.to(images_BCHW.device), 2, dim=1)
    image_B, row_H = (torch.arange(length, device=images_BCHW.device) for length in (trials, height))
    # All pieces of a row as a view, so that whole rows are copied: five times faster than pixel by pixel.
    rows_BHCW = padded_BCHW.unfold(3, width, 1)[image_B[:, None], :, row_H + top_B1, left_B1]
    return rows_BHCW.transpose(1, 2).contiguous()
