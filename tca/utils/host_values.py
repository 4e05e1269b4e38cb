"""Values of tensors that the host reads, once for each change of a tensor, since each read waits for its device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["constant", "device_generator", "host_numbers", "host_value"]

R = TypeVar("R")
Reads = dict[Callable[[Tensor], Any], tuple[int, Any]]

_READ = WeakTensorKeyDictionary()


def host_value(tensor: Tensor, read: Callable[[Tensor], R]) -> R:
    """Return ``read(tensor)``, on other devices than the CPU computed anew only after an in-place change.

    Args:
        tensor: A tensor that lasts, such as a mask or a constant of a network.
        read: A function of a module, which reads the tensor and depends on no other value.

    >>> host_value(torch.tensor([2, 3]), torch.sum)
    tensor(5)
    """
    if tensor.device.type == "cpu" or tensor.is_inference():  # inference tensors do not count their changes
        return read(tensor)
    reads: Reads = _READ.setdefault(tensor, {})  # type: ignore[no-untyped-call]
    version, value = reads.get(read, (-1, None))
    if version != tensor._version:
        value = read(tensor)
        reads[read] = tensor._version, value
    return value  # type: ignore[no-any-return]


def host_numbers(*groups: Sequence[Tensor]) -> list[list[float]]:
    """Return the values of scalars of one device, group by group, in a single read.

    Args:
        groups: Real or boolean scalars; boolean ones become 0 and 1.

    >>> host_numbers([torch.tensor(0.5), torch.tensor(2.0)], [torch.tensor(True)], [])
    [[0.5, 2.0], [1.0], []]
    """
    scalars = [each for group in groups for each in group]
    alike = len({each.dtype for each in scalars}) == 1
    numbers = iter(torch.stack(scalars if alike else [each.double() for each in scalars]).tolist())
    return [[next(numbers) for _ in group] for group in groups]


def constant(value: Tensor | float, like: Tensor) -> Tensor:
    """Return a number or a tensor in the type and on the device of another tensor; no number is copied from the host.

    Args:
        like: A tensor with the wanted type and device.

    >>> constant(0.5, torch.zeros(2, dtype=torch.float64))
    tensor(0.5000, dtype=torch.float64)
    """
    return value.to(like) if isinstance(value, Tensor) else like.new_full((), value)


def device_generator(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """Return a generator on a device, seeded by a draw of one on the CPU; on the CPU and without values, that one.

    Args:
        generator: A generator of the CPU.
        device: Where numbers are needed.

    >>> generator = torch.Generator()
    >>> device_generator(generator, torch.device("cpu")) is generator
    True
    """
    if device.type in ("cpu", "meta"):
        return generator
    seed = int(torch.randint(2**62, (), generator=generator, device="cpu"))
    return torch.Generator(device).manual_seed(seed)
