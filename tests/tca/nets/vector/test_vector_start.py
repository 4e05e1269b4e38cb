"""Vector networks at the start: pairs, alternating cells, signs of the weights, Perron roots."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.cells.activations import AlternatingReLU
from tca.nets import (
    VectorMLP,
    VectorRNN,
)
from tca.nets.vector.vector_rnn import perron_bounds, perron_root
from tests.tca.nets.vector.test_vector_networks import F64, NETS, batch_of, normal


def test_pairs_compute_a_mixed_network_of_half_the_width() -> None:
    """Pairs share their gate and carry opposite vectors; half are open; outputs are those of the weights V."""
    net = VectorMLP(16, [32, 24], 10, dtype=F64)
    inputs = normal(1, 200, 16)
    tape = net.run(inputs)
    for level in tape.levels:
        gates, rates = level.gates[1:], level.rate[1:].view(1, 200, 10, -1)
        assert torch.equal(gates[..., ::2], gates[..., 1::2])
        assert bool((rates[..., ::2] + rates[..., 1::2] * 1.0 == 0).all())
        assert abs(float(gates.mean()) - 0.5) < 0.05
    first = net.w_1[:, ::2]
    second, out = net.w_2[::2, ::2] - net.w_2[::2, 1::2], net.w_out[:, ::2] - net.w_out[:, 1::2]
    signs = [each.activation.vectors[:, ::2, 0] for each in net.hidden_layers]
    received = torch.einsum("kij,tbj->tbki", first, inputs)
    received = received * (torch.einsum("ki,tbki->tbi", signs[0], received) >= 0).double().unsqueeze(2)
    received = torch.einsum("ij,tbkj->tbki", second, received)
    received = received * (torch.einsum("ki,tbki->tbi", signs[1], received) >= 0).double().unsqueeze(2)
    assert torch.allclose(torch.einsum("j,tbkj->tbk", out[0], received), tape.outputs, rtol=1e-11)
    assert float((net.w_out == 0).double().mean()) == 0.5
    assert float(second.detach().var()) == pytest.approx(4 / 32, rel=0.25)


@pytest.mark.parametrize("name", ["cnn", "local", "alternating"])
def test_pairs_survive_flattening(name: str) -> None:
    """Even and odd cells of every layer are opposite at the start, maps or not, pooled or not."""
    net = NETS[name](dtype=F64)
    for level in net.run(normal(1, 3, net.n_in)).levels:
        shape = level.population.shape if len(level.population.shape) in (2, 4) else (1, *level.population.shape)
        drives = sum(link.connection.drive(link.pre) for link in level.links)
        pairs = torch.as_tensor(drives).view(3, *shape)
        assert torch.allclose(pairs[:, :, ::2], -pairs[:, :, 1::2], rtol=1e-12, atol=1e-13)
        assert bool((level.rate != 0).any())


def test_alternating_cells() -> None:
    """Even cells pass what is negative, odd ones what is positive, map by map; in place, with slope and derivative."""
    drive = normal(3, 12).requires_grad_()
    activation = AlternatingReLU(3)
    value = activation(drive)
    even = (torch.arange(12) // 3 % 2 == 0).expand(3, 12)
    assert torch.equal(value, torch.where(even, drive.clamp(max=0), drive.clamp(min=0)))
    (slope,) = torch.autograd.grad(value.sum(), drive)
    assert torch.equal(activation.slope(value.detach()), slope)
    out = drive.detach().clone()
    activation.into(out, out)
    assert torch.equal(out, value)
    with pytest.raises(ValueError, match="positions must be at least 1, got 0"):
        AlternatingReLU(0)


@pytest.mark.parametrize("build", [NETS["mlp"], NETS["cnn"], NETS["local"], NETS["alternating"]])
def test_weights_are_clipped_after_a_step(build: Callable[..., Any]) -> None:
    """Above the first layer none is negative after a step; biases, the first layer and Adam's moments are let be."""
    net = build(dtype=F64)
    learner, optimizer = tca.Learner(net, tca.RULES["backprop"]), torch.optim.Adam(net.parameters(), 0.05)
    for _ in range(3):
        optimizer.zero_grad()
        learner.backward(batch_of(net))
        optimizer.step()
        moments = [{key: each.clone() for key, each in state.items()} for state in optimizer.state.values()]
        upper = [net.w_out, *(each for name, each in net.named_parameters() if name[:2] == "w_" and name[2:] > "1")]
        assert min(float(each.detach().min()) for each in upper) < 0
        net.project_()
        assert min(float(each.detach().min()) for each in upper) == 0
        for before, after in zip(moments, optimizer.state.values(), strict=True):
            assert all(torch.equal(before[key], after[key]) for key in before)
    assert float(net.w_1.detach().min()) < 0
    assert float(net.b_1.detach().min()) < 0
    mixed = build(dtype=F64, signs="mixed")
    weights = [each.clone() for each in mixed.parameters()]
    mixed.project_()
    assert all(torch.equal(one, two) for one, two in zip(weights, mixed.parameters(), strict=True))


def test_constant_output_weights() -> None:
    """One positive number of the norm that pairs have in the mean: outputs begin at zero, cells get one signal."""
    net = VectorMLP(6, [8, 6], 4, readout="constant", dtype=F64)
    assert float(net.w_out.detach().norm()) == pytest.approx(math.sqrt(2))
    drawn = [VectorMLP(6, [8, 400], 4, seed=seed, dtype=F64).w_out.detach().norm() for seed in range(4)]
    assert float(torch.stack(drawn).mean()) == pytest.approx(math.sqrt(2), rel=0.1)
    assert net.w_out.unique().numel() == 1
    assert float(net.w_out.detach()[0, 0]) > 0
    assert float(net(normal(1, 5, 6)).detach().abs().max()) < 1e-12


@pytest.mark.parametrize("cells", [64, 256])
def test_perron_root_of_the_start(cells: int) -> None:
    """Half the Perron root of unscaled pairs is 0.399 sqrt(I); the network's own is its bound."""
    roots = []
    for seed in range(5):
        net = VectorRNN(3, cells, 4, seed=seed, dtype=F64)
        assert gated_root(net.w_rec) == pytest.approx(0.9, rel=1e-6)
        size = float((net.w_rec.detach() ** 2).sum(1).mean().sqrt())  # sqrt(2) before scaling
        roots.append(0.9 * 2**0.5 / size)
    assert sum(roots) / 5 == pytest.approx(0.399 * cells**0.5, rel=0.05)


def gated_root(weight: Tensor) -> float:
    return 0.5 * float(torch.linalg.eigvals(weight.detach()).abs().max())


def test_gates_halve_the_perron_root() -> None:
    """Weights seen through the gates that are open in a trial have about half the Perron root."""
    net = VectorRNN(3, 64, 4, dtype=F64)
    gates = net.run(normal(8, 20, 3)).gates[1:]
    seen = torch.linalg.eigvals(net.w_rec.detach() * gates[-1].unsqueeze(1)).abs().amax(-1)
    assert float(seen.mean()) == pytest.approx(0.9, rel=0.15)


def test_perron_root_is_kept_below_its_bound() -> None:
    """``project_`` scales what has grown and leaves alone what has not; mixed signs are let be."""
    net = VectorRNN(3, 20, 4, perron_root_bound=0.8, dtype=F64)
    with torch.no_grad():
        net.w_rec += 0.3 * normal(20, 20).abs()
        net.w_out -= 0.1
    assert gated_root(net.w_rec) > 2
    net.project_()
    assert 0.8 * (1 - 1e-3) < gated_root(net.w_rec) <= 0.8 * (1 + 1e-12)
    assert float(net.w_out.detach().min()) == 0
    before = net.w_rec.detach().clone()
    net.project_()
    assert torch.allclose(net.w_rec, before, rtol=1e-3)
    with torch.no_grad():
        net.w_rec.mul_(1.3)
    net.project_()
    assert torch.allclose(net.w_rec, before, rtol=1e-3)
    with torch.no_grad():
        net.w_rec.mul_(0.5)
        before = net.w_rec.clone()
    net.project_()
    assert torch.equal(net.w_rec, before)


@pytest.mark.parametrize("size", [0.9, 0.999, 1.001, 1.1])
def test_a_bound_that_is_low_enough_ends_the_iteration(size: float) -> None:
    """Above the true root both decide alike; below it is the bound of fewer sweeps."""
    weights = normal(20, 20, seed=3).abs()
    weights *= size / torch.linalg.eigvals(weights).abs().max()
    found, full = (float(perron_bounds(weights, 50, 1e-4, enough)[1]) for enough in (1.0, -math.inf))
    assert (found > 1) == (full > 1) == (size > 1)
    assert found == full or size < 1
    assert found >= full >= size
    assert float(perron_bounds(weights, 50, 1e-4, 1e3)[1]) == pytest.approx(float(weights.sum(1).max()))


ROTATION = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=F64)
MATRICES = {
    "cyclic": ROTATION,
    "diagonal": torch.diag(torch.tensor([1.0, 3.0, 2.0], dtype=F64)),
    "random": normal(9, 9).abs(),
    "sparse": normal(9, 9, seed=4).clamp(min=0.3) - 0.3,
}


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_perron_root_is_enclosed(matrix: Tensor) -> None:
    """The bounds hold, and meet where the matrix lets them."""
    low, high = perron_root(matrix)
    root = float(torch.linalg.eigvals(matrix).abs().max())
    assert low - 1e-9 <= root <= high + 1e-9
    assert perron_root(torch.zeros(3, 3)) == (0.0, 0.0)
    assert high == pytest.approx(root, rel=1e-6)
