"""What there is to choose from, one line each."""

from __future__ import annotations

import inspect

import tasks
from tca.nets import NETWORKS
from tca.rules import RULES

__all__ = ["listing"]


def listing() -> str:
    """Return rules, tasks and networks with one line each.

    >>> print(listing().splitlines()[0])
    Rules
    """
    chapters = {
        "Rules": {name: f"{rule.summary} [{rule.equations}; {rule.reference}]" for name, rule in RULES.items()},
        "Tasks": {name: tasks.describe(name) for name in tasks.list()},
        "Networks": {name: (inspect.getdoc(each) or "").partition("\n")[0] for name, each in NETWORKS.items()},
    }
    return "\n\n".join(f"{title}\n{_aligned(entries)}" for title, entries in chapters.items())


def _aligned(entries: dict[str, str]) -> str:
    width = max(map(len, entries))
    return "\n".join(f"  {name.ljust(width)}  {line}" for name, line in entries.items())
