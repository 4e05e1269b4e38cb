"""Looking a name up in a table, with a helpful answer when it is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

__all__ = ["NEAREST", "Table", "UnknownNameError", "lookup", "nearest", "shorten", "unknown"]

Entry = TypeVar("Entry")
LISTED = 8  # a table of so many names is listed whole
NEAREST = 5  # of a longer one the nearest are
LONGEST = 80  # characters of a value in a message


class UnknownNameError(ValueError, KeyError):
    """A table has no entry of that name; both a ``ValueError`` and a ``KeyError``."""

    def __str__(self) -> str:
        return str(self.args[0])


class Table(dict[str, Entry]):
    """A dictionary that offers the nearest names where there is none.

    Args:
        what: Kind of the entry, for example ``"rule"``.
        entries: Values by name.

    >>> Table("rule", {"bptt": 1})["bpt"]
    Traceback (most recent call last):
    tca.utils.names.UnknownNameError: unknown rule 'bpt', did you mean 'bptt'? Allowed: bptt
    """

    def __init__(self, what: str, entries: Mapping[str, Entry]) -> None:
        super().__init__(entries)
        self.what = what

    def __missing__(self, name: Any) -> Entry:
        raise unknown(name, self, self.what)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, dict(self))


def shorten(value: object) -> str:
    """Return the ``repr`` of a value in one short line.

    >>> shorten("a" * 100)[-6:]
    'aaa...'
    """
    try:
        text = " ".join(repr(value).split())
    except Exception:  # also the repr of a user's class, or of an integer of thousands of digits
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def nearest(name: object, allowed: Iterable[str]) -> str:
    """Return names as a list for a message: all of a few, the nearest of many.

    >>> nearest("net9", [f"net{number}" for number in range(10)])
    'net9, net8, net7, net6, net5 and 5 more'
    """
    names = sorted(allowed)
    if len(names) <= LISTED:
        return ", ".join(names)
    lowered = {each.lower(): each for each in names}
    near = difflib.get_close_matches(shorten(name).strip("'").lower(), lowered, n=NEAREST, cutoff=0)
    return f"{', '.join(lowered[each] for each in near)} and {len(names) - NEAREST} more"


def unknown(name: object, allowed: Iterable[str], what: str) -> UnknownNameError:
    """Return the error to raise for a name that is not one of those allowed.

    Args:
        what: Kind of the entry, for example ``"rule"``.

    >>> print(unknown("bpt", ["bptt", "eprop"], "rule"))
    unknown rule 'bpt', did you mean 'bptt'? Allowed: bptt, eprop
    """
    names = sorted(allowed)
    lowered = {each.lower(): each for each in names}
    near = difflib.get_close_matches(shorten(name).strip("'").lower(), lowered, n=1)
    hint = f", did you mean {lowered[near[0]]!r}?" if near else "."
    return UnknownNameError(f"unknown {what} {shorten(name)}{hint} Allowed: {nearest(name, names) or 'none'}")


def lookup(table: Mapping[str, Entry], name: str, what: str) -> Entry:
    """Return ``table[name]``.

    Args:
        table: Values by name.
        what: Kind of the entries, for the message.

    Raises:
        UnknownNameError: The table has no such name; the message offers the nearest ones.

    >>> lookup({"bptt": 1}, "bptt", "rule")
    1
    """
    try:
        return table[name]
    except (KeyError, TypeError):
        raise unknown(name, table, what) from None
