"""The share of a gradient in the top eigenspace of the Hessian."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import analysis
import tca

F64 = torch.float64


def bowl(slopes: list[float], weights: list[float]) -> tuple[Any, tca.Batch]:
    """Return a linear model with the Hessian ``diag(slopes^2) / B`` and gradient ``slopes^2 weights / B``."""
    model = nn.Linear(len(slopes), 1, bias=False).to(F64)
    model.weight.data.copy_(torch.tensor([weights], dtype=F64))
    trials = torch.diag(torch.tensor(slopes, dtype=F64)).unsqueeze(0)
    zeros, ones = torch.zeros(1, len(slopes), 1, dtype=F64), torch.ones(1, len(slopes), dtype=F64)
    return tca.nets.wrap(model), tca.Batch(trials, zeros, ones, tca.losses.MSE())


def test_shares_of_a_known_bowl() -> None:
    net, batch = bowl([1.0, 3.0, 2.0, 0.5], [1.0, 1.0, -2.0, 4.0])
    gradient = torch.tensor([1.0, 9.0, -8.0, 1.0], dtype=F64)
    wanted = gradient.square() / gradient.square().sum()
    found = analysis.gradient_share(net, batch, 2, "all")
    torch.testing.assert_close(found.shares, wanted[[1, 2]], rtol=1e-10, atol=0)
    assert found.eigenvalues == pytest.approx((9 / 4, 4 / 4))
    assert found.share == pytest.approx(float(wanted[[1, 2]].sum()))
    assert found.chance == 0.5
    c = wanted[[1, 2]]
    assert found.participation_ratio == pytest.approx(float(c.sum() ** 2 / c.square().sum()))
    assert analysis.gradient_share(net, batch, 4, "all").share == pytest.approx(1)


def test_an_update_stands_for_the_gradient() -> None:
    net, batch = bowl([1.0, 3.0, 2.0], [1.0, 1.0, 1.0])
    update: dict[str, Tensor] = {"model.weight": torch.tensor([[5.0, 0.0, 0.0]])}
    found = analysis.gradient_share(net, batch, 2, "all", update=update)
    assert (found.share, found.participation_ratio) == (0.0, 0.0)
    own = tca.Learner(net, tca.RULES["bptt"]).grads(batch)[0]
    one, other = (analysis.gradient_share(net, batch, 2, "all", update=each).shares for each in (own, None))
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-14)


def test_recurrent_networks_and_lanczos() -> None:
    """The shares of the top eigenvectors of the dense Hessian."""
    net = tca.nets.LeakyRNN(2, 12, 2, dtype=F64, seed=0, gain_rec=1.2)
    source = torch.Generator().manual_seed(0)
    x = torch.randn(6, 8, 2, generator=source, dtype=F64)
    batch = tca.Batch(
        x, torch.randint(2, (6, 8), generator=source), torch.ones(6, 8, dtype=F64), tca.losses.CrossEntropy()
    )
    found = analysis.gradient_share(net, batch, 3)

    def loss(w: Tensor) -> Tensor:
        return batch.loss.mean(net.functional({"w_rec": w.view(12, 12)}, x), batch.targets, batch.weights)

    w = net.w_rec.detach().flatten().requires_grad_()
    values, vectors = torch.linalg.eigh(torch.autograd.functional.hessian(loss, w))
    (gradient,) = torch.autograd.grad(loss(w), w)
    wanted = (vectors.mT @ gradient).square().flip(0)[:3] / gradient.square().sum()
    assert found.eigenvalues == pytest.approx(values.flip(0)[:3].tolist(), rel=1e-6)
    torch.testing.assert_close(found.shares, wanted, rtol=1e-4, atol=1e-8)
    assert found.share > 3 * found.chance


def test_bad_arguments_are_refused() -> None:
    net, batch = bowl([1.0, 2.0], [0.0, 0.0])
    with pytest.raises(ValueError, match="the gradient must not be zero"):
        analysis.gradient_share(net, batch, 1, "all")
    with pytest.raises(ValueError, match="k must be at most the number of parameters, 2, got 3"):
        analysis.gradient_share(net, batch, 3, "all")
    with pytest.raises(ValueError, match="update must not be zero"):
        analysis.gradient_share(net, batch, 1, "all", update={"model.weight": torch.zeros(1, 2)})
