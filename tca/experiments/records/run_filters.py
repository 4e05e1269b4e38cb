"""Conditions on columns and settings of runs, as text and in SQL."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from tca.experiments.config.run import Run
from tca.experiments.records.run_rows import COLUMNS
from tca.utils.names import lookup, shorten

__all__ = ["OPERATORS", "RunCondition"]

OPERATORS = {"<=": "<=", ">=": ">=", "!=": "IS NOT", "=": "IS", "<": "<", ">": ">", "~": "~", "in": "in"}
TEXT = re.compile(r"\s*([\w.-]+)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
NAME = re.compile(r"[\w-]+(\.[\w-]+)*")
SETTINGS = dict.fromkeys(each.name for each in dataclasses.fields(Run))


@dataclass(frozen=True)
class RunCondition:
    """A condition on a column or setting.

    Args:
        name: The column, or a setting with dots, such as ``net.size``.
        operator: One of ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=``, ``~`` for text that is contained,
            and ``in``.
        value: A number or text; for ``in`` a tuple of them.

    Raises:
        ValueError: The column or operator is unknown.

    >>> RunCondition.of("test_accuracy > 0.9")
    RunCondition(name='test_accuracy', operator='>', value=0.9)
    """

    name: str
    operator: str
    value: Any

    def __post_init__(self) -> None:
        """Check name and operator."""
        lookup(OPERATORS, self.operator, "operator of a condition")
        self.column(self.name)

    @classmethod
    def of(cls, text: str) -> RunCondition:
        """Return the condition of a text, such as ``"net.size >= 64"``.

        Args:
            text: Name, operator and value.

        Raises:
            ValueError: It is none.
        """
        found = TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"where must be a condition such as net.size>=64, got {shorten(text)}")
        name, operator, value = found.groups()
        return cls(name, operator, _value(value))

    @staticmethod
    def column(name: str) -> str:
        """Return the expression in SQL of a column or setting.

        Args:
            name: The column, or a setting with dots.

        Raises:
            ValueError: It is neither.

        >>> RunCondition.column("rule")
        'rule'
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"a column must be a name such as test_accuracy or net.size, got {shorten(name)}")
        first, dot, _ = name.partition(".")
        if not dot and name in COLUMNS:
            return name
        lookup(SETTINGS if dot else {**COLUMNS, **SETTINGS}, first, "column or setting")
        return f"json_extract(settings, '$.\"{name}\"')"

    @property
    def sql(self) -> str:
        """The condition in SQL, with ``?`` for the value."""
        if self.operator == "~":
            return f"instr(lower({self.column(self.name)}), lower(?)) > 0"
        if self.operator == "in":
            return f"{self.column(self.name)} IN ({', '.join('?' * len(self.value))})"
        return f"{self.column(self.name)} {OPERATORS[self.operator]} ?"

    @property
    def values(self) -> list[Any]:
        """The value for ``?``."""
        if self.operator == "in":
            return list(self.value)
        return [str(self.value) if self.operator == "~" else self.value]


def _value(text: str) -> Any:
    if text in ("none", "true", "false"):
        return {"none": None, "true": 1, "false": 0}[text]
    try:
        return int(text) if re.fullmatch(r"-?\d{1,18}", text) else float(text)
    except ValueError:
        return text
