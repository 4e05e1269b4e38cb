"""Augmentations: each against a slow computation of its own, pixel by pixel, and its draws against its promise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.images import AUGMENTATIONS, Affine, Augmentation, HorizontalFlip, Noise, RandomCrop, Shift
from tasks.images.augmentation import augmentations
from tasks.seeds import generator

SHAPE = (6, 3, 7, 5)


def images(*shape: int) -> Tensor:
    return torch.rand(shape or SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def pixel(image_HW: Tensor, y: int, x: int) -> float:
    """The value of a pixel, black outside."""
    height, width = image_HW.shape
    return image_HW[y, x].item() if 0 <= y < height and 0 <= x < width else 0.0


def between(image_HW: Tensor, y: float, x: float) -> float:
    """The value between pixels, bilinear, black outside."""
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row in (top, top + 1):
        for column in (left, left + 1):
            total += pixel(image_HW, row, column) * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


@pytest.mark.parametrize("padding", [1, 4, 9])
def test_a_random_crop_is_a_piece_of_the_padded_image(padding: int) -> None:
    before = images()
    drawn = RandomCrop(padding).draw(6, generator(0))
    after = RandomCrop(padding).apply(before.clone(), drawn)
    padded = np.pad(before.numpy(), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    for place, (top, left) in enumerate(drawn.tolist()):
        np.testing.assert_array_equal(after[place].numpy(), padded[place, :, top : top + 7, left : left + 5])


def test_a_shift_moves_down_and_to_the_right() -> None:
    before = images()
    drawn = torch.tensor([[2, 0], [0, -1], [-2, 3], [0, 0], [7, 0], [1, 1]])
    after = Shift(7, 3).apply(before.clone(), drawn)
    for place, (down, right) in enumerate(drawn.tolist()):
        for y in range(7):
            for x in range(5):
                assert after[place, 1, y, x] == pixel(before[place, 1], y - down, x - right)


def test_a_flip_exchanges_left_and_right() -> None:
    before = images()
    after = HorizontalFlip().apply(before.clone(), torch.tensor([[True], [False]] * 3))
    np.testing.assert_array_equal(after[::2].numpy(), before[::2].numpy()[..., ::-1])
    assert torch.equal(after[1::2], before[1::2])


@pytest.mark.parametrize(
    ("angle", "scale", "down", "right"),
    [(0, 1, 0, 0), (20, 1, 0, 0), (-90, 1, 0, 0), (0, 1.2, 0, 0), (0, 0.8, 0, 0), (0, 1, 1.5, 0), (13, 0.9, -1.2, 0.7)],
)
def test_an_affine_map_takes_every_pixel_from_where_it_comes(
    angle: float, scale: float, down: float, right: float
) -> None:
    before = images(1, 2, 7, 5)
    radians = math.radians(angle)
    drawn = torch.tensor([[radians, scale, down, right]], dtype=torch.float64)
    after = Affine(90, 0.5, 2).apply(before.clone(), drawn)
    for y in range(7):
        for x in range(5):
            # Up is positive here; p goes to scale * R p + t, so look where p comes from.
            up, across = -(y - 3 - down) / scale, (x - 2 - right) / scale
            old_x = math.cos(radians) * across + math.sin(radians) * up
            old_up = -math.sin(radians) * across + math.cos(radians) * up
            for channel in range(2):
                wanted = between(before[0, channel], 3 - old_up, 2 + old_x)
                assert after[0, channel, y, x].item() == pytest.approx(wanted, abs=1e-12)


def test_a_quarter_turn_is_anticlockwise() -> None:
    before = images(2, 1, 5, 5)
    drawn = torch.tensor([[math.pi / 2, 1.0, 0.0, 0.0]] * 2, dtype=torch.float64)
    after = Affine(90).apply(before.clone(), drawn)
    np.testing.assert_allclose(after.numpy(), np.rot90(before.numpy(), axes=(2, 3)), atol=1e-12)


def test_noise_is_gaussian_of_its_size_and_belongs_to_the_image_alone() -> None:
    before = images(40, 3, 16, 16)
    drawn = Noise(0.2).draw(40, generator(0))
    noise = Noise(0.2).apply(before.clone(), drawn) - before
    assert noise.mean().item() == pytest.approx(0, abs=0.004)
    assert noise.std().item() == pytest.approx(0.2, rel=0.02)
    assert ((noise / 0.2).abs() < 1).double().mean().item() == pytest.approx(0.6827, abs=0.01)
    alone = Noise(0.2).apply(before[7:8].clone(), drawn[7:8]) - before[7:8]
    torch.testing.assert_close(alone, noise[7:8], atol=1e-15, rtol=0)
    flat = noise.flatten(1)
    cosines = torch.corrcoef(flat) - torch.eye(40, dtype=torch.float64)
    assert cosines.abs().max() < 0.2, "images have noise of their own"
    clipped = Noise(0.2, clip=True).apply(before.clone(), drawn)
    torch.testing.assert_close(clipped, (before + noise).clamp(0, 1), atol=1e-15, rtol=0)


@pytest.mark.parametrize(
    ("part", "low", "high"),
    [
        (RandomCrop(2), [0, 0], [4, 4]),
        (Shift(1, 3), [-1, -3], [1, 3]),
        (Affine(20, 0.2, 2), [-math.radians(20), 0.8, -2, -2], [math.radians(20), 1.2, 2, 2]),
    ],
)
def test_draws_are_uniform_in_their_ranges_and_independent(
    part: Augmentation, low: list[float], high: list[float]
) -> None:
    drawn = part.draw(4000, generator(0))
    assert drawn.device.type == "cpu"
    assert drawn.dtype in (torch.int64, torch.float64)
    values = drawn.double().numpy()
    whole = drawn.dtype == torch.int64
    for column, lowest, highest in zip(values.T, low, high, strict=True):
        assert column.min() >= lowest
        assert column.max() <= highest
        if whole:
            shares = np.bincount((column - lowest).astype(int)) / 4000
            np.testing.assert_allclose(shares, 1 / (highest - lowest + 1), atol=0.03)
        else:
            quartiles = lowest + (highest - lowest) * np.array([0.25, 0.5, 0.75])
            np.testing.assert_allclose(
                np.quantile(column, [0.25, 0.5, 0.75]), quartiles, atol=0.03 * (highest - lowest)
            )
    assert np.abs(np.corrcoef(values.T) - np.eye(len(low))).max() < 0.06


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_flips_are_as_frequent_as_declared(probability: float) -> None:
    drawn = HorizontalFlip(probability).draw(4000, generator(1))
    assert drawn.double().mean().item() == pytest.approx(probability, abs=0.02)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_every_part_draws_from_its_generator_alone_and_survives_json(name: str) -> None:
    part = AUGMENTATIONS[name](**({"rotation": 5.0, "shift": 1.0} if name == "Affine" else {}))
    before = torch.get_rng_state()
    one, same, other = (part.draw(50, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    results = [part.apply(images(50, 3, 7, 5).to(dtype), one) for dtype in (torch.float32, torch.float64)]
    torch.testing.assert_close(results[0].double(), results[1], atol=1e-5, rtol=0)
    assert (results[0].dtype, results[0].shape) == (torch.float32, (50, 3, 7, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert augmentations([part.to_json()]) == augmentations(part) == augmentations(part.to_json()) == (part,)
    assert hash(part) == hash(AUGMENTATIONS[name](**{k: v for k, v in part.to_json().items() if k != "class"}))


BAD: list[tuple[type[Augmentation], dict[str, Any], type[Exception], str]] = [
    (RandomCrop, {"padding": 0}, ValueError, "padding must be at least 1, got 0"),
    (RandomCrop, {"padding": 1.5}, TypeError, "padding must be an integer"),
    (Shift, {"vertical": -1}, ValueError, "vertical must be at least 0"),
    (HorizontalFlip, {"probability": 1.5}, ValueError, "probability must be at most 1, got 1.5"),
    (Affine, {"scale": 1}, ValueError, "scale must be below 1, got 1"),
    (Affine, {"rotation": -3}, ValueError, "rotation must be 0 or greater"),
    (Noise, {"sd": math.nan}, ValueError, "sd must be finite"),
]


@pytest.mark.parametrize(("part", "options", "error", "message"), BAD)
def test_bad_options_are_refused(
    part: type[Augmentation], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        part(**options)
