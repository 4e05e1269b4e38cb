"""Rules as plain values: a name, an import path, or parts with changes to those of a named rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tca.eligibilities.eligibility import Eligibility
from tca.experiments.config.part_config import built, described, merged, normal
from tca.rule import Rule
from tca.rules import RULES
from tca.signals.signal import Signal
from tca.utils.checks import check
from tca.utils.class_paths import import_path, is_import_path, resolved
from tca.utils.names import lookup, shorten

__all__ = ["rule_of", "rule_values"]

PARTS: dict[str, type] = {"signal": Signal, "eligibility": Eligibility}


def rule_of(value: Any, *, trusted: bool = True) -> str | Rule:
    """Return the rule that a configuration describes: its name, if a registered rule has these parts.

    Args:
        value: A name in ``tca.RULES``; the import path of a `tca.Rule`; or a mapping with ``signal`` and
            ``eligibility``, each a short name, an import path or a mapping with ``class_path`` and ``init_args``. With
            ``name`` in the mapping, parts and options that are not given are those of the rule of this name.
        trusted: Whether modules outside of the library may be imported, default yes; see
            `tca.utils.class_paths.resolved`.

    Raises:
        ValueError: A name is unknown, a part is missing, or a value is not allowed.
        TypeError: A value is of another type.

    >>> rule_of({"name": "rflo", "signal": {"scale": 2.0}})
    Rule(signal=Random(scale=2.0), eligibility=Leak())
    >>> rule_of({"signal": {"class_path": "Direct"}, "eligibility": "Leak", "name": "eprop"})
    'eprop'
    """
    if isinstance(value, Rule):
        return value
    if isinstance(value, str):
        return _named(value, trusted=trusted)
    if not isinstance(value, Mapping):
        raise TypeError(f"rule must be a name or a mapping with signal and eligibility, got {shorten(value)}")
    given = normal(value)
    if given.pop("class", "Rule") not in ("Rule", "tca.Rule", import_path(Rule)):
        raise ValueError(f"class_path of a rule must be tca.Rule, got {shorten(value)}")
    for name in given:
        lookup(dict.fromkeys(("name", *PARTS)), name, "part of a rule")
    return _of_parts(given, trusted=trusted)


def _named(name: str, *, trusted: bool) -> str | Rule:
    """Return a name of the table, or the rule at an import path."""
    if name in RULES or not is_import_path(name):
        lookup(RULES, name, "rule")
        return name
    found = resolved(name, "rule", trusted=trusted)
    if not isinstance(found, Rule):
        raise TypeError(f"rule {name!r} must be a tca.Rule, got {shorten(found)}")
    return found if found.name else dataclasses.replace(found, name=name)


def _of_parts(given: dict[str, Any], *, trusted: bool) -> str | Rule:
    name = check("name of a rule", given.get("name", ""), str)
    whole = all(isinstance(part := given.get(each), str) or "class" in (part or {}) for each in PARTS)
    base = None
    if name and (name in RULES or not whole):
        named = _named(name, trusted=trusted)
        base = RULES[named] if isinstance(named, str) else named
    elif missing := [each for each in PARTS if each not in given]:
        raise ValueError(
            f"a rule needs signal and eligibility, or the name of the rule whose parts change, got no {missing[0]}"
        )
    parts = {}
    for each, kind in PARTS.items():
        changes = given.get(each, {})
        value = changes if base is None else merged(described(getattr(base, each)), changes)
        parts[each] = built(value, kind, each, trusted=trusted)
    if base is None:
        return Rule(**parts, name=name)
    rule = dataclasses.replace(base, **parts, name=name if whole and base.name else "")
    return name if rule == base and name in RULES else rule


def rule_values(rule: str | Rule) -> Any:
    """Return a rule as plain values that `rule_of` reads, a rule of the library as its name.

    Args:
        rule: The rule or its name.

    >>> rule_values("eprop"), rule_values(RULES["eprop"])["signal"]
    ('eprop', {'class': 'Direct'})
    """
    if isinstance(rule, str) and not RULES[rule].name:
        return rule
    found = RULES[rule] if isinstance(rule, str) else rule
    parts = {each: getattr(found, each) for each in PARTS}
    values = {name: described(part, _short(type(part))) for name, part in parts.items()}
    return {"name": found.name, **values} if found.name else values


def _short(kind: type) -> str | None:
    """Return the short name of a class of the library, ``None`` for others."""
    return kind.__name__ if kind.__module__.startswith("tca.") else None
