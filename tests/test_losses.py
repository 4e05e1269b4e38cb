"""Losses: values are the oracle's, scores their derivatives, also where exponentials overflow and outputs are many."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import tca
from tests import oracle
from tests.rows import relative


def example(name: str, n_out: int, size: float) -> tuple[Tensor, Tensor]:
    """Return outputs ``(T, B, O)`` of a size and targets that fit the loss."""
    generator = torch.Generator().manual_seed(n_out)
    outputs, targets = torch.randn(2, 4, 3, n_out, dtype=torch.float64, generator=generator)
    return outputs * size, {"mse": targets, "cross_entropy": targets.argmax(-1), "logistic": targets.sigmoid()}[name]


@pytest.mark.parametrize("name", tca.losses.LOSSES)
@pytest.mark.parametrize("n_out", [1, 3, 33])
@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_scores_are_derivatives(name: str, n_out: int, size: float) -> None:
    """The score of a step is the derivative of its loss by the unconstrained outputs."""
    loss, (outputs, targets) = tca.losses.LOSSES[name], example(name, n_out, size)
    leaf = outputs.clone().requires_grad_()
    wanted = oracle.LOSSES[name](leaf, targets)
    assert relative(loss.value(outputs, targets), wanted.detach()) < 1e-14
    (slope,) = torch.autograd.grad(wanted.sum(), leaf)
    assert torch.allclose(loss.score(outputs, targets), slope, rtol=1e-12, atol=1e-15)


def test_the_loss_of_a_batch_is_a_weighted_sum_over_steps_and_a_mean_over_trials() -> None:
    """``1/B sum_b sum_t w_tb l_tb``."""
    outputs, targets = example("mse", 2, 1.0)
    weights = torch.arange(12.0, dtype=torch.float64).view(4, 3)
    wanted = sum(
        float(weights[t, b]) * 0.5 * float((outputs[t, b] - targets[t, b]).square().sum())
        for t in range(4)
        for b in range(3)
    )
    assert float(tca.losses.MSE().mean(outputs, targets, weights)) == pytest.approx(wanted / 3, rel=1e-14)
