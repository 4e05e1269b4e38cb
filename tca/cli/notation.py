"""Words and files of a command in the notation of its parser.

Rules and networks have parts and options of their own, which depend on their class: options such as
``--rule.signal.scale 2.0`` are collected to one value each, as are the notations of Lightning (``class_path`` and
``init_args``) and of records (``run.json``).
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import tasks
from tca.cli.configs import GROUPS, LARGEST, check_files
from tca.experiments.config.components import Optimizer
from tca.experiments.config.own_parts import import_parts
from tca.experiments.config.part_config import merged, normal
from tca.experiments.config.part_notation import Tree, network_values, optimizer_values
from tca.experiments.records.files import read_bytes
from tca.rules import RULES
from tca.utils.class_paths import canonical_path, is_import_path
from tca.utils.text import in_a_line

__all__ = ["plain_words"]

# Options with parts, and the key of the name in their value.
TREES = {"rule": "name", "net": "kind", "loss": "class"}
SEEDS = ("data", "net", "rule", "batches")
OPTIMIZER = tuple(Optimizer.__dataclass_fields__)
NAMED = "--optimizer.name="


def plain_words(words: Sequence[str], several: bool = False) -> list[str]:
    """Return the arguments of a command in the notation of its parser; files first, so that options change them.

    Args:
        words: Arguments after the command ``train`` or ``compare``.
        several: Whether it has several rules and a number of seeds, as ``compare``, default no.

    Raises:
        RecordError: A file cannot be read.
        ValueError: An option lacks its value, a file is one of another command, or a record names modules that may not
            be imported.

    >>> plain_words(["flip_flop", "--rule", "rflo", "--rule.signal.scale", "2", "--net.size", "8"])
    ... # doctest: +NORMALIZE_WHITESPACE
    ['--task=flip_flop', '--rule={"name": "rflo", "signal": {"scale": 2}}',
     '--network={"options": {"size": 8}}']
    """
    trees = ("net",) if several else tuple(TREES)
    files: list[str | Tree] = []
    seeds: list[str] = []
    others: list[str] = []
    described: Tree = {}
    flags: Tree = {}
    waiting = list(words)
    if waiting and not several and not waiting[0].startswith("-"):
        waiting[:1] = _first(waiting[0])
    check_files(waiting)
    while waiting:
        word = waiting.pop(0)
        option, sign, value = word.removeprefix("--").partition("=")
        if option.startswith("optimizer."):
            option = _optimizer_option(option)
            word = f"--{option}{sign}{value}"
        name, *keys = option.split(".")
        if name == "network":
            name, keys = "net", keys[keys[:1] == ["options"] :]
        if not word.startswith("--") or (
            name not in trees and option not in ("config", "optimizer", "optimizer.name", "task", "seed")
        ):
            others.append(word)
            continue
        if not sign:
            if not waiting:
                raise ValueError(f"{word} needs a value")
            value = waiting.pop(0)
        if option == "config":
            values = _configured(value, several, trusted="--trust" in words)
            if values is not None:
                described |= {each: values.pop(each) for each in trees if each in values}
            files.append(value if values is None else values)
        elif option == "seed" and not several:
            seeds += [f"--seeds.{each}={value}" for each in SEEDS]
        elif name in trees:
            _put(flags.setdefault(name, {}), keys, _value(value), TREES[name])
        else:
            others += _named(option, value)
    for name in trees:
        others += _tree(name, described.get(name), flags.get(name))
    for chosen in (word.removeprefix(NAMED) for word in others if word.startswith(NAMED)):
        for optimizer in (each.get("optimizer") for each in files if isinstance(each, dict)):
            if optimizer and Optimizer(optimizer.get("name", Optimizer.name)).name != Optimizer(chosen).name:
                optimizer.pop("options", None)  # those of another class
    return [*(f"--config={_text(each)}" for each in files), *seeds, *others]


def _first(word: str) -> list[str]:
    """Return the first argument of ``train``, the name of a task or a file, as an option."""
    if word in RULES and word not in tasks.list():
        raise ValueError(
            f"the first argument must be a task or a file, got the rule {word!r}: did you mean --rule {word}?"
        )
    return ["--config" if os.path.isfile(word) else "--task", word]


def _named(option: str, value: str) -> list[str]:
    """Return a task or optimizer, named or with its arguments in Lightning's notation, as options of the parser."""
    found = _value(value)
    named = isinstance(found, str) and (found.isidentifier() or is_import_path(found))
    if option == "optimizer" and named and not os.path.isfile(found):
        return [f"--optimizer.name={found}"]
    if option == "task" and isinstance(found, Mapping):
        return [f"--{name}={_text(each)}" for name, each in _task(found).items()]
    if option == "optimizer" and isinstance(found, Mapping):
        return [f"--optimizer={_text(optimizer_values(found))}"]
    return [f"--{option}={value}"]


def _optimizer_option(option: str) -> str:
    """Return an option of the optimizer in the notation of the parser: arguments of its class among its options."""
    keys = [{"class_path": "name"}.get(each, each) for each in option.split(".")[1:] if each != "init_args"]
    own = not keys or keys[0] in (*OPTIMIZER, "help") or difflib.get_close_matches(keys[0], OPTIMIZER, cutoff=0.75)
    return ".".join(["optimizer", *(keys if own else ["options", *keys])])


def _tree(name: str, described: Any, flags: Tree | None) -> list[str]:
    """Return a rule or network of files and options as one word, none if it is not given."""
    if described is None and flags is None:
        return []
    key = TREES[name]
    given = {key: described} if isinstance(described, str) else normal(described) or {}
    changes = normal(flags) or {}
    tree = changes if key in changes else merged(given, changes)
    if name == "net":
        kind = {"kind": tree.pop("kind")} if "kind" in tree else {}
        return [f"--network={_text({**kind, 'options': tree})}"]
    return [f"--{name}={tree[key] if set(tree) == {key} else _text(tree)}"]


def _put(tree: Tree, keys: Sequence[str], value: Any, key: str) -> None:
    """Put a value into nested dictionaries; a string beside options is the name of their class.

    Args:
        tree: The dictionaries, changed in place.
        keys: Path of the value; empty for the whole.
        key: Key of a name at this level.
    """
    keys = [{"class_path": "class"}.get(each, each) for each in keys if each != "init_args"]
    if not keys:
        tree.update({key: value} if isinstance(value, str) else _whole(value, key))
        return
    first, *rest = keys
    there = tree.get(first)
    if not rest and not isinstance(there, dict):
        tree[first] = value
        return
    if not isinstance(there, dict):
        there = tree[first] = {} if there is None else {"class": there}
    _put(there, rest, value, "class")


def _whole(value: Any, key: str) -> Tree:
    if not isinstance(value, Mapping):
        raise ValueError(f"a name or a mapping was expected, got {in_a_line(value)}")
    return network_values(value) if key == "kind" else dict(normal(value))


def _task(value: Mapping[str, Any]) -> Tree:
    """Return name and options of a task in Lightning's notation."""
    tree = dict(normal(value))
    name = tree.pop("class", None) or tree.pop("name", None)
    name = canonical_path(name) if is_import_path(name) and name not in tasks.list() else name
    return {"task": name, **({"task_options": tree} if tree else {})}


def _configured(value: str, several: bool, *, trusted: bool) -> Tree | None:
    """Return the content of a configuration file in the notation of the parser, ``None`` if the parser is to refuse it.

    Args:
        value: Path of the file.
        several: Whether the command has several rules.
        trusted: Whether modules that a record names may be imported.
    """
    path = Path(value)
    values = _read(path)
    if not isinstance(values, Mapping) or not values:
        return None
    if isinstance(values.get("run"), Mapping):
        values = values["run"]  # a record
        import_parts(values, trusted=trusted)
    if not several and (found := sorted({"tasks", "rules"} & values.keys())):
        raise ValueError(
            f"{in_a_line(path)} describes a comparison ({' and '.join(found)}): use tca compare --config {value}"
        )
    if several and "task" in values:
        raise ValueError(f"{in_a_line(path)} describes one run (task): use tca train --config {value}")
    tree = dict(values)
    for group in GROUPS:
        if isinstance(name := tree.get(group), str) and (path.parent / name).is_file():
            tree[group] = _read(path.parent / name)
    if "net" in tree or "network" in tree:
        tree["net"] = {**network_values(tree.get("net") or {}), **network_values(tree.pop("network", None) or {})}
    if isinstance(tree.get("task"), Mapping):
        task = _task(tree.pop("task"))
        tree = {**tree, **task, "task_options": {**tree.get("task_options", {}), **task.get("task_options", {})}}
    if isinstance(tree.get("optimizer"), str | Mapping):
        tree["optimizer"] = optimizer_values(tree["optimizer"])
    if not several and "agent" in tree:
        tree |= {"rewards": True} if tree["agent"] is not None else {}
        tree = {name: each for name, each in tree.items() if (name, each) != ("agent", None)}
    return tree


def _read(path: Path) -> Any:
    """Return the content of a YAML or JSON file, ``None`` if it is none."""
    if not path.is_file():
        return None
    try:
        return yaml.load(read_bytes(path, LARGEST).decode(), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError):
        return None  # the parser stops here as well and reports the error


def _value(text: str) -> Any:
    """Return the value of an option; text that is no YAML is a string, a file its content."""
    try:
        found = yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text
    if isinstance(found, str) and os.path.isfile(found) and found.endswith((".yaml", ".yml", ".json")):
        return _read(Path(found))
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads numbers such as ``1e-3``, which YAML 1.1 takes for text, and dates as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, test) for tag, test in each if not tag.endswith((":timestamp", ":float"))]
        for first, each in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*(?=[eE]))([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)
