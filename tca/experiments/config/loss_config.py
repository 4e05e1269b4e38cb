"""Losses as plain values: a name, an import path, or a class with its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tca.experiments.config.part_config import built, described, merged, normal
from tca.losses import LOSSES, Loss
from tca.utils.class_paths import check_concrete, is_import_path, resolved
from tca.utils.names import lookup, shorten

__all__ = ["loss_of", "loss_values"]


def loss_of(value: Any, *, trusted: bool = True) -> Loss:
    """Return the loss that a configuration describes.

    Args:
        value: A name in ``tca.losses.LOSSES``; the import path of a loss or of its class; a mapping with ``class_path``
            (or a name) and ``init_args``; or the loss itself.
        trusted: Whether modules outside of the library may be imported, default yes; see
            `tca.utils.class_paths.resolved`.

    Raises:
        ValueError: A name is unknown, or an option is not allowed.
        TypeError: It is no loss.

    >>> loss_of("mse"), loss_of({"class_path": "Focal", "init_args": {"gamma": 3.0}})
    (MSE(), Focal(gamma=3.0))
    >>> loss_of({"class": "focal", "gamma": 1.0})
    Focal(gamma=1.0)
    """
    if isinstance(value, Loss):
        return value
    if isinstance(value, type) and issubclass(value, Loss):
        check_concrete(value, "loss")
        return value()
    given = {"class": value} if isinstance(value, str) else normal(value)
    if not isinstance(given, Mapping) or not isinstance(given.get("class"), str):
        raise TypeError(
            f"loss must be a Loss, a name, an import path or a mapping with class_path, got {shorten(value)}"
        )
    name, options = given["class"], {key: each for key, each in given.items() if key != "class"}
    base = resolved(name, "loss", trusted=trusted) if is_import_path(name) else LOSSES.get(name)
    if base is None and name.islower():
        lookup(LOSSES, name, "loss")  # raises; names of classes begin with a capital
    if isinstance(base, Loss) and not options:
        return base
    found = built(merged(described(base), options) if isinstance(base, Loss) else given, Loss, "loss", trusted=trusted)
    assert isinstance(found, Loss)
    return found


def loss_values(loss: Loss) -> Any:
    """Return a loss as plain values that `loss_of` reads: its name, or its class with options.

    >>> from tca.losses import Focal
    >>> loss_values(Focal()), loss_values(Focal(3.0))
    ('focal', {'class': 'Focal', 'gamma': 3.0})
    """
    names = [name for name, each in LOSSES.items() if each == loss and type(each) is type(loss)]
    if names:
        return names[0]
    return described(loss, type(loss).__name__ if type(loss).__module__.startswith("tca.") else None)
