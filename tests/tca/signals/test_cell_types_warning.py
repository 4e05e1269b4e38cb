"""Rules by cell type on networks whose types say nothing of their weights: e-prop, and said to be."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import tasks
import tca
from tca.cli.compare.comparison import Comparison
from tca.cli.compare.comparison_result import ComparisonResult
from tca.cli.compare.comparison_table import notes
from tca.cli.compare.measurements import RunMeasurements
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.records.result import COMPLETED
from tca.nets import MLP, LeakyLayer, LeakyRNN, SpikingRNN, StackedRNN
from tca.signals.cell_type_check import CellTypesWarning, by_type, typeless
from tests.support.cases import mask

BY_TYPE = {"mdgl", "nl_mdgl", "mdgl_online", "mdgl_one_hop", "modprop"}
SAME = [  # on the default network, to the rounding of single precision
    {"bptt", "rtrl", "snap2", "ostl"},
    {"eprop", "reward_eprop", "force", "ottt"},
    {"eprop_random", "eprop_adaptive", "rflo"},
    {"three_factor", "backprop"},
    {"mdgl", "nl_mdgl", "mdgl_online"},
]
TYPED = {"cell_types": (0.8, 0.2), "dale": (1, -1)}


def gradients(net: Any, task: Any) -> dict[str, Tensor]:
    """Return what every rule that fits gives for all but the readout."""
    batch = task.split(48, 8, seed=0)[0].batch()
    names = [each.name for each in net.hidden_connections()]
    found = {}
    for name, rule in tca.RULES.items():
        try:
            learner = tca.Learner(net, tca.Rule(rule.signal, rule.eligibility))
        except ValueError:
            continue
        grads = learner.grads(batch)[0]
        found[name] = torch.cat([grads[each].flatten().double() for each in names])
    return found


def near(found: dict[str, Tensor], tolerance: float) -> set[frozenset[str]]:
    """Return the pairs of rules whose gradients differ by no more than a part of the larger one."""
    return {
        frozenset((one, other))
        for one, other in itertools.combinations(found, 2)
        if (found[one] - found[other]).norm() <= tolerance * max(found[one].norm(), found[other].norm())
    }


def pairs(groups: list[set[str]]) -> set[frozenset[str]]:
    return {frozenset(pair) for group in groups for pair in itertools.combinations(group, 2)}


def test_rules_that_are_another_on_the_default_network() -> None:
    """All pairs of all rules: some are the same to the bit, those by cell type are e-prop, no others are near."""
    task = tasks.make("delayed_xor")
    build = {"dt": task.dt, "seed": 0}
    default = gradients(NetworkConfig().build(task.n_in, task.n_out, **build), task)
    assert len(default) >= 43
    assert near(default, 1e-6) == pairs(SAME)
    eprop = [{"eprop", "reward_eprop", "force", "ottt", *BY_TYPE}]
    assert near(default, 0.02) == pairs([*SAME, *eprop])
    for name in BY_TYPE:
        off = float((default[name] - default["eprop"]).norm() / default["eprop"].norm())
        assert 1e-5 < off < (0.02 if name == "mdgl_one_hop" else 8e-3), name
    signed = gradients(NetworkConfig(**TYPED).build(task.n_in, task.n_out, **build), task)
    assert near(signed, 0.02) == pairs(SAME), "types that differ in sign keep them apart"
    unsigned = gradients(NetworkConfig(cell_types=(0.8, 0.2)).build(task.n_in, task.n_out, **build), task)
    assert near(unsigned, 0.02) == pairs([*SAME, *eprop]), "types alone do not"


def test_rules_by_type_are_known() -> None:
    assert {name for name, rule in tca.RULES.items() if by_type(rule)} == BY_TYPE
    mine = tca.signals.Regularised(tca.RULES["mdgl"].signal, (tca.regularisers.ActivityL1(0.1),))
    assert by_type(tca.Rule(mine, tca.eligibilities.Leak()))
    assert by_type(tca.Rule(tca.signals.TypeReturn(0.25), tca.eligibilities.Leak()))
    assert not by_type(tca.Rule(tca.signals.Hops(1), tca.eligibilities.Leak()))


def test_whether_types_matter_is_a_matter_of_means() -> None:
    """One pair of types with a mean beyond chance is enough; missing synapses do not count; nothing recurs, nothing."""
    for options in ({}, {"cell_types": (0.5, 0.5)}, {"mask_rec": mask(3, 40, 40)}, {"autapses": False}, {"form": "B"}):
        assert typeless(LeakyRNN(3, 40, 2, **options).typed_weights()), options
    for options in (
        TYPED,
        {"dale": (1,)},
        {"cell_types": (0.5, 0.5), "dale": (0, 1)},
        {**TYPED, "mask_rec": mask(3, 40, 40)},
    ):
        assert not typeless(LeakyRNN(3, 40, 2, **options).typed_weights()), options
    assert typeless(SpikingRNN(3, 40, 2).typed_weights())
    assert typeless(StackedRNN(3, [LeakyLayer(40), LeakyLayer(30)], 2).typed_weights())
    assert not typeless(StackedRNN(3, [LeakyLayer(40), LeakyLayer(30, **TYPED)], 2).typed_weights())
    assert not typeless(MLP(3, [4], 2).typed_weights())
    net = LeakyRNN(3, 10, 2, mask_rec=torch.eye(10).roll(1, 0))
    with torch.no_grad():  # all 10 synapses at .3 +- .01, far from chance unless 90 missing ones are counted in
        net.w_rec.copy_(torch.eye(10).roll(1, 0) * (0.3 + 0.01 * net.w_rec.sign()))
    assert not typeless(net.typed_weights())


@pytest.mark.parametrize("name", sorted(BY_TYPE))
def test_binding_warns_once(name: str) -> None:
    net = LeakyRNN(3, 40, 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            tca.Learner(net, tca.RULES[name])
            tca.Learner(net, tca.RULES["eprop"])
            tca.Learner(LeakyRNN(3, 40, 2, **TYPED), tca.RULES[name])
    assert [each.category for each in caught] == [CellTypesWarning]
    assert "it is e-prop to a percent or two: give the network types that differ in sign" in str(caught[0].message)


def test_a_comparison_says_so_below_its_table() -> None:
    def said(rules: list[str], net: NetworkConfig) -> list[str]:
        comparison = Comparison(rules=rules, net=net, seeds=1)
        measured = [RunMeasurements(each.entry, each.run, COMPLETED) for each in comparison.runs()]
        return [each for each in notes(ComparisonResult(comparison, measured)) if "by cell type" in each]

    found = said(["bptt", "mdgl", "eprop", "modprop"], NetworkConfig(size=40))
    assert [each.partition(": by cell type")[0] for each in found] == ["mdgl, modprop"]
    assert not said(["bptt", "mdgl"], NetworkConfig(size=40, **TYPED))
    assert not said(["bptt", "eprop"], NetworkConfig(size=40))
