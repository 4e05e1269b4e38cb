"""Modes, random numbers and kernels of a user's module during a pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["differentiable", "evaluating", "seeded", "twice_differentiable"]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Set a module to evaluation mode and restore the mode of each part afterwards.

    >>> layer = nn.Dropout()
    >>> with evaluating(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for each, training in modes.items():
            each.training = training


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the generators that modules draw from, and restore them afterwards.

    Args:
        device: Device of the module.

    >>> before = torch.get_rng_state()
    >>> with seeded(0, torch.device("cpu")):
    ...     first = torch.rand(1)
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield


def differentiable(module: nn.Module) -> AbstractContextManager[None]:
    """Avoid the recurrent kernels of cuDNN, which have no derivative in evaluation mode and no second one."""
    if any(each.is_cuda for each in module.parameters()) and any(isinstance(m, nn.RNNBase) for m in module.modules()):
        return torch.backends.cudnn.flags(enabled=False)
    return nullcontext()


@contextmanager
def twice_differentiable(module: nn.Module) -> Iterator[None]:
    """Choose kernels with a second derivative: fused attention and the recurrent kernels of cuDNN have none."""
    fast = torch.backends.mha.get_fastpath_enabled()
    with sdpa_kernel(SDPBackend.MATH), differentiable(module):
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
