"""What a record says about the code that made it."""

from __future__ import annotations

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path

__all__ = ["commit", "versions"]

PACKAGES = ("temporal-credit-assignment", "torch", "numpy", "scipy", "neurogym", "PyHessian")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on.

    >>> sorted(versions())[:2]
    ['PyHessian', 'neurogym']
    """
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


@functools.cache
def commit() -> str | None:
    """Return the git commit of this source, with ``-dirty`` if files have changed since; ``None`` outside of git."""
    here = Path(__file__).resolve()
    try:
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
