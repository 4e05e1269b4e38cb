"""The prose of the sources: docstrings, comments, and strings of several words, which are messages and printed text."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["PACKAGES", "Passage", "docstrings", "passages", "sources", "words"]

PACKAGES = ("tca", "tasks", "analysis")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
WORD = re.compile(r"[A-Za-z]+")


class Passage(NamedTuple):
    """A piece of prose and the line on which it starts."""

    line: int
    text: str


def sources(tree: Path, folders: tuple[str, ...] = PACKAGES) -> list[Path]:
    """Return the Python files below some folders of a tree, sorted.

    Args:
        tree: Root of the repository.
        folders: Folders below it; those that do not exist are passed over.
    """
    return sorted(path for folder in folders for path in (tree / folder).rglob("*.py"))


def words(text: str) -> int:
    """Return the number of words of a text.

    Args:
        text: The text.

    >>> words("sum_t L_t e_t, to round-off")
    9
    """
    return len(WORD.findall(text))


def docstrings(source: str) -> Iterator[Passage]:
    """Yield the docstrings of a module.

    Args:
        source: Its text.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            yield Passage(node.body[0].lineno, ast.get_docstring(node) or "")


def passages(source: str) -> Iterator[Passage]:
    r"""Yield docstrings, comments and every string of at least two words of a module.

    Args:
        source: Its text.

    >>> list(passages("x = 1  # metres\nraise ValueError(f'no {x} here', 'x')"))
    [Passage(line=2, text='no '), Passage(line=2, text=' here'), Passage(line=1, text='# metres')]
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield Passage(node.lineno, node.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(token.start[0], token.string)
