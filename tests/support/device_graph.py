"""A CUDA graph, imitated on a second device whose tensors have values.

A capture runs Python once and no kernel: what it computes is taken back. A replay runs the recorded kernels, and no
Python of the library: the same operations on the same memory. So a number of the host stays as it was captured.
What PyTorch refuses in a capture is refused here: reads by the host, copies between host and device, operations whose
result has a size that the host must read, and random numbers of generators that no graph knows. Memory of the capture
belongs to the graph; other memory must still be there at a replay. A backward pass goes back on the streams of its
forward pass (`streams_kept`), and is refused in a capture on another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from tests.support.second_device import DEVICE, Device, OnDevice, compute, leaves, mapped, to_itself

__all__ = ["DeviceGraph", "Graphs", "streams_kept"]

R = TypeVar("R")
READS = frozenset(
    """_local_scalar_dense nonzero masked_select equal is_nonzero item unique_dim _unique2 unique_consecutive bincount
    _linalg_check_errors repeat_interleave""".split()  # noqa: SIM905
)
INDEXED = frozenset({"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"})


@dataclass(frozen=True)
class _Outside:
    """A tensor in memory that the graph does not own: its address, and its layout."""

    storage: StorageWeakRef
    like: tuple[torch.dtype, int, torch.Size, tuple[int, ...]]

    def tensor(self) -> Tensor:
        """Return the tensor, or raise where its memory has been freed."""
        storage = torch.UntypedStorage._new_with_weak_ptr(self.storage.cdata)
        if storage is None:
            raise AssertionError("a replay takes memory that has been freed since the capture")
        dtype, offset, size, stride = self.like
        return torch.empty(0, dtype=dtype).set_(storage, offset, size, stride)


@dataclass(frozen=True)
class _Call:
    func: Any
    args: Any
    kwargs: Any
    results: tuple[Tensor | None, ...]  # memory of the graph that takes each result, None where there is none


class DeviceGraph:
    """A recorded piece of work."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._calls: list[_Call] = []
        self._own: dict[int, Tensor] = {}  # one tensor of every memory that the graph owns, by address
        self._numbers: dict[int, Tensor] = {}  # of the host, as they were captured
        self._before: dict[int, tuple[Tensor, Tensor]] = {}  # memory that the capture changed, and its content

    def capture(self, work: Callable[[], R]) -> R:
        """Record a piece of work and return what it returns, whose tensors have values after a replay.

        Raises:
            RuntimeError: It does what no capture allows.
        """
        self.device.seen = self._record
        try:
            return work()
        finally:
            self.device.seen = None
            for bytes_now, bytes_before in self._before.values():
                bytes_now.copy_(bytes_before)
            for each in self._own.values():
                if each.is_floating_point():
                    _whole(each).fill_(torch.nan)
            self._calls = [
                _Call(each.func, *mapped(self._held, (each.args, each.kwargs)), each.results) for each in self._calls
            ]
            self._before.clear()

    @torch.no_grad()
    def replay(self) -> None:
        """Run the recorded operations; memory that has been freed, which a GPU would write to, is an error."""
        for call in self._calls:
            args, kwargs = mapped(
                lambda each: each.tensor() if isinstance(each, _Outside) else each, (call.args, call.kwargs)
            )
            found = leaves(call.func(*args, **kwargs))
            for kept, each in zip(call.results, found, strict=True):
                if kept is not None and isinstance(each, Tensor) and _address(kept) != _address(each):
                    kept.copy_(each)

    def _record(self, func: Any, args: Any, kwargs: Any) -> Any:
        given = leaves((args, kwargs))
        target = kwargs.get("device")
        there = any(isinstance(each, OnDevice) for each in given)
        if not there and (target is None or torch.device(target).type != DEVICE):
            return func(*args, **kwargs)  # an operation of the host, which no replay repeats
        if to_itself(func, args):
            return args[0]
        _refuse(func, given, target)
        self._save(func, args, kwargs)
        found = compute(func, args, kwargs)
        inner = mapped(self._noted, (args, kwargs if target is None else {**kwargs, "device": "cpu"}))
        results = []
        taken = {_address(each) for each in leaves(inner) if isinstance(each, Tensor)}
        for each in leaves(found):
            here = each.here if isinstance(each, OnDevice) else None
            if here is not None and _address(here) not in taken:
                self._own.setdefault(_address(here), here)
            results.append(here if here is not None and _address(here) in self._own else None)
        self._calls.append(_Call(func, *inner, tuple(results)))
        return found

    def _noted(self, each: Any) -> Any:
        """Return an argument for replays: tensors of the device as they are, numbers of the host as they are now."""
        if isinstance(each, OnDevice):
            return each.here
        if isinstance(each, Tensor):
            each = each.clone()
            self._numbers[_address(each)] = each
        return each

    def _held(self, each: Any) -> Any:
        """Return an argument without a reference to memory of others."""
        if not isinstance(each, Tensor) or _address(each) in self._own or _address(each) in self._numbers:
            return each
        like = (each.dtype, each.storage_offset(), each.size(), each.stride())
        return _Outside(StorageWeakRef(each.untyped_storage()), like)

    def _save(self, func: Any, args: Any, kwargs: Any) -> None:
        """Keep the content of memory of others that an operation is about to change."""
        for position, argument in enumerate(func._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            argument_given = args[position] if position < len(args) else kwargs.get(argument.name)
            for each in leaves(argument_given):
                here = each.here if isinstance(each, OnDevice) else None
                if here is not None and _address(here) not in self._own and _address(here) not in self._before:
                    now = _whole(here)
                    self._before[_address(here)] = now, now.clone()


class Graphs:
    """Captures work on the device in the place of `tca.utils.cuda_graphs.CudaGraphs`, and counts replays."""

    def __init__(self, device: Device) -> None:
        self.device, self.replays = device, 0

    def aside(self, work: Callable[[], R]) -> R:
        before, self.device.stream = self.device.stream, self
        try:
            return work()
        finally:
            self.device.stream = before

    def capture(self, work: Callable[[], R]) -> tuple[Callable[[], object], R]:
        graph = DeviceGraph(self.device)
        found = self.aside(lambda: graph.capture(work))

        def replay() -> None:
            self.replays += 1
            graph.replay()

        return replay, found


@contextmanager
def streams_kept(device: Device) -> Iterator[None]:
    """Let graphs of autograd made within keep the stream of every tensor that they save, as PyTorch does of nodes."""

    def unpack(saved: tuple[Tensor, object]) -> Tensor:
        tensor, stream = saved
        if device.seen is not None and stream is not device.stream:
            raise RuntimeError("a backward pass goes back on another stream than that of the capture")
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: (tensor, device.stream), unpack):
        yield


def _refuse(func: Any, given: list[Any], target: Any) -> None:
    """Raise where a GPU raises during a capture."""
    name = func._schema.name.removeprefix("aten::")
    tensors = [each for each in given if isinstance(each, Tensor)]
    here = [each for each in tensors if not isinstance(each, OnDevice)]
    moved = target is not None and torch.device(target).type != DEVICE
    indices = name in INDEXED and any(each.dtype in (torch.bool, torch.uint8) for each in tensors[1:])
    if name in READS or moved or indices:
        raise RuntimeError(f"{name} makes the host wait, which a capture does not allow")
    if any(each.ndim for each in here) or (here and name in ("_to_copy", "copy_")):
        raise RuntimeError(f"{name} copies from the host, which a capture does not allow")
    drawn = torch.Tag.nondeterministic_seeded in func.tags
    if drawn or any(isinstance(each, torch.Generator) for each in given):
        raise RuntimeError(f"{name} draws from a generator that is not registered with the graph")


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _whole(tensor: Tensor) -> Tensor:
    """Return all memory of a tensor as numbers of its type."""
    storage = tensor.untyped_storage()
    return torch.empty(0, dtype=tensor.dtype).set_(storage, 0, (len(storage) // tensor.element_size(),))
