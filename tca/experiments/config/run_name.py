"""The name of a run, a hash of its values, and the readable name of its folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["folder_name", "name_of"]

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


def folder_name(values: Mapping[str, Any], name: str) -> str:
    """Return the name of the folder of a run: task, rule, seed of the network and the name of the run.

    It depends on the run alone, so that every process finds the same folder. Characters other than letters and digits
    of ASCII and ``_.+-`` are replaced, and of long names the end is kept; the hash makes the whole unique.

    Args:
        values: Value of ``Run.to_json``.
        name: ``Run.name`` of these values.

    >>> from tca.experiments.config.run import Run
    >>> folder_name(Run("delayed_match", "eprop").to_json(), "3f2a91c0d4e5f678")
    'delayed_match_eprop_s0_3f2a91c0d4e5f678'
    """
    rule = values["rule"]
    if not isinstance(rule, str):
        parts = (rule[part]["class"].rpartition(".")[2] for part in ("signal", "eligibility"))
        rule = rule.get("name") or "-".join(parts)
    return "_".join([_safe(values["task"]), _safe(rule), f"s{values['seeds']['net']}", name])


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
