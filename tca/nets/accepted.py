"""What a class of networks takes, its own options and those it hands on, and what is checked before layers are made."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence

from tca.checks import positive
from tca.names import unknown
from tca.nets.network import Network

__all__ = ["check_layers", "check_options", "check_pair", "check_sizes", "options_of"]


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
    if "options" in names:
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


def check_sizes(sizes: Iterable[int]) -> tuple[int, ...]:
    """Return the sizes of hidden layers, each of which its layer checks.

    Args:
        sizes: What came.

    Raises:
        TypeError: It is no list or tuple.

    >>> check_sizes([200, 100])
    (200, 100)
    """
    if isinstance(sizes, str) or not isinstance(sizes, Iterable) or isinstance(sizes, Mapping):
        raise TypeError(f"sizes must be a list of whole numbers, one for each hidden layer, got {sizes!r}")
    return tuple(sizes)


def check_layers(layers: object, *allowed: type) -> None:
    """Raise if something is no sequence of layers.

    Args:
        layers: What came.
        allowed: Classes of which the layers must be.

    Raises:
        TypeError: It is no list or tuple, or holds something else.
        ValueError: It holds nothing.
    """
    names = " or ".join(each.__name__ for each in allowed)
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise TypeError(f"layers must be a list of {names}, got {layers!r}")
    if not layers:
        raise ValueError("layers must hold at least one layer, got none")
    for layer in layers:
        if not isinstance(layer, allowed):
            raise TypeError(f"layers must be {names}, got {layer!r}")


def check_pair(argument: str, value: object, meaning: str) -> tuple[float, float]:
    """Return two positive numbers.

    Args:
        argument: Name of the argument, for the message.
        value: What came.
        meaning: What the two are.

    Raises:
        TypeError: There are not two of them, or one is no number.
        ValueError: One is not positive.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"{argument} must be two numbers, {meaning}, got {value!r}")
    if len(value) != 2:
        raise ValueError(f"{argument} must be two numbers, {meaning}, got {len(value)} in {value!r}")
    first, second = (positive(f"{argument}[{place}]", each) for place, each in enumerate(value))
    return first, second
