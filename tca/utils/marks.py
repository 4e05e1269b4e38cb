"""Marks of annotations: constraints that types alone do not state.

Checked by `tca.utils.checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Made", "Missing", "Named", "Such"]


@dataclass(frozen=True)
class Such:
    """A mark of an annotation: values of the type that pass a test.

    Args:
        test: Returns whether a value is allowed.
        allowed: Description of allowed values, for the message.
        mistyped: Whether others are of another type, default not.
    """

    test: Callable[[Any], bool]
    allowed: str
    mistyped: bool = False


@dataclass(frozen=True)
class Made:
    """A mark of an annotation: values of another class that stand for one of the type, such as its fields by name.

    Args:
        make: Returns a value of the type.
        of: The other class.
        spread: Whether a mapping holds the arguments of ``make`` by name, default not.
    """

    make: Callable[..., Any]
    of: type = Mapping
    spread: bool = False


@dataclass(frozen=True)
class Missing:
    """A mark of numbers of which some may be missing, as NaN."""


@dataclass(frozen=True, eq=False)
class Named:
    """A mark of an annotation: strings that name an entry of a table.

    Args:
        table: The names, or a function that returns them.
    """

    table: Collection[str] | Callable[[], Collection[str]]

    @property
    def names(self) -> list[str]:
        """The names that there are."""
        return list(self.table() if callable(self.table) else self.table)
