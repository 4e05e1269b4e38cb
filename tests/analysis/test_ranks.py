"""Ranks of gradients and weight changes."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn

import analysis
import tca

F64 = torch.float64


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_ranks_of_known_matrices() -> None:
    left, right = torch.linalg.qr(normal(6, 6))[0], torch.linalg.qr(normal(4, 4, seed=1))[0]
    values = torch.tensor([3.0, 2.0, 1.0, 0.0], dtype=F64)
    found = analysis.ranks(
        {
            "orthogonal": left,
            "outer": torch.outer(left[0], right[0]),
            "mixed": left[:, :4] * values @ right,
            "zero": torch.zeros(3, 2),
            "bias": torch.ones(4),
        }
    )
    assert list(found) == ["orthogonal", "outer", "mixed", "zero"]
    assert found["orthogonal"] == pytest.approx((6, 6.0, 6.0, 6))
    assert found["outer"] == pytest.approx((1, 1.0, 1.0, 4))
    entropy = -sum(p * math.log(p) for p in (3 / 6, 2 / 6, 1 / 6))
    assert found["mixed"] == pytest.approx((3, math.exp(entropy), 14 / 9, 4))
    assert found["zero"] == (0, 0.0, 0.0, 2)
    assert analysis.ranks({"mixed": left[:, :4] * values @ right}, tolerance=0.5)["mixed"].rank == 2


def test_kernels_are_matrices_of_output_channels() -> None:
    kernel = normal(2, 3, 5, 5)
    assert analysis.ranks({"k": kernel}) == analysis.ranks({"k": kernel.view(2, 75)})


def test_gradients_have_at_most_the_rank_of_their_steps() -> None:
    """One step of one trial is one outer product; the readout of two outputs has rank two."""
    net = tca.nets.LeakyRNN(3, 8, 2, dtype=F64, seed=0)
    for steps, rank in ((1, 1), (3, 3)):
        batch = tca.Batch(
            normal(steps, 1, 3), normal(steps, 1, 2, seed=1), torch.ones(steps, 1, dtype=F64), tca.losses.MSE()
        )
        found = analysis.ranks(tca.Learner(net, tca.RULES["three_factor"]).grads(batch)[0])
        assert found["w_in"].rank == rank
        assert found["w_out"].rank == min(2, rank)
        assert found["w_rec"].rank == rank - 1, "no cell is active before the first step"


def test_changes_of_weights_are_differences() -> None:
    before = nn.Linear(3, 2)
    after = copy.deepcopy(before)
    with torch.no_grad():
        after.weight += torch.outer(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0, 1.0]))
    changes = analysis.weight_changes(before, after)
    assert not changes["bias"].any()
    assert analysis.ranks(changes, tolerance=1e-5)["weight"] == pytest.approx((1, 1.0, 1.0, 2), abs=1e-5)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"matrices must hold a tensor of two or more axes, got \['b'\]"):
        analysis.ranks({"b": torch.ones(2)})
    with pytest.raises(ValueError, match="w must be finite"):
        analysis.ranks({"w": torch.full((2, 2), math.nan)})
    with pytest.raises(ValueError, match="parameter"):
        analysis.weight_changes(nn.Linear(2, 2, bias=False), nn.Linear(2, 2))
    with pytest.raises(ValueError, match=r"weight must have one shape, got \(2, 2\) before and \(2, 3\) after"):
        analysis.weight_changes(nn.Linear(2, 2), nn.Linear(3, 2))
