"""Films as animated GIFs: their images, their duration and their size."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tca.cli.film import COLORS, animated


def frames(count: int) -> list[Any]:
    """Return images of a red square that moves over a blue ground."""
    made = []
    for place in range(count):
        image = np.full((40, 80, 3), (20, 40, 200), np.uint8)
        image[10:20, 3 * place : 3 * place + 10] = (250, 30, 10)
        made.append(image)
    return made


def read(film: bytes) -> tuple[list[Any], list[float]]:
    images, durations = [], []
    with Image.open(io.BytesIO(film)) as made:
        for place in range(made.n_frames):  # type: ignore[attr-defined]
            made.seek(place)
            images.append(np.asarray(made.convert("RGB")))
            durations.append(made.info["duration"])
    return images, durations


def test_images_and_times_are_those_given() -> None:
    """A GIF counts in hundredths of a second, whose rounding does not add up."""
    given, times = frames(20), [place / 30 for place in range(20)]
    images, durations = read(animated(given, times, 80))
    assert all(np.abs(one.astype(int) - two).max() < 8 for one, two in zip(images, given, strict=True))
    assert np.abs(np.cumsum(durations[:-1]) - 1000 * np.array(times[1:])).max() <= 5
    assert durations[-1] == pytest.approx(1000, abs=10)


def test_large_images_shrink_to_the_width_and_small_ones_stay() -> None:
    tall = [each.transpose(1, 0, 2) for each in frames(3)]
    assert [read(animated(each, [0, 1, 2], 40))[0][0].shape for each in (frames(3), tall)] == [(20, 40, 3), (40, 20, 3)]
    assert read(animated(frames(3), [0, 1, 2], 500))[0][0].shape == (40, 80, 3)


def test_a_ground_that_stays_is_stored_once() -> None:
    """With 64 colours of noise: dithering or a palette for each image would change it from image to image."""
    ground = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    moving = [ground.copy() for _ in range(50)]
    for place, each in enumerate(moving):
        each[50:60, 2 * place : 2 * place + 10] = (250, 30, 10)
    one, all_of_them = (animated(moving[:count], [place / 10 for place in range(count)], 160) for count in (1, 50))
    assert len(all_of_them) < 3 * len(one)
    images, _ = read(all_of_them)
    assert len(np.unique(np.concatenate(images).reshape(-1, 3), axis=0)) <= COLORS
