"""Rows of parquet files: images as the bytes of their files, classes as they are written.

pyarrow opens each file by its own name, so names are never patterns or addresses and the network is not used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tasks.images.catalogue import KnownSet
from tasks.images.folders import shown

__all__ = ["Shard", "pyarrow", "shards", "unreadable"]

ROWS_AT_ONCE = 128
BINARY = ("binary", "large_binary", "binary_view", "fixed_size_binary")
Read = TypeVar("Read")


def pyarrow() -> Any:
    """Return pyarrow with its reader of parquet files, or raise an ImportError that names the extra."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "image sets other than digits need pyarrow and Pillow: pip install 'temporal-credit-assignment[vision]'"
        ) from error
    return pyarrow


def unreadable(path: Path, error: object, row: int | None = None) -> ValueError:
    """Return the error for a file that is not as it should be, in one line.

    Args:
        row: Where, counted from 0 within the file.
    """
    reason = error if str(error) else type(error).__name__
    where = "" if row is None else f" at row {row}"
    return ValueError(f"{shown(path)} cannot be read{where}: {shown(' '.join(str(reason).split()))}")


def shards(files: Sequence[Path], known: KnownSet | None) -> list[Shard]:
    """Return the files of a split that hold any rows, in order, or raise a ValueError if there are none."""
    each = [Shard(path, known) for path in files]
    if not any(map(len, each)):
        raise ValueError(f"{', '.join(map(shown, files))} holds no image")
    return [shard for shard in each if len(shard)]


class Shard:
    """One parquet file; an empty one may have any columns. Reading it raises a ValueError of one line.

    Args:
        path: The file.
        known: The published set that the file must be of, if any.

    Attributes:
        names: Names of the classes, ``None`` if the file does not declare them.
        label: The type of the column of classes.
    """

    def __init__(self, path: Path, known: KnownSet | None) -> None:
        self.path = path
        with self._table() as table:
            self._rows, schema = table.metadata.num_rows, table.schema_arrow
            if not self._rows:
                return
            self._image = _column("image", known.image if known else "image", schema.names)
            self._label = _column("label", known.label if known else "label", schema.names)
            kind, self.label = schema.field(self._image).type, schema.field(self._label).type
            if not _holds_files(kind, pyarrow().types):
                raise ValueError(f"column {self._image} must hold the bytes of image files, got {kind}")
            self.names = _declared(schema.metadata, self._label)

    def __len__(self) -> int:
        return int(self._rows)

    def labels(self) -> list[Any]:
        """Return the classes as they are written, in order."""
        with self._table() as table:
            values: list[Any] = table.read(columns=[self._label]).column(self._label).to_pylist()
            self._complete(len(values))
        return values

    def images(self, read: Callable[[bytes], Read]) -> Iterator[Read]:
        """Yield every image, in order.

        Args:
            read: Converts the bytes of an image file; its errors are reported with the row.
        """
        with self._table(row=0) as table:
            for part in table.iter_batches(ROWS_AT_ONCE, columns=[self._image]):
                for cell in part.column(self._image).to_pylist():
                    content = cell["bytes"] if isinstance(cell, dict) else cell
                    if not content:
                        raise ValueError("the image must be there as bytes")
                    yield read(content)
                    self._row += 1
            self._complete(self._row)

    @contextmanager
    def _table(self, row: int | None = None) -> Iterator[Any]:
        """Open the file; errors within are those of the file, at the present row if rows are counted."""
        self._row, arrow = row or 0, pyarrow()
        try:
            with (
                open(self.path, "rb") as file,
                arrow.parquet.ParquetFile(file, page_checksum_verification=True) as table,  # where there are checksums
            ):
                yield table
        except Exception as error:  # errors of Arrow and of image decoders have no common base
            raise unreadable(self.path, error, None if row is None else self._row) from error

    def _complete(self, rows: int) -> None:
        if rows != len(self):
            raise ValueError(f"{len(self)} rows were announced, {rows} are there")


def _column(name: str, other: str, names: Sequence[str]) -> str:
    for each in (name, other):
        if names.count(each) == 1:
            return each
    raise ValueError(f"it must have columns image and label, got {', '.join(names)}")


def _holds_files(kind: Any, types: Any) -> bool:
    if types.is_struct(kind):  # as Hugging Face `datasets` keeps images
        place = kind.get_field_index("bytes")
        kind = kind.field(place).type if place >= 0 else None
        if kind is None or types.is_null(kind):
            return kind is not None
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return any(getattr(types, f"is_{name}")(kind) for name in BINARY)


def _declared(metadata: Any, label: str) -> tuple[str, ...] | None:
    """Return the class names that Hugging Face `datasets` has written into a file's metadata."""
    try:
        written = json.loads((metadata or {}).get(b"huggingface", "{}"))
    except (ValueError, RecursionError):
        raise ValueError("its metadata by Hugging Face datasets are damaged") from None
    try:
        names = written["info"]["features"][label]["names"]
    except (KeyError, TypeError):
        return None
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise ValueError("the names of its classes must be a list of words")
    if len(set(names)) != len(names):
        raise ValueError("two of its classes have the same name")
    return tuple(names) or None
