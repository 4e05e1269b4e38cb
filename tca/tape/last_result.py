"""The last result of a computation on a tensor, for callers that ask for it again."""

from __future__ import annotations

from typing import Any

from torch import Tensor

__all__ = ["LastResult"]


class LastResult:
    """Holds one result, as long as the tensor that it was computed from is not changed by PyTorch.

    >>> import torch
    >>> values, last = torch.ones(2), LastResult()
    >>> last.keep(values.sum(), values).item(), last.of(values).item()
    (2.0, 2.0)
    >>> last.of(values.add_(1)), last.of(torch.ones(2))
    (None, None)
    """

    def __init__(self) -> None:
        self._held: tuple[tuple[Any, ...], Tensor] | None = None

    def of(self, source: Tensor, *further: Any) -> Tensor | None:
        """Return the result for this tensor, ``None`` if another one was the last or the tensor has changed.

        Args:
            source: The tensor itself; another one with the same numbers does not count.
            further: What else the result depends on.
        """
        if self._held is None or self._held[0][0] is not source or self._held[0][1:] != (source._version, *further):
            return None
        return self._held[1]

    def keep(self, result: Tensor, source: Tensor, *further: Any) -> Tensor:
        """Hold a result in place of the last one, and return it.

        Args:
            result: The result.
            source: The tensor that it was computed from.
            further: What else it depends on.
        """
        self._held = (source, source._version, *further), result
        return result
