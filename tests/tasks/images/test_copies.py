"""Images with the same pixels: counted once and exactly, and left out of training where that is asked for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tasks
from tasks.images import image_sources as sources
from tests.support.image_sets import Pixels, drawn, encoded, write_table

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("image_folders")
TRAIN = [0, 1, 2, 1, 3, 4, 1, 5, 6, 4]  # which of seven pictures is where
TEST = [7, 1, 8, 8, 3, 1]


def written(
    tmp_path: Path, train: list[int], test: list[int], labels: tuple[list[int], list[int]] | None = None
) -> Pixels:
    """Write a set of pictures by their numbers, each a file of its own kind; return all pictures."""
    pictures = drawn(9, 4, 4)
    for part, numbers in enumerate((train, test)):
        files = [encoded(Image.fromarray(pictures[each]), ("PNG", "BMP", "TIFF")[place % 3])
                 for place, each in enumerate(numbers)]  # fmt: skip
        classes = [each % 2 for each in numbers] if labels is None else labels[part]
        write_table(tmp_path / "shapes" / f"{('train', 'test')[part]}.parquet", {"image": files, "label": classes})
    return pictures


def opened(tmp_path: Path, **options: Any) -> Any:
    return tasks.images("shapes", data_dir=str(tmp_path), **options)


def pool(task: Any, part: str) -> list[bytes]:
    """The pixels of a pool, in order."""
    pixels = task.data.test if part == "test" else task.data.train
    return [pixels.images[place].tobytes() for place in task._pools[part]]


def test_copies_are_counted_and_said_once(tmp_path: Path) -> None:
    written(tmp_path, TRAIN, TEST)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            opened(tmp_path).split(10, 6, seed=0)
        sources._opened.cache_clear()
        opened(tmp_path)
    (said,) = (str(each.message) for each in caught)
    assert said.startswith("shapes: 3 of 6 test images and 3 of 10 training images have the pixels of another training")
    assert "0 of them under another class; dedupe=True" in said
    assert "\n" not in said


def test_copies_under_another_class_are_counted(tmp_path: Path) -> None:
    written(tmp_path, [0, 1, 0, 1], [2, 1], ([0, 1, 1, 1], [0, 0]))
    with pytest.warns(UserWarning, match="1 of 2 test images and 2 of 4 training images .* 2 of them under another cl"):
        opened(tmp_path)


def test_without_copies_nothing_is_said_and_nothing_left_out(tmp_path: Path) -> None:
    written(tmp_path, [0, 1, 2], [3, 4])
    for dedupe in (False, True):
        assert opened(tmp_path, dedupe=dedupe).pool_sizes == {"train": 3, "validation": 0, "test": 2}


def test_of_test_images_alone_copies_are_no_leak(tmp_path: Path) -> None:
    written(tmp_path, [0, 1], [2, 2])
    assert opened(tmp_path).pool_sizes["test"] == 2


@pytest.mark.parametrize("validation", [0, 2])
@pytest.mark.parametrize("balanced", [False, True])
def test_dedupe_leaves_no_picture_in_two_of_the_three(tmp_path: Path, validation: int, balanced: bool) -> None:
    pictures = written(tmp_path, TRAIN, TEST)
    task = opened(tmp_path, dedupe=True, validation=validation, balanced=balanced)
    train, held, test = (pool(task, part) for part in ("train", "validation", "test"))
    assert not set(train) & set(held)
    assert not (set(train) | set(held)) & set(test)
    assert len(set(train + held)) == len(train + held), "no picture twice"
    assert set(train + held) == {pictures[each].tobytes() for each in (0, 2, 4, 5, 6)}
    assert test == [pictures[each].tobytes() for each in TEST], "the test split stays as it was published"
    assert (task._pools["train"].tolist() == [0, 2, 5, 7, 8]) == (validation == 0), "of copies the first one stays"
    for seed in range(5):
        three = task.split_in_three(2, 2, 4, seed) if validation else task.split(3, 4, seed)
        shown = [{image.numpy().tobytes() for image in part.batch().inputs[0]} for part in three]
        assert not set.intersection(*shown)
    streamed = {image.numpy().tobytes() for image in next(task.stream(60, seed=0)).inputs[0]}
    assert len(streamed) == len(train), "a stream shows the same pool"


def test_images_held_out_that_are_trained_on_are_counted(tmp_path: Path) -> None:
    written(tmp_path, TRAIN, [7, 8])
    with pytest.warns(UserWarning, match="0 of 2 test images and 3 of 10 training images"):
        task = opened(tmp_path, validation=5)
    with pytest.warns(UserWarning, match="images held out have the pixels of an image that is trained on") as caught:
        train, held = pool(task, "train"), pool(task, "validation")
    leaked = sum(each in train for each in held)
    assert leaked > 0
    assert f"shapes: {leaked} of 5 images held out" in str(caught[0].message)


def test_a_set_whose_training_images_are_all_tested_on_has_nothing_left(tmp_path: Path) -> None:
    written(tmp_path, [0, 1], [1, 0, 2])
    with pytest.raises(ValueError, match="dedupe=True leaves no training image of shapes: each is a test image, too"):
        opened(tmp_path, dedupe=True).split(1, 1, seed=0)
    with pytest.raises(TypeError, match="dedupe must be True or False, got 1"):
        tasks.make("images", dedupe=1)


def test_what_counts_are_the_pixels_that_a_network_sees(tmp_path: Path) -> None:
    """Two pictures that differ before they are made small are copies afterwards; the option is written down."""
    pair = np.stack([np.zeros((4, 4), np.uint8)] * 2)
    pair[1, 0, 0] = 1
    write_table(tmp_path / "shapes" / "train.parquet", {"image": list(pair), "label": [0, 0]})
    write_table(tmp_path / "shapes" / "test.parquet", {"image": [drawn(1, 4, 4)[0]], "label": [0]})
    assert len(opened(tmp_path, dedupe=True)._pools["train"]) == 2
    task = opened(tmp_path, dedupe=True, size=1)
    assert len(task._pools["train"]) == 1
    assert task.options()["dedupe"] is True


def test_checksums_are_kept_with_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, TRAIN, TEST)
    first = opened(tmp_path, dedupe=True)
    sources._opened.cache_clear()
    monkeypatch.setattr(sources, "originals", None)
    again = opened(tmp_path, dedupe=True)
    assert again.data is not first.data
    assert again.data.originals.tolist() == first.data.originals.tolist() == [
        0, 1, 2, 1, 4, 5, 1, 7, 8, 5, 10, 1, 12, 12, 4, 1,
    ]  # fmt: skip


def test_the_digits_hold_no_image_twice() -> None:
    data = tasks.images().data
    assert data.originals.tolist() == list(range(1797))
