"""Python files with a function that yields the runs of a sweep."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from tca.experiments.config.run import Run
from tca.experiments.sweep.grids import MOST_RUNS
from tca.utils.checks import checked
from tca.utils.names import unknown
from tca.utils.text import in_a_line

__all__ = ["FUNCTION", "SourceError", "load", "read_runs", "split"]

FUNCTION = "runs"


class SourceError(ValueError):
    """A file is not a sweep; the message is one line with file and reason."""


def split(target: str) -> tuple[Path, str]:
    """Return file and function of ``file.py:function``; the default function is ``runs``.

    Args:
        target: ``file.py`` or ``file.py:function``.

    >>> split("sizes.py:large")[1], split("sizes.py")[1]
    ('large', 'runs')
    """
    path, _, function = target.partition(":")
    return Path(path).absolute(), function or FUNCTION


@checked
def read_runs(target: str) -> list[Run]:
    """Return the runs of a function in a Python file.

    Args:
        target: ``file.py`` or ``file.py:function``.

    Raises:
        SourceError: The file or function does not exist, fails, or yields something else.
    """
    path, name = split(target)
    function = _function(load(path), name, path)
    try:
        found = list(itertools.islice(function(), MOST_RUNS + 1))
    except (Exception, SystemExit) as error:
        raise SourceError(f"{path}: {name}() failed: {type(error).__name__}: {in_a_line(error)}") from error
    if len(found) > MOST_RUNS:
        raise SourceError(f"{path}: {name}() must yield at most {MOST_RUNS} runs")
    for each in found:
        if not isinstance(each, Run):
            raise SourceError(f"{path}: {name}() must yield tca.Run objects, got {each!r}")
    return found


def load(path: Path) -> ModuleType:
    """Import a Python file once in a process; it may import others of its folder.

    Raises:
        SourceError: It does not exist, or raises an error.
    """
    if not path.is_file():
        raise SourceError(f"there is no file {path}")
    name = _module_name(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SourceError(f"{path} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception | SystemExit):
            raise
        raise SourceError(f"{path}: {type(error).__name__}: {in_a_line(error)}") from error
    return module


def _module_name(path: Path) -> str:
    """Return the name of the module: that by which another process can import it, if no other module has the name."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    known = importlib.util.find_spec(path.stem) if path.stem.isidentifier() else None
    if known is not None and known.origin == str(path):
        return path.stem
    return f"tca_sweep_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"


def _function(module: ModuleType, name: str, path: Path) -> Callable[[], list[Run]]:
    own = [
        each
        for each, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    found = getattr(module, name, None)
    if not callable(found):
        raise SourceError(f"{path}: {unknown(name, own, 'function')}")
    return found  # type: ignore[no-any-return]
