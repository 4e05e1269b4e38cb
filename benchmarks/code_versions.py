"""The code behind a figure: which files a piece of work executes, and a digest of each without comments."""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FrameType

__all__ = ["changed", "digests", "executed"]

ROOT = Path(__file__).parents[1]
FOLDERS = ("analysis", "benchmarks", "tasks", "tca")
TIMING = frozenset({"benchmarks/code_versions.py", "benchmarks/results.py", "benchmarks/timing.py"})
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
NATIVE = (".c", ".cc", ".cpp", ".cu", ".h", ".hpp")


def executed(work: Callable[[], object]) -> dict[str, str]:
    """Run a piece of work and return digests of the repository's files that it executed.

    Native sources beside a file that was executed count as well: a profiler does not see them.
    """
    names: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            names.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return digests(names)


def digests(names: Iterable[str]) -> dict[str, str]:
    """Return digests by path of those files that are the repository's own."""
    paths = {Path(name).resolve() for name in names}
    own = {path for path in paths if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in FOLDERS}
    own |= {
        source for folder in {path.parent for path in own} for source in folder.iterdir() if source.suffix in NATIVE
    }
    relative = sorted(path.relative_to(ROOT).as_posix() for path in own)
    return {name: _digest(ROOT / name) for name in relative if name not in TIMING}


def changed(code: Mapping[str, str]) -> list[str]:
    """Return the files that are no longer as they were."""
    return [name for name, digest in code.items() if not (ROOT / name).exists() or _digest(ROOT / name) != digest]


def _digest(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    lines = _statements(text) if path.suffix == ".py" else text.splitlines()
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


@functools.cache
def _statements(text: str) -> list[str]:
    """Return the lines of a module without docstrings, comments on lines of their own and empty lines."""
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            left_out.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [line for number, line in lines if line and not line.startswith("#") and number not in left_out]
