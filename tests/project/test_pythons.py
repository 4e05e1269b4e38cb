"""What Pythons after 3.11 take otherwise is not relied on; a record names the build of torch that ran."""

from __future__ import annotations

import importlib
import pkgutil
from functools import partial
from importlib import metadata
from types import ModuleType
from typing import Any

import pytest
import torch

import analysis
import tasks
import tca
from tca.experiments.records.versions import versions
from tca.nets import DualStreamRNN


def modules(package: ModuleType) -> list[ModuleType]:
    names = [each.name for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def test_no_class_has_a_partial_that_a_later_python_would_bind() -> None:
    """From 3.13 on access to one warns, and it will become a method."""
    found = {
        f"{each.__qualname__}.{name}"
        for module in (*modules(tca), *modules(tasks), *modules(analysis))
        for each in vars(module).values()
        if isinstance(each, type)
        for name, value in vars(each).items()
        if isinstance(value, partial)
    }
    assert not found
    assert DualStreamRNN(2, 3, 1).readout_connections()[0].drive(torch.ones(1, 6)).shape == (1, 1)


def test_a_record_names_the_build_of_torch_that_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package says 2.13.0 where the build is 2.13.0+cu130."""
    build: Any = "2.13.0+cu130"
    monkeypatch.setattr(torch, "__version__", build)
    monkeypatch.setattr(metadata, "version", lambda _: "2.13.0")
    assert versions()["torch"] == build
