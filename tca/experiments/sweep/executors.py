"""Who does the work: this process, other processes on this machine, or the workers of a Dask cluster.

A crew takes calls of functions, each under a key, and gives answers in the order in which they come to an end. It tells
a worker that died from a function that raised an error, and leaves it to its user whether to submit the call again.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "Call", "Crew", "CrewError", "Here"]


class CrewError(RuntimeError):
    """There are no workers, or they are gone; the message is one line."""


@dataclass(frozen=True)
class Call:
    """A function that a worker shall call; both it and its arguments can be pickled.

    Args:
        key: What the answer is known by.
        function: The function, which a worker can import.
        arguments: Its arguments.
    """

    key: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """What has become of a call.

    Args:
        key: The key of the call.
        value: What the function returned.
        error: What it raised instead.
        lost: Why the worker did not answer at all, empty if it did.
    """

    key: str
    value: Any = None
    error: BaseException | None = None
    lost: str = ""


class Crew(ABC):
    """Workers; a context manager that lets them go at the end."""

    @abstractmethod
    def submit(self, call: Call) -> None:
        """Have a worker call a function as soon as one is free.

        Args:
            call: What to call.
        """

    @abstractmethod
    def answer(self, seconds: float | None = None) -> Answer | None:
        """Return the next answer.

        Args:
            seconds: How long to wait; ``None`` (default) as long as it takes.

        Returns:
            The answer, or ``None`` if there is none so far.

        Raises:
            CrewError: There will be none, as the workers cannot be reached or cannot start.
        """

    @abstractmethod
    def trouble(self) -> str:
        """Return why nothing can happen for the time being, empty if work goes on."""

    @abstractmethod
    def close(self) -> None:
        """Let the workers go, whatever they are doing."""

    def __enter__(self) -> Crew:
        """Return the crew."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the workers go."""
        self.close()


class Here(Crew):
    """No workers: this process does one call after the other, whenever an answer is asked for."""

    def __init__(self) -> None:
        """Start without calls."""
        self._calls: deque[Call] = deque()

    def submit(self, call: Call) -> None:
        """Remember a call.

        Args:
            call: What to call.
        """
        self._calls.append(call)

    def answer(self, seconds: float | None = None) -> Answer | None:
        """Do the next call.

        Args:
            seconds: How long to sleep if there is none.
        """
        if not self._calls:
            time.sleep(seconds or 0.0)
            return None
        call = self._calls.popleft()
        try:
            return Answer(call.key, call.function(*call.arguments))
        except Exception as error:
            return Answer(call.key, error=error)

    def trouble(self) -> str:
        """Return nothing: there is always this process."""
        return ""

    def close(self) -> None:
        """Forget what is left to do."""
        self._calls.clear()
