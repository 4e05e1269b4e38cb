"""A second device whose tensors have values, on a machine without one.

A tensor of the device calls itself one of PyTorch's meta device, so that the library and PyTorch take the paths of an
accelerator, and holds its values in a tensor of the CPU, where operations compute them. Reads by the host, copies
between the devices and operands of both are seen here as a GPU sees them (`Device.seen`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["DEVICE", "Device", "OnDevice", "compute", "leaves", "mapped", "to_itself"]

DEVICE = "meta"
MAKERS = frozenset({"tensor", "as_tensor", "asarray", "new_tensor"})  # of numbers of the host
INDEXED = frozenset({"__getitem__", "__setitem__"})


def leaves(values: Any) -> list[Any]:
    """Return what nested sequences and dictionaries hold; in a tenth of the time of PyTorch's own function."""
    if isinstance(values, dict):
        values = tuple(values.values())
    if not isinstance(values, tuple | list):
        return [values]
    return [leaf for each in values for leaf in (leaves(each) if isinstance(each, tuple | list | dict) else (each,))]


def mapped(function: Callable[[Any], Any], values: Any) -> Any:
    """Return nested sequences and dictionaries of the values of a function."""
    if isinstance(values, dict):
        return {name: mapped(function, each) for name, each in values.items()}
    if isinstance(values, tuple | list):
        found = [mapped(function, each) for each in values]
        return found if isinstance(values, list) else tuple(found)
    return function(values)


class OnDevice(Tensor):
    """A tensor of the device; ``here`` are its values."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor, requires_grad: bool = False) -> OnDevice:
        here = here.here if isinstance(here, OnDevice) else here
        made: OnDevice = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            here.shape,
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=DEVICE,
            requires_grad=requires_grad,
        )
        made.here = here
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: Any) -> Any:
    """Return the result of an operation, on the device unless it is asked for on the host."""
    own = {id(each.here): each for each in leaves((args, kwargs)) if isinstance(each, OnDevice)}
    target = kwargs.get("device")
    on_host = target is not None and torch.device(target).type != DEVICE
    if not own and (target is None or on_host):
        return func(*args, **kwargs)
    if to_itself(func, args):
        return args[0]
    given = kwargs if target is None else {**kwargs, "device": "cpu"}
    found = func(*mapped(_values, args), **mapped(_values, given))
    if on_host or (func is torch.ops.aten.copy_.default and not isinstance(args[0], OnDevice)):
        return found

    def placed(each: Any) -> Any:
        if not isinstance(each, Tensor):
            return each
        there = own[id(each)] if id(each) in own else OnDevice(each)
        assert there.shape == each.shape, f"{func} changes the shape of a tensor in place, which is not imitated"
        return there

    return mapped(placed, found)


def to_itself(func: Any, args: Any) -> bool:
    """Return whether numbers are copied to themselves, as PyTorch does where it takes a view for other memory."""
    parts = args[:2] if func is torch.ops.aten.copy_.default else ()
    there = [each.here.data_ptr() for each in parts if isinstance(each, OnDevice)]
    return len(there) == 2 and there[0] == there[1]


def _values(each: Any) -> Any:
    return each.here if isinstance(each, OnDevice) else each


class _Copies(TorchFunctionMode):
    """Copies numbers between host and device, where PyTorch takes short cuts for its meta device and subclasses."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if name == "tolist" and isinstance(args[0], OnDevice):
            return args[0].to("cpu").tolist()
        if name in INDEXED and isinstance(args[0], OnDevice):
            index = tuple(map(_moved, args[1])) if isinstance(args[1], tuple) else _moved(args[1])
            return func(args[0], index, *args[2:])
        if name not in MAKERS:
            return func(*args, **kwargs)
        target = kwargs.get("device") or (args[0].device if isinstance(args[0], Tensor) else "cpu")
        if torch.device(target).type != DEVICE:
            return func(*args, **kwargs)
        if isinstance(args[0], Tensor):
            if name != "new_tensor":
                return args[0].to(**kwargs)
            like, data, *_ = args
            return torch.tensor(data, dtype=kwargs.get("dtype", like.dtype), device="cpu").to(DEVICE)
        return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)


def _moved(index: Any) -> Any:
    """Return a list of places as a tensor of the device, to which PyTorch copies it."""
    return torch.tensor(index, device="cpu").to(DEVICE) if isinstance(index, tuple | list) else index


def _forget() -> None:
    """Clear tensors of the meta device that the library keeps by device, which have values within only."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("tca.connections.", "tca.eligibilities.", "tca.tape.")):
            for each in vars(module).values():
                if hasattr(each, "cache_clear"):
                    each.cache_clear()


class Device(TorchDispatchMode):
    """The device within a ``with`` block.

    Attributes:
        seen: Function that computes every operation instead of ``compute``, ``None`` (default) for none.
        stream: The stream of work, ``None`` for the one that work is on by itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: Callable[[Any, Any, Any], Any] | None = None
        self.stream: object = None
        self._copies = _Copies()

    def __enter__(self) -> Device:
        _forget()
        self._copies.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._copies.__exit__(*error)
        _forget()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.seen is None:
            return compute(func, args, kwargs)
        return self.seen(func, args, kwargs)
