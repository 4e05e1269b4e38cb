"""Looking a name up in a table, with a helpful answer when it is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

__all__ = ["lookup", "unknown"]

Entry = TypeVar("Entry")


def unknown(name: object, allowed: Iterable[str], what: str) -> ValueError:
    """Return the error to raise for a name that is not one of those allowed.

    Args:
        name: What came.
        allowed: The names that exist.
        what: What the name is of, for example ``"rule"``.

    >>> unknown("bpt", ["bptt", "eprop"], "rule")
    ValueError("unknown rule 'bpt', did you mean 'bptt'? Allowed: bptt, eprop")
    """
    names = sorted(allowed)
    lowered = {each.lower(): each for each in names}
    near = difflib.get_close_matches(str(name).lower(), lowered, n=1)
    hint = f", did you mean {lowered[near[0]]!r}?" if near else "."
    return ValueError(f"unknown {what} {name!r}{hint} Allowed: {', '.join(names)}")


def lookup(table: Mapping[str, Entry], name: str, what: str) -> Entry:
    """Return ``table[name]``.

    Args:
        table: Names and what they stand for.
        name: The name to look up.
        what: What the table is of, for the error message.

    Raises:
        ValueError: The table has no such name; the message offers the nearest one.

    >>> lookup({"bptt": 1}, "bptt", "rule")
    1
    """
    try:
        return table[name]
    except (KeyError, TypeError):
        raise unknown(name, table, what) from None
