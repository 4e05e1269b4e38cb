"""Parts of a rule, losses and other frozen dataclasses as plain values, in either of two notations.

A record has ``{"class": "Random", "scale": 2.0}``; configuration files may also have jsonargparse's and Lightning's
``{"class_path": "Random", "init_args": {"scale": 2.0}}``, or ``"Random"`` alone.
"""

from __future__ import annotations

import abc
import dataclasses
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from tca.utils.checks import check
from tca.utils.class_paths import check_concrete, import_path, is_import_path, resolved
from tca.utils.names import lookup, shorten

__all__ = ["built", "described", "merged", "normal"]


def described(part: Any, name: str | None = None) -> Any:
    """Return a part as nested dictionaries with the import paths of its classes.

    Args:
        part: A frozen dataclass, or a value of one of its fields.
        name: Name of its class; ``None`` (default) for the import path.

    >>> from tca.signals import Random
    >>> described(Random(2.0))
    {'class': 'tca.signals.feedback.Random', 'scale': 2.0}
    """
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        fields = {each.name: described(getattr(part, each.name)) for each in dataclasses.fields(part) if each.init}
        return {"class": name or import_path(type(part)), **fields}
    return [described(each) for each in part] if isinstance(part, (tuple, list)) else part


def normal(value: Any) -> Any:
    """Return a described part in the notation of records.

    Args:
        value: A part in either notation, or any other value.

    Raises:
        ValueError: ``init_args`` is no mapping.

    >>> normal({"class_path": "Random", "init_args": {"scale": 2}})
    {'class': 'Random', 'scale': 2}
    """
    if isinstance(value, (list, tuple)):
        return [normal(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    given = {"class" if name == "class_path" else name: each for name, each in value.items()}
    if "init_args" in given:
        options = given.pop("init_args")
        if not isinstance(options, Mapping):
            raise ValueError(f"init_args must be a mapping of options, got {shorten(options)}")
        given = {**given, **{name: each for name, each in options.items() if name not in given}}
    return {name: normal(each) for name, each in given.items()}


def merged(base: Any, changes: Any) -> Any:
    """Return a described part with changes: options by name, or another class with its options.

    Args:
        base: A part in the notation of records.
        changes: The same, without ``class`` to keep that of ``base``.

    >>> merged({"class": "Random", "scale": 1.0}, {"scale": 2.0})
    {'class': 'Random', 'scale': 2.0}
    >>> merged({"class": "Adaptive", "scale": 3.0}, {"class": "Random"})
    {'class': 'Random'}
    """
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping) or "class" in changes:
        return changes
    return {**base, **{name: merged(base.get(name), each) for name, each in changes.items()}}


def built(value: Any, kind: Any, what: str, *, trusted: bool) -> Any:
    """Return the part that a value describes.

    Args:
        value: A part in either notation, or the part itself.
        kind: Its class or annotation; classes of it may be given by name, others by import path.
        what: The name of the argument, for the message.
        trusted: Whether classes may be imported from modules outside of the library.

    Raises:
        ValueError: A class or option is unknown, or a value is not allowed.
        TypeError: A value is of another type.

    >>> from tca.signals import Signal
    >>> built({"class_path": "Random", "init_args": {"scale": 2}}, Signal, "signal", trusted=False)
    Random(scale=2)
    """
    classes = list(_classes(kind))
    if isinstance(value, str) and classes and not _accepts(kind, str):
        value = {"class": value}
    if isinstance(value, (list, tuple)):
        return tuple(built(each, kind, f"{what}[{place}]", trusted=trusted) for place, each in enumerate(value))
    value = normal(value)
    if not isinstance(value, Mapping) or "class" not in value:
        return value
    made = _class(value["class"], classes, what, trusted=trusted)
    hints = typing.get_type_hints(made, include_extras=True)
    allowed = inspect.signature(made).parameters
    options = {}
    for name, each in value.items():
        if name != "class":
            lookup(allowed, name, f"option of {made.__name__}")
            options[name] = built(each, hints.get(name, Any), f"{what}.{name}", trusted=trusted)
    return made(**options)


def _class(name: Any, classes: list[type], what: str, *, trusted: bool) -> type:
    """Return a class by its short name or import path; it must be derived from one of the classes."""
    check(f"the class of {what}", name, str)
    if not is_import_path(name):
        named = {each.__name__: each for base in classes for each in _derived(base)}
        return lookup(named, name, f"class of {what}")
    found = resolved(name, "class", trusted=trusted)
    if not isinstance(found, type) or not dataclasses.is_dataclass(found) or not issubclass(found, tuple(classes)):
        bases = " or ".join(each.__name__ for each in classes) or "another value"
        raise ValueError(f"{what} must be a class of {bases}, got {name!r}")
    check_concrete(found, what)
    return found


def _derived(base: type) -> Iterator[type]:
    """Yield the concrete dataclasses derived from a class, itself included."""
    if dataclasses.is_dataclass(base) and not inspect.isabstract(base) and not base.__name__.startswith("_"):
        yield base
    children: list[type] = base.__subclasses__()
    for child in children:
        yield from _derived(child)


def _classes(kind: Any) -> Iterator[type]:
    """Yield the classes of parts in an annotation."""
    for each in (kind, typing.get_origin(kind)):
        if isinstance(each, type) and (dataclasses.is_dataclass(each) or abc.ABC in each.__bases__):
            yield each
    for each in typing.get_args(kind):
        yield from _classes(each)


def _accepts(kind: Any, wanted: type) -> bool:
    return kind is wanted or any(_accepts(each, wanted) for each in typing.get_args(kind))
