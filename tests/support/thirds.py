"""A third of the values of a test daily, all of them under ``-m slow``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["thirds"]


def thirds(values: Iterable[Any]) -> list[Any]:
    """Return every third value as it is, and the others as parameters of slow tests."""
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.slow) if place % 3 else value
        for place, value in enumerate(values)
    ]
