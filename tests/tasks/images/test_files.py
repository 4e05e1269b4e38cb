"""Image sets from files: found or named missing, decoded exactly, cached whole, fetched only when asked for."""

from __future__ import annotations

import dataclasses
import importlib
import re
import resource
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tasks
from tasks.images import AUGMENTATIONS, KNOWN, CacheError, ImageTask, fetch
from tasks.images import image_sources as sources
from tasks.images.__main__ import main
from tests.support.image_sets import CLASSES, Pixels, drawn, encoded, write, write_set

datasets = pytest.importorskip("datasets")
pyarrow = pytest.importorskip("pyarrow.parquet") and pytest.importorskip("pyarrow")
ROOT = Path(__file__).parents[3]
# Most sets here are drawn twice from one seed; what is said of copies is tested in `test_copies.py`.
pytestmark = [
    pytest.mark.usefixtures("image_folders"),
    pytest.mark.filterwarnings("ignore:.*have the pixels of another training image:UserWarning"),
]


def small(monkeypatch: pytest.MonkeyPatch, name: str, train: int, test: int) -> None:
    """Let a known set have so few images, of three classes."""
    monkeypatch.setitem(KNOWN, name, replace(KNOWN[name], train=train, test=test, classes=3))


def bytes_of(task: ImageTask, part: str = "train") -> Pixels:
    return np.asarray(getattr(task.data, part).images)


def test_pixels_classes_and_order_come_back_exactly(tmp_path: Path) -> None:
    train, test = drawn(7, 5, 6, 3), drawn(4, 5, 6, 3, seed=1)
    write_set(tmp_path / "shapes", train, test, test_file="val")
    task = tasks.images("shapes", data_dir=str(tmp_path))
    assert (task.title, task.shape, task.classes) == ("shapes", (3, 5, 6), CLASSES)
    np.testing.assert_array_equal(bytes_of(task), train.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(bytes_of(task, "test"), test.transpose(0, 3, 1, 2))
    assert task.data.train.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert isinstance(task.data.train.images, np.memmap)
    assert not task.data.train.images.flags.writeable
    shown, _ = task.split(7, 1, seed=0)
    wanted = train[shown.chosen_N].transpose(0, 3, 1, 2).reshape(7, -1).astype(np.float64) / 255
    np.testing.assert_array_equal(shown.to(dtype=torch.float64).batch().inputs[0].numpy(), wanted)


def test_grey_images_among_coloured_ones_are_converted_and_all_grey_ones_stay_grey(tmp_path: Path) -> None:
    grey, coloured = drawn(3, 4, 4), drawn(2, 4, 4, 3, seed=1)
    write_set(tmp_path / "mixed", [*grey, *coloured], list(grey))
    mixed = bytes_of(tasks.images("mixed", data_dir=str(tmp_path)))
    np.testing.assert_array_equal(mixed[:3], np.repeat(grey[:, None], 3, 1))
    np.testing.assert_array_equal(mixed[3:], coloured.transpose(0, 3, 1, 2))
    write_set(tmp_path / "grey", list(grey), list(grey))
    np.testing.assert_array_equal(bytes_of(tasks.images("grey", data_dir=str(tmp_path))), grey[:, None])
    write_set(tmp_path / "late", list(grey), list(coloured))
    assert tasks.images("late", data_dir=str(tmp_path)).shape == (3, 4, 4), "colour in the test images counts too"


def test_other_modes_are_converted_or_refused(tmp_path: Path) -> None:
    colour = drawn(1, 4, 4, 3)[0]
    palette = Image.fromarray(colour).quantize(16)
    clear = Image.fromarray(np.dstack([colour, np.full((4, 4), 255, np.uint8)]))
    write_set(tmp_path / "modes", [encoded(palette), encoded(clear)], [colour])
    found = bytes_of(tasks.images("modes", data_dir=str(tmp_path))).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(found[0], np.asarray(palette.convert("RGB")))
    np.testing.assert_array_equal(found[1], colour)
    deep = Image.fromarray(np.full((4, 4), 40_000, np.uint16))
    write_set(tmp_path / "deep", [encoded(deep)], [colour])
    with pytest.raises(ValueError, match="8 bits a channel, got one of PIL's mode I;16"):
        tasks.images("deep", data_dir=str(tmp_path))


def test_photographs_are_turned_as_their_camera_says(tmp_path: Path) -> None:
    upright = drawn(1, 6, 4, 3)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate clockwise to view
    lying = encoded(np.rot90(upright).copy(), exif=exif)
    write_set(tmp_path / "photos", [lying], [upright])
    np.testing.assert_array_equal(
        bytes_of(tasks.images("photos", data_dir=str(tmp_path)))[0].transpose(1, 2, 0), upright
    )


def test_conversion_to_grey_is_the_luma_of_television(tmp_path: Path) -> None:
    coloured = drawn(5, 4, 4, 3)
    write_set(tmp_path / "shapes", coloured, coloured)
    found = bytes_of(tasks.images("shapes", data_dir=str(tmp_path), grey=True))
    assert found.shape == (5, 1, 4, 4)
    assert np.abs(found[:, 0] - coloured @ np.array([0.299, 0.587, 0.114])).max() <= 0.51


def test_resampling_is_bilinear_with_antialiasing(tmp_path: Path) -> None:
    images = drawn(3, 12, 8, 3)
    write_set(tmp_path / "shapes", images, images)
    task = tasks.images("shapes", data_dir=str(tmp_path), size=(6, 4))
    assert task.shape == (3, 6, 4)
    reference = torch.nn.functional.interpolate(
        torch.from_numpy(images.transpose(0, 3, 1, 2)).double(), (6, 4), mode="bilinear", antialias=True
    )
    assert (torch.from_numpy(bytes_of(task).copy()) - reference).abs().max() <= 1.01
    assert tasks.images("shapes", data_dir=str(tmp_path), size=5).shape == (3, 5, 5)
    assert tasks.images("shapes", data_dir=str(tmp_path)).shape == (3, 12, 8), "each size has an entry of its own"


def test_numbered_files_of_the_hub_are_read_in_order_and_must_be_complete(tmp_path: Path) -> None:
    images, place = drawn(4, 3, 3), tmp_path / "parts" / "data"
    for number, part in enumerate((images[:3], images[3:])):
        write(place / f"train-0000{number}-of-00002-abc.parquet", part, [number] * len(part))
    write(place / "validation-00000-of-00001.parquet", images[:1], [1])
    task = tasks.images("parts", data_dir=str(tmp_path))
    np.testing.assert_array_equal(bytes_of(task), images[:, None])
    assert task.data.train.labels.tolist() == [0, 0, 0, 1]
    (place / "train-00001-of-00002-abc.parquet").unlink()
    with pytest.raises(ValueError, match="must hold 2 files of the split train, found 1"):
        tasks.images("parts", data_dir=str(tmp_path))


def test_classes_may_be_plain_numbers(tmp_path: Path) -> None:
    write_set(tmp_path / "plain", drawn(5, 3, 3), drawn(2, 3, 3), classes=None)
    assert tasks.images("plain", data_dir=str(tmp_path)).classes == ("0", "1", "2")


def test_the_variable_names_the_folder_and_the_argument_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root, size in (("one", 3), ("other", 4)):
        write_set(tmp_path / root / "shapes", drawn(2, size, size), drawn(1, size, size))
    monkeypatch.setenv("TCA_DATA", str(tmp_path / "one"))
    assert tasks.images("shapes").shape == (1, 3, 3)
    assert tasks.images("shapes", data_dir=str(tmp_path / "other")).shape == (1, 4, 4)


def test_a_missing_set_says_where_what_and_how(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        tasks.images("mnist", data_dir=str(tmp_path))
    message = str(caught.value)
    for part in (
        f"{tmp_path}/mnist/train.parquet",
        f"{tmp_path}/mnist/test.parquet",
        "columns image and label",
        f"python -m tasks.images fetch mnist --data-dir {tmp_path}",
    ):
        assert part in message
    assert "\n" not in message
    with pytest.raises(FileNotFoundError, match=r"neither data_dir nor TCA_DATA .* fetch cifar10 --data-dir DIR"):
        tasks.images("cifar10")
    assert tasks.make("images", name="mnist").name == "mnist", "a run can be read where its images are not"


def test_unknown_names_offer_the_nearest_and_half_a_set_is_named(tmp_path: Path) -> None:
    write_set(tmp_path / "shapes", drawn(2, 3, 3), drawn(1, 3, 3))
    for name, message in (
        ("mnits", "unknown image set 'mnits', did you mean 'mnist'"),
        ("shape", f"did you mean 'shapes'.*; folders with a train.parquet were looked for in {tmp_path}"),
        ("../shapes", "unknown image set"),
    ):
        with pytest.raises(ValueError, match=message):
            tasks.make("images", name=name, data_dir=str(tmp_path))
    with pytest.raises(TypeError, match="name must be a string, got 3"):
        tasks.make("images", name=3)
    with pytest.raises(ValueError, match="looked for nowhere, as neither data_dir nor TCA_DATA is set"):
        tasks.images("shapes")
    write_set(tmp_path / "mnist", drawn(2, 28, 28), drawn(1, 28, 28))
    with pytest.raises(
        ValueError, match="Allowed: cifar10, cifar100, digits, fashion_mnist, mnist, shapes, tiny_imagenet;"
    ):
        tasks.make("images", name="mnits", data_dir=str(tmp_path))
    (tmp_path / "shapes" / "test.parquet").unlink()
    with pytest.raises(FileNotFoundError, match="shapes is incomplete"):
        tasks.images("shapes", data_dir=str(tmp_path))


def test_a_known_name_promises_that_very_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = drawn(6, 28, 28)
    write_set(tmp_path / "mnist", images, images[:3])
    with pytest.raises(ValueError, match=r"MNIST has 60000 training images.*, got 6, 3 and 3: a part of it needs"):
        tasks.images("mnist", data_dir=str(tmp_path))
    small(monkeypatch, "mnist", 6, 3)
    assert tasks.images("mnist", data_dir=str(tmp_path)).title == "MNIST"
    write_set(tmp_path / "jpeg" / "mnist", [encoded(each, "JPEG") for each in images], images[:3])
    with pytest.raises(ValueError, match="MNIST is lossless, got a JPEG image"):
        tasks.images("mnist", data_dir=str(tmp_path / "jpeg"))
    write_set(tmp_path / "small" / "mnist", drawn(6, 14, 14), drawn(3, 14, 14))
    with pytest.raises(ValueError, match=r"MNIST have shape \(28, 28\), got \(14, 14\)"):
        tasks.images("mnist", data_dir=str(tmp_path / "small"), size=28)


def test_other_folders_and_columns_of_a_known_set_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, "cifar10", 6, 3)
    images = drawn(6, 32, 32, 3)
    write_set(tmp_path / "cifar-10", images, images[:3], columns=("img", "label"))
    assert tasks.images("cifar10", data_dir=str(tmp_path)).title == "CIFAR-10"
    (tmp_path / "cifar-10").rename(tmp_path / "cifar10_jpeg")
    with pytest.raises(FileNotFoundError, match="CIFAR-10 is not here"):
        tasks.images("cifar10", data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ("cells", "labels", "options", "message"),
    [
        (drawn(2, 3, 3), [0, -1], {"classes": None}, "cannot be read at row 1: the class must be a number of 0"),
        ([drawn(1, 3, 3)[0], b"nothing"], [0, 1], {}, "cannot be read at row 1: cannot identify image"),
        ([encoded(drawn(1, 30, 30)[0])[:-300]], [0], {}, "cannot be read at row 0: "),
        (drawn(2, 3, 3), [0, 1], {"columns": ("picture", "label")}, "must have columns image and label, got picture, "),
        ([drawn(1, 3, 3)[0], drawn(1, 3, 4)[0]], [0, 1], {}, "differ in shape, .* give the size to resample to"),
        ([], [], {}, "holds no image"),
    ],
)
def test_files_that_are_not_what_they_should_be(
    tmp_path: Path, cells: Any, labels: list[int], options: dict[str, Any], message: str
) -> None:
    write(tmp_path / "odd" / "train.parquet", cells, labels, **options)
    write(tmp_path / "odd" / "test.parquet", drawn(1, 3, 3), [0], **options)
    with pytest.raises(ValueError, match=message) as caught:
        tasks.images("odd", data_dir=str(tmp_path))
    assert "\n" not in str(caught.value)
    assert not [each for each in (tmp_path / "cache").iterdir() if each.is_dir()], "nothing half made stays"


def test_a_file_that_is_no_parquet_and_paths_in_the_place_of_images(tmp_path: Path) -> None:
    write_set(tmp_path / "odd", drawn(1, 3, 3), drawn(1, 3, 3))
    (tmp_path / "odd" / "test.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"odd/test.parquet cannot be read: "):
        tasks.images("odd", data_dir=str(tmp_path))
    rows = {"image": [{"bytes": None, "path": "https://example.org/1.png"}], "label": [0]}
    kinds = {"image": pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()}), "label": pyarrow.int64()}
    pyarrow.parquet.write_table(pyarrow.table(rows, schema=pyarrow.schema(kinds)), tmp_path / "odd" / "test.parquet")
    with pytest.raises(ValueError, match="the image must be there as bytes"):
        tasks.images("odd", data_dir=str(tmp_path))


def test_decoding_asks_nothing_of_the_network_and_writes_into_the_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "data" / "shapes", drawn(4, 3, 3), drawn(2, 3, 3))
    asked: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> None:
        asked.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    before = sorted(tmp_path.glob("**/*"))
    task = tasks.images("shapes", data_dir=str(tmp_path / "data"))
    next(iter(task.split(4, 2, seed=0)[0].batches(2, seed=0)))
    new = {each.relative_to(tmp_path).parts[0] for each in tmp_path.glob("**/*") if each not in before}
    assert (asked, new) == ([], {"cache"})
    assert not list((tmp_path / "cache").glob("*/scratch")), "what datasets writes is swept up"
    with pytest.raises(OSError, match="no network"):
        socket.create_connection(("example.org", 80))
    assert asked, "the trap works"


def test_images_are_decoded_once_and_anew_when_the_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "shapes", drawn(4, 3, 3), drawn(2, 3, 3))
    first = bytes_of(tasks.images("shapes", data_dir=str(tmp_path))).copy()
    sources._opened.cache_clear()
    monkeypatch.setattr(sources, "shards", None)
    (tmp_path / "moved").mkdir()
    (tmp_path / "shapes").rename(tmp_path / "moved" / "shapes")
    np.testing.assert_array_equal(bytes_of(tasks.images("shapes", data_dir=str(tmp_path / "moved"))), first)
    monkeypatch.undo()
    monkeypatch.setenv("TCA_CACHE", str(tmp_path / "cache"))
    write_set(tmp_path / "moved" / "shapes", drawn(4, 3, 3, seed=5), drawn(2, 3, 3))
    assert (bytes_of(tasks.images("shapes", data_dir=str(tmp_path / "moved"))) != first).any()


@pytest.mark.slow
def test_without_datasets_the_library_imports_and_the_error_names_the_extra(tmp_path: Path) -> None:
    write_set(tmp_path / "shapes", drawn(2, 3, 3), drawn(1, 3, 3))
    code = (
        "import sys; sys.modules['datasets'] = sys.modules['pyarrow'] = None\n"
        "import tasks; tasks.images('digits').split(5, 5, seed=0)\n"
        f"try: tasks.images('shapes', data_dir={str(tmp_path)!r})\n"
        "except ImportError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert result.stderr == ""
    assert "pip install 'temporal-credit-assignment[vision]'" in result.stdout


class Stub:
    """What stands in the place of the hub."""

    def __init__(self, parts: dict[str, Any]) -> None:
        self.parts, self.asked = parts, list[str]()

    def __call__(self, name: str) -> Any:
        self.asked.append(name)
        return datasets.DatasetDict(self.parts)


def hub_rows(images: Pixels, columns: tuple[str, str]) -> Any:
    features = datasets.Features(
        {
            columns[0]: datasets.Image(),
            columns[1]: datasets.ClassLabel(names=list(CLASSES)),
            "other": datasets.Value("int64"),
        }
    )
    cells = [{"bytes": encoded(each), "path": None} for each in images]
    labels = [place % 3 for place in range(len(images))]
    return datasets.Dataset.from_dict({columns[0]: cells, columns[1]: labels, "other": labels}, features=features)


@pytest.mark.parametrize("name", ["mnist", "cifar100", "tiny_imagenet"])
def test_fetching_asks_the_hub_once_and_leaves_what_the_task_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    small(monkeypatch, name, 6, 3)
    known = KNOWN[name]
    shape = known.shape[1:] if known.shape[0] == 1 else (*known.shape[1:], 3)
    train, test = drawn(6, *shape), drawn(3, *shape, seed=1)
    columns = (known.image, known.label)
    hub = Stub({"train": hub_rows(train, columns), known.test_split: hub_rows(test, columns)})
    monkeypatch.setattr(datasets, "load_dataset", hub)
    root = tmp_path / "data"
    assert main(["fetch", name, "--data-dir", str(root)]) == 0
    assert capsys.readouterr().out == f"{known.title} is in {root / name}\n"
    assert sorted(str(each.relative_to(root)) for each in root.glob("**/*")) == [
        name,
        f"{name}/test.parquet",
        f"{name}/train.parquet",
    ]
    task = tasks.images(name, data_dir=str(root))
    assert (task.title, task.pool_sizes) == (known.title, {"train": 6, "validation": 0, "test": 3})
    wanted = test[:, None] if known.shape[0] == 1 else test.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(bytes_of(task, "test"), wanted)
    assert fetch(name, str(root)) == root / name
    assert hub.asked == [known.hub], "what is there is not fetched again"


def test_fetching_refuses_what_is_not_the_set_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small(monkeypatch, "mnist", 6, 3)
    rows = hub_rows(drawn(6, 28, 28), ("image", "label"))
    monkeypatch.setattr(datasets, "load_dataset", Stub({"train": rows, "test": rows}))
    with pytest.raises(ValueError, match="ylecun/mnist must have 3 rows in its split test, got 6"):
        fetch("mnist", str(tmp_path))
    monkeypatch.setattr(datasets, "load_dataset", Stub({"train": rows}))
    with pytest.raises(ValueError, match="unknown split of ylecun/mnist 'test'"):
        fetch("mnist", str(tmp_path))

    def unreachable(_: str) -> None:
        raise ConnectionError("the hub\ncannot be reached")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    capsys.readouterr()
    assert main(["fetch", "mnist", "--data-dir", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "tasks.images: the hub cannot be reached\n"
    assert not list(tmp_path.glob("**/*.parquet"))
    assert not list(tmp_path.glob(".mnist*"))
    for name, message in (("mnits", "did you mean 'mnist'"), ("digits", "come with scikit-learn")):
        with pytest.raises(ValueError, match=message):
            fetch(name, str(tmp_path))
    with pytest.raises(ValueError, match="data_dir must name the folder to put MNIST in, as TCA_DATA is not set"):
        fetch("mnist")


def test_the_list_shows_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_set(tmp_path / "shapes", drawn(1, 3, 3), drawn(1, 3, 3))
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(KNOWN)
    assert f"shapes: shapes, in {tmp_path / 'shapes'}" in lines
    assert any("fetch cifar100 --data-dir" in line for line in lines)


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    write_set(tmp_path / "shapes", drawn(30, 9, 9), drawn(2, 9, 9))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(
            CacheError, match=f"cannot write the cache of images in {tmp_path / 'cache'}: File too"
        ) as e:
            tasks.images("shapes", data_dir=str(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cache_dir or by the variable TCA_CACHE" in str(e.value)
    assert not [each for each in (tmp_path / "cache").iterdir() if each.is_dir()]
    assert len(tasks.images("shapes", data_dir=str(tmp_path)).data.train) == 30


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    write_set(tmp_path / "shapes", drawn(1, 3, 3), drawn(1, 3, 3))
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="file/cache: Not a directory; name another folder by cache_dir"):
        tasks.images("shapes", data_dir=str(tmp_path), cache_dir=str(tmp_path / "file" / "cache"))
    task = tasks.images("shapes", data_dir=str(tmp_path), cache_dir=str(tmp_path / "mine"))
    assert list((tmp_path / "mine").glob("shapes-*/train.images"))
    assert task.data.train.images.shape == (1, 1, 3, 3)


def test_the_cache_is_where_the_system_keeps_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_set(tmp_path / "shapes", drawn(1, 3, 3), drawn(1, 3, 3))
    monkeypatch.delenv("TCA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    _ = tasks.images("shapes", data_dir=str(tmp_path)).data
    assert list((tmp_path / "xdg" / "tca" / "images").glob("shapes-*"))


def test_the_page_names_every_set_and_every_option() -> None:
    page = ROOT / "docs" / "data.md"
    if not page.exists():
        pytest.skip("no pages beside an installed package")
    text = page.read_text(encoding="utf-8")
    for name, known in KNOWN.items():
        assert f"| `{name}` | {known.title}" in text
        assert f"{known.train:,} / {known.test:,}" in text
        assert f"`{known.hub}`" in text
    for option in dataclasses.fields(ImageTask):
        assert f"`{option.name}`" in text or f"<{option.name}>" in text, option.name


def test_what_the_page_imports_is_there() -> None:
    """Every augmentation that the page lists comes by the import that it names, with the options that it names."""
    page = ROOT / "docs" / "data.md"
    if not page.exists():
        pytest.skip("no pages beside an installed package")
    text = page.read_text(encoding="utf-8")
    imports = re.findall(r"^ *(from tasks\S* import .*)$", text, re.MULTILINE)
    assert imports
    for line in imports:
        exec(line, {})
    (listed,) = re.findall(r"values that are imported by `from (tasks\.images) import`(.*?)They act", text, re.DOTALL)
    calls = dict(re.findall(r"`(\w+)\(([\w,\s]+)\)`", listed[1]))
    assert set(calls) == set(AUGMENTATIONS)
    for name, options in calls.items():
        known = {each.name for each in dataclasses.fields(getattr(importlib.import_module(listed[0]), name))}
        assert set(re.split(r",\s*", options)) == known, name
    for name in re.findall(r"`?tasks\.(\w+)\(", text):
        assert callable(getattr(tasks, name)), name
