"""The operator that a measure works on: given as such, or built of a model and its data."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from analysis.curvature.network_operators import operator
from analysis.curvature.operators import Operator

__all__ = ["measured_operator"]

DEFAULTS = {name: each.default for name, each in inspect.signature(operator).parameters.items()}


def measured_operator(net: nn.Module | Operator, trials: Any, **options: Any) -> Operator:
    """Return an operator as it is, or build that of a model on fixed trials.

    Args:
        net: The model, or the operator.
        trials: The data of the model, ``None`` for an operator.
        options: Further arguments of ``analysis.operator``, at their defaults for an operator, which has them in it.

    Raises:
        TypeError: A model comes without data, or an operator with data or options.

    >>> from analysis.curvature.operators import Hessian
    >>> import torch
    >>> toy = Hessian([lambda theta: theta.square().sum()], torch.zeros(2))
    >>> measured_operator(toy, None) is toy
    True
    >>> measured_operator(toy, None, l2=0.1)
    Traceback (most recent call last):
    TypeError: l2 must not be given with an operator, which is that of its own data and options
    """
    if not isinstance(net, Operator):
        if trials is None:
            raise TypeError(f"trials must be given with a model, got none for a {type(net).__name__}")
        return operator(net, trials, **options)
    given = {"trials": trials is not None} | {name: each != DEFAULTS[name] for name, each in options.items()}
    for name in (name for name, changed in given.items() if changed):
        raise TypeError(f"{name} must not be given with an operator, which is that of its own data and options")
    return net
