"""The contracts of every rule on every cell of the library, and the reason where a rule has no meaning there."""

from __future__ import annotations

import pytest
import torch

import tca
from tca import cells
from tca.conformance.properties import autograd_gradient
from tca.signals import CausalSignal
from tests.support.padding import appended, uneven
from tests.support.rows import ROWS, assert_same
from tests.tca.test_online import gathered, run

F64 = torch.float64
STREAMS, VECTORS = "needs the two streams", "a vector with one component for each output"
SYNAPSES, ONE, DRIVEN = "needs recurrent synapses", "one number as their state", "the only component that is driven"
DENSE, INFLUENCE = "one recurrent population", "the influence of one recurrent population on itself"
EVERYWHERE = {
    **dict.fromkeys(("error_diffusion", "error_diffusion_online", "kaneko"), STREAMS),
    **dict.fromkeys(("gevb", "gevb_local", "gevb_network"), VECTORS),
    "rflo": "there its parts are the rule 'eprop_random'",
    "modprop": "a constant leak and gain",
    "miconi": "a cell with one drive",
}
TWO_NUMBERS = {
    **dict.fromkeys(("ottt", "superspike", "decolle"), DRIVEN),
    "dni": "has states of 2 numbers",
    "kernl": ONE,
}
FEEDFORWARD = {
    **dict.fromkeys(("snap2", "one_hop", "two_hops", "mdgl_exact", "mdgl", "nl_mdgl", "mdgl_online"), SYNAPSES),
    **dict.fromkeys(("mdgl_one_hop", "modprop", "dni"), SYNAPSES),
    **dict.fromkeys(("uoro", "kf_rtrl", "r_kf_rtrl"), INFLUENCE),
    "miconi": DENSE,
    "kernl": ONE,
}
CONSTANTS = {"node_perturbation": "WeightNoise", "miconi": "constants that are learned"}
REFUSED = {
    "gru": EVERYWHERE,
    "lstm": EVERYWHERE | TWO_NUMBERS,
    "mgu": EVERYWHERE,
    "min_gru": EVERYWHERE | FEEDFORWARD,
    "lru": EVERYWHERE | TWO_NUMBERS | FEEDFORWARD | {"node_perturbation": "WeightNoise"},
    "leaky_cell": EVERYWHERE | CONSTANTS,
    "alif": EVERYWHERE | TWO_NUMBERS | CONSTANTS,
}
BOUND = [(cell, rule) for cell in cells.CELLS for rule in tca.RULES if rule not in REFUSED[cell]]
EXACT = ("bptt", "rtrl", "ostl")


def learner(cell: str, rule: str, dtype: torch.dtype = F64) -> tca.Learner:
    """Return a rule bound to a small network whose weights are away from zero."""
    options = {"gain_in": 3.0, "threshold": 0.1} if cell == "alif" else {}
    config = tca.NetworkConfig(cell, size=4, cell_types=(0.5, 0.5), dale=(1, -1), **options)
    net = config.build(3, 2, dt=10.0, seed=3, dtype=dtype)
    return tca.Learner(net, tca.RULES[rule], seed=2)


def trials() -> tca.Batch:
    """Return trials of different lengths whose steps weigh differently, one of them empty."""
    generator = torch.Generator().manual_seed(5)
    inputs, targets = (torch.randn(7, 4, size, dtype=F64, generator=generator) for size in (3, 2))
    weights = torch.rand(7, 4, dtype=F64, generator=generator)
    return uneven(tca.Batch(inputs, targets, weights, tca.losses.MSE()), 7, 6, 0, 4)


@pytest.mark.parametrize(("cell", "rule"), [(cell, rule) for cell, rules in REFUSED.items() for rule in rules])
def test_rules_without_meaning_are_refused(cell: str, rule: str) -> None:
    """The reason stands in the message; every other rule can be bound, as the tests below do."""
    with pytest.raises(ValueError, match=REFUSED[cell][rule]):
        learner(cell, rule)


@pytest.mark.thirds
@pytest.mark.parametrize(("cell", "rule"), BOUND)
def test_executions_agree(cell: str, rule: str) -> None:
    """Reverse, forward and online execution give one gradient, padding none; exact rules give that of autograd."""
    bound, batch = learner(cell, rule), trials()
    first, *others = (bound.grads(batch, execution=each)[0] for each in bound.rule.executions)
    assert first["w_in"].any() or (cell, rule) == ("alif", "weight_perturbation")  # too little noise to add a spike
    for other in others:
        assert_same(other, first)
    assert_same(bound.grads(appended(batch, 2))[0], first)
    if rule in EXACT:
        assert_same(first, autograd_gradient(bound.net, batch))
    if rule in ROWS and isinstance(bound.rule.signal, CausalSignal) and rule != "weight_mirror":  # learns at updates
        run(bound.stream(batch.trials, steps=batch.trial_lengths), batch)
        assert_same(gathered(bound.net), first)


@pytest.mark.thirds
@pytest.mark.parametrize(("cell", "rule"), [each for each in BOUND if each[0] in ("gru", "lstm", "lru")])
def test_single_precision_and_seeds(cell: str, rule: str) -> None:
    """Float32 gives what float64 gives to its precision; the same seed gives the same bits."""
    first, again = (learner(cell, rule).grads(trials())[0] for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    single = learner(cell, rule, torch.float32).grads(trials().to(dtype=torch.float32))[0]
    assert all(each.dtype == torch.float32 for each in single.values())
    assert_same({name: each.double() for name, each in single.items()}, first, 5e-4)
