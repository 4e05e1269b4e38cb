"""Checks and conversions of the options that networks share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from tca.utils.arrays import tensor_of
from tca.utils.host_values import device_generator
from tca.utils.noise import by_steps

__all__ = [
    "check_dale",
    "check_mask",
    "check_signs",
    "check_types",
    "count_types",
    "drawing",
    "normal_by_steps",
    "with_signs",
]


def check_mask(name: str, mask: Tensor | None, shape: tuple[int, int]) -> Tensor | None:
    """Return a mask as zeros and ones in float64, ``None`` if all synapses exist.

    Args:
        name: Name of the argument, for the error.
        mask: Zeros and ones, or booleans.
        shape: The shape of the weights.

    Raises:
        ValueError: Another shape, or another value than zero and one.
    """
    if mask is None:
        return None
    mask = tensor_of(mask).to("cpu", torch.float64)
    if tuple(mask.shape) != shape:
        raise ValueError(f"{name} must have the shape {shape} of its weights, got {tuple(mask.shape)}")
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(f"{name} must hold zeros and ones only")
    return mask


def check_types(types: Sequence[float] | Tensor | None, cells: int) -> Tensor:
    """Return the type of every cell, counted from zero.

    Args:
        types: Integers, one for each cell; or fractions that add up to one, of which the first is that of type 0, whose
            cells come first; ``None`` for one type.

    Raises:
        ValueError: Neither holds.

    >>> check_types((0.8, 0.2), 5).tolist()
    [0, 0, 0, 0, 1]
    """
    given = _given(types, cells)
    if given.is_floating_point():
        return torch.searchsorted(_ends(given, cells), torch.arange(cells, device="cpu"), right=True)
    return given.to(torch.int64)


def count_types(types: Sequence[float] | Tensor | None, cells: int) -> int:
    """Return the largest type of a cell plus one; no tensor of all cells is built.

    Args:
        types: As of `check_types`, with the same errors.

    >>> count_types((0.8, 0.2), 10**12)
    2
    """
    given = _given(types, cells)
    if given.is_floating_point():
        return int(torch.searchsorted(_ends(given, cells), cells - 1, right=True)) + 1
    return int(given.max()) + 1


def _given(types: Sequence[float] | Tensor | None, cells: int) -> Tensor:
    """Return integers, one for each cell, or fractions that add up to one."""
    given = torch.ones(1, dtype=torch.float32, device="cpu") if types is None else tensor_of(types).cpu()
    if given.is_floating_point():
        if given.ndim == 1 and (given >= 0).all() and abs(float(given.sum()) - 1) < 1e-6:
            return given
    elif tuple(given.shape) == (cells,) and (given >= 0).all():
        return given
    raise ValueError(
        f"cell_types must be {cells} whole numbers, one for each cell and none negative, or fractions that add up to "
        f"one, got {types!r}"
    )


def _ends(fractions: Tensor, cells: int) -> Tensor:
    """Return the number of cells of each type and of those before it."""
    return (fractions.double().cumsum(0) * cells).round().to(torch.int64)


def check_signs(dale: Sequence[int] | None, types: Tensor) -> Tensor | None:
    """Return the sign of each cell's outgoing synapses, in float64; zero for both.

    Args:
        dale: The sign of each type, -1, 0 or +1; ``None`` for both everywhere.
        types: Type of every cell, shape ``(N,)``.

    Raises:
        ValueError: Another value, or not one for each type.
    """
    if dale is None:
        return None
    check_dale(dale, int(types.max()) + 1)
    return torch.tensor(dale, dtype=torch.float64, device="cpu")[types]


def check_dale(dale: Sequence[int] | None, kinds: int) -> None:
    """Raise ``ValueError`` unless there is one sign for each type, -1, 0 or +1; ``None`` passes.

    Args:
        kinds: Number of types.
    """
    if dale is not None and (len(dale) != kinds or any(sign not in (-1, 0, 1) for sign in dale)):
        raise ValueError(f"dale must hold one sign for each of the {kinds} types, each -1, 0 or 1, got {dale!r}")


@contextmanager
def drawing(state: Tensor) -> Iterator[torch.Generator]:
    """Provide a generator that continues from a state and updates it.

    Args:
        state: State of a generator of the CPU, changed in place.

    >>> state = torch.Generator().manual_seed(1).get_state()
    >>> with drawing(state) as one:
    ...     first = torch.rand(2, generator=one)
    >>> with drawing(state) as other:
    ...     bool((first == torch.rand(2, generator=other)).any())
    False
    """
    generator = torch.Generator()
    generator.set_state(state.cpu())
    yield generator
    state.copy_(generator.get_state())


def normal_by_steps(steps: int, trials: int, cells: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Draw independent normal numbers by steps on a device, ``(T, B, N)``; see `tca.utils.noise.by_steps`."""
    there = device_generator(generator, device)
    draw = partial(torch.randn, trials, cells, generator=there, dtype=torch.float32, device=there.device)
    return by_steps(steps, draw)


def with_signs(weight: Tensor, signs: Tensor) -> Tensor:
    """Return recurrent weights with presynaptic signs and balanced excitation and inhibition.

    Excitatory synapses are scaled by ``sqrt(n_inhibitory / n_excitatory)`` and inhibitory ones by its inverse: the mean
    input cancels and the mean square stays.

    Args:
        weight: Recurrent weights, shape ``(N, N)``.
        signs: Sign of each cell's outgoing synapses, shape ``(N,)``; zero for both.

    >>> with_signs(torch.tensor([[-2.0, 3.0]]), torch.tensor([1.0, -1.0])).tolist()
    [[2.0, -3.0]]
    """
    counts = [int((signs == sign).sum()) for sign in (1, -1)]
    ratio = math.sqrt(counts[1] / counts[0]) if all(counts) else 1.0
    scale = torch.where(signs > 0, signs.new_tensor(ratio), 1 / ratio)
    return torch.where(signs == 0, weight, weight.abs() * signs * scale)
