"""Damaged image sets: one line that names the file, and the row where there is one, and nothing left in the cache."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tasks
from tests.support.image_sets import Pixels, drawn, encoded, png, write_table

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.usefixtures("image_folders")
GOOD = drawn(8, 12, 12, 3)
DAMAGED_ROW = 2
READ = "cannot be read"


def whole_set(folder: Path) -> Path:
    """Write a set of three files and return that of the second half of its training images."""
    parts = {"train-0-of-2": GOOD[:3], "train-1-of-2": GOOD[3:6], "test": GOOD[6:]}
    for name, images in parts.items():
        write_table(folder / f"{name}.parquet", {"image": list(images), "label": [0, 1, 0][: len(images)]})
    return folder / "train-1-of-2.parquet"


def refused(tmp_path: Path, message: str = READ, **options: Any) -> str:
    """Return what is said of a set, twice the same, in one line and with nothing in the cache."""
    said = []
    for _ in range(2):
        with pytest.raises(ValueError, match=message) as caught:
            tasks.images("odd", data_dir=str(tmp_path), **options)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "\n" not in said[0]
    assert not [each for each in tmp_path.glob("cache/*") if each.is_dir()], "half a set stays in the cache"
    return said[0]


def frames(form: str, **options: Any) -> bytes:
    first, *others = (Image.fromarray(each) for each in GOOD[:3])
    return encoded(first, form, save_all=True, append_images=others, **options)


def flat(width: int, height: int) -> bytes:
    """A PNG of so many black pixels in a few bytes."""
    row = b"\0" * (1 + (width + 7) // 8)
    deflate = zlib.compressobj(9)
    data = b"".join(deflate.compress(row * 64) for _ in range((height + 63) // 64)) + deflate.flush()
    head = png(1, [b"\0"], 1, 0)[:8]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return head + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


def cut(form: str, share: float, **options: Any) -> bytes:
    content = encoded(GOOD[0], form, **options)
    return content[: int(len(content) * share)]


PNG = encoded(GOOD[0])
TURNED = Image.Exif()
TURNED[0x0112] = 6
CELLS: dict[str, tuple[Any, str]] = {
    "nothing": (None, "must be there as bytes"),
    "no bytes": (b"", "must be there as bytes"),
    "words": (b"<html>404 Not Found</html>", "cannot identify image"),
    "a vector graphic": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot identify image"),
    "a program": (encoded(GOOD[0], "EPS"), "made of pixels, got EPS"),
    **{f"{form} cut at {share}": (cut(form, share), READ)
       for form in ("PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG", "JPEG2000") for share in (0.05, 0.5, 0.9)},
    "a signature alone": (PNG[:8], "cannot identify image"),
    "a header alone": (PNG[:33], READ),
    "a wrong checksum": (flipped(PNG, 29), READ),
    "a wrong size": (flipped(PNG, 18), READ),
    "pixels changed": (flipped(PNG, 60), READ),
    "the end missing": (PNG[: PNG.index(b"IDAT") + 20], READ),
    "a colour outside the palette": (png(12, [bytes([0, 1, 3] * 4)] * 12, 8, 3, PLTE=bytes(9)), "not in the palette"),
    "no palette": (png(12, [bytes(12)] * 12, 8, 3), READ),
    "a bomb": (lambda: flat(30_000, 30_000), "decompression bomb"),
    "a smaller bomb": (lambda: flat(11_000, 9_000), "decompression bomb"),
    "a bomb of text": (lambda: png(12, [bytes(36)] * 12, 8, 2, zTXt=b"a\0\0" + zlib.compress(bytes(10**8))), READ),
    "an animated GIF": (frames("GIF"), "must be still, got an animated GIF"),
    "an animated PNG": (frames("PNG"), "must be still, got an animated PNG"),
    "an animated WebP": (frames("WEBP"), "must be still, got an animated WEBP"),
    "pages": (frames("TIFF"), "must be still, got an animated TIFF"),
    "16 bits": (encoded(Image.fromarray(np.zeros((12, 12), np.uint16))), "mode I;16"),
    "16 bits of colour": (png(12, [bytes(72)] * 12, 16, 2), "mode RGB;16B"),
    "floats": (encoded(Image.fromarray(np.zeros((12, 12), np.float32)), "TIFF"), "mode F"),
    "another size": (encoded(drawn(1, 12, 13, 3)[0]), r"shape, \(3, 12, 12\) and \(3, 12, 13\): give the size"),
    "another size once turned": (encoded(drawn(1, 12, 13, 3)[0], exif=TURNED), r"\(3, 12, 12\) and \(3, 13, 12\)"),
    "a picture that white hides": (encoded(Image.fromarray(np.dstack([GOOD[0] | 255, GOOD[0, ..., 0]]))), "on white"),
}  # fmt: skip


def cell(case: str) -> Any:
    """Return what stands in the cell; bombs are made when they are wanted."""
    content = CELLS[case][0]
    return content() if callable(content) else content


@pytest.mark.thirds
@pytest.mark.parametrize("case", CELLS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_image_is_named_by_file_and_row(tmp_path: Path, case: str) -> None:
    damaged = whole_set(tmp_path / "odd")
    write_table(damaged, {"image": [GOOD[3], GOOD[4], cell(case)], "label": [0, 1, 0]})
    assert refused(tmp_path, CELLS[case][1]).startswith(f"{damaged} cannot be read at row {DAMAGED_ROW}: ")


@pytest.mark.parametrize("case", ["JPEG cut at 0.5", "a smaller bomb", "16 bits of colour", "nothing"])
@pytest.mark.parametrize("options", [{}, {"size": 5}, {"grey": True}])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_so_it_is_in_test_images_at_another_size_and_in_grey(
    tmp_path: Path, case: str, options: dict[str, Any]
) -> None:
    whole_set(tmp_path / "odd")
    damaged = tmp_path / "odd" / "test.parquet"
    write_table(damaged, {"image": [GOOD[6], cell(case)], "label": [0, 1]})
    assert refused(tmp_path, **options).startswith(f"{damaged} cannot be read at row 1: ")


def table(**columns: Any) -> Callable[[Path], None]:
    return lambda path: write_table(path, columns)


def bytes_of(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(change(path.read_bytes())), None)[1]


def declared(names: Any, cut: bool = False) -> Callable[[Path], None]:
    """A file whose metadata declares names of classes."""
    written = json.dumps({"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}})

    def make(path: Path) -> None:
        schema = pyarrow.schema(
            [("image", pyarrow.binary()), ("label", pyarrow.int64())], {"huggingface": names if cut else written}
        )
        rows = {"image": [encoded(each) for each in GOOD[3:6]], "label": [0, 1, 0]}
        parquet.write_table(pyarrow.table(rows, schema=schema), path)

    return make


def doubled(path: Path) -> None:
    columns = [pyarrow.array([PNG]), pyarrow.array([PNG]), pyarrow.array([0])]
    parquet.write_table(pyarrow.Table.from_arrays(columns, ["image", "image", "label"]), path)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


ROWS = [GOOD[3], GOOD[4], GOOD[5]]
FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "no bytes": (bytes_of(lambda content: b""), READ),
    "no parquet": (bytes_of(lambda content: b"something else entirely"), READ),
    "the first half": (bytes_of(lambda content: content[: len(content) // 2]), READ),
    "all but the end": (bytes_of(lambda content: content[:-1]), READ),
    "the second half": (bytes_of(lambda content: content[len(content) // 2 :]), READ),
    "zeros in the footer": (bytes_of(lambda content: content[:-200] + bytes(192) + content[-8:]), READ),
    "zeros in the pages": (bytes_of(lambda content: content[:4] + bytes(300) + content[304:]), READ),
    "ends swapped": (bytes_of(lambda content: content[-8:] + content[8:-8] + content[:8]), READ),
    "other columns": (table(picture=ROWS, label=[0, 1, 0]), "must have columns image and label, got picture, label"),
    "no classes": (table(image=ROWS), "must have columns image and label, got image$"),
    "capitals": (table(Image=ROWS, Label=[0, 1, 0]), "must have columns image and label, got Image, Label"),
    "a column twice": (doubled, "must have columns image and label, got image, image, label"),
    "paths": (table(image=["a.png", "b.png", "c.png"], label=[0, 1, 0]), "the bytes of image files, got string"),
    "numbers as images": (table(image=[1, 2, 3], label=[0, 1, 0]), "the bytes of image files, got int64"),
    "lists as images": (table(image=[[1], [2], [3]], label=[0, 1, 0]), "the bytes of image files, got list"),
    "structs without bytes": (table(image=[{"path": "a"}] * 3, label=[0, 1, 0]), "the bytes of image files, got st"),
    "structs of structs": (table(image=[{"bytes": {"bytes": PNG}}] * 3, label=[0, 1, 0]), "image files, got struct"),
    "metadata cut short": (declared('{"info": ', cut=True), "metadata by Hugging Face datasets are damaged"),
    "metadata of brackets": (declared("[" * 10**5, cut=True), "metadata by Hugging Face datasets are damaged"),
    "words as bytes": (table(image=[{"bytes": "a"}] * 3, label=[0, 1, 0]), "the bytes of image files, got struct"),
    "lists as classes": (table(image=ROWS, label=[[0], [1], [0]]), "whole numbers or words, got list"),
    "fractions as classes": (table(image=ROWS, label=[0.5, 1.0, 0.0]), "whole numbers or words, got double"),
    "dates as classes": (table(image=ROWS, label=pyarrow.array([0, 1, 0], pyarrow.date32())), "or words, got date32"),
    "words beside numbers": (table(image=ROWS, label=["0", "1", "0"]), "classes are words, those of .* are numbers"),
    "names that are one name": (declared(["cat", "cat"]), "two of its classes have the same name"),
    "names that are numbers": (declared([1, 2]), "names of its classes must be a list of words"),
    "a name that is a word": (declared("cat"), "names of its classes must be a list of words"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_damaged_file_is_named(tmp_path: Path, case: str) -> None:
    change, message = FILES[case]
    damaged = whole_set(tmp_path / "odd")
    change(damaged)
    assert refused(tmp_path, message).startswith(f"{damaged} cannot be read")


@pytest.mark.parametrize(
    ("labels", "row", "message"),
    [
        ([0, None, 1], 1, "got None"),
        ([0, 1, -1], 2, "got -1"),
        ([-(2**63), 1, 0], 0, "got -9223372036854775808"),
    ],
)
def test_a_row_without_a_class_is_named(tmp_path: Path, labels: list[Any], row: int, message: str) -> None:
    damaged = whole_set(tmp_path / "odd")
    write_table(damaged, {"image": ROWS, "label": labels})
    assert refused(tmp_path, message).startswith(f"{damaged} cannot be read at row {row}: ")


def test_any_byte_may_be_wrong(tmp_path: Path) -> None:
    """Either the change is noticed, or it was one of no consequence: pixels are never wrong."""
    damaged = whole_set(tmp_path / "odd")
    content, noticed = damaged.read_bytes(), 0
    for place in range(0, len(content), 37):
        damaged.write_bytes(flipped(content, place))
        said = None
        try:
            task = tasks.images("odd", data_dir=str(tmp_path), cache_dir=str(tmp_path / "cache" / str(place)))
        except ValueError as error:
            said = str(error)
        if said is None:
            np.testing.assert_array_equal(task.data.train.images, GOOD[:6].transpose(0, 3, 1, 2))
            continue
        noticed += 1
        assert "\n" not in said
        assert str(damaged) in said
        assert not [each for each in tmp_path.glob(f"cache/{place}/*") if each.is_dir()]
    assert noticed > 50


def empty(path: Path, **columns: Any) -> None:
    write_table(
        path, columns or {"image": pyarrow.array([], pyarrow.binary()), "label": pyarrow.array([], pyarrow.int64())}
    )


def test_empty_files_among_several_are_valid_and_an_empty_split_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    whole_set(folder)
    for number, columns in enumerate(({}, {"label": pyarrow.array([], pyarrow.null())}, {"other": []})):
        empty(folder / f"train-{number}-of-5.parquet", **columns)
    for number in (0, 1):
        (folder / f"train-{number}-of-2.parquet").rename(folder / f"train-{3 + number}-of-5.parquet")
    task = tasks.images("odd", data_dir=str(tmp_path))
    np.testing.assert_array_equal(task.data.train.images, GOOD[:6].transpose(0, 3, 1, 2))
    empty(folder / "test.parquet")
    with pytest.raises(ValueError, match=f"^{folder / 'test.parquet'} holds no image$"):
        tasks.images("odd", data_dir=str(tmp_path))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bytes_are_bytes_however_arrow_keeps_them(tmp_path: Path) -> None:
    whole_set(tmp_path / "odd")
    damaged, cells = tmp_path / "odd" / "train-1-of-2.parquet", pyarrow.array([PNG, PNG])
    kinds = (pyarrow.large_binary(), pyarrow.binary_view(), pyarrow.binary(len(PNG)))
    for column in (cells, cells.dictionary_encode(), *map(cells.cast, kinds)):
        write_table(damaged, {"image": column, "label": [0, 1]})
        images = tasks.images("odd", data_dir=str(tmp_path)).data.train.images
        np.testing.assert_array_equal(images[3:], GOOD[[0, 0]].transpose(0, 3, 1, 2))


def test_a_photograph_with_further_views_is_its_first(tmp_path: Path) -> None:
    views = frames("MPO")
    with Image.open(io.BytesIO(views)) as image:
        wanted: Pixels = np.asarray(image)
    for name, images in (("train", [views]), ("test", [GOOD[0]])):
        write_table(tmp_path / "odd" / f"{name}.parquet", {"image": images, "label": [0]})
    found = tasks.images("odd", data_dir=str(tmp_path)).data.train.images[0]
    np.testing.assert_array_equal(found.transpose(1, 2, 0), wanted)
