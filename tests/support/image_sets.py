"""Small image sets in parquet files, as Hugging Face `datasets` and others write them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("circle", "square", "star")
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def drawn(count: int, *shape: int, seed: int = 0) -> Pixels:
    """Random images; grey ones have shape (H, W), colour ones (H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def encoded(image: Pixels | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def write(
    path: Path,
    images: Sequence[Any],
    labels: Sequence[int],
    columns: tuple[str, str] = ("image", "label"),
    classes: Sequence[str] | None = CLASSES,
) -> None:
    """Write a parquet file with Hugging Face `datasets`; images are arrays or bytes."""
    import datasets

    cells = [{"bytes": each if isinstance(each, bytes) else encoded(each), "path": None} for each in images]
    label = datasets.Value("int64") if classes is None else datasets.ClassLabel(names=list(classes))
    features = datasets.Features({columns[0]: datasets.Image(), columns[1]: label})
    path.parent.mkdir(parents=True, exist_ok=True)
    table = datasets.Dataset.from_dict(dict(zip(columns, (cells, list(labels)), strict=True)), features=features)
    with open(path, "wb") as file:  # a path would be taken as a pattern
        table.to_parquet(file)


def write_set(folder: Path, train: Sequence[Any], test: Sequence[Any], test_file: str = "test", **options: Any) -> None:
    """Write both splits; classes take turns."""
    for name, images in (("train", train), (test_file, test)):
        write(folder / f"{name}.parquet", images, [place % 3 for place in range(len(images))], **options)


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Write a parquet file of any columns, without metadata; images as arrays become the bytes of PNG files."""
    import pyarrow
    import pyarrow.parquet

    cells = {
        name: [encoded(each) if isinstance(each, np.ndarray) else each for each in column]
        if isinstance(column, list)
        else column
        for name, column in columns.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        pyarrow.parquet.write_table(pyarrow.table(cells), file)


def png(width: int, rows: Sequence[bytes], depth: int, kind: int, **chunks: bytes) -> bytes:
    """Return a PNG file made by hand: rows of packed samples, and chunks such as ``PLTE`` and ``tRNS``."""

    def chunk(name: str, content: bytes) -> bytes:
        body = name.encode() + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    parts = {"IHDR": header, **chunks, "IDAT": zlib.compress(b"".join(b"\0" + row for row in rows)), "IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts.items())
