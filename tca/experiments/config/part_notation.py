"""Networks and optimizers in the notations of configuration files, as the fields of their configurations.

Lightning's notation has ``class_path`` and ``init_args``; arguments of a class may also stand beside its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tca.experiments.config.components import Optimizer
from tca.experiments.config.part_config import normal
from tca.nets import NETWORKS
from tca.utils.class_paths import is_import_path
from tca.utils.names import lookup

__all__ = ["Tree", "network_values", "optimizer_values"]

Tree = dict[str, Any]
FIELDS = tuple(Optimizer.__dataclass_fields__)


def network_values(value: str | Mapping[str, Any]) -> Tree:
    """Return kind and options of a network in one dictionary.

    Args:
        value: Its kind; or a mapping with ``kind``, ``class`` or ``class_path``, and options beside it, in ``options``
            or in ``init_args``.

    Raises:
        ValueError: A class is no network.

    >>> network_values({"class_path": "tca.nets.LeakyRNN", "init_args": {"size": 8}})
    {'size': 8, 'kind': 'leaky_rnn'}
    """
    if isinstance(value, str):
        return {"kind": value}
    tree = dict(normal(value))
    options = tree.pop("options", {})
    if "class" in tree:
        tree["kind"] = _kind(tree.pop("class"))
    return {**tree, **options}


def _kind(name: str) -> str:
    """Return the kind of network of a class path."""
    kinds = {each: each for each in NETWORKS} | {each.__name__: kind for kind, each in NETWORKS.items()}
    name = name.removeprefix("tca.nets.")
    return name if is_import_path(name) else lookup(kinds, name, "class of network")


def optimizer_values(value: str | Mapping[str, Any]) -> Tree:
    """Return the fields of `Optimizer`.

    Args:
        value: A name or import path; the fields; or a mapping with ``class_path`` and all arguments in ``init_args``.

    >>> optimizer_values({"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1, "momentum": 0.9}})
    {'name': 'SGD', 'lr': 0.1, 'options': {'momentum': 0.9}}
    """
    if isinstance(value, str):
        return {"name": value}
    if "class_path" not in value and "class" not in value:
        return dict(value)
    tree = dict(normal(value))
    name = str(tree.pop("class")).removeprefix("torch.optim.")
    own = {each: tree.pop(each) for each in FIELDS if each in tree}
    return {"name": name, **own, **({"options": {**tree, **own.pop("options", {})}} if tree else {})}
