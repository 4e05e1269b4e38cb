"""Optimizers of `torch.optim` without what they spend on the compiler and on hooks.

Making, stepping or saving an optimizer imports ``torch._dynamo``, which takes a second, and two thirds of a small step
go into hooks, profiling and grouping. The optimizers of this module are those of `torch.optim`, with the same state and
the same numbers; their methods are the functions below its decorators, and fused Adam calls its kernel.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim import optimizer as base

__all__ = ["light"]

DECORATED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
MADE: dict[type[Optimizer], type[Optimizer]] = {}
ONE = {(dtype, "cpu"): torch.ones((), dtype=dtype, device="cpu") for dtype in (torch.float32, torch.float64)}


def light(kind: type[Optimizer]) -> type[Optimizer]:
    """Return a subclass of an optimizer that makes the same steps in less time.

    With hooks, a closure, gradient scaling or under a compiler its step is that of the optimizer.

    Args:
        kind: A class of `torch.optim`.

    >>> net = torch.nn.Linear(1, 1, bias=False)
    >>> optimizer = light(torch.optim.SGD)(net.parameters(), lr=0.5)
    >>> net.weight.grad, before = torch.ones(1, 1), net.weight.item()
    >>> optimizer.step()
    >>> isinstance(optimizer, torch.optim.SGD), round(before - net.weight.item(), 6)
    (True, 0.5)
    """
    if kind in MADE:
        return MADE[kind]
    plain = inspect.unwrap(kind.step)
    adam = issubclass(kind, torch.optim.Adam)

    def step(self: Any, closure: Callable[[], Any] | None = None) -> Any:
        if closure is not None or _watched(self):
            return kind.step(self, closure)
        with torch.no_grad():
            ready = [_fused_adam(self, group) for group in self.param_groups if adam]
            steps = [each for each in ready if each is not None]
            if len(steps) < len(self.param_groups):
                return plain(self)
            for each in steps:
                each()
        return None

    step.hooked = True  # type: ignore[attr-defined]  # else the first instance would wrap it
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in DECORATED}
    body = {**methods, "step": step, "__doc__": kind.__doc__, "__reduce__": _reduced}
    MADE[kind] = type(kind.__name__, (kind,), body)
    return MADE[kind]


def _watched(optimizer: Any) -> bool:
    """Return whether a step is more than its arithmetic."""
    hooks = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    everywhere = base._global_optimizer_pre_hooks or base._global_optimizer_post_hooks
    special = optimizer.defaults.get("differentiable") or "grad_scale" in vars(optimizer)
    return bool(hooks or everywhere or special or torch.compiler.is_compiling())


def _fused_adam(optimizer: Any, group: Mapping[str, Any]) -> Callable[[], object] | None:
    """Return the fused step of a group of parameters, or ``None`` if PyTorch has to prepare it."""
    parameters = [each for each in group["params"] if each.grad is not None]
    states: list[Any] = [optimizer.state.get(each) for each in parameters]
    alike = len({(each.dtype, each.device) for each in parameters}) == 1
    if not group["fused"] or not alike or not all(states) or group["amsgrad"] or isinstance(group["lr"], Tensor):
        return None
    kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    steps = [each["step"] for each in states]
    first, second = group["betas"]

    def step() -> None:
        one = ONE.get((steps[0].dtype, steps[0].device.type))
        torch._foreach_add_(steps, 1 if one is None else [one] * len(steps))  # a number becomes a tensor for each step
        kernel(
            parameters,
            [each.grad for each in parameters],
            [each["exp_avg"] for each in states],
            [each["exp_avg_sq"] for each in states],
            [],
            steps,
            lr=group["lr"],
            beta1=first,
            beta2=second,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=group["maximize"],
            grad_scale=None,
            found_inf=None,
        )

    return step


def _reduced(self: Optimizer) -> tuple[Any, ...]:
    return _restored, (type(self).__mro__[1], self.__getstate__())


def _restored(kind: type[Optimizer], state: Mapping[str, Any]) -> Optimizer:
    made = object.__new__(light(kind))
    made.__setstate__(dict(state))
    return made
