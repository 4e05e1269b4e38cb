"""Every public method of every public class refuses bad arguments by name, or is a hook that the library calls."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.arguments import bad
from tests.support.arguments_good import called
from tests.support.methods import HOOKS, METHODS, PARTS, Method, methods, of_path
from tests.tca.test_arguments import free, refused

TRIED = methods()


def tried(method: Method) -> Iterator[tuple[str, Any, str]]:
    """Yield every bad argument of a method and what becomes of it."""
    call, good = method.of(), method.arguments()
    for parameter, kind in method.annotations().items():
        for value in bad(kind):
            if not free(method.title, parameter, value):
                yield parameter, value, refused(call, good, parameter, value)


def test_every_method_has_an_example() -> None:
    """A new public method is entered in ``tests/support/methods_good.py``, or with the hooks if passes call it."""
    assert METHODS.keys() == TRIED.keys()


@pytest.mark.parametrize("path", [*PARTS, *HOOKS])
def test_every_hook_is_there(path: str) -> None:
    kind = of_path(path)
    heirs = [kind, *_below(kind)]
    assert all(any(hasattr(each, name) for each in heirs) for name in HOOKS.get(path, ()))


def _below(kind: type) -> Iterator[type]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)


@pytest.mark.parametrize("title", TRIED)
def test_bad_arguments_of_methods_are_refused_by_name(title: str) -> None:
    method = TRIED[title]
    if title not in ("Task.environments", "Network.stepper"):  # of the base classes, which have none
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            called(method.of(), method.arguments())
    found = [f"{name}={value!r}: {outcome}" for name, value, outcome in tried(method) if outcome != "refused"]
    assert not found, "\n".join(found)
