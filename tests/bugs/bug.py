"""A bug: a change of text that a tired hand might make, and the tests that must notice it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bug"]


@dataclass(frozen=True)
class Bug:
    """``old``, found ``places`` times in ``file``, becomes ``new``; one of ``tests`` must fail.

    Tests are named as pytest names them: a file, or a file with a test of it, or one set of its
    parameters, where the others take their time.
    """

    file: str
    title: str
    old: str
    new: str
    tests: tuple[str, ...]
    places: int = 1
