"""Masks drawn by density, type and distance; constraints and the momentum of optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import tca
from tca.nets.constraints import project_
from tca.nets.options import check_types, count_types
from tca.nets.wiring import by_distance, by_type, lattice, sparse


def test_densities_are_met_exactly() -> None:
    """As many synapses as asked for, spread over all cells, others for another seed."""
    mask = sparse(40, 60, 0.25, seed=1)
    assert mask.sum() == 600
    assert mask.unique().tolist() == [0.0, 1.0]
    assert torch.equal(mask, sparse(40, 60, 0.25, seed=1))
    assert not torch.equal(mask, sparse(40, 60, 0.25, seed=2))
    rows = sparse(400, 60, 0.25, per_cell=True)
    assert (rows.sum(1) == 15).all()
    assert abs(float(rows.mean(0).std()) - (0.25 * 0.75 / 400) ** 0.5) < 0.01
    assert sparse(3, 5, 1e-9).sum() == 1


def test_every_pair_of_types_has_its_density() -> None:
    """Counts of synapses in each block, in any order of the cells."""
    types = torch.arange(50) % 2
    mask = by_type(types, [[0.2, 0.4], [0.0, 1.0]])
    blocks = [[mask[types == a][:, types == b].sum().item() for b in (0, 1)] for a in (0, 1)]
    assert blocks == [[125, 250], [0, 625]]
    even = by_type(types, [[0.3, 0.3], [0.3, 0.3]])
    assert not torch.equal(even[types == 0][:, types == 0], even[types == 1][:, types == 1])


def test_near_cells_are_joined_more_often() -> None:
    """How often cells at a distance are joined falls as the Gaussian says where few are chosen of many."""
    x = lattice((60, 60))
    mask = by_distance(x[:900], x, width=4.0, density=0.002, period=(60, 60), seed=3)
    assert (mask.sum(1) == 7).all()
    apart = (x[:900].unsqueeze(1) - x).abs()
    squared = torch.minimum(apart, 60 - apart).square().sum(-1)
    rates = {d: float(mask[squared == d].mean()) for d in (1, 16, 32)}
    for d, wanted in ((16, 15 / 32), (32, 31 / 32)):
        assert rates[d] / rates[1] == pytest.approx(float(torch.exp(torch.tensor(-wanted))), rel=0.15)


def test_space_closes_on_itself_only_if_asked_to() -> None:
    """The first site of a ring is a neighbour of the last one, on a line it is not; autapses exist unless excluded."""
    x = lattice((30,))
    ring = by_distance(x, x, width=0.5, density=0.1, period=(30,))
    line = by_distance(x, x, width=0.5, density=0.1)
    assert ring[0, 29] == 1
    assert line[0, 29] == 0
    assert ring.diagonal().sum() > 25
    apart = by_distance(x, x, width=0.5, density=0.1, autapses=False)
    assert apart.diagonal().sum() == 0
    assert (apart.sum(1) == 3).all()


def test_a_network_keeps_its_wiring() -> None:
    """With any rule and a heavy weight decay, missing synapses and signs stay as they are."""
    x = lattice((4, 5))
    mask = by_distance(x, x, width=1.0, density=0.2, autapses=False)
    for rule in ("bptt", "eprop_random", "mdgl", "snap2"):
        net = tca.nets.LeakyRNN(2, 20, 1, mask_rec=mask, cell_types=(0.8, 0.2), dale=(1, -1), seed=1)
        learner = tca.Learner(net, tca.RULES[rule])
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.05, weight_decay=0.1)
        batch = tca.Batch(torch.ones(6, 3, 2), torch.ones(6, 3, 1), torch.ones(6, 3), tca.losses.MSE())
        for _ in range(20):
            optimizer.zero_grad()
            learner.backward(batch)
            optimizer.step()
            project_(net, optimizer)
        assert torch.equal(net.w_rec != 0, (mask != 0) & (net.w_rec != 0))
        assert (net.w_rec[:, :16] >= 0).all()
        assert (net.w_rec[:, 16:] <= 0).all()
        assert (optimizer.state[net.w_rec]["exp_avg"][mask == 0] == 0).all()
        assert (net.w_rec != 0).sum() > 20


@pytest.mark.parametrize(
    "make",
    [lambda p: torch.optim.Adam(p, lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)],
    ids=["Adam", "SGD with momentum"],
)
def test_momentum_across_the_border_is_forgotten(make: Callable[[Any], torch.optim.Optimizer]) -> None:
    """A weight held at zero for long leaves it with the first gradient that points inwards; by clipping alone not."""
    left = {}
    for forgets in (True, False):
        net = tca.nets.LeakyRNN(1, 2, 1, dale=(1,), seed=0)
        optimizer = make([net.w_rec])
        for direction in (*[1.0] * 30, -1.0):
            net.w_rec.grad = torch.full((2, 2), direction)
            optimizer.step()
            if forgets:
                project_(net, optimizer)
            else:
                net.project_()
        left[forgets] = bool((net.w_rec > 0).all())
    assert left == {True: True, False: False}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sparse(3, 4, 0.0), "density must lie in"),
        (lambda: sparse(0, 4, 0.5), "post must be at least 1"),
        (lambda: by_type(torch.tensor([0, 1]), [[0.5]]), "one for each pair"),
        (lambda: by_type(torch.tensor([0]), [[1.5]]), "densities must lie in"),
        (lambda: by_distance(lattice((3,)), lattice((3, 3)), width=1.0, density=0.5), "positions must have shapes"),
        (
            lambda: by_distance(lattice((3,)), lattice((3,)), width=1.0, density=0.5, period=(3, 3)),
            "for each of 1 axes",
        ),
        (lambda: by_distance(lattice((3,)), lattice((3,)), width=0.0, density=0.5), "width must be greater than 0"),
    ],
)
def test_careless_wiring_is_refused(call: Callable[[], Any], message: str) -> None:
    """Errors name the argument."""
    with pytest.raises(ValueError, match=message):
        call()


def test_a_run_may_ask_for_momentum_to_be_forgotten() -> None:
    """The option of an optimizer changes what is learned where signs are fixed; runs without it keep their names."""
    net = tca.NetworkConfig(size=12, cell_types=(0.5, 0.5), dale=(1, -1))
    weights = {}
    for forget in (False, True):
        run = tca.Run(
            "delayed_xor",
            net=net,
            optimizer=tca.Optimizer(lr=0.05, reset_momentum_on_projection=forget),
            steps=12,
            n_train=64,
            n_test=8,
        )
        assert tca.Run.from_json(run.to_json()) == run
        weights[forget] = tca.train(run, progress=False).net.w_rec.detach()
        assert (weights[forget][:, :6] >= 0).all()
        assert ("reset_momentum_on_projection" in run.to_json()["optimizer"]) == forget
    assert not torch.equal(weights[True], weights[False])


def test_types_are_counted_as_they_are_built() -> None:
    for given in (None, (0.8, 0.2), (0.5, 0.0, 0.5), (0.7, 0.3, 0.0), [2, 0, 1, 1, 0], (0.95, 0.05)):
        assert count_types(given, 5) == int(check_types(given, 5).max()) + 1
