"""The recurrent layer of a whole model, whose state is that of the model.

Shapes: T time, B batch, I inputs.
"""

from __future__ import annotations

import contextlib
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from analysis.fixed_data import generators_kept
from analysis.models import separate_copy

__all__ = ["maps_inputs_alone", "recurrent_part"]

RECURRENT = (nn.RNNBase, nn.RNNCellBase)


def maps_inputs_alone(model: nn.Module) -> bool:
    """Return whether the forward of a module takes inputs and no state.

    >>> maps_inputs_alone(nn.Linear(2, 3)), maps_inputs_alone(nn.GRUCell(2, 3)), maps_inputs_alone(nn.GRU(2, 3))
    (True, False, False)
    """
    parameters = inspect.signature(model.forward).parameters.values()
    return [each.kind for each in parameters] == [inspect.Parameter.POSITIONAL_OR_KEYWORD]


def recurrent_part(model: nn.Module) -> nn.RNNBase | nn.RNNCellBase:
    """Return the only recurrent layer of a model, which must receive the inputs of the model as they are.

    Raises:
        TypeError: There is no recurrent layer of PyTorch, or more than one.
        ValueError: It receives something else.

    >>> recurrent_part(nn.Sequential(nn.GRU(2, 3)))
    GRU(2, 3)
    """
    parts = {name: each for name, each in model.named_modules() if isinstance(each, RECURRENT)}
    if len(parts) != 1:
        raise TypeError(
            f"net must be recurrent, or a model with one recurrent layer of PyTorch, got {type(model).__name__} with "
            f"{', '.join(map(repr, parts)) or 'none'}: there is no state, or not one alone, to map"
        )
    ((name, layer),) = parts.items()
    source, like = torch.Generator().manual_seed(0), next(layer.parameters())
    given = torch.randn(2, 3, layer.input_size, generator=source, dtype=torch.float64, device="cpu").to(like)
    received: list[Tensor] = []
    copied = separate_copy(model)

    def note(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        received.append(arguments[0])

    copied.get_submodule(name).register_forward_pre_hook(note)
    with torch.no_grad(), generators_kept(), contextlib.suppress(RuntimeError, ValueError, IndexError):
        copied(given)
    allowed = (given, given.transpose(0, 1), given[0], given[:, 0])  # whole trials in either order, or a step
    if not any(one.shape == each.shape and torch.equal(one, each) for one in received[:1] for each in allowed):
        raise ValueError(
            f"net is a model whose recurrent layer {name!r} receives something else than the inputs: give this layer "
            "itself, with its own inputs held"
        )
    return layer
