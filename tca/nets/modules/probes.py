"""Checks of a user's module on a copy: one pass forward and one back, before anything is trained.

Shapes: B batch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tca.nets.modules.cell_state import ReturnError
from tca.utils.module_contexts import seeded
from tca.utils.numerics import check_dtype

__all__ = ["check_function", "copied", "draws", "first_line", "numbers_of"]

Function = Callable[[nn.Module, tuple[Tensor, ...]], Tensor]

ROUND_OFF = 1000  # relative difference between passes that is no coupling of trials, in units of the type's precision


def numbers_of(name: str, module: nn.Module) -> Tensor:
    """Return a parameter whose type and device are those of all numbers of a module.

    Args:
        name: Name of the argument, for the message.

    Raises:
        TypeError: It is no module.
        ValueError: It has no parameters, one without a shape or numbers, or its numbers are of a type in which networks
            do not compute.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"{name} must be a torch.nn.Module, got {module!r}")
    like = next(module.parameters(), None)
    if like is None:
        raise ValueError(f"{name} must have parameters to train, got {type(module).__name__} without any")
    if any(isinstance(each, nn.UninitializedParameter) for each in module.parameters()):
        raise ValueError(f"{name} must have been run once, got a parameter without a shape")
    if any(each.is_meta for each in module.parameters()):
        raise ValueError(f"{name} must hold numbers, got a parameter on the meta device")
    check_dtype(like.dtype)
    return like


def copied(name: str, module: nn.Module) -> nn.Module:
    """Return a copy of a module.

    Args:
        name: Name of the argument, for the message.

    Raises:
        ValueError: It cannot be copied.
    """
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{name} must be a module that copy.deepcopy copies, got: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Return kind and message of an error in one line.

    >>> first_line(TypeError("a"))
    'TypeError: a'
    """
    return f"{type(error).__name__}: {error}".splitlines()[0]


def draws(module: nn.Module, call: Function, given: Sequence[Tensor]) -> bool:
    """Return whether a module draws random numbers in its present mode.

    Args:
        module: The module; a copy of it is called.
        call: Calls a module with some inputs and returns its results.
        given: Inputs.
    """
    results = []
    for seed in (0, 1):
        with seeded(seed, given[0].device), torch.no_grad():
            results.append(call(copy.deepcopy(module), tuple(given)))
    return not torch.equal(*results)


def check_function(name: str, module: nn.Module, call: Function, given: Sequence[Tensor], sizes: str) -> None:
    """Raise unless a module is a differentiable function of each trial by itself.

    Args:
        name: Name of the argument, for the messages.
        module: The module; a copy of it is called.
        call: Calls a module with some inputs and returns its results, trials along the first axis.
        given: Inputs, trials along the first axis, at least two.
        sizes: Arguments that state the sizes of these inputs.

    Raises:
        ValueError: The module fails, changes its inputs in place, returns numbers of another type, without derivative
            or not finite, keeps a state between calls, or couples trials.
    """
    probed = copied(name, module)
    inputs = tuple(each.detach().clone().requires_grad_() for each in given)
    like = given[0]

    def run(inputs: tuple[Tensor, ...]) -> Tensor:
        with seeded(0, like.device), torch.enable_grad():
            return call(probed, inputs)

    try:
        views = tuple(each * 1.0 for each in inputs)  # no leaves, so that a change in place is no error of autograd
        first = run(views)
    except ReturnError:
        raise
    except Exception as error:  # a module of the user may raise any
        shapes = " and ".join(str(tuple(each.shape)) for each in given)
        raise ValueError(
            f"{name} must accept inputs of shape {shapes}, as given by {sizes}; it raised: {first_line(error)}"
        ) from error
    if any(each._version for each in views):
        raise ValueError(f"{name} must not change its inputs or its state in place: return new tensors")
    if (first.dtype, first.device) != (like.dtype, like.device):
        raise ValueError(
            f"{name} must return {like.dtype} on {like.device} as its inputs are, got {first.dtype} on {first.device}"
        )
    if not first.isfinite().all():
        raise ValueError(f"{name} must return finite numbers for finite inputs, got NaN or infinity")
    own = [each for each in probed.parameters() if each.requires_grad]
    if own and (not first.requires_grad or not _reaches(first, own)):
        raise ValueError(
            f"{name} must be differentiable by its parameters, and no derivative reaches them: it detaches its "
            "results, or computes them without torch"
        )
    if not torch.equal(first, run(views)):
        raise ValueError(f"{name} must return the same for the same inputs, and it keeps a state between calls")
    _check_trials(name, first.detach(), lambda moved: run(moved).detach(), given)


def _check_trials(
    name: str, first: Tensor, run: Callable[[tuple[Tensor, ...]], Tensor], given: Sequence[Tensor]
) -> None:
    """Raise if the results of a trial depend on another one."""
    scale = ROUND_OFF * torch.finfo(first.dtype).eps * (first.abs().max() + 1)
    for changed in (0, -1):
        moved = tuple(each.detach().clone() for each in given)
        for each in moved:
            each[changed] = each[changed] * 0.5 + 1.0
        other = slice(1, None) if changed == 0 else slice(0, -1)
        if ((run(moved) - first)[other].abs() > scale).any():
            raise ValueError(
                f"{name} must treat trials apart, and results of a trial depend on another trial: put the batch axis "
                "where it belongs, and batch normalization in evaluation mode with .eval()"
            )


def _reaches(result: Tensor, parameters: Sequence[Tensor]) -> bool:
    found = torch.autograd.grad(result.sum(), parameters, allow_unused=True)
    return any(each is not None for each in found)
