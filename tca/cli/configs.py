"""Checks of configuration files before they are parsed: regular, small, shallow, without aliases and repeated keys."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from tca.experiments.records.files import read_bytes
from tca.utils.text import in_a_line

__all__ = ["GROUPS", "LARGEST", "check_files"]

LARGEST = 1 << 22  # bytes
DEEPEST = 64
GROUPS = ("net", "network", "optimizer", "seeds", "agent", "rule", "loss")  # groups of options, which files may hold


def check_files(words: Sequence[str]) -> None:
    """Check the configuration files of a command line, and the files named in them.

    Raises:
        RecordError: A file is not a regular file or is too large.
        ValueError: A file has YAML aliases, which can expand beyond memory, repeats a key, is nested too deeply, or is
            no text.
    """
    seen: set[Path] = set()
    waiting = [Path(value) for value in _values(words)]
    while waiting:
        path = waiting.pop()
        if _is_file(path) and path not in seen:
            seen.add(path)
            waiting += [path.parent / name for name in _named(path)]


def _values(words: Sequence[str]) -> Iterator[str]:
    """Yield the values of options, as ``--name=value`` and as ``--name value``."""
    for word, following in pairwise([*words, ""]):
        if word.startswith("--"):
            name, sign, value = word[2:].partition("=")
            if name in ("config", *GROUPS):
                yield value if sign else following


def _is_file(path: Path) -> bool:
    try:
        return os.path.exists(path) and not os.path.isdir(path)
    except ValueError:  # not a path
        return False


def _named(path: Path) -> list[str]:
    """Return the files named in a file as values of groups of options; none if it is not YAML."""
    try:
        text = read_bytes(path, LARGEST).decode()
        depth, found = 0, []
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"{in_a_line(path)} must have no aliases, got *{in_a_line(event.anchor)}")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            elif isinstance(event, yaml.ScalarEvent):
                found.append(event.value)
            if depth > DEEPEST:
                raise ValueError(f"{in_a_line(path)} must be nested at most {DEEPEST} deep")
        for key in _repeated(yaml.compose(text, Loader=_LOADER)):
            raise ValueError(f"{in_a_line(path)} must name each option once, got {in_a_line(repr(key))} twice")
    except UnicodeDecodeError as error:
        raise ValueError(f"{in_a_line(path)} must be text in UTF-8, got other bytes: {error.reason}") from error
    except yaml.YAMLError:
        return []  # the parser stops here as well and reports the error
    return [value for name, value in pairwise(found) if name in GROUPS]


def _repeated(node: Any) -> Iterator[str]:
    """Yield the keys that a mapping of a file holds more than once, of which the parser would keep the last."""
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        yield from (name for number, name in enumerate(names) if name in names[:number])
        for _, value in node.value:
            yield from _repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _repeated(each)


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
