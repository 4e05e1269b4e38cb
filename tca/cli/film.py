"""Films of episodes: images of an environment as an animated GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["animated"]

COLORS = 64  # of the palette that all images share
HOLD = 1.0  # time for which the last image is shown, in s


def animated(frames: Sequence[Any], times: Sequence[float], width: int) -> bytes:
    """Return images as an animated GIF that lasts as long as the episode.

    All images have one palette and no dithering, so that what does not move costs no memory.

    Args:
        frames: Images, ``(height, width, 3)``.
        times: Their times in s; the last one stays for a second more.
        width: Largest width and height in pixels.
    """
    from PIL import Image

    images = [Image.fromarray(each) for each in frames]
    for each in images:
        each.thumbnail((width, width))
    shown = images[:: max(1, len(images) // 8)]
    palette = Image.fromarray(np.concatenate([np.asarray(each) for each in shown])).quantize(COLORS)
    first, *others = (each.quantize(palette=palette, dither=Image.Dither.NONE) for each in images)
    ticks = [round(100 * time) for time in (*times, times[-1] + HOLD)]  # a GIF counts in hundredths of a second
    film = io.BytesIO()
    durations = [10 * (later - earlier) for earlier, later in pairwise(ticks)]
    first.save(film, "GIF", save_all=True, append_images=others, duration=durations, loop=0, optimize=True)
    return film.getvalue()
