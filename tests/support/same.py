"""Results that hold NaN, compared; Python 3.13 no longer takes one for itself in dataclasses."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


def assert_same(first: Any, second: Any) -> None:
    """Fail unless two results, or dictionaries of results, agree to the bit; NaN agrees with NaN."""
    np.testing.assert_equal(_plain(first), _plain(second))


def _plain(result: Any) -> Any:
    if isinstance(result, dict):
        return {name: _plain(each) for name, each in result.items()}
    return (type(result), dataclasses.asdict(result)) if dataclasses.is_dataclass(result) else result
