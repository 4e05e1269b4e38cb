"""Information on trials: a table with a row a trial, such as coherence, delay and side.

Shapes: B trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tca.utils.names import Table

__all__ = ["Info", "info_of_rows", "joined_info", "missing", "selected_info", "trial_info"]

Info = Table[NDArray[Any]]
"""Columns by name, each an array of shape ``(B,)``: numbers, truth values or text."""
COLUMN = "column of info"
LARGEST_ENTRY = 16  # numbers of one entry that are worth a column each; a target of every step is not


def trial_info(columns: Mapping[str, Any], trials: int) -> Info:
    """Return columns as arrays.

    A column holds integers, real numbers, truth values or text. A missing value is NaN in a column of numbers, which
    then is real, and the empty text in a column of text: `missing` marks them.

    Args:
        columns: Values of each column, one a trial: an array, a tensor or a sequence.
        trials: Number of trials B.

    Raises:
        TypeError: The columns are no mapping from text, or a value is neither a number nor text.
        ValueError: A column does not have one value a trial.

    >>> trial_info({"coherence": [5, None], "context": ["motion", "colour"]}, 2)["coherence"].tolist()
    [5.0, nan]
    """
    if isinstance(columns, Table) and all(len(column) == trials for column in columns.values()):
        return columns
    if not isinstance(columns, Mapping):
        raise TypeError(f"info must be a mapping from names of columns to values, got {type(columns).__name__}")
    return Table(COLUMN, {_name(name): _column(name, each, trials) for name, each in columns.items()})


def missing(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which values of a column are missing, boolean, shape ``(B,)``.

    Args:
        column: The column, shape ``(B,)``.

    >>> missing(np.array([1.0, np.nan])).tolist(), missing(np.array(["left", ""])).tolist()
    ([False, True], [False, True])
    """
    absent = {"U": lambda: column == "", "f": lambda: np.isnan(column)}
    return np.asarray(absent.get(column.dtype.kind, lambda: np.zeros(column.shape))(), np.bool_)


def info_of_rows(rows: Sequence[Mapping[str, Any]]) -> Info:
    """Return the table of one dictionary a trial; entries that a trial lacks are missing.

    An entry of several numbers becomes a column for each, ``name_0`` and so on, a dictionary one for each key. Entries
    of more than 16 numbers or of other kinds are left out.

    Args:
        rows: The entries of every trial: numbers, truth values, text, or sequences and dictionaries of these.

    >>> info_of_rows([{"coh": 5.0, "pair": (1, 3)}, {"pair": (2, 4)}])["coh"].tolist()
    [5.0, nan]
    """
    flat = [dict(_flat(row)) for row in rows]
    names = dict.fromkeys(name for row in flat for name in row)
    return trial_info({name: [row.get(name) for row in flat] for name in names}, len(rows))


def selected_info(info: Mapping[str, Any], trials: torch.Tensor | Sequence[int] | slice) -> Info:
    """Return the rows of some of the trials, in that order.

    Args:
        info: The table.
        trials: Indices of trials, or a slice of them.
    """
    if not info:
        return info if isinstance(info, Table) else Table(COLUMN, {})
    rows = trials.cpu().numpy() if isinstance(trials, torch.Tensor) else trials
    return Table(COLUMN, {name: column[rows] for name, column in info.items()})


def joined_info(parts: Iterable[tuple[Mapping[str, Any], int]]) -> Info:
    """Return the rows of several tables, one after the other; columns of only some are missing in the others.

    Args:
        parts: Each table with its number of trials.

    >>> one, other = trial_info({"side": [1]}, 1), trial_info({"delay": [300.0]}, 1)
    >>> {name: column.tolist() for name, column in joined_info([(one, 1), (other, 1)]).items()}
    {'side': [1.0, nan], 'delay': [nan, 300.0]}
    """
    parts = list(parts)
    names = dict.fromkeys(name for info, _ in parts for name in info)
    if all(info.keys() == names.keys() for info, _ in parts):
        columns: dict[str, Any] = {name: np.concatenate([info[name] for info, _ in parts]) for name in names}
    else:
        columns = {
            name: [
                each for info, trials in parts for each in (info[name].tolist() if name in info else [None] * trials)
            ]
            for name in names
        }
    return trial_info(columns, sum(trials for _, trials in parts))


def _name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError(f"info must have columns with names, got the name {name!r}")
    return name


def _column(name: str, values: Any, trials: int) -> NDArray[Any]:
    """Return the values of one column as an array of its own, or raise."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    given = np.array(values)
    if given.shape != (trials,):
        raise ValueError(f"info[{name!r}] must hold one value a trial, shape ({trials},), got shape {given.shape}")
    if given.dtype.kind == "O":
        absent = np.array([each is None for each in given])
        rest = np.array([each for each in given if each is not None])
        text = rest.dtype.kind == "U"
        given = np.full(trials, "" if text else np.nan, rest.dtype if text else np.float64)
        if rest.dtype.kind not in "Ubiuf":
            raise TypeError(f"info[{name!r}] must hold numbers, truth values or text, got {rest[0]!r}")
        given[~absent] = rest
    if given.dtype.kind not in "Ubiuf":
        raise TypeError(f"info[{name!r}] must hold numbers, truth values or text, got {given.dtype}")
    return given.astype({"f": np.float64, "i": np.int64, "u": np.int64}.get(given.dtype.kind, given.dtype))


def _flat(row: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}_{key}", entry) for key, entry in _flat(value))
            continue
        entries = np.asarray(value)
        if entries.dtype.kind in "Ubiuf" and entries.size <= LARGEST_ENTRY:
            several = ((f"{name}_{place}", each) for place, each in enumerate(entries.ravel().tolist()))
            yield from several if entries.ndim else [(name, entries.item())]
