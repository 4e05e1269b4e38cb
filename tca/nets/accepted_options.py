"""Accepted options of network classes, inherited ones included, and checks of layers."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterable, Sequence
from typing import Any

from tca.nets.network import Network
from tca.utils.names import unknown

__all__ = ["annotations_of", "check_layers", "check_options", "options_of"]


def options_of(kind: type[Network], fixed: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options of a class and of its bases, with their defaults.

    >>> from tca.nets import VectorRNN
    >>> list(options_of(VectorRNN, ("n_in", "n_rec", "n_out")).items())[:2]
    [('integration_rate', 0.2), ('perron_root_bound', 0.9)]
    """
    found = {name: each.default for name, each in inspect.signature(kind.__init__).parameters.items()}
    if kind.layer is not None:
        found |= kind.layer.options()
    for base in _bases(kind)[1:] if "options" in found else ():
        taken = inspect.signature(vars(base)["__init__"]).parameters
        found = {name: each.default for name, each in taken.items() if each.default is not each.empty} | found
    return {name: default for name, default in found.items() if name not in ("self", "options", *fixed)}


def annotations_of(kind: type[Network]) -> dict[str, Any]:
    """Return the annotations of the options of a class, see `options_of`.

    >>> from tca.nets import LeakyRNN
    >>> annotations_of(LeakyRNN)["autapses"]
    <class 'bool'>
    """
    found: dict[str, Any] = {}
    for taken in (*(() if kind.layer is None else (kind.layer.cells, kind.layer.wirings)), *reversed(_bases(kind))):
        annotated = taken if dataclasses.is_dataclass(taken) else vars(taken)["__init__"]
        found |= typing.get_type_hints(annotated, include_extras=True)
    return found


def _bases(kind: type[Network]) -> list[type]:
    return [base for base in kind.__mro__ if issubclass(base, Network) and "__init__" in vars(base)]


def check_options(kind: type[Network], options: Iterable[str], given: Sequence[str] = ()) -> None:
    """Raise if a class does not accept an option.

    Args:
        given: Arguments that are already given and therefore no options.

    Raises:
        TypeError: An option is unknown; the message offers the nearest one and lists all.
    """
    allowed = options_of(kind, given)
    for name in options:
        if name not in allowed:
            raise TypeError(str(unknown(name, allowed, f"option of {kind.__name__}")))


def check_layers(layers: Sequence[object], *allowed: type) -> None:
    """Raise unless layers are of some classes.

    Args:
        allowed: Classes of which they must be.

    Raises:
        TypeError: One is of another class.
        ValueError: There are none.
    """
    if not layers:
        raise ValueError("layers must hold at least one layer, got none")
    for layer in layers:
        if not isinstance(layer, allowed):
            raise TypeError(f"layers must be {' or '.join(each.__name__ for each in allowed)}, got {layer!r}")
