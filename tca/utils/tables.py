"""Results as tables of pandas, which notebooks show."""

from __future__ import annotations

import abc
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Tabular", "pandas_library"]


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


class Tabular(abc.ABC):
    """A result that has a table, which notebooks show if pandas is installed."""

    @abc.abstractmethod
    def _columns(self) -> dict[str, Any]:
        """Return the columns of the table by name."""

    def to_frame(self) -> DataFrame:
        """Return the result as a table of pandas.

        Raises:
            ImportError: pandas is not installed.
        """
        return pandas_library().DataFrame(self._columns())

    def _repr_html_(self) -> str | None:
        """Return the table for a notebook, ``None`` without pandas."""
        try:
            shown = self.to_frame()._repr_html_()
        except ImportError:
            return None
        return None if shown is None else str(shown)
