"""Transparent images on a background: every way in which a file can be transparent, and modes that are refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tasks
import tca
from tests.support.image_sets import drawn, encoded, png, write_table

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("image_folders")
WHITE, BLUE = (255, 255, 255), (32, 64, 160)
RGBA = np.random.default_rng(0).integers(0, 256, (3, 4, 4), np.uint8)
RGBA[0, :2, 3] = 0, 255


def loaded(tmp_path: Path, images: list[Any], **options: Any) -> Any:
    """Return the training images of a set, shape (N, H, W, C); the test image is grey and opaque."""
    write_table(tmp_path / "glyphs" / "train.parquet", {"image": images, "label": [0] * len(images)})
    write_table(tmp_path / "glyphs" / "test.parquet", {"image": [np.zeros((3, 4), np.uint8)], "label": [0]})
    task = tasks.images("glyphs", data_dir=str(tmp_path), **options)
    return np.asarray(task.data.train.images).transpose(0, 2, 3, 1).astype(float)


def on(rgba: Any, colour: tuple[int, ...]) -> Any:
    """The definition of compositing, in floating point."""
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + np.array(colour, float) * (1 - alpha)


def seen(levels: list[int], alpha: list[int]) -> Any:
    """An image of one row, three times, from grey levels and their alpha."""
    row = np.array([[level, level, level, each] for level, each in zip(levels, alpha, strict=True)])
    return np.repeat(row[None], 3, 0)


PALETTE = np.arange(12, dtype=np.uint8).reshape(4, 3) * 20
CASES: dict[str, tuple[bytes, Any]] = {
    "RGBA": (encoded(Image.fromarray(RGBA)), RGBA),
    "RGBA of WebP": (encoded(Image.fromarray(RGBA), "WEBP", lossless=True, exact=True), RGBA),
    "LA": (encoded(Image.fromarray(RGBA[..., 2:], "LA")), RGBA[..., [2, 2, 2, 3]]),
    "L and a transparent level": (
        png(4, [bytes([7, 8, 9, 7])] * 3, 8, 0, tRNS=b"\0\x07"),
        seen([7, 8, 9, 7], [0, 255, 255, 0]),
    ),
    "L of 4 bits": (png(4, [b"\x0f\x53"] * 3, 4, 0, tRNS=b"\0\x05"), seen([0, 255, 85, 51], [255, 255, 0, 255])),
    "L of 2 bits": (png(4, [b"\x1b"] * 3, 2, 0, tRNS=b"\0\x02"), seen([0, 85, 170, 255], [255, 255, 0, 255])),
    "1 bit": (png(4, [b"\x50"] * 3, 1, 0, tRNS=b"\0\1"), seen([0, 255, 0, 255], [255, 0, 255, 0])),
    "RGB and a transparent colour": (
        png(4, [bytes([1, 2, 3, 1, 2, 4, 9, 9, 9, 1, 2, 3])] * 3, 8, 2, tRNS=b"\0\1\0\2\0\3"),
        np.array([[[1, 2, 3, 0], [1, 2, 4, 255], [9, 9, 9, 255], [1, 2, 3, 0]]] * 3),
    ),
    "P and alpha for some": (
        png(4, [bytes([0, 1, 2, 3])] * 3, 8, 3, PLTE=PALETTE.tobytes(), tRNS=b"\0\x50"),
        np.array([[[*PALETTE[each], alpha] for each, alpha in enumerate((0, 80, 255, 255))]] * 3),
    ),
    "GIF": (
        encoded(Image.fromarray(np.array([[0, 1, 2, 3]] * 3, np.uint8)), "GIF", transparency=1),
        seen([0, 1, 2, 3], [255, 0, 255, 255]),
    ),
}


def palette_with_alpha() -> Image.Image:
    image = Image.new("PA", (4, 3))
    image.putpalette(PALETTE.tobytes())
    for place in range(12):
        image.putpixel((place % 4, place // 4), (place % 4, 60 * (place % 4)))
    return image


CASES["PA of TIFF"] = (
    encoded(palette_with_alpha(), "TIFF"),
    np.array([[[*PALETTE[each], 60 * each] for each in range(4)]] * 3),
)


@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_transparency_shows_the_background(tmp_path: Path, case: str) -> None:
    content, rgba = CASES[case]
    colour = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)  # so that the set is one of colours
    for background, ground in (("white", WHITE), ("#2040a0", BLUE)):
        image = loaded(tmp_path, [content, colour], background=background)[0]
        assert np.abs(image - on(rgba, ground)).max() <= 0.51
    with pytest.warns(UserWarning, match=r"glyphs: 1 images are transparent in part, on a white background"):
        image = loaded(tmp_path, [content, colour])[0]
    assert np.abs(image - on(rgba, WHITE)).max() <= 0.51


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_four_black_glyphs_stay_four_and_white_ones_ask_for_another_background(tmp_path: Path) -> None:
    strokes = drawn(4, 3, 4) // 128 * 255
    for colour, background in ((0, None), (0, "white"), (255, "black")):
        glyphs = [encoded(Image.fromarray(np.dstack([np.full_like(each, colour), each]), "LA")) for each in strokes]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images = loaded(tmp_path, glyphs, background=background)
        np.testing.assert_array_equal(images[..., 0], strokes if colour else 255 - strokes)
    with pytest.raises(ValueError, match=r"glyphs/train.parquet cannot be read at row 0: .*visible on white: name a b"):
        loaded(tmp_path, glyphs)
    with pytest.warns(UserWarning, match="3 of 4 training images have the pixels of another"):
        assert (loaded(tmp_path, glyphs, background="white") == 255).all(), "who asks for white gets it"


def test_what_is_hidden_under_full_transparency_is_not_shown_but_named(tmp_path: Path) -> None:
    hidden = np.dstack([drawn(1, 3, 4, 3)[0], np.zeros((3, 4), np.uint8)])
    with pytest.raises(ValueError, match="row 0: the image is invisible on white"):
        loaded(tmp_path, [encoded(Image.fromarray(hidden))])
    empty = encoded(Image.new("RGBA", (4, 3)))
    with pytest.warns(UserWarning, match="1 images are transparent"):
        assert (loaded(tmp_path, [empty]) == 255).all(), "an empty image is one"


def test_opaque_images_are_the_same_on_every_background_and_say_nothing(tmp_path: Path) -> None:
    pixels = np.dstack([drawn(1, 3, 4, 3)[0], np.full((3, 4), 255, np.uint8)])
    for background in (None, "white", "black"):
        images = loaded(tmp_path, [encoded(Image.fromarray(pixels))], background=background)
        np.testing.assert_array_equal(images[0], pixels[..., :3])


def test_the_background_comes_before_resampling_and_in_grey_sets_as_its_luma(tmp_path: Path) -> None:
    pixels = np.full((3, 4, 4), 255, np.uint8)
    pixels[:, ::2] = 0  # black, and transparent
    images = loaded(tmp_path, [encoded(Image.fromarray(pixels))], background="white", size=(2, 3))
    assert (images == 255).all(), "no black seeps in"
    clear = encoded(Image.fromarray(np.array([[[9, 0], [9, 255], [8, 255], [7, 255]]] * 3, np.uint8), "LA"))
    images = loaded(tmp_path, [clear], background="#2040a0")
    assert images.shape == (1, 3, 4, 1)
    assert abs(images[0, 0, 0, 0] - np.dot(BLUE, (0.299, 0.587, 0.114))) <= 0.51


def test_a_background_is_an_option_that_is_written_down_and_said_once(tmp_path: Path) -> None:
    content, _ = CASES["RGBA"]
    options = {"name": "glyphs", "data_dir": str(tmp_path), "background": "black"}
    loaded(tmp_path, [content], background="black")
    run = tca.Run("images", task_options=options)
    assert run.to_json()["task_options"]["background"] == "black"
    assert run.make_task().options() == options
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded(tmp_path, [content])
        tasks.images("glyphs", data_dir=str(tmp_path))
    assert len(caught) == 1
    for bad, error in (("blakc", ValueError), ("#00000000", ValueError), (0, TypeError), ((0, 0, 0), TypeError)):
        with pytest.raises(error, match=r"background must be (an opaque colour such as 'white' or '#00ff80'|a string)"):
            tasks.make("images", background=bad)


DEEP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
REFUSED = {
    "I;16": encoded(Image.fromarray(DEEP)),
    "F": encoded(Image.fromarray(DEEP.astype(np.float32)), "TIFF"),
    "I": encoded(Image.fromarray(DEEP.astype(np.int32)), "TIFF"),
    "LAB": encoded(Image.new("LAB", (4, 3)), "TIFF"),
    "RGB;16B": png(4, [bytes(24)] * 3, 16, 2),
    "RGBA;16B": png(4, [bytes(32)] * 3, 16, 6),
    "RGB;16B of PPM": b"P6 4 3 65535\n" + bytes(72),
    "LA;16B": png(4, [bytes(16)] * 3, 16, 4),
}


@pytest.mark.parametrize("mode", REFUSED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_modes_that_bytes_cannot_hold_are_refused_by_name(tmp_path: Path, mode: str) -> None:
    with pytest.raises(ValueError, match=f"at row 1: .* 8 bits a channel, got one of PIL's mode {mode.split(' ')[0]}$"):
        loaded(tmp_path, [drawn(1, 3, 4)[0], REFUSED[mode]])


def test_modes_without_transparency_are_converted(tmp_path: Path) -> None:
    ink = drawn(1, 3, 4, 4)[0]
    bits = drawn(1, 3, 4)[0] > 127
    printed = encoded(Image.fromarray(ink, "CMYK"), "TIFF")
    images = loaded(tmp_path, [printed, encoded(Image.fromarray(bits))])
    wanted = (255.0 - ink[..., :3]) * (255.0 - ink[..., 3:]) / 255
    assert np.abs(images[0] - wanted).max() <= 1
    np.testing.assert_array_equal(images[1], np.repeat(bits[..., None], 3, 2) * 255)


def test_traces_on_white_are_accepted(tmp_path: Path) -> None:
    """A limit: only a picture of which nothing at all is visible on white is refused."""
    faint = np.dstack([np.full((3, 4, 3), 254, np.uint8), drawn(1, 3, 4)[0] // 128 * 255])
    with pytest.warns(UserWarning, match="transparent in part, on a white background"):
        images = loaded(tmp_path, [encoded(Image.fromarray(faint))])
    assert set(np.unique(images)) == {254, 255}
