"""Tables to which packages add entries by entry points, loaded when a name is missing or all names are asked for."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, TypeVar

from tca.utils.names import Table
from tca.utils.text import in_a_line

__all__ = ["PluginTable", "PluginWarning"]

Entry = TypeVar("Entry")


class PluginWarning(UserWarning):
    """An entry point of an installed package cannot be used and is left out."""


class PluginTable(Table[Entry]):
    """A table that installed packages extend by entry points of a group.

    A package adds an entry in its ``pyproject.toml``, for example
    ``[project.entry-points."tca.rules"]`` with ``mine = "my_package.rules:mine"``.

    Args:
        what: Kind of the entries, for example ``"rule"``.
        entries: Names and entries of the library.
        group: Group of the entry points.
        take: Returns the entry of an entry point from its name and its object, or raises a `TypeError`.

    Warns:
        PluginWarning: An entry point has a name that is taken, or cannot be loaded.

    >>> table = PluginTable("number", {"one": 1}, "tca.no_such_group", lambda name, value: int(value))
    >>> table["one"], "two" in table, list(table)
    (1, False, ['one'])
    """

    def __init__(self, what: str, entries: Mapping[str, Entry], group: str, take: Callable[[str, Any], Entry]) -> None:
        super().__init__(what, entries)
        self.group, self.take, self._complete = group, take, False

    def _load(self) -> None:
        """Add the entries of installed packages, once."""
        if self._complete:
            return
        self._complete = True  # a package that is loaded may look names up
        for each in importlib.metadata.entry_points(group=self.group):
            try:
                if dict.__contains__(self, each.name):
                    raise ValueError("the name is taken")
                self[each.name] = self.take(each.name, each.load())
            except Exception as error:  # code of another package may raise anything
                warnings.warn(
                    f"entry point {in_a_line(each.name)!r} of {self.group} ({in_a_line(each.value)}) is left out: "
                    f"{type(error).__name__}: {in_a_line(error)}",
                    PluginWarning,
                    stacklevel=3,
                )

    def __missing__(self, name: Any) -> Entry:
        """Return the entry of an installed package, or raise an error that offers the nearest names."""
        return self[name] if name in self.keys() else super().__missing__(name)

    def __contains__(self, name: object) -> bool:
        """Return whether there is an entry of this name."""
        return super().__contains__(name) or name in self.keys()

    def __iter__(self) -> Iterator[str]:
        """Return an iterator over all names."""
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def get(self, name: str, default: Any = None) -> Any:
        """Return the entry of a name, or a default."""
        self._load()
        return super().get(name, default)

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return all names."""
        self._load()
        return super().keys()

    def values(self) -> ValuesView[Entry]:  # type: ignore[override]
        """Return all entries."""
        self._load()
        return super().values()

    def items(self) -> ItemsView[str, Entry]:  # type: ignore[override]
        """Return all names with their entries."""
        self._load()
        return super().items()

    def __reduce__(self) -> tuple[Any, ...]:
        return Table, (self.what, dict(self))
