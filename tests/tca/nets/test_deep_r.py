"""DEEP R (Bellec et al. 2018): sparse weights are rewired at a constant number of synapses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tca
from tca.cells import LSTM
from tca.experiments.config.components import Optimizer
from tca.nets import CellRNN, DeepR, LeakyLayer, LeakyRNN, Network, SpikingRNN, StackedRNN
from tca.nets.constraints import project_
from tca.nets.wiring import sparse
from tests.tca.experiments.records.test_records import content

F64 = torch.float64
MASKS = {"mask_rec": sparse(20, 20, density=0.15, seed=1), "mask_in": sparse(20, 5, density=0.4, seed=2)}
NETS: dict[str, Callable[..., Network]] = {
    "leaky": lambda **options: LeakyRNN(5, 20, 2, dtype=F64, **MASKS, **options),
    "spiking": lambda **options: SpikingRNN(5, 20, 2, dtype=F64, **MASKS, **options),
    "stack": lambda **options: StackedRNN(5, [LeakyLayer(20, **MASKS, **options), LeakyLayer(4)], 2, dtype=F64),
}
each_net = pytest.mark.parametrize("build", NETS.values(), ids=NETS)


def rewired(net: Any) -> Any:
    """Return the population whose weights are rewired."""
    return next(each for each in net.modules() if getattr(each, "rewiring", None) is not None)


def descend(net: Any, optimizer: torch.optim.Optimizer, updates: int, seed: int = 0) -> None:
    """Make updates on random trials, as a run would."""
    learner = tca.Learner(net, tca.RULES["eprop"])
    generator = torch.Generator().manual_seed(seed)
    for _ in range(updates):
        x, y = (torch.randn(6, 4, size, dtype=F64, generator=generator) for size in (5, 2))
        optimizer.zero_grad()
        learner.backward(tca.Batch(x, y, torch.ones(6, 4, dtype=F64), tca.losses.MSE()))
        optimizer.step()
        net.walk_weights_()
        project_(net, optimizer)


@each_net
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_the_number_of_synapses_stays_and_the_synapses_change(build: Any, kind: Any) -> None:
    """Under any optimizer; weights are where the mask is, and never of another sign than their pair's."""
    net = build(rewiring=DeepR(shrinkage=1e-3, noise=0.05))
    cells = rewired(net)
    start = {name: cells.get_buffer(name).clone() for name in MASKS}
    signs = {name: cells.get_buffer(f"rewiring_signs_{name}") for name in ("in", "rec")}
    descend(net, kind(net.parameters(), lr=0.05), 30)
    for name, before in start.items():
        mask, weight = cells.get_buffer(name), cells.get_parameter(name.replace("mask", "w")).detach()
        assert mask.sum() == before.sum()
        assert (mask - before).abs().sum() >= 4
        assert not weight[mask == 0].any()
        assert not (weight * signs[name.removeprefix("mask_")] < 0).any()
    assert torch.equal(MASKS["mask_rec"], sparse(20, 20, density=0.15, seed=1)), "the mask that was given stays"


def test_one_update_in_closed_form() -> None:
    """``theta <- theta - shrinkage - lr dE/dtheta``; below zero it is dormant, and another pair has weight zero."""
    net = LeakyRNN(5, 20, 2, dtype=F64, **MASKS, rewiring=DeepR(0.02, 0.0, seed=4))
    weight, mask, signs = net.w_rec.detach().clone(), net.mask_rec.clone(), net.rewiring_signs_rec
    step = 0.5 * torch.randn(20, 20, dtype=F64, generator=torch.Generator().manual_seed(3)) * mask
    with torch.no_grad():
        net.w_rec.add_(step)
    net.walk_weights_()
    net.project_()
    theta = signs * (weight + step) - 0.02 * mask
    stays = (theta >= 0) & (mask != 0)
    assert 0 < int((mask != 0).sum() - stays.sum()) < mask.sum()
    assert torch.equal(net.mask_rec[stays], torch.ones(int(stays.sum()), dtype=F64))
    assert torch.allclose(net.w_rec[stays], (signs * theta)[stays], rtol=1e-15, atol=0)
    assert not net.w_rec[~stays].any()
    assert net.mask_rec.sum() == mask.sum()


def test_the_random_walk_has_the_given_size() -> None:
    """Without a gradient the weights of synapses move by normal numbers of this size, all others not at all."""
    net = LeakyRNN(5, 60, 2, dtype=F64, mask_rec=sparse(60, 60, density=0.5), rewiring=DeepR(noise=0.25))
    before = net.w_rec.detach().clone()
    net.walk_weights_()
    moved = net.w_rec.detach() - before
    assert float(moved[net.mask_rec != 0].std()) == pytest.approx(0.25, rel=0.05)
    assert abs(float(moved[net.mask_rec != 0].mean())) < 0.03
    assert not moved[net.mask_rec == 0].any()


def test_new_synapses_are_drawn_uniformly_from_dormant_pairs() -> None:
    """Every allowed pair is as often chosen as any other, those that have just been removed included."""
    counts = torch.zeros(6, 6)
    start = sparse(6, 6, density=0.25, seed=5) * (1 - torch.eye(6))
    for seed in range(400):
        net = LeakyRNN(1, 6, 1, mask_rec=start, autapses=False, rewiring=DeepR(seed=seed))
        with torch.no_grad():
            net.w_rec.copy_(-net.rewiring_signs_rec * net.mask_rec)
        net.project_()
        counts += net.mask_rec
    others = ~torch.eye(6, dtype=torch.bool)
    expected = 400 * float(start.sum()) / 30
    assert not counts[~others].any()
    assert float((counts[others] - expected).square().sum()) / expected < 60  # 30 cells, chi squared


def test_dales_principle_holds_throughout() -> None:
    """New synapses have the sign of their cell; where a type has none, that of their pair."""
    net = LeakyRNN(
        5, 20, 2, dtype=F64, **MASKS, cell_types=(0.5, 0.25, 0.25), dale=(1, -1, 0), rewiring=DeepR(noise=0.05)
    )
    before = net.mask_rec.clone()
    descend(net, torch.optim.Adam(net.parameters(), lr=0.05), 40)
    assert not torch.equal(net.mask_rec, before)
    assert torch.equal(net.rewiring_signs_rec[:, :15], net.signs[:15].expand(20, 15))
    assert not (net.w_rec * net.signs < 0).any()
    assert bool((net.w_rec[:, 15:] > 0).any() and (net.w_rec[:, 15:] < 0).any())
    grown = (net.mask_rec != 0) & (before == 0) & (net.w_rec != 0)
    assert torch.equal(net.w_rec.sign()[grown], net.rewiring_signs_rec[grown])


def test_projection_alone_draws_no_number() -> None:
    """Where no weight has crossed zero, projecting again and again leaves weights, masks and generator as they were."""
    net = LeakyRNN(5, 20, 2, dtype=F64, **MASKS, rewiring=DeepR(0.1, 0.1))
    before = {name: each.clone() for name, each in net.state_dict().items()}
    net.project_()
    net.project_()
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())


def test_training_resumes_to_the_same_bits() -> None:
    """Masks, signs and generator are a part of the network's state."""
    whole, half = (LeakyRNN(5, 20, 2, dtype=F64, **MASKS, rewiring=DeepR(1e-3, 0.02)) for _ in range(2))
    descend(whole, torch.optim.SGD(whole.parameters(), lr=0.05), 8, seed=1)
    other = LeakyRNN(5, 20, 2, dtype=F64, seed=9, **MASKS, rewiring=DeepR(1e-3, 0.02, seed=8))
    other.load_state_dict(whole.state_dict())
    half.load_state_dict(whole.state_dict())
    for net in (other, half):
        descend(net, torch.optim.SGD(net.parameters(), lr=0.05), 8, seed=2)
    assert all(torch.equal(each, half.state_dict()[name]) for name, each in other.state_dict().items())
    assert not torch.equal(other.mask_rec, whole.mask_rec)


def test_a_run_is_described_and_resumes(tmp_path: Path) -> None:
    """The record of a run that was stopped and resumed equals that of a whole one, rewired masks included."""
    rewiring = {"shrinkage": 1e-3, "noise": 0.05}
    net = tca.NetworkConfig("leaky_rnn", {"n_rec": 12, "mask_rec": {"sparse": {"density": 0.3}}, "rewiring": rewiring})
    assert net == tca.NetworkConfig(
        "leaky_rnn",
        {"n_rec": 12, "mask_rec": {"sparse": {"density": 0.3}}, "rewiring": DeepR(shrinkage=1e-3, noise=0.05)},
    )
    run = tca.Run(
        "delayed_xor",
        net=net,
        rule="eprop",
        optimizer=Optimizer(lr=1e-9),  # what moves is moved by the random walk
        steps=6,
        n_train=16,
        n_test=8,
        batch_size=8,
        evaluate_every=2,
    )
    calls = 0

    def stop(*_: object) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return {}

    result = tca.train(run, tmp_path / "whole", progress=False)
    with pytest.raises(KeyboardInterrupt):
        tca.train(run, tmp_path / "stopped", progress=False, observe=stop)
    tca.train(run, tmp_path / "stopped", progress=False)
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")
    fresh = net.build(2, 2, dt=10.0, seed=run.seeds.net)
    assert not torch.equal(result.net.mask_rec.double(), fresh.mask_rec.double())
    assert result.net.mask_rec.sum() == fresh.mask_rec.sum()


def test_what_cannot_be_rewired_is_refused() -> None:
    """All-to-all weights, cells of several drives, and bad constants."""
    with pytest.raises(ValueError, match="rewiring needs mask_in or mask_rec"):
        LeakyRNN(5, 20, 2, rewiring=DeepR())
    with pytest.raises(ValueError, match="rewiring needs cells of one drive"):
        CellRNN(LSTM(), 5, 20, 2, mask_rec=MASKS["mask_rec"], rewiring=DeepR())
    with pytest.raises(ValueError, match="noise"):
        DeepR(noise=-1.0)
