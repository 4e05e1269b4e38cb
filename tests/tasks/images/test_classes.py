"""Classes in any numbering become consecutive numbers, the same in every split, or are refused with file and row."""

from __future__ import annotations

import resource
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks.images import KNOWN
from tests.support.image_sets import drawn, write, write_table

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("datasets")
pytestmark = pytest.mark.usefixtures("image_folders")


def written(tmp_path: Path, train: Any, test: Any) -> None:
    """Write a set of images of which none comes twice, with classes as lists or as arrays of Arrow."""
    images = list(drawn(len(train) + len(test), 3, 3))
    for split, labels, part in (("train", train, images[: len(train)]), ("test", test, images[len(train) :])):
        write_table(tmp_path / "shapes" / f"{split}.parquet", {"image": part, "label": labels})


def opened(tmp_path: Path) -> Any:
    return tasks.images("shapes", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("train", "test", "names"),
    [
        ([1, 2, 1], [2, 1], ("1", "2")),
        ([3, 10_985, 3], [10_985], ("3", "10985")),
        ([2**40, 0, 5], [5, 2**40], ("0", "5", "1099511627776")),
        (pyarrow.array([2**64 - 1, 7], pyarrow.uint64()), [7], ("7", "18446744073709551615")),
        (pyarrow.array([9, 8], pyarrow.int8()), pyarrow.array([8], pyarrow.int32()), ("8", "9")),
        ([0, 1, 3, 4, 5, 6, 7], [3, 7], ("0", "1", "3", "4", "5", "6", "7")),
        ([4, 4], [4], ("4",)),
    ],
)
def test_numbers_from_another_numbering_become_consecutive_and_say_so_once(
    tmp_path: Path, train: Any, test: Any, names: tuple[str, ...]
) -> None:
    written(tmp_path, train, test)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task = opened(tmp_path)
        _ = opened(tmp_path), tasks.make("sequential_images", name="shapes", data_dir=str(tmp_path)).data
    assert [f"numbered 0 to {len(names) - 1} in this order" in str(each.message) for each in caught] == [True]
    assert (task.n_out, task.classes) == (len(names), names)
    for labels, pixels in ((train, task.data.train), (test, task.data.test)):
        assert [names[number] for number in pixels.labels] == [str(each) for each in labels]
    assert task.split(len(train), len(test), seed=0)[0].batch().targets.max() == len(names) - 1


@pytest.mark.parametrize(
    ("train", "test", "names"),
    [
        ([0, 1, 2], [2, 0], ("0", "1", "2")),
        (["dog", "cat", "dog"], ["dog"], ("cat", "dog")),
        (["10", "9", "é"], ["9"], ("10", "9", "é")),
        (pyarrow.array(["b", "a"]).dictionary_encode(), ["a"], ("a", "b")),
        (pyarrow.array(["b", "a"], pyarrow.large_string()), ["a", "b"], ("a", "b")),
        ([True, False], [True], ("False", "True")),
    ],
)
def test_words_and_truth_values_are_classes_and_nothing_is_said(
    tmp_path: Path, train: Any, test: Any, names: tuple[str, ...]
) -> None:
    written(tmp_path, train, test)
    task = opened(tmp_path)
    assert task.classes == names
    for labels, pixels in ((train, task.data.train), (test, task.data.test)):
        wanted = labels if isinstance(labels, list) else labels.to_pylist()
        assert [names[number] for number in pixels.labels] == [str(each) for each in wanted]


def test_names_that_files_declare_keep_their_order_and_plain_numbers_lie_beside_them(tmp_path: Path) -> None:
    images, folder = drawn(5, 3, 3), tmp_path / "shapes"
    write(folder / "train-0-of-2.parquet", images[:2], [1, 0], classes=["zebra", "ant", "bee"])
    write_table(folder / "train-1-of-2.parquet", {"image": list(images[2:3]), "label": [1]})
    write(folder / "test.parquet", images[3:4], [0], classes=["zebra", "ant", "bee"])
    task = opened(tmp_path)
    assert (task.classes, task.data.train.labels.tolist()) == (("zebra", "ant", "bee"), [1, 0, 1])
    write(folder / "test.parquet", images[3:], [2, 0], classes=["zebra", "ant", "bee"])
    with pytest.warns(UserWarning, match="shapes: test images are of classes that no training image has: bee$"):
        assert opened(tmp_path).data.test.labels.tolist() == [2, 0]


def test_files_that_disagree_on_names_are_refused(tmp_path: Path) -> None:
    images, folder = drawn(3, 3, 3), tmp_path / "shapes"
    write(folder / "train.parquet", images[:2], [1, 0], classes=["cat", "dog"])
    for names in (["dog", "cat"], ["cat", "dog", "owl"], ["Cat", "dog"]):
        write(folder / "test.parquet", images[2:], [0], classes=names)
        with pytest.raises(ValueError, match=r"test.parquet .*: it names its classes differently than .*train.parquet"):
            opened(tmp_path)
    write_table(folder / "test.parquet", {"image": list(images[2:]), "label": ["cat"]})
    with pytest.raises(ValueError, match=r"test.parquet .*: its classes are words, those of .*train.parquet are num"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([0, 1], [1, 2], r"test.parquet cannot be read at row 1: no training image is of class 2$"),
        ([1, 2], [0], r"test.parquet cannot be read at row 0: no training image is of class 0$"),
        (["cat"], ["cat", "Cat"], r"test.parquet cannot be read at row 1: no training image is of class 'Cat'$"),
        ([0, 0, -1], [0], r"train.parquet cannot be read at row 2: the class must be a number .*, got -1"),
        ([0], [0, None], r"test.parquet cannot be read at row 1: the class must be .*, got None"),
        (["a", ""], ["a"], r"train.parquet cannot be read at row 1: the class must be .* a word, got ''"),
        ([0.0, 1.0], [0], r"train.parquet cannot be read: the column of classes must hold whole .*, got double"),
        ([0], [float("nan")], r"test.parquet cannot be read: the column of classes must hold .*, got double"),
        ([[0]], [[0]], r"train.parquet cannot be read: the column of classes must hold .*, got list<.*int64>"),
        ([{"a": 0}], [0], r"train.parquet cannot be read: the column of classes must hold .*, got struct<a: int64>"),
        ([None, None], [0], r"train.parquet cannot be read: the column of classes must hold .*, got null"),
        ([b"cat"], [b"cat"], r"train.parquet cannot be read: the column of classes must hold .*, got binary"),
        ([0, 1], [True], r"test.parquet cannot be read: its classes are truth values, those of .* are numbers"),
    ],
)  # fmt: skip
def test_what_is_no_class_is_refused_in_one_line(tmp_path: Path, train: Any, test: Any, message: str) -> None:
    written(tmp_path, train, test)
    with pytest.raises(ValueError, match=message) as caught:
        opened(tmp_path)
    assert "\n" not in str(caught.value)
    assert not [each for each in (tmp_path / "cache").iterdir() if each.is_dir()]


def test_declared_names_bound_the_numbers(tmp_path: Path) -> None:
    write(tmp_path / "shapes" / "train.parquet", drawn(2, 3, 3), [0, 1], classes=["cat", "dog"])
    write_table(tmp_path / "shapes" / "test.parquet", {"image": list(drawn(1, 3, 3, seed=1)), "label": [2]})
    with pytest.raises(ValueError, match=r"test.parquet cannot be read at row 0: there are names for 2 classes, got c"):
        opened(tmp_path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_absurdly_many_classes_are_refused_before_anything_is_decoded_or_allocated(tmp_path: Path) -> None:
    images = [drawn(1, 3, 3)[0]] * 1002
    write_table(tmp_path / "shapes" / "train.parquet", {"image": images, "label": list(range(0, 1002 * 2**50, 2**50))})
    write_table(tmp_path / "shapes" / "test.parquet", {"image": images[:1], "label": [0]})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="1002 different classes of 1002 training images are too many to learn"):
        opened(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_known_set_has_the_numbers_of_its_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KNOWN, "mnist", replace(KNOWN["mnist"], train=2, test=1, classes=2))
    images = drawn(3, 28, 28)
    for labels in ([1, 2], ["0", "1"]):
        for split, part, numbers in (("train", images[:2], labels), ("test", images[2:], labels[:1])):
            write_table(tmp_path / "mnist" / f"{split}.parquet", {"image": list(part), "label": numbers})
        with pytest.raises(ValueError, match="classes of MNIST are 0 to 1, got "):
            tasks.images("mnist", data_dir=str(tmp_path))


def test_a_class_keeps_its_number_in_batches_and_accuracy(tmp_path: Path) -> None:
    """A network that answers by the position in ascending order is right, and chance counts test images."""
    images, labels = drawn(9, 3, 3), np.array([30, 10, 20, 10, 30, 20, 10, 10, 20])
    write_table(tmp_path / "shapes" / "train.parquet", {"image": list(images[:6]), "label": labels[:6].tolist()})
    write_table(tmp_path / "shapes" / "test.parquet", {"image": list(images[6:]), "label": labels[6:].tolist()})
    with pytest.warns(UserWarning, match="shapes: classes 10, 20, 30 are numbered 0 to 2 in this order"):
        task = opened(tmp_path)
    train, test = task.split(6, 3, seed=0)
    assert train.batch().targets[0].tolist() == [[10, 20, 30].index(labels[place]) for place in train.chosen_N]
    assert test.batch().targets[0].tolist() == [[10, 20, 30].index(labels[6 + place]) for place in test.chosen_N]
    assert task.chance == 2 / 3
