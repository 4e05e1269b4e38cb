"""Parts of a run that are the user's own: import paths in its values, and networks and cells by import path."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import tasks
from tca.cells.cell import Cell
from tca.experiments.config.components import plain
from tca.nets import Network, wrap
from tca.nets.cell_rnn.cell_population import CellLayer
from tca.nets.cell_rnn.named_cells import layer_of_cell
from tca.rules import RULES
from tca.utils.class_paths import check_concrete, is_import_path, resolved
from tca.utils.module_contexts import seeded
from tca.utils.names import lookup, shorten

__all__ = ["NetworkFunction", "cell_layer", "import_parts", "named_paths", "own_network"]

DRAWN_WITH = ("n_in", "n_out", "dt", "seed", "device", "dtype")  # what a run adds to the options of a network


def import_parts(values: Mapping[str, Any], *, trusted: bool) -> None:
    """Import the user's own parts that a run names.

    Args:
        values: Value of ``Run.to_json``.
        trusted: Whether modules outside of the library may be imported that are not imported yet.

    Raises:
        UntrustedNameError: A module is not imported yet and may not be.
        ValueError: There is no such module or name.
    """
    for what, path in named_paths(values):
        if not (what == "task" and path in tasks.list()) and not (what == "rule" and path in RULES):
            resolved(path, what, trusted=trusted)


def named_paths(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what it is and the import path of every part of a run that is not of the library.

    Args:
        values: Value of ``Run.to_json``.

    >>> net = {"kind": "stacked_rnn", "layers": [{"cells": "mine:Cell"}]}
    >>> list(named_paths({"task": "mine:task", "rule": {"signal": {"class": "mine.Signal"}}, "net": net}))
    [('task', 'mine:task'), ('class', 'mine.Signal'), ('cell', 'mine:Cell')]
    """
    for what in ("task", "rule", "loss"):
        yield from _paths(what, values.get(what))
    net = values.get("net")
    if isinstance(net, Mapping):
        yield from _paths("network", net.get("kind"))
        for layer in net.get("layers") or ():
            yield from _paths("cell", layer.get("cells"))
    else:
        yield from _paths("network", net)
    yield from _paths("optimizer", (values.get("optimizer") or {}).get("name"))


def _paths(what: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            if name == "class" or isinstance(each, (Mapping, list)):
                yield from _paths("class", each)
    elif isinstance(value, list):
        for each in value:
            yield from _paths(what, each)
    elif is_import_path(value):
        yield what, value


def own_network(path: str) -> type[Cell] | NetworkFunction:
    """Return the class of a cell, or the class or function that makes a network, at an import path.

    Args:
        path: The import path.

    Raises:
        ValueError: There is none, or the class lacks methods.
        TypeError: It is none of these.
    """
    found = resolved(path, "network", trusted=True)
    if isinstance(found, type) and issubclass(found, Cell):
        check_concrete(found, "network")
        return found
    function = callable(found) and not isinstance(found, nn.Module)
    if not (issubclass(found, nn.Module) if isinstance(found, type) else function):
        raise TypeError(
            f"network {path!r} must be a class of cells or modules, or a function that returns a network, got "
            f"{shorten(found)}"
        )
    return NetworkFunction(path, found)


def cell_layer(path: str) -> type[CellLayer]:
    """Return the layer of the cell at an import path.

    Args:
        path: The import path.

    Raises:
        ValueError: There is none, or the class lacks methods.
        TypeError: It is no class of a cell.
    """
    found = resolved(path, "cell", trusted=True)
    if not isinstance(found, type) or not issubclass(found, Cell):
        raise TypeError(f"cell {path!r} must be a class of tca.cells.Cell, got {shorten(found)}")
    check_concrete(found, "cell")
    return layer_of_cell(found)


@dataclass(frozen=True)
class NetworkFunction:
    """A function or class of the user that returns a network, as a kind of network.

    Arguments named ``n_in``, ``n_out``, ``dt``, ``seed``, ``device`` and ``dtype`` are given by the run; the others are
    options. Weights from torch's global generator are drawn with the seed.

    Args:
        path: Its import path.
        function: The function.
    """

    path: str
    function: Callable[..., Any]

    @property
    def defaults(self) -> dict[str, Any]:
        """Options with their defaults, `inspect.Parameter.empty` where there is none; only plain values."""
        found = {}
        for name, each in self._parameters.items():
            if name not in DRAWN_WITH and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL):
                found[name] = each.default
        return found

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(self.function).parameters

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options, with defaults that can be written down.

        Args:
            given: Options by name.

        Raises:
            ValueError: An option is unknown or missing.
            TypeError: A value cannot be written down.
        """
        known = self.defaults
        if not any(each.kind is each.VAR_KEYWORD for each in self._parameters.values()):
            for name in given:
                lookup(known, name, f"option of {self.path}")
        for name, default in known.items():
            if default is inspect.Parameter.empty and name not in given:
                raise ValueError(f"{self.path} needs the option {name!r}, got {sorted(given)}")
        written = {name: each for name, each in known.items() if name in given or _is_plain(each)}
        return plain("net options", {**written, **given})

    def make(self, options: Mapping[str, Any], known: Mapping[str, Any]) -> Network:
        """Return the network.

        Args:
            options: All options.
            known: Arguments that the run gives.

        Raises:
            TypeError: The function returns no module.
            ValueError: The network has other numbers of inputs or outputs than the task.
        """
        taken = {name: known[name] for name in DRAWN_WITH if name in self._parameters}
        with seeded(known["seed"], torch.device("cpu")):
            made = self.function(**options, **taken)
        if not isinstance(made, nn.Module):
            raise TypeError(f"network {self.path!r} must return a torch.nn.Module, got {shorten(made)}")
        net = made if isinstance(made, Network) else wrap(made, seed=known["seed"])
        for name in ("n_in", "n_out"):
            if getattr(net, name) != known[name]:
                raise ValueError(
                    f"network {self.path!r} must have {name} = {known[name]} as the task has, got {getattr(net, name)}"
                )
        return net.to(known["device"], known["dtype"])


def _is_plain(value: Any) -> bool:
    try:
        return bool(plain("default", {"value": value}))
    except TypeError:
        return False
