"""Results as tables of pandas, which notebooks show."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Tabular", "columns_of", "pandas_library", "row_of"]


def pandas_library() -> Any:
    """Return pandas, imported at first use.

    Raises:
        ImportError: It is not installed; the message gives the remedy.
    """
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError(
            "tables need pandas: pip install 'temporal-credit-assignment[tables]'", name="pandas"
        ) from error


def row_of(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as a row of a table.

    Of a nested dataclass the field ``value`` has the name of the outer field, others have both names: ``trace_probes``.

    Args:
        value: The dataclass; tuples of texts become one text.
    """
    return dict(_fields(value))


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    for name in (each.name for each in dataclasses.fields(value)):
        found = getattr(value, name)
        if dataclasses.is_dataclass(found):
            yield from ((name if inner == "value" else f"{name}_{inner}", each) for inner, each in _fields(found))
        else:
            yield name, ", ".join(found) if isinstance(found, tuple) else found


def columns_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return rows of the same names as columns.

    >>> columns_of([{"seed": 0, "loss": 0.5}, {"seed": 1, "loss": 0.25}])
    {'seed': [0, 1], 'loss': [0.5, 0.25]}
    """
    found: dict[str, list[Any]] = {}
    for row in rows:
        for name, each in row.items():
            found.setdefault(name, []).append(each)
    return found


class Tabular:
    """A result that has a table, which notebooks show if pandas is installed."""

    def _columns(self) -> dict[str, Any]:
        """Return the columns of the table by name; by default one row of all fields."""
        return columns_of([row_of(self)])

    def to_frame(self) -> DataFrame:
        """Return the result as a table of pandas.

        Raises:
            ImportError: pandas is not installed.
        """
        columns = self._columns().items()
        arrays = {name: each.detach().cpu().numpy() if isinstance(each, Tensor) else each for name, each in columns}
        return pandas_library().DataFrame(arrays)

    def _repr_html_(self) -> str | None:
        """Return the table for a notebook, ``None`` without pandas."""
        try:
            shown = self.to_frame()._repr_html_()
        except ImportError:
            return None
        return None if shown is None else str(shown)
