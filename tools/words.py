"""Keep worn words out of the prose of the packages, and verbs and repeats out of the names of files.

    python -m tools.words

reads ``[tool.words]`` in ``pyproject.toml``. ``worn`` maps a pattern to its highest number of occurrences in
docstrings, comments and messages, to be lowered as the prose improves; in the folders of ``plain`` it may not occur.
``rare`` words have good uses; their ceilings are occurrences per 10,000 words. ``names`` bounds how many modules end in
-ing, other than the ``nouns`` of the field, and how many names of files and of public classes occur twice.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tools.prose import passages, sources, words

__all__ = ["complaints"]

ROOT = Path(__file__).parents[1]
SHOWN = 5


def complaints(tree: Path, settings: dict[str, Any]) -> list[str]:
    """Return what breaks the settings, a line each.

    Args:
        tree: Root of the repository.
        settings: ``worn``, ``rare``, ``plain``, ``names`` and ``nouns``, as in ``[tool.words]``.
    """
    return [*_words(tree, settings), *_names(tree, settings)]


def _words(tree: Path, settings: dict[str, Any]) -> Iterator[str]:
    worn, plain = settings["worn"], settings["plain"]
    yield from (f"[tool.words] plain: no folder {each}" for each in plain if not (tree / each).is_dir())
    prose = [(path, each) for path in sources(tree) for each in passages(path.read_text(encoding="utf-8"))]
    total = sum(words(each.text) for _, each in prose)
    for pattern, ceiling in (worn | settings["rare"]).items():
        word = re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)
        places = [
            (f"{path.relative_to(tree)}:{each.line}", found[0])
            for path, each in prose
            for found in word.finditer(each.text)
        ]
        unit, count = ("times", len(places)) if pattern in worn else ("per 10,000 words", 10_000 * len(places) / total)
        if count > ceiling:
            listed = "".join(f"\n    {place}: {text}" for place, text in places[:SHOWN])
            yield f"'{pattern}': {count:.4g} {unit}, at most {ceiling} are allowed{listed}"
        if pattern in worn:
            bare = [each for each in places if each[0].startswith(tuple(f"{folder}/" for folder in plain))]
            yield from (f"{place}: '{text}' in a folder of plain prose" for place, text in bare)


def _names(tree: Path, settings: dict[str, Any]) -> Iterator[str]:
    files = [path for path in sources(tree) if not path.name.startswith("__")]
    bodies = (ast.parse(path.read_text(encoding="utf-8")).body for path in files)
    kinds = [node.name for body in bodies for node in body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    verbs = [path.stem for path in files if re.search(r"[^_]ing$", path.stem) and not _noun(path.stem, settings)]
    found = {"verbs": verbs, "repeats": _twice(path.name for path in files), "repeated_classes": _twice(kinds)}
    for kind, every in found.items():
        if len(every) > (most := settings["names"][kind]):
            yield f"{len(every)} {kind}, at most {most} are allowed: {', '.join(sorted(every))}"


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _noun(stem: str, settings: dict[str, Any]) -> bool:
    return stem.rpartition("_")[2] in settings["nouns"]


def main() -> int:
    """Print complaints about this checkout and return 1 if there are any."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["words"]
    found = complaints(ROOT, settings)
    print("\n".join(found) or "words: all below their ceilings")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
