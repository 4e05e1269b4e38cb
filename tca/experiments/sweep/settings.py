"""Settings of runs as text, by the names of `grid`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tca.experiments.config.run import Run
from tca.utils.checks import checked

__all__ = ["flat", "settings", "varying"]


@checked
def settings(run: Run) -> dict[str, str]:
    """Return every setting of a run as text; lists as JSON, a rule without a name as its parts.

    >>> result = settings(Run("delayed_xor", task_options={"dt": 20}))
    >>> result["task"], result["rule"], result["net.size"], result["task_options.dt"], result["stop_loss"]
    ('delayed_xor', 'bptt', '128', '20', 'none')
    """
    values = run.to_json()
    values["rule"] = run.rule_title
    return flat(values)


@checked
def varying(runs: Sequence[Run]) -> list[str]:
    """Return the settings that differ between runs, in the order of the fields.

    >>> varying([Run("delayed_xor"), Run("delayed_xor", "eprop", steps=5), Run("delayed_xor", "eprop")])
    ['rule', 'steps']
    """
    found = [settings(run) for run in runs]
    names = dict.fromkeys(name for each in found for name in each)
    return [name for name in names if len({each.get(name) for each in found}) > 1]


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values as text by names with dots.

    Args:
        values: Value of ``Run.to_json``, or a part of it.
        prefix: Prefix of the names, default none.

    >>> flat({"steps": 10, "net": {"tau": 100.0, "cell_types": [0.5, 0.5]}})
    {'steps': '10', 'net.tau': '100', 'net.cell_types': '[0.5, 0.5]'}
    """
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = _text(value)
    return found


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else f"{value:g}" if _short(value) else json.dumps(value)


def _short(value: Any) -> bool:
    """Return whether six digits represent a number exactly, as 0.001 and 1e-05."""
    return isinstance(value, float) and float(f"{value:g}") == value
