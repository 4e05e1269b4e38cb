"""Checks of values on a device, which the host reads together with others, since each read waits for the device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar

from torch import Tensor

__all__ = ["DeferredChecks", "act_if", "deferred"]


class DeferredChecks:
    """Flags on a device, each with an action if it is set.

    Attributes:
        flags: The flags, boolean scalars.
    """

    def __init__(self) -> None:
        self.flags: list[Tensor] = []
        self._actions: list[Callable[[], object]] = []

    def add(self, flag: Tensor, action: Callable[[], object]) -> None:
        """Add a flag.

        Args:
            flag: A boolean scalar.
            action: Called if it is set, when it has been read.
        """
        self.flags.append(flag)
        self._actions.append(action)

    def act(self, read: Sequence[float]) -> None:
        """Call the actions of flags that are set.

        Args:
            read: The values of ``flags``, zero where one is not set.
        """
        for value, action in zip(read, self._actions, strict=True):
            if value:
                action()


_HELD: ContextVar[DeferredChecks | None] = ContextVar("deferred checks", default=None)


@contextlib.contextmanager
def deferred() -> Iterator[DeferredChecks]:
    """Collect flags of ``act_if`` on other devices than the CPU within, for the caller to read and act on."""
    held = DeferredChecks()
    token = _HELD.set(held)
    try:
        yield held
    finally:
        _HELD.reset(token)


def act_if(flag: Tensor, action: Callable[[], object]) -> None:
    """Call a function if a flag is set: at once on the CPU and outside of ``deferred``, else once it has been read.

    Args:
        flag: A boolean scalar.
        action: For example, raises an error or warns.

    >>> import torch
    >>> act_if(torch.tensor(True), lambda: print("set"))
    set
    >>> with deferred() as checks:
    ...     act_if(torch.ones(2, device="meta").isnan().any(), lambda: print("not a number"))
    >>> len(checks.flags)
    1
    >>> checks.act([1.0])
    not a number
    """
    held = _HELD.get()
    if held is not None and not flag.is_cpu:
        held.add(flag, action)
    elif flag:
        action()
