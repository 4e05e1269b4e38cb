"""Memory used again from one batch to the next: a fresh large allocation is as dear as a pass over it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Workspace"]


class Workspace:
    """Named tensors handed out again whenever the same shape, type and device are asked for.

    What is handed out holds arbitrary numbers and is overwritten by the next call with the same name: nothing that
    outlives a batch may live here.

    >>> space = Workspace()
    >>> space.empty("rate", (2, 3), torch.zeros(1)).data_ptr() == space.empty("rate", (2, 3), torch.zeros(1)).data_ptr()
    True
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._held: dict[str, Tensor] = {}

    def empty(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return an uninitialised tensor.

        Args:
            name: What it is for; one tensor is held per name.
            shape: Its shape.
            like: A tensor with the wanted type and device.
        """
        held = self._held.get(name)
        if held is None or held.shape != shape or held.dtype != like.dtype or held.device != like.device:
            with torch.inference_mode(False):
                held = self._held[name] = torch.empty(shape, dtype=like.dtype, device=like.device)
        return held
