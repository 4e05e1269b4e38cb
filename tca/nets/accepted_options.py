"""What a class of networks takes, its own options and those it hands on, and what is checked before layers are made."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence

from tca.nets.network import Network
from tca.utils.names import unknown

__all__ = ["check_layers", "check_options", "options_of"]


def options_of(kind: type[Network], fixed: Sequence[str] = ()) -> list[str]:
    """Return the names of the options of a class, then of what it hands its ``options`` on to.

    What has no default there a class gives its base itself.

    Args:
        kind: The class.
        fixed: Arguments that are no options, since something else gives them.

    >>> from tca.nets import VectorRNN
    >>> options_of(VectorRNN, ("n_in", "n_rec", "n_out"))[:3]
    ['alpha', 'root', 'signs']
    """
    names = list(inspect.signature(kind.__init__).parameters)
    if kind.layer is not None:
        names += kind.layer.options()
    elif "options" in names:
        for base in kind.__mro__[1:]:
            if issubclass(base, Network) and "__init__" in vars(base):
                taken = inspect.signature(base.__init__).parameters
                names += [name for name, each in taken.items() if each.default is not each.empty and name not in names]
    return [name for name in names if name not in ("self", "options", *fixed)]


def check_options(kind: type[Network], options: Iterable[str], given: Sequence[str] = ()) -> None:
    """Raise if a class does not take an option.

    Args:
        kind: The class.
        options: Names of the options.
        given: Arguments that are no options, since they have been given already.

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
        layers: The layers.
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
