"""Names of folders and files mean what is written, and only the set that is asked for is looked at."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tasks
from tasks.images import fetch, folders
from tasks.images.__main__ import main
from tests.support.image_sets import drawn, write_set, write_table

datasets = pytest.importorskip("datasets")
pytestmark = pytest.mark.usefixtures("image_folders")
NAMES = ["set[12]", "*", "?", "**", "~", "~root", "a b", "größe 图", "v1.2", ".hidden", "{a,b}", "memory::x", "file:",
         "%41", "$HOME", "-n", "#1", "a\tb", "x" * 200, "train.parquet"]  # fmt: skip
DECOYS = ("set1", "set2", "a", "A", "ab", "x")


def images_of(task: Any) -> Any:
    return np.asarray(task.data.train.images)[:, 0]


def small_set(folder: Path, seed: int) -> Any:
    """Write a set and return its training images."""
    train, test = np.split(drawn(5, 3, 3, seed=seed), [3])
    for split, images in (("train", train), ("test", test)):
        write_table(folder / f"{split}.parquet", {"image": list(images), "label": [0, 1, 0][: len(images)]})
    return train


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_literal_as_a_set_a_root_and_a_cache(tmp_path: Path, name: str) -> None:
    for seed, decoy in enumerate(DECOYS):
        small_set(tmp_path / "data" / decoy, seed)
        small_set(tmp_path / decoy / "shapes", seed)
    wanted = small_set(tmp_path / "data" / name, 10)
    np.testing.assert_array_equal(images_of(tasks.images(name, data_dir=str(tmp_path / "data"))), wanted)
    root = tmp_path / name
    shutil.move(tmp_path / "data" / name, root / "shapes")
    task = tasks.images("shapes", data_dir=str(root), cache_dir=str(root / "cache"))
    np.testing.assert_array_equal(images_of(task), wanted)
    assert len(list((root / "cache").glob("shapes-*"))) == 1


def test_sets_that_differ_in_a_character_have_entries_of_their_own(tmp_path: Path) -> None:
    for name in ("a b", "a?b"):
        small_set(tmp_path / name, 0)
        write_table(tmp_path / name / "test.parquet", {"image": list(drawn(1, 3, 3, seed=9)), "label": [1]})
        assert tasks.images(name, data_dir=str(tmp_path)).title == name
    assert len(list((tmp_path / "cache").glob("a_b-*"))) == 2


def test_a_tilde_in_front_of_a_slash_is_the_home_and_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    home, here = small_set(tmp_path / "home" / "data" / "shapes", 0), small_set(tmp_path / "~nobody" / "shapes", 1)
    np.testing.assert_array_equal(images_of(tasks.images("shapes", data_dir="~/data")), home)
    np.testing.assert_array_equal(images_of(tasks.images("shapes", data_dir="~nobody")), here)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../shapes", "shapes/", "/", "a\0b"])
def test_what_is_no_name_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    for each in ("shapes", "a/b", "."):
        small_set(tmp_path / "data" / each, 0)
    small_set(tmp_path / "shapes", 0)
    small_set(tmp_path / "data" / "a", 1)
    with pytest.raises(ValueError, match=r"unknown image set .* Allowed: a, "):
        tasks.images(name, data_dir=str(tmp_path / "data"))


@pytest.mark.parametrize(
    "files",
    [
        ["train-00000-of-00002.parquet"],
        ["train-000-of-001.parquet"],
        ["train-000-of-001"],
        ["train-x-of-y.parquet"],
        ["train-0-of-.parquet"],
        ["train-00000-of-00000.parquet"],
        [f"train-0-of-{'9' * 90}.parquet"],
        ["train-00000-of-00002.parquet.incomplete"],
        ["train.parquet/x"],
        ["data/train-00001-of-00002.parquet"],
        ["test.parquet"],
    ],
)
def test_an_odd_folder_beside_a_set_does_not_matter(
    tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for each in files:
        path = tmp_path / "odd" / each
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    wanted = small_set(tmp_path / "shapes", 0)
    np.testing.assert_array_equal(images_of(tasks.images("shapes", data_dir=str(tmp_path))), wanted)
    assert len(tasks.images("digits", data_dir=str(tmp_path)).data.train) == 1198
    assert tasks.make("images", name="mnist", data_dir=str(tmp_path)).name == "mnist"
    with pytest.raises(ValueError, match="unknown image set 'shape', did you mean 'shapes'"):
        tasks.images("shape", data_dir=str(tmp_path))
    with pytest.raises((ValueError, FileNotFoundError), match="odd") as caught:
        tasks.images("odd", data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    assert f"shapes: shapes, in {tmp_path / 'shapes'}\n" in capsys.readouterr().out


def test_nothing_but_the_folder_of_a_set_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_set(tmp_path / "shapes", 0)
    small_set(tmp_path / "other", 1)
    read: list[Path] = []
    entries = folders._entries
    monkeypatch.setattr(folders, "_entries", lambda folder: read.append(folder) or entries(folder))
    tasks.images("shapes", data_dir=str(tmp_path))
    assert not [each for each in read if each in (tmp_path, tmp_path / "other")]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_cannot_be_printed_is_written_out_so_that_errors_stay_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a  b\n\x1b[31m"
    small_set(tmp_path / name, 0)
    task = tasks.images(name, data_dir=str(tmp_path))
    assert task.title == "a  b\\n\\x1b[31m"
    damaged = tmp_path / name / "train.parquet"
    for content in (b"nothing", None):
        damaged.write_bytes(content) if content else damaged.rename(tmp_path / name / "train-1-of-2.parquet")
        with pytest.raises(ValueError, match=r"a  b\\n\\x1b\[31m") as caught:
            tasks.images(name, data_dir=str(tmp_path))
        assert str(caught.value).isprintable()
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train-0-of-2", "train-2-of-2"], "must hold 2 files of the split train, found 2"),
        (["train-1-of-2", "train-2-of-2"], r"\(numbered from 0\): train-1-of-2.parquet, train-2-of-2.parquet"),
        (["train-0-of-1-abc", "train-0-of-1-def"], "must hold 1 files of the split train, found 2"),
        (["train-0-of-2", "train-1-of-3"], "must hold 2 or 3 files of the split train, found 2"),
        (["train-0-of-2", "train-0-of-2-abc"], "must hold 2 files of the split train, found 2"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_numbered_files_that_do_not_make_a_split(tmp_path: Path, names: list[str], message: str) -> None:
    small_set(tmp_path / "parts", 0)
    for name in names:
        shutil.copy(tmp_path / "parts" / "train.parquet", tmp_path / "parts" / f"{name}.parquet")
    (tmp_path / "parts" / "train.parquet").unlink()
    with pytest.raises(ValueError, match=message) as caught:
        tasks.images("parts", data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_numbered_files_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    images = drawn(12, 3, 3)
    for place, image in enumerate(images[:11]):
        write_table(tmp_path / "parts" / f"train-{place}-of-11-x.parquet", {"image": [image], "label": [place]})
    write_table(tmp_path / "parts" / "test.parquet", {"image": [images[11]], "label": [10]})
    task = tasks.images("parts", data_dir=str(tmp_path))
    np.testing.assert_array_equal(images_of(task), images[:11])
    assert task.data.train.labels.tolist() == list(range(11))


@pytest.mark.parametrize("name", ["set[12]", "*", "a::b", "~", "a b"])
def test_a_set_is_fetched_into_a_folder_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(folders.KNOWN, "mnist", replace(folders.KNOWN["mnist"], train=3, test=2, classes=3))
    write_set(tmp_path / "hub", drawn(3, 28, 28), drawn(2, 28, 28, seed=1))
    files = {split: str(tmp_path / "hub" / f"{split}.parquet") for split in ("train", "test")}
    parts = {
        split: datasets.Dataset.from_parquet(file, cache_dir=str(tmp_path / "hf")) for split, file in files.items()
    }
    monkeypatch.setattr(datasets, "load_dataset", lambda _: parts)
    folder = fetch("mnist", str(tmp_path / "data" / name))
    assert sorted(each.name for each in folder.iterdir()) == ["test.parquet", "train.parquet"]
    assert [each.name for each in (tmp_path / "data").iterdir()] == [name]
    np.testing.assert_array_equal(images_of(tasks.images("mnist", data_dir=str(folder.parent))), drawn(3, 28, 28))
