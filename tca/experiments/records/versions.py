"""Versions, commit, threads and passes on which the numbers of a record depend."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from tca.kernels.choice import in_use

__all__ = ["commit", "differences", "environment", "versions"]

PACKAGES = ("temporal-credit-assignment", "numpy", "scipy", "neurogym", "PyHessian")


def versions() -> dict[str, str]:
    """Return the versions of Python and of packages on which numbers depend, with the build of torch.

    >>> versions()["torch"] == torch.__version__
    True
    """
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        **{name: _version(name) for name in PACKAGES},
    }


def environment(passes: str = "") -> dict[str, Any]:
    """Return the versions, the commit of this source, the number of threads and the kernels.

    Args:
        passes: A note on passes and updates, such as several networks a pass, default none.
    """
    return {
        "versions": versions(),
        "commit": commit(),
        "threads": torch.get_num_threads(),
        "kernels": f"{in_use()}, {passes}" if passes else in_use(),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the differences of two environments as text, empty if equal.

    >>> differences({"versions": {"torch": "2.12"}, "threads": 2}, {"versions": {"torch": "2.13"}, "threads": 2})
    'torch 2.12 then, 2.13 now'
    """
    there, here = ({**each.get("versions", {}), **each} for each in (before, now))
    names = [
        name for name in dict.fromkeys([*here, *there]) if name != "versions" and there.get(name) != here.get(name)
    ]
    return "; ".join(f"{name} {there.get(name)} then, {here.get(name)} now" for name in names)


@functools.cache
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
