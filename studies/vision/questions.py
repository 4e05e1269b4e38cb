"""What the commands about images are asked for, checked before anything is trained: numbers, a folder, its images."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tasks
from tasks.images import Images
from tasks.images.folders import VARIABLE, data_root
from tca.utils.checks import positive, whole

Value = TypeVar("Value")

__all__ = ["count", "folder", "look_in", "opened", "rate"]


def count(word: str) -> int:
    """Return a whole number of at least 1, as ``argparse`` has it from a word.

    Args:
        word: The word.

    Raises:
        ArgumentTypeError: It is none.

    >>> count("3")
    3
    """
    return _read(word, lambda: whole("count", int(word), 1), "a whole number of at least 1")


def rate(word: str) -> float:
    """Return a number above zero, as ``argparse`` has it from a word.

    Args:
        word: The word.

    Raises:
        ArgumentTypeError: It is none.

    >>> rate("1e-3")
    0.001
    """
    return _read(word, lambda: positive("rate", float(word)), "a finite number greater than 0")


def _read(word: str, make: Callable[[], Value], allowed: str) -> Value:
    try:
        return make()
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {allowed}, got {word}") from None


def folder(word: str) -> Path:
    """Return a folder that is there, as ``argparse`` has it from a word.

    Args:
        word: The word.

    Raises:
        ArgumentTypeError: There is no such folder.
    """
    path = Path(word).expanduser()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be a folder that is there, got {word}")
    return path


def look_in(data: Path | None) -> bool:
    """Return whether image data can be looked for, having said where tasks look, here and in worker processes.

    Args:
        data: The folder of image data; ``None`` for that of the variable ``TCA_DATA``, if it is set.
    """
    if data is not None:
        os.environ[VARIABLE] = str(data)
    return data_root(None) is not None


def opened(options: Mapping[str, Any]) -> Images:
    """Return a task of images whose files have been opened, decoded if they have not been before.

    Args:
        options: Options of the task ``images``.

    Raises:
        ValueError: The images are not there, or not what they should be, or cannot be read; the message is one line.
    """
    others = dict(options)
    name = others.pop("name")
    try:
        return tasks.images(name, **others)
    except FileNotFoundError as error:
        raise ValueError(f"{error}; name its folder by --data or the variable {VARIABLE}") from error
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise ValueError(f"the images {name!r} cannot be used: {error}") from error
