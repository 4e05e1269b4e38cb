"""State dictionaries as bytes and back, without pickle: tensors as safetensors, all else as JSON in the header."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from tca.experiments.records.files import opened, read_bytes

__all__ = ["pack", "read_packed", "unpack"]

LARGEST_HEADER = 1 << 26  # bytes

TENSOR, TUPLE, PAIRS = "__tensor__", "__tuple__", "__pairs__"


def pack(state: Any) -> bytes:
    """Return nested dictionaries, lists and tuples of tensors, numbers, strings, booleans and ``None`` as bytes.

    Args:
        state: For example ``optimizer.state_dict()``. Keys of dictionaries may be numbers.

    >>> import torch
    >>> unpack(pack({"momentum": {0: torch.ones(2)}, "betas": (0.9, 0.999)}))
    {'momentum': {0: tensor([1., 1.])}, 'betas': (0.9, 0.999)}
    """
    tensors: dict[str, Tensor] = {}
    described = json.dumps(_describe(state, tensors))
    about = json.dumps({"state": described, "sha256": _digest(described, tensors)})
    return safetensors.torch.save(tensors, metadata={"packed": about})  # one entry: the order of several is random


def unpack(packed: bytes) -> Any:
    """Return a packed state, tensors on the CPU.

    Raises:
        ValueError: The bytes are not a value of `pack`, incomplete or changed.
    """
    try:
        tensors = safetensors.torch.load(packed)
        header = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])
        about = json.loads(header["__metadata__"]["packed"])
        if about["sha256"] != _digest(about["state"], tensors):
            raise ValueError("its checksum is another")
        return _restore(json.loads(about["state"]), tensors)
    except (safetensors.SafetensorError, LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"this is not a packed state: {error}") from error


def read_packed(path: Path, most: int) -> Any:
    """Return the packed state in a file; the size in its header is checked first.

    Raises:
        RecordError: It cannot be read, is no regular file, or is larger.
        ValueError: It is not a packed state, or incomplete.
    """
    with opened(path) as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(8)
        length = int.from_bytes(start, "little")
        header = file.read(length) if len(start) == 8 and length <= min(size, LARGEST_HEADER) else b""
    try:
        ends = [each["data_offsets"][1] for name, each in json.loads(header).items() if name != "__metadata__"]
        if 8 + length + max(ends, default=0) != size:
            raise ValueError(f"its {size} bytes differ from the number in its header")
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"this is not a packed state: {error}") from error
    return unpack(read_bytes(path, most))


def _digest(described: str, tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of description and tensors of a state."""
    found = hashlib.sha256(described.encode())
    for name, each in sorted(tensors.items()):
        found.update(f"{name} {each.dtype} {tuple(each.shape)}".encode())
        if each.numel():  # else there are no bytes
            found.update(each.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _describe(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {TENSOR: name}
    if isinstance(value, tuple):
        return {TUPLE: [_describe(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_describe(each, tensors) for each in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("__") for key in value):
            return {key: _describe(each, tensors) for key, each in value.items()}
        return {PAIRS: [[key, _describe(each, tensors)] for key, each in value.items()]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"a state may hold tensors, numbers, strings, lists, tuples and dictionaries, got {type(value).__name__}"
    )


def _restore(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_restore(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    if TENSOR in value:
        return tensors[value[TENSOR]]
    if TUPLE in value:
        return tuple(_restore(each, tensors) for each in value[TUPLE])
    pairs = value[PAIRS] if PAIRS in value else value.items()
    return {key: _restore(each, tensors) for key, each in pairs}
