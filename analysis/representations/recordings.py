"""Recordings of neurons from files, within bounds.

Shapes: T time, C conditions, N neurons.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
import torch
from numpy.typing import NDArray
from torch import Tensor

from tca.utils.checks import Folder, checked
from tca.utils.names import lookup, unknown

__all__ = ["AXES", "Recording", "load_recording"]

AXES = ("neurons", "steps", "conditions")
LARGEST = 1 << 30  # bytes of all arrays of a file


@dataclass(frozen=True, eq=False)
class Recording:
    """Activity of neurons, and the other arrays of its file.

    Attributes:
        activity: Shape ``(T, C, N)``, float64, as measures of `analysis` take it.
        others: Arrays by name, such as hand positions.
    """

    activity: Tensor
    others: Mapping[str, NDArray[Any]]

    def __repr__(self) -> str:
        """Return the sizes and the names of other arrays."""
        steps, conditions, neurons = self.activity.shape
        return f"Recording(steps={steps}, conditions={conditions}, neurons={neurons}, others={sorted(self.others)})"


@checked
def load_recording(file: Folder, name: str | None = None, axes: Sequence[str] = AXES) -> Recording:
    """Return the activity of neurons in a file, with time first.

    Files are ``.npz``, ``.npy`` or ``.mat`` up to version 7 of MATLAB. Nothing in them is executed, and arrays of more
    than a gigabyte together are refused before they are read.

    Args:
        name: Name of the array; ``None`` (default) for the only one with three axes.
        axes: Order of its axes, default neurons, steps, conditions.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of another kind, too large or damaged, it has no such array, or values are not finite.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/cells.npz", rate=np.ones((5, 40, 8)), onset=np.zeros(8))
    ...     load_recording(f"{folder}/cells.npz")
    Recording(steps=40, conditions=8, neurons=5, others=['onset'])
    """
    order = list(axes)
    if sorted(order) != sorted(AXES):
        raise ValueError(f"axes must be an order of {', '.join(AXES)}, got {', '.join(map(str, order))}")
    arrays = _arrays(Path(file))
    cubes = [each for each, values in arrays.items() if values.ndim == 3]
    if name is None and len(cubes) != 1:
        raise ValueError(f"name must be that of an array with three axes in {file}, which has {cubes or 'none'}")
    chosen = cubes[0] if name is None else name
    values = lookup(arrays, chosen, "name of an array")
    if values.ndim != 3 or values.dtype.kind not in "iuf" or 0 in values.shape:
        raise ValueError(f"name must be that of numbers with three axes, got {chosen!r}: {values.dtype} {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{chosen} in {file} must be finite, got NaN or infinity")
    time_first = values.transpose([order.index(each) for each in ("steps", "conditions", "neurons")])
    activity = torch.from_numpy(np.ascontiguousarray(time_first, np.float64))
    return Recording(activity, {each: other for each, other in arrays.items() if each != chosen})


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name."""
    readers = {".npz": _of_npz, ".npy": _of_npy, ".mat": _of_mat}
    if path.suffix not in readers:
        raise unknown(path.suffix, readers, "kind of file")
    if not path.is_file():
        raise FileNotFoundError(f"there is no recording {path}")
    try:
        return readers[path.suffix](path)
    except (ValueError, TypeError, OSError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"file {path} cannot be read as a recording: {error}") from error


def _of_npz(path: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(path) as archive:
        _check_size(sum(each.file_size for each in archive.infolist()))
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _of_npy(path: Path) -> dict[str, NDArray[Any]]:
    _check_size(path.stat().st_size)
    return {path.stem: np.load(path, allow_pickle=False)}


def _of_mat(path: Path) -> dict[str, NDArray[Any]]:
    numeric = {"double", "single", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "logical"}
    listed = [(name, shape) for name, shape, kind in scipy.io.whosmat(path) if kind in numeric]
    _check_size(sum(8 * math.prod(shape) for _, shape in listed))
    names = [name for name, _ in listed]
    found = scipy.io.loadmat(path, variable_names=names) if names else {}
    return {name: np.asarray(found[name]) for name in names}


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise ValueError(f"its arrays must have at most {LARGEST} bytes, got {size}")
