"""Matrices of a case written out by the oracle, which shares no code with the library.

Shapes: T time, B batch, O outputs, P existing parameters. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.support import oracle
from tests.support.cases import Case, weights_of


def jacobian(
    case: Case,
    weights: oracle.Weights,
    names: tuple[str, ...] = ("w_rec",),
    of: Callable[[Tensor], Tensor] = lambda y: y,
) -> Tensor:
    """Derivative of the outputs, or of a function of them, in the existing parameters, one row a number."""
    model, problem = case.model(), case.problem()

    def function(*values: Tensor) -> Tensor:
        return of(oracle.outputs(model, weights | dict(zip(names, values, strict=True)), problem.inputs)).flatten()

    parts = torch.autograd.functional.jacobian(function, tuple(weights[name] for name in names))
    exists = torch.cat([model.masks.get(name, torch.ones_like(weights[name])).flatten() for name in names]).bool()
    return torch.cat([part.flatten(1) for part in parts], 1)[:, exists]


def step_gradients(case: Case, weights: oracle.Weights, targets: Tensor) -> Tensor:
    """Gradient of the loss of every step and trial in ``w_rec``, weights left out, shape ``(T * B, P)``."""
    return jacobian(case, weights, of=lambda y: oracle.LOSSES[case.loss](y, targets))


def share(case: Case) -> Tensor:
    """Weight of every step and trial in the loss, shape ``(T * B,)``."""
    problem = case.problem()
    return problem.weights.flatten() / problem.inputs.shape[1]


def output_hessian(case: Case, y: Tensor) -> Tensor:
    """Second derivative of the loss by the outputs, from the textbook, shape ``(TBO, TBO)``."""
    blocks = []
    for w, logits in zip(share(case), y.flatten(0, 1), strict=True):
        softmax, sigmoid = logits.softmax(0), logits.sigmoid()
        each = {
            "mse": torch.eye(len(logits)).double(),
            "cross_entropy": torch.diag(softmax) - torch.outer(softmax, softmax),
            "logistic": torch.diag(sigmoid * (1 - sigmoid)),
        }
        blocks.append(w * each[case.loss])
    return torch.block_diag(*blocks)


def outputs(case: Case) -> Tensor:
    """Outputs of the case, shape ``(T, B, O)``."""
    return oracle.outputs(case.model(), weights_of(case.net()), case.problem().inputs)
