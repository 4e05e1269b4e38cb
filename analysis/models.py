"""Networks of the library and modules of PyTorch as functions of their parameters.

A network has masks and a functional form of its own. Any other module is called with its parameters replaced
(``torch.func.functional_call``), with kernels that can be differentiated twice.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from tca.nets.network import Network

__all__ = ["evaluated", "run", "separate_copy"]

Kind = TypeVar("Kind", bound=nn.Module)


def separate_copy(net: Kind, dtype: torch.dtype | None = None) -> Kind:
    """Return a copy of a network or module in evaluation mode, whose parameters need no gradient.

    Batch normalisation then uses its running statistics and dropout is off. A compiled module is unwrapped, because
    compiled graphs have no second derivative.

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
    with _twice_differentiable(net, parameters):
        return functional_call(net, dict(parameters), placed, named)


@contextmanager
def evaluated(net: nn.Module) -> Iterator[None]:
    """Have a module in evaluation mode for a while; each of its parts has its own mode again afterwards.

    Args:
        net: The module.

    >>> net = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    >>> with evaluated(net):
    ...     print([each.training for each in net])
    [False, False]
    >>> [each.training for each in net]
    [True, False]
    """
    modes = [(each, each.training) for each in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for each, mode in modes:
            each.training = mode


@contextmanager
def _twice_differentiable(net: nn.Module, parameters: Mapping[str, Tensor]) -> Iterator[None]:
    """Choose kernels with a second derivative: fused attention and the recurrent kernels of cuDNN have none."""
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(each.is_cuda for each in parameters.values()) and any(isinstance(m, nn.RNNBase) for m in net.modules()):
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
