"""General cells in stacks, with masks, signs and noise, and as runs and the command line describe them."""

from __future__ import annotations

import pytest
import torch

import tca
from tca import cells, nets
from tca.conformance.properties import autograd_gradient
from tca.nets import CellLayer, LeakyLayer, SpikingLayer, StackedRNN
from tca.signals import Exact
from tests.support import user_cells
from tests.support.rows import assert_same
from tests.tca.nets.cell_rnn.test_gated_cells import network, trials
from tests.tca.test_conformance_cells import REFUSED

F64 = torch.float64
LAYERS = {
    "LRU below GRU below leaky": [
        CellLayer(4, cells.LRU(r_min=0.5)),
        CellLayer(5, cells.GRU()),
        LeakyLayer(3, tau=20.0),
    ],
    "spiking below LSTM": [SpikingLayer(6, threshold=0.1, gain_in=4.0, tau=10.0, beta=0.5), CellLayer(4, cells.LSTM())],
    "leaky below LRU below own": [LeakyLayer(4), CellLayer(3, cells.LRU()), CellLayer(4, user_cells.Resonator())],
}


@pytest.mark.parametrize("layers", LAYERS)
def test_stacks_mix_cells_with_other_populations(layers: str) -> None:
    """BPTT equals autograd through the whole stack; every eligibility has a signal that gives the same."""
    net, batch = StackedRNN(3, LAYERS[layers], 2, seed=2, dtype=F64), trials(9, 2)
    batch.loss.mean(net(batch.inputs), batch.targets, batch.weights).backward()
    wanted = {name: each.grad.clone() for name, each in net.named_parameters() if each.grad is not None}
    assert len(wanted) == len(list(net.parameters()))
    for rule in (tca.RULES["bptt"], tca.Rule(Exact(), tca.RULES["eprop"].eligibility), tca.RULES["rtrl"]):
        assert_same(tca.Learner(net, rule).grads(batch)[0], wanted, 1e-11)
    for name in ("eprop", "eprop_random", "three_factor", "sbd"):
        bound = tca.Learner(net, tca.Rule(tca.RULES[name].signal, tca.RULES[name].eligibility))
        forward, reverse = (bound.grads(batch, execution=each)[0] for each in ("forward", "reverse"))
        assert_same(forward, reverse)
    assert tca.RULES["eprop"].eligibility == tca.eligibilities.Leak()


def test_eprop_in_a_stack_drops_what_crosses_layers_in_time() -> None:
    """With detached layers below, one LRU above an LRU learns exactly in its own weights and not in those below."""
    net, batch = (
        StackedRNN(3, [CellLayer(4, cells.LRU(r_min=0.5)), CellLayer(4, cells.LRU(r_min=0.5))], 2, dtype=F64),
        trials(),
    )
    exact, local = (tca.Learner(net, tca.RULES[each]).grads(batch)[0] for each in ("bptt", "eprop"))
    upper = {name for name in exact if not name.startswith("layers.0")}
    assert_same({name: local[name] for name in upper}, {name: exact[name] for name in upper})
    assert all(float((local[name] - exact[name]).norm() / exact[name].norm()) > 0.01 for name in exact.keys() - upper)


@pytest.mark.parametrize("name", ["GRU", "LSTM", "MinGRU"])
def test_masks_and_signs_hold_for_every_gate(name: str) -> None:
    """Missing synapses keep no gradient; signs are those of the presynaptic cell; autapses can be excluded."""
    mask = (torch.rand(5, 3, generator=torch.Generator().manual_seed(0)) < 0.6).double()
    net = network(name, mask_in=mask, cell_types=(0.6, 0.4), dale=(1, -1), autapses=False)
    rows = len(net.w_in) // 5
    assert not net.w_in[mask.repeat(rows, 1) == 0].any()
    found = tca.Learner(net, tca.RULES["eprop"]).grads(trials())[0]
    assert not found["w_in"][mask.repeat(rows, 1) == 0].any()
    for gate in net.w_rec.split(5):
        assert not gate.diagonal().any()
        assert (gate[:, :3] >= 0).all()
        assert (gate[:, 3:] <= 0).all()


def test_noise_reaches_every_drive() -> None:
    """Private noise has its own generator, of as many numbers as there are drives, scaled by the option."""
    net = nets.CellRNN(cells.GRU(), 3, 5, 2, noise=0.1, seed=1)
    drawn = net.draw_noise(200, 8)
    assert drawn is not None
    assert drawn.shape == (200, 8, 20)
    assert abs(float(drawn.std()) - 0.1) < 0.005
    quiet, loud = (net.run(torch.zeros(200, 8, 3), each).outputs for each in (None, drawn))
    assert not torch.equal(quiet, loud)
    inputs = torch.zeros(200, 8, 3)
    assert torch.allclose(net.functional({}, inputs, drawn), loud, atol=1e-5)


@pytest.mark.parametrize("name", sorted(cells.CELLS))
def test_runs_describe_cells(name: str) -> None:
    """A configuration builds the network, is written and read again, and trains."""
    config = tca.NetworkConfig(name, size=6)
    net = config.build(3, 2, dt=10.0, seed=4)
    same = nets.CellRNN(cells.CELLS[name](), 3, 6, 2, seed=4)
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), same.parameters(), strict=True))
    written = config.to_json()
    assert tca.NetworkConfig(written.pop("kind"), written) == config
    run = tca.Run("delayed_xor", rule="eprop", net=config, steps=2, n_train=8, n_test=8, batch_size=4)
    assert tca.train(run).outcome == "completed"
    with pytest.raises(ValueError, match="unknown option"):
        tca.NetworkConfig(name, sise=6)


def test_runs_describe_stacks_of_cells() -> None:
    """Layers name their cells, with options of the cell and of its wiring."""
    layers = [{"size": 4, "cells": "lru", "r_min": 0.5}, {"size": 3, "cells": "gru", "autapses": False}, {"size": 2}]
    net = tca.NetworkConfig("stacked_rnn", layers=layers).build(3, 2, dt=10.0, seed=0)
    assert [type(each).__name__ for each in net.layers] == ["CellPopulation", "CellPopulation", "LeakyPopulation"]
    assert net.layers[0].cell.r_min == 0.5
    assert net.layers[1].w_in.shape == (9, 8)
    with pytest.raises(ValueError, match="unknown option of a gru layer 'tau'"):
        tca.NetworkConfig("stacked_rnn", layers=[{"size": 4, "cells": "gru", "tau": 10.0}])


@pytest.mark.thirds
@pytest.mark.parametrize("cell", ["gru", "lru"])
@pytest.mark.parametrize("rule", tca.RULES)
def test_inputs_that_reach_the_outputs_change_no_other_gradient(cell: str, rule: str) -> None:
    """Under every rule: with such weights at zero the others learn as without, and these along the true gradient."""
    if rule in REFUSED[cell]:
        pytest.skip("refused in this cell")
    parts = tca.Rule(tca.RULES[rule].signal, tca.RULES[rule].eligibility)
    plain, net = (
        tca.NetworkConfig(cell, size=5, cell_types=(0.6, 0.4), dale=(1, -1), skip=skip).build(
            3, 2, dt=10.0, seed=3, dtype=F64
        )
        for skip in (False, True)
    )
    with torch.no_grad():
        net.w_skip.zero_()
    batch = trials(7, 3)
    for execution in parts.executions:
        wanted = tca.Learner(plain, parts, seed=5).grads(batch, execution=execution)[0]
        found = tca.Learner(net, parts, seed=5).grads(batch, execution=execution)[0]
        if rule != "weight_perturbation":  # which tries those weights, too
            assert_same({name: found[name] for name in wanted}, wanted)
        if rule not in ("superspike", "decolle", "weight_perturbation"):  # whose outputs have errors of their own
            assert_same({"w_skip": found["w_skip"]}, {"w_skip": autograd_gradient(net, batch)["w_skip"]})
