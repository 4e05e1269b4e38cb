"""The choice between compiled passes and PyTorch's operations, by size, type, device and activation function."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from tca.cells.activations import Activation
from tca.cells.cell import Cell
from tca.kernels.build import BuildError, build
from tca.kernels.compiled import FORMATS, Library, Passes
from tca.kernels.gated import GATED, GatedPasses
from tca.utils.checks import checked
from tca.utils.names import lookup, unknown

__all__ = ["CHOICES", "VARIABLE", "KernelsWarning", "choose", "choose_gated", "in_use", "use"]

VARIABLE = "TCA_KERNELS"
CHOICES = {
    "auto": "compiled passes where they are faster and a compiler exists",
    "eager": "PyTorch's operations",
    "compiled": "compiled passes at every size; an error without a compiler",
}
LARGEST = 512  # cells; weights of larger networks leave the second cache, where products of PyTorch are as fast


class KernelsWarning(UserWarning):
    """Library passes cannot be built; PyTorch's operations take their part."""


@checked
def use(name: str) -> str:
    """Choose the passes of leaky and gated networks in this process and those it starts; return the previous choice.

    Equals setting the environment variable ``TCA_KERNELS``. Choose before training: the passes agree to round-off, not
    in the last bits.

    Args:
        name: ``"auto"`` (default of the library), ``"eager"`` or ``"compiled"``.

    Raises:
        ValueError: The name is unknown.

    >>> before = use("eager")
    >>> use(before)
    'eager'
    """
    lookup(CHOICES, name, "kernels")
    before = _chosen()
    os.environ[VARIABLE] = name
    return before


@functools.lru_cache(maxsize=64)
def choose(
    chosen: str | None,
    activation: Activation,
    on_rate: bool,
    leak: Tensor | float,
    gain: Tensor | float,
    cells: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Passes | None:
    """Return the compiled passes of a network, or ``None`` for PyTorch's operations.

    The passes of a network are chosen once, and again where an argument is another one.

    Args:
        chosen: Value of ``TCA_KERNELS``; ``None`` if it is not set.
        activation: The activation function, one of `tca.kernels.compiled.FUNCTIONS`.
        on_rate: Whether the leak is on the rate (form B).
        leak: Leak per step, a number or ``(N,)``.
        gain: One minus it.
        cells: Number of cells N.
        dtype: Floating-point type of the network.
        device: Its device.

    Raises:
        ValueError: ``TCA_KERNELS`` is none of the choices.
        BuildError: It is ``"compiled"``, and they cannot be built.

    Warns:
        KernelsWarning: It is ``"auto"``, and they cannot be built; once a process.
    """
    library = None if _checked(chosen) != "compiled" and cells > LARGEST else _library_for(chosen, dtype, device)
    if library is None:
        return None
    with torch.inference_mode(False):
        constants = (
            torch.full((1, cells), each, dtype=dtype, device="cpu") if isinstance(each, float) else each.unsqueeze(0)
            for each in (leak, gain)
        )
        return Passes(library, activation, on_rate, *constants)


def choose_gated(
    chosen: str | None, cell: Cell, learned: Sequence[str], dtype: torch.dtype, device: torch.device
) -> GatedPasses | None:
    """Return the compiled steps of a cell at any number of cells, or ``None`` for PyTorch's operations.

    Args:
        chosen: Value of ``TCA_KERNELS``; ``None`` if it is not set.
        cell: The cell; one of exactly the classes in `tca.kernels.gated.GATED` has such steps.
        learned: Names of learned constants, which compiled steps do not have.
        dtype: Floating-point type of the network.
        device: Its device.

    Raises:
        ValueError: ``TCA_KERNELS`` is none of the choices.
        BuildError: It is ``"compiled"``, and they cannot be built.

    Warns:
        KernelsWarning: It is ``"auto"``, and they cannot be built; once a process.
    """
    number = GATED.get(type(cell))
    library = None if number is None or learned else _library_for(chosen, dtype, device)
    return None if number is None or library is None else GatedPasses(library, number)


def in_use() -> str:
    """Return the passes of networks for a record: ``"eager"``, or ``"compiled"`` with the compiler."""
    if _chosen() == "eager":
        return "eager"
    library = _library() if _chosen() == "compiled" else _if_built()
    return "eager" if library is None else f"compiled by {library.built.compiler}"


def _chosen() -> str:
    return _checked(os.environ.get(VARIABLE))


def _library_for(given: str | None, dtype: torch.dtype, device: torch.device) -> Library | None:
    """Return the library of a network of a type on a device, unless PyTorch's operations are chosen."""
    chosen = _checked(given)
    if chosen == "eager" or device.type != "cpu" or dtype not in FORMATS:
        return None
    return _library() if chosen == "compiled" else _if_built()


def _checked(given: str | None) -> str:
    chosen = "auto" if given is None else given
    if chosen not in CHOICES:
        raise unknown(chosen, CHOICES, VARIABLE)
    return chosen


@functools.cache
def _library() -> Library:
    return Library(build())


@functools.cache
def _if_built() -> Library | None:
    try:
        return _library()
    except BuildError as error:
        warnings.warn(
            f"passes of networks are not compiled, training is slower: {error}; {VARIABLE}=eager is silent",
            KernelsWarning,
            stacklevel=2,
        )
        return None
