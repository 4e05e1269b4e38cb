"""JSON of records within bounds, with checksums that reveal edited and exchanged files.

A sealed JSON file contains the format of records, the name of its run, and the SHA-256 of its other content. The
companions of a file are the other files of its record, each with size and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tca.experiments.records.files import RecordError, facts, read_bytes, write_whole
from tca.utils.text import in_a_line

__all__ = [
    "FORMAT", "LARGEST_JSON", "LARGEST_TENSORS", "Companions", "check_companions", "companions", "parsed", "read_json",
    "sealed", "unsealed", "write_json",
]  # fmt: skip

FORMAT = 2  # of records: 1 had no checksums
LARGEST_JSON = 1 << 24  # bytes
LARGEST_TENSORS = 1 << 33
DEEPEST = 64
LARGEST_INTEGER = 1 << 64

NAMES = re.compile(r"(run|agent)\.json|metrics\.jsonl|(weights|learner|normalisation|at_loss_[\w.+-]+)\.safetensors")

Companions = dict[str, dict[str, int | str]]


def parsed(content: bytes) -> dict[str, Any]:
    """Return the dictionary in strict JSON, within bounds of size, depth and numbers.

    Raises:
        ValueError: It is no dictionary, or exceeds a bound.

    >>> parsed(b'{"steps": 3}')
    {'steps': 3}
    """
    if len(content) > LARGEST_JSON:
        raise ValueError(f"more than {LARGEST_JSON} bytes")
    try:
        value = json.loads(content.decode(), parse_constant=_refused)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it must hold a dictionary, got {type(value).__name__}")
    _check(value)
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Return the dictionary in a JSON file.

    Raises:
        RecordError: It cannot be read, is too large, or is no dictionary.
    """
    content = read_bytes(path, LARGEST_JSON)
    try:
        return parsed(content)
    except (ValueError, MemoryError) as error:
        raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error) or 'out of memory'}") from error


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a dictionary as a JSON file that `read_json` reads.

    Raises:
        RecordError: It is too large, too deep, or not strict JSON.
    """
    try:
        content = json.dumps(values, indent=2, allow_nan=False).encode()
        parsed(content)
    except (ValueError, TypeError) as error:
        raise RecordError(f"cannot write {in_a_line(path)}: {in_a_line(error)}") from error
    write_whole(path, content)


def sealed(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a dictionary with the format, the run's name and a checksum.

    >>> unsealed(sealed("a", {"step": 3}))["step"]
    3
    """
    whole = {"format": FORMAT, "name": name, **values}
    return {**whole, "sha256": _digest(whole)}


def unsealed(values: Mapping[str, Any], name: str | None = None) -> dict[str, Any]:
    """Return a sealed dictionary, or raise if it was edited or is of another run.

    Args:
        name: Expected name of the run; ``None`` (default) for any.

    Raises:
        ValueError: The reason.

    >>> unsealed({**sealed("a", {"step": 3}), "step": 4})
    Traceback (most recent call last):
    ValueError: it was edited or damaged: its checksum is another
    """
    if values.get("format") != FORMAT:
        raise ValueError(f"it is of format {values.get('format', 1)!r}, and this version reads format {FORMAT} alone")
    if values.get("sha256") != _digest({key: each for key, each in values.items() if key != "sha256"}):
        raise ValueError("it was edited or damaged: its checksum is another")
    if name is not None and values.get("name") != name:
        raise ValueError(f"it belongs to another run: {values.get('name')!r} there, {name!r} here")
    return dict(values)


def companions(folder: Path, names: Iterable[str]) -> Companions:
    """Return size and checksum of files of a record, by name.

    Raises:
        RecordError: A file cannot be read.
    """
    return {name: facts(folder / name, LARGEST_TENSORS) for name in names}


def check_companions(folder: Path, expected: object) -> None:
    """Raise unless files of a record have the same size and checksum as before.

    Args:
        expected: Value of `companions` at that time.

    Raises:
        RecordError: A file is missing, edited or exchanged.
    """
    if not isinstance(expected, dict) or not expected:
        raise RecordError(f"the record in {in_a_line(folder)} is damaged: it names no companions")
    for name, known in expected.items():
        if not NAMES.fullmatch(name):
            raise RecordError(f"the record in {in_a_line(folder)} is damaged: {in_a_line(name)} is no file of a record")
        path = folder / name
        size = known.get("bytes") if isinstance(known, dict) else None
        if isinstance(size, int) and path.is_file() and path.stat().st_size != size:
            raise RecordError(f"{in_a_line(path)} was edited or comes from another run: its size is another")
        if facts(path, LARGEST_TENSORS) != known:
            raise RecordError(f"{in_a_line(path)} was edited or comes from another run: its checksum is another")


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _check(value: object) -> None:
    """Raise unless numbers are finite and within bounds, and nesting is not too deep."""
    level = [value]
    for _ in range(DEEPEST):
        if any(isinstance(each, float) and not math.isfinite(each) for each in level):
            raise ValueError("a number is too large")
        if any(isinstance(each, int) and abs(each) > LARGEST_INTEGER for each in level):
            raise ValueError("an integer is too large")
        nested = [each for each in level if isinstance(each, (dict, list))]
        level = [part for each in nested for part in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return
    raise ValueError(f"nested more than {DEEPEST} deep")
