"""Reading the rows of parquet files: images as the bytes of their files, classes as they are written.

pyarrow opens each file by its own name, so names are never patterns or addresses and no network is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

from tasks.images.catalogue import KnownSet
from tasks.images.folders import shown

__all__ = ["Shard", "pyarrow", "shards", "unreadable"]

ROWS_AT_ONCE = 128
Read = TypeVar("Read")


def pyarrow() -> Any:
    """Return pyarrow with its reader of parquet files.

    Raises:
        ImportError: It is not installed; the message names the extra.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "image sets other than digits need pyarrow and Pillow: pip install 'temporal-credit-assignment[vision]'"
        ) from error
    return pyarrow


def unreadable(path: Path, error: object, row: int | None = None) -> ValueError:
    """Return the error to raise for a file that is not as it should be, in one line.

    Args:
        path: The file.
        error: What is wrong.
        row: Where, counted from 0 within the file.
    """
    reason = error if str(error) else type(error).__name__
    where = "" if row is None else f" at row {row}"
    return ValueError(f"{shown(path)} cannot be read{where}: {shown(' '.join(str(reason).split()))}")


def shards(files: Sequence[Path], known: KnownSet | None) -> list[Shard]:
    """Return those files of a split that hold any rows, in order.

    Args:
        files: Parquet files, in order.
        known: What the set must be, if its name says so.

    Raises:
        ValueError: A file cannot be read or has other columns, or none of them has rows.
        ImportError: pyarrow is not installed.
    """
    each = [Shard(path, known) for path in files]
    if not any(map(len, each)):
        raise ValueError(f"{', '.join(map(shown, files))} holds no image")
    return [shard for shard in each if len(shard)]


class Shard:
    """One parquet file; an empty one may have any columns.

    Args:
        path: The file.
        known: What the set must be, if its name says so.

    Attributes:
        names: Names of the classes, ``None`` if the file does not declare them.
        label: The type of the column of classes.

    Raises:
        ValueError: The file cannot be read or has other columns.
        ImportError: pyarrow is not installed.
    """

    def __init__(self, path: Path, known: KnownSet | None) -> None:
        """Read the names and types of the columns, and the number of rows."""
        self.path, arrow = path, pyarrow()
        try:
            with open(path, "rb") as file, _table(arrow, file) as table:
                self._rows, schema = table.metadata.num_rows, table.schema_arrow
            if not self._rows:
                return
            self._image = _column("image", known.image if known else "image", schema.names)
            self._label = _column("label", known.label if known else "label", schema.names)
            kind, self.label = schema.field(self._image).type, schema.field(self._label).type
            if not _holds_files(kind, arrow.types):
                raise ValueError(f"column {self._image} must hold the bytes of image files, got {kind}")
            self.names = _declared(schema.metadata, self._label)
        except Exception as error:  # Arrow's errors have no common base that is theirs alone
            raise unreadable(path, error) from error

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._rows)

    def labels(self) -> list[Any]:
        """Return the classes as they are written, in order.

        Raises:
            ValueError: The file is damaged.
        """
        arrow = pyarrow()
        try:
            with open(self.path, "rb") as file, _table(arrow, file) as table:
                column = table.read(columns=[self._label]).column(self._label)
            values: list[Any] = column.to_pylist()
        except Exception as error:
            raise unreadable(self.path, error) from error
        self._complete(len(values))
        return values

    def images(self, read: Callable[[bytes], Read]) -> Iterator[Read]:
        """Yield what becomes of every image, in order.

        Args:
            read: Takes the bytes of an image file; what it raises is reported with the row.

        Raises:
            ValueError: A row holds no image, or the file is damaged.
        """
        arrow, row = pyarrow(), 0
        try:
            with open(self.path, "rb") as file, _table(arrow, file) as table:
                for part in table.iter_batches(ROWS_AT_ONCE, columns=[self._image]):
                    for cell in part.column(self._image).to_pylist():
                        content = cell["bytes"] if isinstance(cell, dict) else cell
                        if not content:
                            raise ValueError("the image must be there as bytes, not as a path or nothing")
                        pixels = read(content)
                        yield pixels
                        row += 1
        except Exception as error:  # libraries that decode damaged images raise errors of every kind
            raise unreadable(self.path, error, row) from error
        self._complete(row)

    def _complete(self, rows: int) -> None:
        if rows != len(self):
            raise unreadable(self.path, f"{len(self)} rows were announced, {rows} are there")


def _table(arrow: Any, file: IO[bytes]) -> Any:
    return arrow.parquet.ParquetFile(file, page_checksum_verification=True)  # of pages that have checksums


def _column(name: str, other: str, names: Sequence[str]) -> str:
    for each in (name, other):
        if names.count(each) == 1:
            return each
    raise ValueError(f"it must have columns image and label, got {', '.join(names)}")


def _holds_files(kind: Any, types: Any) -> bool:
    if types.is_struct(kind):  # as Hugging Face `datasets` keeps images
        place = kind.get_field_index("bytes")
        return place >= 0 and (types.is_null(kind.field(place).type) or _is_bytes(kind.field(place).type, types))
    return _is_bytes(kind, types)


def _is_bytes(kind: Any, types: Any) -> bool:
    kind = kind.value_type if types.is_dictionary(kind) else kind
    names = ("binary", "large_binary", "binary_view", "fixed_size_binary")
    return any(getattr(types, f"is_{name}")(kind) for name in names)


def _declared(metadata: Any, label: str) -> tuple[str, ...] | None:
    """Return the names of the classes that Hugging Face `datasets` has written into a file's metadata."""
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
