"""Public names are documented, a method by its own docstring or by that of the method that it overrides."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType

import pytest

import analysis
import tasks
import tca


def undocumented(module: ModuleType) -> Iterator[str]:
    for name, item in vars(module).items():
        if name.startswith("_") or getattr(item, "__module__", None) != module.__name__:
            continue
        if isinstance(item, FunctionType | type) and not inspect.getdoc(item):
            yield f"{module.__name__}.{name}"
        for member, value in vars(item).items() if isinstance(item, type) else ():
            called = isinstance(value, FunctionType | property | classmethod | staticmethod)
            if called and not member.startswith("_") and not inspect.getdoc(getattr(item, member)):
                yield f"{module.__name__}.{name}.{member}"


@pytest.mark.parametrize("package", [tca, tasks, analysis], ids=lambda package: package.__name__)
def test_public_names_are_documented(package: ModuleType) -> None:
    names = [package.__name__, *(each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))]
    assert len(names) > 30
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    assert [each for module in modules for each in undocumented(module)] == []


class Base:
    """Return."""

    def run(self) -> None:
        """Return."""


class Derived(Base):
    """Return."""

    def run(self) -> None:
        pass

    def walk(self) -> None:
        pass


def test_a_method_is_documented_by_the_one_it_overrides() -> None:
    assert f"{__name__}.Derived.walk" in list(undocumented(sys.modules[__name__]))
    assert f"{__name__}.Derived.run" not in list(undocumented(sys.modules[__name__]))
