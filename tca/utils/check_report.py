"""Reports of checks of a user's parts: a line for each check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tca.utils.text import in_a_line

__all__ = ["CheckLine", "CheckReport", "SkippedCheckError", "checked_line"]


class SkippedCheckError(Exception):
    """A check does not apply to a part; the message is the reason."""


@dataclass(frozen=True)
class CheckLine:
    """The outcome of one check.

    Args:
        name: The property that was checked.
        outcome: ``"passed"``, ``"failed"`` or ``"skipped"``.
        detail: Measured number, reason of the failure, or reason for skipping.
    """

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.outcome}  {self.name}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class CheckReport:
    """The outcomes of several checks of one part; true if none failed.

    Args:
        subject: The part that was checked.
        lines: The outcomes, in order.

    >>> report = CheckReport("Mine()", (CheckLine("locality", "passed"), CheckLine("horizon", "failed", "0 declared")))
    >>> bool(report)
    False
    >>> print(report)
    Mine(): 1 of 2 checks failed
      passed  locality
      failed  horizon: 0 declared
    """

    subject: str
    lines: tuple[CheckLine, ...]

    def __bool__(self) -> bool:
        return not self.failures

    @property
    def failures(self) -> tuple[CheckLine, ...]:
        """The checks that failed."""
        return tuple(each for each in self.lines if each.outcome == "failed")

    def __str__(self) -> str:
        """Return the subject with the number of failures, and a line for each check."""
        made = sum(each.outcome != "skipped" for each in self.lines)
        checks = "check" if made == 1 else "checks"
        verdict = f"{len(self.failures)} of {made} {checks} failed" if self.failures else f"{made} {checks} passed"
        return "\n".join([f"{self.subject}: {verdict}", *(f"  {each}" for each in self.lines)])

    def require(self) -> None:
        """Raise if a check failed.

        Raises:
            ValueError: The first check that failed, in one line.
        """
        if self.failures:
            first = self.failures[0]
            raise ValueError(f"{self.subject}: {first.name}: {first.detail}")


def checked_line(name: str, check: Callable[[], str]) -> CheckLine:
    """Return the outcome of a check; its errors are failures.

    Args:
        name: The property.
        check: Returns the detail, for example the measured difference; raises `AssertionError`, `ValueError` or any
            other error with the reason if the property does not hold, `SkippedCheckError` if it does not apply.

    >>> print(checked_line("order", lambda: "3 terms"))
    passed  order: 3 terms
    """
    try:
        return CheckLine(name, "passed", check())
    except SkippedCheckError as error:
        return CheckLine(name, "skipped", in_a_line(error))
    except (AssertionError, ValueError) as error:
        return CheckLine(name, "failed", in_a_line(error))
    except Exception as error:  # a user's part may raise anything
        return CheckLine(name, "failed", f"{type(error).__name__}: {in_a_line(error)}")
