"""The name of a run, a hash of its values, and its readable label."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["label_of", "name_of"]

LONGEST = 40  # characters of a task or rule, so that names fit every file system
UNSAFE = re.compile(r"[^A-Za-z0-9_.+]+")


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


def label_of(task: str, rule: str, seed: int) -> str:
    """Return task, rule and seed of the network of a run, as its folder begins.

    Characters other than letters and digits of ASCII and ``_.+-`` are replaced, and of long names the end is kept.

    Args:
        task: Name of the task.
        rule: Name of the rule.
        seed: Seed of the network.

    >>> label_of("delayed_match", "eprop", 0)
    'delayed_match_eprop_s0'
    """
    return f"{_safe(task)}_{_safe(rule)}_s{seed}"


def _safe(text: str) -> str:
    """Return text as a part of the name of a folder, which is visible and no path."""
    return UNSAFE.sub("-", text)[-LONGEST:].strip("-.") or "own"


def _canonical(value: Any) -> Any:
    """Return whole floats as integers, since 100 and 100.0 are equal and need one name."""
    if isinstance(value, dict):
        return {name: _canonical(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_canonical(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
