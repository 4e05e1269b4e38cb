"""Work on a CUDA device captured in a graph: its kernels on its memory, launched at once and without Python."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tca.utils.names import unknown

__all__ = [
    "CHOICES",
    "EAGER",
    "SHAPES",
    "VARIABLE",
    "CaptureWarning",
    "Captured",
    "CudaGraphs",
    "Replays",
    "graphs_on",
    "replays_on",
    "warn_refused",
]

VARIABLE = "TCA_GRAPHS"
CHOICES = {"auto": "work is captured where it can be", "off": "PyTorch launches every kernel"}
SHAPES = 4  # graphs of one piece of work, each of which keeps its memory
NEAR = 1e-4  # difference of sums in another order, of the largest number
EAGER = 3  # times that work of a shape is done before its capture, in which tensors are made that last

R = TypeVar("R")
Key = tuple[object, ...]


class CaptureWarning(UserWarning):
    """Work cannot be captured in a CUDA graph; its kernels are launched one by one."""


def warn_refused(work: str, error: Exception) -> None:
    """Warn that work cannot be captured.

    Args:
        work: A plural noun.
        error: The reason.
    """
    reason = str(error).partition("\n")[0]
    silent = f"{VARIABLE}=off is silent"
    warnings.warn(f"{work} are not captured in a CUDA graph: {reason}; {silent}", CaptureWarning, stacklevel=3)


def graphs_on(device: torch.device, one_pool: bool = False) -> CudaGraphs | None:
    """Return the means to capture work on a device, ``None`` if it is no CUDA device or ``TCA_GRAPHS`` is ``"off"``.

    Args:
        device: The device.
        one_pool: Whether graphs share memory, see `CudaGraphs`; default no.

    Raises:
        ValueError: ``TCA_GRAPHS`` is none of the choices.

    >>> graphs_on(torch.device("cpu")) is None
    True
    """
    chosen = os.environ.get(VARIABLE, "auto")
    if chosen not in CHOICES:
        raise unknown(chosen, CHOICES, VARIABLE)
    return CudaGraphs(device, one_pool) if device.type == "cuda" and chosen == "auto" else None


class CudaGraphs:
    """Captures work on a CUDA device.

    Args:
        device: The device.
        one_pool: Whether its graphs take the same memory one after the other, which they may if nothing is read in it
            after the replay of another one; default no.
    """

    def __init__(self, device: torch.device, one_pool: bool = False) -> None:
        self.stream = _stream(device)
        self._pool = torch.cuda.graph_pool_handle() if one_pool else None

    def aside(self, work: Callable[[], R]) -> R:
        """Return the result of work on the stream of captures, as PyTorch asks for before a capture of the same work.

        A backward pass goes back on the streams of its forward pass. It can be captured only if that was made here.
        """
        before = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(before)
        with torch.cuda.stream(self.stream):
            found = work()
        before.wait_stream(self.stream)
        return found

    def capture(self, work: Callable[[], R]) -> tuple[Callable[[], object], R]:
        """Return a replay of work and its result, see `Captured`."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.stream.device), torch.cuda.graph(graph, self._pool, self.stream):
            found = work()
        return graph.replay, found


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream of all captures on a device, since every stream keeps memory of its own."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


class Captured(Generic[R]):
    """Work that a graph replays.

    Python runs once, when it is captured; numbers of the host stay as they are then. The work itself is done by replays
    alone. It is to be done before, see `CudaGraphs.aside`, on tensors that stay where they are. A first replay is held
    against the work without a graph, after which everything is as it was.

    Args:
        graphs: The means to capture it.
        work: The work.
        state: Tensors that it may change, beside those that it makes; default none.

    Attributes:
        result: Its result, whose tensors have values after every replay.

    Raises:
        RuntimeError: It cannot be captured, as where the host waits for a value, or a replay does other work.
    """

    def __init__(self, graphs: CudaGraphs, work: Callable[[], R], state: Sequence[Tensor] = ()) -> None:
        before = _copies(state)
        with _unsafe_preserve_version_counter(tuple(state)):  # what the host has read of them stays valid
            wanted = _copies((graphs.aside(work), state))
            _restore_(state, before)
        versions = [each._version for each in state]
        self._operands = _Operands()
        with self._operands:
            self._replay, self.result = graphs.capture(work)
        self._changed = [each for each, version in zip(state, versions, strict=True) if each._version != version]
        self._replay()
        found = _copies((self.result, state))
        _restore_(state, before)
        if not all(map(_alike, found, wanted)):
            raise RuntimeError("a replay gives other numbers than the work itself")

    def replay(self) -> None:
        """Do the work; PyTorch counts the changes of the state, as it did in the capture."""
        self._replay()
        torch.autograd.graph.increment_version(self._changed)


class Replays:
    """Values of a function of a tensor on a device, replayed for the shapes that it has taken before.

    Args:
        graphs: The means to capture work on the device.
        work: The values, a plural noun, for the warning.

    Attributes:
        refused: Whether PyTorch refused to capture them.

    Warns:
        CaptureWarning: It cannot be captured; it is computed without graphs.
    """

    def __init__(self, graphs: CudaGraphs, work: str) -> None:
        self.graphs, self.work, self.refused = graphs, work, False
        self._made: Counter[Key] = Counter()
        self._captured: dict[Key, tuple[Tensor, Captured[Tensor]]] = {}

    def __call__(self, function: Callable[[Tensor], Tensor], given: Tensor, reads: Iterable[Tensor] = ()) -> Tensor:
        """Return the value of the function, a new tensor.

        Args:
            function: The function, always the same; it keeps nothing from one call to the next.
            given: Its argument, without a graph.
            reads: Tensors that it reads and that may come to lie elsewhere, where it has other graphs; default none.
        """
        key = given.shape, given.dtype, *(memory for memory, _ in _memory(tuple(reads)))
        if key not in self._captured and not self.refused and len(self._captured) < SHAPES:
            self._made[key] += 1
            if self._made[key] <= EAGER:
                return self.graphs.aside(lambda: function(given))
            taken = given.clone()
            try:
                self._captured[key] = taken, Captured(self.graphs, lambda: function(taken))
            except (RuntimeError, ValueError) as error:  # it had a value before; an error of its own comes again below
                self.refused = True
                warn_refused(self.work, error)
        if key not in self._captured:
            return function(given)
        taken, captured = self._captured[key]
        taken.copy_(given)
        captured.replay()
        return captured.result.clone()


def replays_on(device: torch.device, work: str) -> Replays | None:
    """Return replays on a device, ``None`` where nothing is captured, see `graphs_on`.

    Args:
        device: The device.
        work: The values, a plural noun, for a warning.
    """
    graphs = graphs_on(device, one_pool=True)
    return None if graphs is None else Replays(graphs, work)


class _Operands(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Holds the memory that operations take within, other than their own, since a graph keeps its address alone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._held: dict[int, Tensor] = {}
        self._own: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for memory, each in _memory((args, kwargs)):
            if memory not in self._own:
                self._held[memory] = each
        found = func(*args, **(kwargs or {}))
        self._own.update(memory for memory, _ in _memory(found) if memory not in self._held)
        return found


def _copies(values: Any) -> list[Tensor]:
    return [each.detach().clone() for each in tree_leaves(values) if isinstance(each, Tensor)]


@torch.no_grad()
def _restore_(state: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    for each, its in zip(state, before, strict=True):
        each.copy_(its)


def _alike(found: Tensor, wanted: Tensor) -> bool:
    """Return whether tensors are the same but for sums in another order."""
    if not (wanted.is_floating_point() and wanted.numel()):
        return torch.equal(found, wanted)
    largest = float(wanted.nan_to_num(posinf=0.0, neginf=0.0).abs().max())
    return torch.allclose(found, wanted, rtol=NEAR, atol=NEAR * largest, equal_nan=True)


def _memory(values: Any) -> list[tuple[int, Tensor]]:
    """Return every tensor with a number of its memory."""
    return [(each.untyped_storage()._cdata, each) for each in tree_leaves(values) if isinstance(each, Tensor)]
