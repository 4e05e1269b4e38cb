"""Credit along a part of the recurrent synapses: which part, and what follows from it in every kind of network."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch

import tca
from tca import nets
from tca.eligibilities import Leak, Paths, PopulationJacobian
from tca.signals import Direct
from tests.support import small_networks
from tests.support.rows import assert_same
from tests.support.small_networks import F64, scattered, trials

WAYS: tuple[Literal["inputs", "rows", "columns"], ...] = ("inputs", "rows", "columns")
NETS = small_networks.NETS | {
    "masked": lambda: nets.LeakyRNN(3, 6, 2, mask_rec=torch.eye(6).roll(1, 0) + torch.eye(6).roll(2, 0), dtype=F64),
    "stack": lambda: nets.StackedRNN(3, [nets.LeakyLayer(6), nets.LeakyLayer(6, tau=15.0)], 2, dtype=F64),
}
each_net = pytest.mark.parametrize("name", NETS)


def network(name: str) -> Any:
    return scattered(NETS[name](), 4)


def gradient(net: Any, eligibility: tca.eligibilities.Eligibility, execution: str = "reverse") -> dict[str, Any]:
    return tca.Learner(net, tca.Rule(Direct(), eligibility)).grads(trials(), execution)[0]


@each_net
@pytest.mark.parametrize("of", WAYS)
def test_all_paths_are_real_time_recurrent_learning(name: str, of: Any) -> None:
    """From as many paths as cells on, the number does not matter and the seed neither."""
    net = network(name)
    wanted = gradient(net, PopulationJacobian())
    for paths in (6, 40):
        for execution in ("reverse", "forward"):
            assert_same(gradient(net, Paths(paths, of, seed=paths), execution), wanted)


@each_net
@pytest.mark.parametrize("of", WAYS)
def test_forward_equals_reverse(name: str, of: Any) -> None:
    """Traces and adjoint of one propagator; neither e-prop nor the gradient."""
    net = network(name)
    found = gradient(net, Paths(2, of, seed=1))
    assert_same(gradient(net, Paths(2, of, seed=1), "forward"), found)
    some = next(key for key in found if "w_in" in key)
    whole = [gradient(net, each)[some] for each in (Leak(), PopulationJacobian())]
    alike = name == "masked" and of == "inputs"  # two inputs a cell are all that there are
    assert [torch.allclose(found[some], each) for each in whole] == [False, alike]


def test_which_synapses_are_kept() -> None:
    """Inputs: as many of each cell as asked for or as there are; rows and columns: of all cells or of none."""
    exists = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=F64)
    inputs = Paths(2, seed=3).kept(exists)
    assert inputs.sum(1).tolist() == [2, 2, 0, 1]
    assert (inputs <= exists).all()
    whole = torch.ones(9, 9)
    rows, columns = (Paths(2, of, seed=3).kept(whole) for of in WAYS[1:])
    assert rows.sum(1).sort().values.tolist() == [0] * 7 + [9] * 2
    assert columns.sum(0).sort().values.tolist() == [0] * 7 + [9] * 2
    assert Paths(2, seed=3).kept(whole).sum(1).tolist() == [2] * 9
    assert len(Paths(2, seed=3).kept(whole).unique(dim=0)) > 1  # cells draw apart


def test_every_synapse_is_as_likely_as_another() -> None:
    """Means over 400 seeds lie within five standard deviations of the share that is kept."""
    whole = torch.ones(6, 6, dtype=F64)
    for of in WAYS:
        mean = torch.stack([Paths(2, of, seed=seed).kept(whole) for seed in range(400)]).mean(0)
        assert ((mean - 2 / 6).abs() < 5 * (2 / 6 * 4 / 6 / 400) ** 0.5).all()


def test_the_mask_depends_on_the_seed_alone() -> None:
    whole = torch.ones(8, 8)
    first = Paths(3, seed=1).kept(whole)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    assert torch.equal(Paths(3, seed=1).kept(whole.double()), first.double())
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(Paths(3, seed=2).kept(whole), first)


def test_careless_use_is_refused() -> None:
    with pytest.raises(ValueError, match="paths"):
        Paths(0)
    with pytest.raises(ValueError, match="of"):
        Paths(2, of="outputs")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs recurrent synapses"):
        tca.Learner(nets.MLP(3, (4,), 2), tca.Rule(Direct(), Paths(2)))
