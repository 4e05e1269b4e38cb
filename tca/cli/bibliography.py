"""BibTeX entries of rules, tasks, networks, losses and image sets, from ``references.bib`` beside this file."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from tasks.images.catalogue import DIGITS
from tca.losses import LOSSES
from tca.nets import NETWORKS
from tca.rules import RULES

__all__ = ["Citation", "entries", "entries_of_name", "entries_of_run", "software"]

IMAGES = ("images", "sequential_images")
FIELD = re.compile(r", (?=\w+ = \{)")


@dataclass(frozen=True)
class Citation:
    """An entry of the bibliography.

    Args:
        key: Its key.
        text: BibTeX, a field a line.
        uses: Rules, tasks, networks, losses and image sets that it belongs to, each ``"rule eprop"`` and the like.
    """

    key: str
    text: str
    uses: frozenset[str]


@cache
def entries() -> tuple[Citation, ...]:
    """Return all entries, in the order of the file.

    >>> entries()[0].key, sorted(entries()[0].uses)
    ('werbos1990', ['rule bptt', 'rule homotopy'])
    """
    found, uses = [], []
    for line in files("tca.cli").joinpath("references.bib").read_text(encoding="utf-8").splitlines()[1:]:
        if line.startswith("% "):
            kind, *names = line[2:].split()
            uses += [f"{kind} {name}" for name in names]
        elif line.startswith("@"):
            key = line[line.index("{") + 1 : line.index(",")]
            text = "\n  ".join(FIELD.sub(",\n", line.removesuffix("}")).splitlines()) + "\n}"
            found.append(Citation(key, text, frozenset(uses)))
            uses = []
    return tuple(found)


def software() -> str:
    """Return the entry of this library."""
    title = "Temporal credit assignment: learning rules other than backpropagation"
    fields = {"author": "{tca developers}", "title": title, "version": sys.modules["tca"].__version__}
    return "@software{tca,\n" + ",\n".join(f"  {name} = {{{each}}}" for name, each in fields.items()) + "\n}"


def entries_of_name(name: str) -> list[str]:
    """Return the entries of a rule, task, network, loss or image set of this name, empty without any.

    A registered rule without an entry has its ``reference`` as a note.

    >>> [text.splitlines()[0] for text in entries_of_name("rflo")]
    ['@article{murray2019,']
    """
    uses = {f"{kind} {name}" for kind in ("rule", "network", "loss", "image")}
    return _texts(uses | _task(name)) or _registered(name)


def entries_of_run(run: dict[str, Any]) -> list[str]:
    """Return the entries of rule, task, network, loss and images of a recorded run, and of the library.

    Args:
        run: The run as in ``run.json``; parts that are not named, such as tasks of one's own, have no entry.
    """
    rule, task, net = run.get("rule"), run.get("task"), run.get("net", {})
    kind = net.get("kind") if isinstance(net, dict) else None
    names = {f"rule {rule}", f"network {kind}", *(_task(task) if isinstance(task, str) else ()), *_data(run)}
    return [software(), *_texts(names), *(_registered(rule) if isinstance(rule, str) else [])]


def _texts(uses: set[str]) -> list[str]:
    return [each.text for each in entries() if each.uses & uses]


def _task(name: str) -> set[str]:
    return {f"task {name}", *(["task neurogym"] if name.endswith("-v0") else [])}


def _data(run: dict[str, Any]) -> set[str]:
    """Return the uses of the loss and the image set of a recorded run."""
    given = run.get("task_options")
    options = given if isinstance(given, dict) else {}
    loss = run.get("loss") or options.get("loss")
    names = {type(each).__name__: name for name, each in LOSSES.items()}
    found = {f"loss {names.get(str(loss.get('class'))) if isinstance(loss, dict) else loss}"}
    return found | ({f"image {options.get('name', DIGITS)}"} if run.get("task") in IMAGES else set())


def _registered(name: str) -> list[str]:
    """Return an entry made of the reference of a registered rule."""
    known = name not in RULES or any(f"rule {name}" in each.uses for each in entries())
    if known or name in NETWORKS or not RULES[name].reference:
        return []
    return [f"@misc{{{name},\n  note = {{{RULES[name].reference}}}\n}}"]
