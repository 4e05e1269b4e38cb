"""Networks of the library and modules of PyTorch as functions of their parameters.

A network has masks and a functional form of its own. Any other module is called with its parameters replaced
(``torch.func.functional_call``), with kernels that can be differentiated twice.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tca.nets.network import Network
from tca.utils.module_contexts import twice_differentiable

__all__ = ["run", "separate_copy"]

Kind = TypeVar("Kind", bound=nn.Module)

PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def separate_copy(net: Kind, dtype: torch.dtype | None = None) -> Kind:
    """Return a copy of a network or module in evaluation mode, whose parameters need no gradient.

    Batch normalisation then uses its running statistics and dropout is off. A compiled or parallel module is unwrapped,
    because compiled graphs have no second derivative.

    Args:
        net: The network or module.
        dtype: Floating-point type of the copy; ``None`` (default) for its own. Complex numbers keep their kind.

    Raises:
        ValueError: The module cannot be copied, or has parameters without a shape as yet.

    >>> net = nn.Dropout()
    >>> net.training, separate_copy(net).training
    (True, False)
    """
    net = cast(Kind, getattr(net, "_orig_mod", net))
    net = cast(Kind, net.module) if isinstance(net, PARALLEL) else net
    lazy = [name for name, each in net.named_parameters() if isinstance(each, nn.UninitializedParameter)]
    if lazy:
        raise ValueError(f"net must have been run once, got the parameter {lazy[0]!r} without a shape")
    try:
        twin = copy.deepcopy(net)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"net must be a module that copy.deepcopy copies, got: {_first_line(error)}") from error

    def converted(tensor: Tensor) -> Tensor:
        if dtype is None:
            return tensor
        kept = tensor.to(dtype.to_complex()) if tensor.is_complex() else tensor
        return kept.to(dtype) if tensor.is_floating_point() else kept

    twin._apply(converted)  # type: ignore[no-untyped-call]
    return twin.eval().requires_grad_(False)


def run(net: nn.Module, parameters: Mapping[str, Tensor], inputs: Any) -> Any:
    """Return the outputs with other parameters, differentiable any number of times.

    Args:
        net: The network or module.
        parameters: Tensors that replace the parameters or buffers of these names.
        inputs: A tensor; for a module also a tuple of positional or a mapping of named arguments.

    >>> double = run(nn.Linear(1, 1, bias=False), {"weight": torch.tensor([[2.0]])}, torch.tensor([[3.0]]))
    >>> double.tolist()
    [[6.0]]
    """
    if isinstance(net, Network):
        return net.functional(parameters, inputs)
    named = dict(inputs) if isinstance(inputs, Mapping) else {}
    placed = () if named else inputs if isinstance(inputs, tuple) else (inputs,)
    with twice_differentiable(net):
        return functional_call(net, dict(parameters), placed, named)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
