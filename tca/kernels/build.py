"""Build of the compiled passes by the system's C++ compiler, at first use, into the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CACHE", "BuildError", "Built", "build", "cache_folder"]

CACHE = "TCA_KERNELS_CACHE"
SOURCES = tuple(
    Path(__file__).with_name(each)
    for each in ("leaky.cpp", "class_error.h", "gated.h", "gradient.h", "subnormal.h", "tiles.h", "vectors.h")
)  # the first includes the others
COMPILERS = ("g++", "clang++", "c++")
# -ffast-math is not among them: the library would flush subnormal numbers to zero in the whole process.
FLAGS = (
    "-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fPIC",
    "-shared", "-pthread",
)  # fmt: skip
LONGEST = 300  # seconds of a build


class BuildError(RuntimeError):
    """The compiled passes cannot be built or loaded; the message is the reason in one line."""


@dataclass(frozen=True)
class Built:
    """The compiled passes.

    Attributes:
        library: The loaded library.
        compiler: First line of the compiler's version.
    """

    library: ctypes.CDLL
    compiler: str


def cache_folder() -> Path:
    """Return the folder of built libraries: ``TCA_KERNELS_CACHE``, else ``tca/kernels`` in the user's cache."""
    if given := os.environ.get(CACHE):
        return Path(given).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "tca" / "kernels"


@functools.cache
def build() -> Built:
    """Return the compiled passes, built unless they are in the cache.

    A library is named by the hash of source, compiler, flags and processor. It is built as a temporary file of its own
    and renamed, so that processes that build at the same time do not disturb each other.

    Raises:
        BuildError: There is no compiler, it fails, or the cache cannot be written.
    """
    compiler = _compiler()
    version = _run([compiler, "--version"]).splitlines()[0]
    build_of = f"{version}|{' '.join(FLAGS)}|{_processor()}"
    digest = hashlib.sha256(b"|".join([*(each.read_bytes() for each in SOURCES), build_of.encode()])).hexdigest()
    name = f"leaky-{digest[:32]}.so"
    try:
        path = _own_folder() / name
        if path.exists():
            try:
                return Built(ctypes.CDLL(str(path)), version)
            except OSError:  # damaged, or of another system that shares the folder
                pass
        return Built(_compile(compiler, path), version)
    except (OSError, RuntimeError) as error:
        raise BuildError(" ".join(str(error).split())) from error


def _compile(compiler: str, path: Path) -> ctypes.CDLL:
    """Build into a fresh file, load it, and rename it to the path."""
    descriptor, fresh = tempfile.mkstemp(suffix=".so", prefix="building-", dir=path.parent)
    os.close(descriptor)
    try:
        _run([compiler, *FLAGS, str(SOURCES[0]), "-o", fresh])
        os.replace(fresh, path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
    return ctypes.CDLL(str(path))


def _own_folder() -> Path:
    """Return the cache folder, made if need be, which no other user may write to.

    Raises:
        OSError: It cannot be made or written, or another user may write to it.
    """
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = folder.stat()
    if about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise OSError(f"{folder} must be the user's own folder, writable by no other user")
    return folder


def _compiler() -> str:
    """Return the path of the first C++ compiler; ``CXX`` goes first."""
    own = os.environ.get("CXX")
    for each in (own,) if own else COMPILERS:
        if path := shutil.which(each):
            return path
    raise BuildError(f"there is no C++ compiler, neither {own if own else ', '.join(COMPILERS)}")


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]} cannot run: {error}") from error
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
        raise BuildError(f"{command[0]} fails: {reason[:300]}")
    return done.stdout or command[0]


def _processor() -> str:
    """Return the model and the instruction sets of the processor, for which the passes are built."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU implementer", "CPU part")
    facts = {line.partition(":")[0].strip(): line for line in reversed(lines)}
    return "\n".join([platform.machine(), platform.processor(), *(facts[each] for each in named if each in facts)])
