"""How much memory a computation holds at once, counted operation by operation."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["peak_bytes"]


class _Meter(TorchDispatchMode):
    """Counts the storages that tensors made under it hold, as long as one of them is alive."""

    def __init__(self) -> None:
        super().__init__()
        self.owners: Counter[int] = Counter()
        self.bytes: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        old = {each.untyped_storage().data_ptr() for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self._own(each, old)
        self.peak = max(self.peak, sum(self.bytes.values()))
        return result

    def _own(self, tensor: Tensor, old: set[int]) -> None:
        storage = tensor.untyped_storage()
        where = storage.data_ptr()
        if where in old and where not in self.bytes:
            return  # a view of what was there before
        self.bytes[where] = storage.nbytes()
        self.owners[where] += 1
        weakref.finalize(tensor, self._disown, where)

    def _disown(self, where: int) -> None:
        self.owners[where] -= 1
        if not self.owners[where]:
            self.bytes.pop(where, None)


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most bytes of tensors that were held at once beyond those held before."""
    with _Meter() as meter:
        work()
    return meter.peak
