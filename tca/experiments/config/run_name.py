"""The name of a run, a hash of its values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["name_of"]


def name_of(values: Mapping[str, Any]) -> str:
    """Return ``Run.name`` of a configuration, without a run.

    Args:
        values: Value of ``Run.to_json``.

    >>> from tca.experiments.config.run import Run
    >>> run = Run("delayed_xor")
    >>> name_of(run.to_json()) == run.name
    True
    """
    canonical = json.dumps(_canonical(values), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _canonical(value: Any) -> Any:
    """Return whole floats as integers, since 100 and 100.0 are equal and need one name."""
    if isinstance(value, dict):
        return {name: _canonical(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
