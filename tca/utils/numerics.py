"""Number formats, autocast, inference mode, and reused memory."""

from __future__ import annotations

import abc
import copy
import inspect
from collections.abc import Callable
from functools import wraps
from itertools import chain
from typing import Any, ParamSpec, Self, TypeVar

import torch
from torch import Tensor, nn

from tca.utils.checks import FLOATS, check

__all__ = [
    "FLOATS",
    "Lasting",
    "NumericModule",
    "Workspace",
    "check_autocast",
    "check_dtype",
    "check_real",
    "kept",
    "lasting",
    "mark_of",
]

P = ParamSpec("P")
R = TypeVar("R")


def check_dtype(dtype: object) -> None:
    """Raise unless networks compute in this floating-point type.

    In half precision, gradients summed over steps and trials keep two or three digits, a leak near one rounds to one,
    and several kernels of the CPU are missing.

    Raises:
        TypeError: It is no type of numbers.
        ValueError: It is another type than float32 and float64.
    """
    if not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be torch.float32 or torch.float64, got {dtype!r}")
    if dtype not in FLOATS:
        raise ValueError(
            f"dtype must be torch.float32 or torch.float64, got {dtype}: networks compute in no other type"
        )


def check_autocast(device: torch.device) -> None:
    """Raise where autocast would run products in half precision.

    Raises:
        ValueError: Autocast is on for that kind of device.
    """
    kind = device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        raise ValueError(
            f"torch.autocast must be off where networks compute, got it on for {kind!r}: rules read the numbers of a "
            "pass in the network's own type"
        )


def check_real(outputs_shape: tuple[int, ...], targets: Tensor) -> None:
    """Check that targets are finite real numbers of a shape.

    Args:
        outputs_shape: Required shape.

    Raises:
        ValueError: The shape differs, or a number is not finite.
        TypeError: They are not floating-point numbers.
    """
    if not targets.is_floating_point():
        raise TypeError(f"targets must be real numbers, got dtype {targets.dtype}")
    if tuple(targets.shape) != tuple(outputs_shape):
        raise ValueError(f"targets must have shape (T, B, O) = {tuple(outputs_shape)}, got {tuple(targets.shape)}")
    if not torch.isfinite(targets).all():
        raise ValueError("targets must be finite, got NaN or infinity")


def lasting(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function run without a graph, and outside of inference mode.

    A tensor that is made in inference mode can neither be changed nor saved for a graph outside of it; what a learner
    keeps from one batch to the next must be neither, wherever the first of them was.

    >>> with torch.inference_mode():
    ...     lasting(torch.zeros_like)(torch.ones(2)).is_inference()
    False
    """

    @wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> R:
        if not (torch.is_grad_enabled() or torch.is_inference_mode_enabled()):
            return function(*args, **options)
        with torch.inference_mode(False), torch.no_grad():  # in this order: leaving inference mode enables gradients
            return function(*args, **options)

    return run


class _Maker(abc.ABCMeta):
    """Makes instances outside of inference mode."""

    def __call__(cls, *args: Any, **options: Any) -> Any:
        """Return an instance."""
        with torch.inference_mode(False):
            return super().__call__(*args, **options)

    @property
    def __signature__(cls) -> inspect.Signature:
        own = inspect.signature(cls.__init__)  # type: ignore[misc]
        return own.replace(parameters=list(own.parameters.values())[1:])


class Lasting(metaclass=_Maker):
    """Objects made and copied outside of inference mode, because their tensors are changed later.

    >>> class Mean(Lasting):
    ...     def __init__(self) -> None:
    ...         self.value = torch.zeros(2)
    >>> with torch.inference_mode():
    ...     mean = copy.deepcopy(Mean())
    >>> mean.value.add_(1).tolist()
    [1.0, 1.0]
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        made = memo[id(self)] = type(self).__new__(type(self))
        with torch.inference_mode(False):
            made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made


def kept(values: Tensor) -> Tensor:
    """Return values as they are, or a copy where they were made in inference mode, which no graph may save."""
    with torch.inference_mode(False):
        return values.clone() if values.is_inference() else values


def mark_of(*parts: Tensor | None) -> tuple[object, ...] | None:
    """Return what changes with tensors and with operations on their values.

    Writing to the memory of a tensor by another way, such as an array of NumPy that shares it, is not seen. The mark is
    ``None`` for tensors made in inference mode, whose changes PyTorch does not count.

    >>> values = torch.zeros(2)
    >>> before = mark_of(values)
    >>> mark_of(values) == before, mark_of(values.add_(1)) == before
    (True, False)
    """
    try:
        return tuple([None if each is None else (id(each), each._version) for each in parts])
    except RuntimeError:
        return None


class NumericModule(Lasting, nn.Module, abc.ABC):
    """A module whose numbers are all float32 or all float64 and on one device, checked also after it was made.

    Attributes:
        n_in: Number of input channels I.
    """

    n_in: int

    @property
    @abc.abstractmethod
    def n_noise(self) -> int:
        """Numbers of noise that a step of a trial can take, 0 if none."""

    def check(self, inputs: Tensor, noise: Tensor | None = None) -> None:
        """Raise unless the network can compute as it is, with these inputs and this noise.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: Noise, shape ``(T, B, n_noise)``; ``None`` (default) for none.

        Raises:
            ValueError: A shape, type or device differs; the network has no use for noise; noise is not finite; or the
                network cannot compute as it is, see ``check_numbers``.
        """
        if type(inputs) is not Tensor or not (noise is None or type(noise) is Tensor):
            check("inputs", inputs, Tensor)
            check("noise", noise, Tensor | None)
        if inputs.ndim != 3 or inputs.shape[2] != self.n_in or 0 in inputs.shape:
            raise ValueError(f"inputs must have shape (T, B, {self.n_in}), none of them 0, got {tuple(inputs.shape)}")
        like = self.check_numbers()
        if not inputs.is_floating_point():
            raise TypeError(f"inputs must be real numbers, got dtype {inputs.dtype}")
        if (inputs.dtype, inputs.device) != (like.dtype, like.device):
            raise ValueError(
                f"inputs must be {like.dtype} on {like.device} as the network is, got {inputs.dtype} on {inputs.device}"
            )
        if noise is None:
            return
        expected = (*inputs.shape[:2], self.n_noise)
        if not self.n_noise:
            raise ValueError(f"noise must be None, for this network has no use for any, got shape {tuple(noise.shape)}")
        if tuple(noise.shape) != expected:
            raise ValueError(
                f"noise must have the shape {expected} of steps, trials and cells, got {tuple(noise.shape)}"
            )
        if (noise.dtype, noise.device) != (inputs.dtype, inputs.device):
            raise ValueError(
                f"noise must be {inputs.dtype} on {inputs.device} as the inputs are, "
                f"got {noise.dtype} on {noise.device}"
            )
        if not noise.isfinite().all():
            raise ValueError("noise must be finite")

    def check_numbers(self) -> Tensor:
        """Return a parameter that all numbers of the network are like, or raise if it cannot compute as it is.

        Raises:
            ValueError: Its numbers are of another type than float32 or float64, or of several types or devices; or
                autocast is on.
        """
        like = next(self.parameters())
        dtype, device = like.dtype, like.device
        check_dtype(dtype)
        check_autocast(device)
        held = [
            each
            for module in self.modules()
            for own in (module._parameters, module._buffers)
            for each in own.values()
            if each is not None
        ]
        if all([(each.dtype == dtype and each.device == device) or not each.is_floating_point() for each in held]):
            return like
        first = next(self.named_parameters())[0]
        for name, each in chain(self.named_parameters(), self.named_buffers()):
            if each.is_floating_point() and (each.dtype, each.device) != (like.dtype, like.device):
                raise ValueError(
                    f"{name} must be {like.dtype} on {like.device} as {first} is, got {each.dtype} on {each.device}: "
                    "convert or move the network as a whole"
                )
        return like

    def _convert(self, device: torch.device | str | None, dtype: torch.dtype) -> None:
        """Move tensors drawn in double precision on the CPU; the last step of making a network."""
        check_dtype(dtype)
        self.to(device=device, dtype=dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert or move all numbers, as every method of `torch.nn.Module` that does so asks for.

        The state of a random generator stays on the CPU, where it is used.

        Raises:
            ValueError: The type is neither float32 nor float64, or does not hold a constant of the cells.
        """
        with torch.inference_mode(False):
            dtype = fn(next(self.parameters()).detach().new_empty(0)).dtype
            check_dtype(dtype)
            for module in self.modules():
                for constant in getattr(module, "constants", ()):
                    constant.check(dtype)
            state = self._buffers.get("noise_state")
            super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
            if state is not None:
                self._buffers["noise_state"] = state
        return self


class Workspace:
    """Named tensors handed out again whenever the same shape, type and device are asked for.

    A tensor holds arbitrary numbers and is overwritten by the next call with the same name: nothing that
    outlives a batch may live here.

    >>> space = Workspace()
    >>> space.empty("rate", (2, 3), torch.zeros(1)).data_ptr() == space.empty("rate", (2, 3), torch.zeros(1)).data_ptr()
    True
    """

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}
        self.last: Any = None  # a pass that was made with these tensors and can be made again

    def __deepcopy__(self, memo: dict[int, Any]) -> Workspace:
        return type(self)()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def empty(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return an uninitialised tensor.

        Args:
            name: Name of the tensor; one is held per name.
            shape: Its shape.
            like: A tensor with the wanted type and device.
        """
        held = self._held.get(name)
        if held is None or held.shape != shape or held.dtype != like.dtype or held.device != like.device:
            with torch.inference_mode(False):
                held = self._held[name] = torch.empty(shape, dtype=like.dtype, device=like.device)
        return held
