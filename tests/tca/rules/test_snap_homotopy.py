"""Facts about rules that follow some of the recurrent paths: within reach, by a share, or up to a number of hops."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

import tca
from tca.eligibilities import Diagonal, Full, Homotopy, Leak, SnAp
from tca.signals import Direct, Exact, Hops, Horizon, Random, TypeReturn
from tests.support import oracle, oracle_traces, oracle_types
from tests.support.cases import CASES, F1, F2, Case, weights_of
from tests.support.oracle import Weights
from tests.support.rows import assert_same, learner, matrix_of, relative, true_gradient

B12 = replace(F2, name="F2 of 12 steps", steps=12)
both_forms = pytest.mark.parametrize("case", [F1, B12], ids=str)
each_case = pytest.mark.parametrize("case", CASES, ids=str)
EXECUTIONS = ("reverse", "forward")


def grads(case: Case, rule: tca.Rule, execution: str = "reverse") -> Weights:
    """Return what a rule gives on a case."""
    return learner(case, rule).grads(case.batch(), execution=execution)[0]


def ring(form: str, cells: int = 6, weight: float = 0.9) -> tuple[tca.Learner, Case]:
    """Return a directed ring: each cell has a synapse from the one before it, and no other synapse exists."""
    shift = torch.eye(cells, dtype=torch.float64).roll(1, 0)
    case = Case("ring", form=form, sizes=(3, cells, 2), plain=True, options={"mask_rec": shift})
    bound = learner(case, tca.RULES["bptt"])
    with torch.no_grad():
        bound.net.w_rec.copy_(weight * shift)
    return bound, case


def on_ring(form: str, eligibility: tca.eligibilities.Eligibility, execution: str = "reverse") -> Weights:
    """Return the change of weights on the ring."""
    bound, case = ring(form)
    other = tca.Learner(bound.net, tca.Rule(Direct(), eligibility))
    return other.grads(case.batch(), execution=execution)[0]


@pytest.mark.thirds
@each_case
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_snap_is_a_masked_influence(case: Case, steps: int) -> None:
    """Both executions equal the influence of every synapse on every cell, set to zero out of reach at each step."""
    rule = tca.Rule(Random(), SnAp(steps))
    bound = learner(case, rule)
    weights, model, problem = weights_of(bound.net), case.model(), case.problem()
    signal = oracle_traces.direct_signal(model, weights, problem, matrix_of(bound))
    wanted = oracle_types.snap(model, weights, problem, signal, steps)
    for execution in EXECUTIONS:
        assert_same(grads(case, rule, execution), wanted)


@each_case
def test_one_step_of_snap_is_the_diagonal(case: Case) -> None:
    """SnAp-1 keeps the cell itself."""
    for execution in EXECUTIONS:
        assert_same(grads(case, tca.Rule(Direct(), SnAp(1)), execution), grads(case, tca.Rule(Direct(), Diagonal())))


@both_forms
def test_two_steps_of_snap_without_missing_synapses_are_rtrl(case: Case) -> None:
    """Dense weights: every cell is one synapse away."""
    for execution in EXECUTIONS:
        assert_same(grads(case, tca.Rule(Direct(), SnAp(2)), execution), true_gradient(case))
    assert relative(grads(case, tca.Rule(Direct(), SnAp(1)))["w_rec"], true_gradient(case)["w_rec"]) > 0.05


@pytest.mark.parametrize("form", ["A", "B"])
def test_snap_on_a_ring_needs_as_many_steps_as_there_are_cells(form: str) -> None:
    """Diameter five: exact from n = 6 on, short of it before, and closer with each step for all pairs of cells."""
    wanted = on_ring(form, Full())
    bound, case = ring(form)
    assert_same(wanted, oracle.gradient(case.model(), weights_of(bound.net), case.problem()))
    # the input weights see every path, the ring's own synapses are only six numbers
    errors = [relative(on_ring(form, SnAp(n))["w_in"], wanted["w_in"]) for n in range(1, 8)]
    assert all(later < before for before, later in pairwise(errors[:6]))
    assert errors[4] > 1e-4
    assert max(errors[5:]) < 1e-13


def test_on_existing_synapses_a_step_of_snap_may_lead_away() -> None:
    """The changes of the ring's own six synapses come nearer to the gradient in the end, but not step by step."""
    wanted = on_ring("B", Full())
    found = [on_ring("B", SnAp(n)) for n in range(1, 7)]
    own, seen = ([relative(each[name], wanted[name]) for each in found] for name in ("w_rec", "w_in"))
    assert any(later > before for before, later in pairwise(own))
    assert all(later < before for before, later in pairwise(seen))
    assert own[4] > 1e-4
    assert own[5] < 1e-13


def test_snap_sees_synapses_by_the_mask_and_not_by_their_weight() -> None:
    """A synapse of weight zero exists: other paths may lead through the cell it reaches."""
    mask = torch.eye(6, dtype=torch.float64).roll(1, 0) + torch.eye(6, dtype=torch.float64).roll(2, 0)
    case = replace(F1, options={"mask_rec": mask, "learn_initial": True})
    bound = learner(case, tca.Rule(Direct(), SnAp(2)))
    with torch.no_grad():
        bound.net.w_rec[2, 0] = 0.0
    model, weights, problem = case.model(), weights_of(bound.net), case.problem()
    signal = oracle_traces.direct_signal(model, weights, problem)
    assert_same(bound.grads(case.batch())[0], oracle_types.snap(model, weights, problem, signal, 2))


def test_snap_on_a_sparse_network_stores_the_kept_cells_only() -> None:
    """Three kept cells a synapse, of eight."""
    shift = torch.eye(8, dtype=torch.float64).roll(1, 0)
    case = Case("ring of eight", sizes=(3, 8, 2), options={"mask_rec": shift})
    bound = learner(case, tca.Rule(Direct(), SnAp(3)))
    step = bound.tape(case.batch()).local_step(1)
    trace = bound.rule.eligibility.trace(bound.net.hidden_connections()[1], step, case.trials)
    assert trace.value.shape == (case.trials, 8, 3, 8)


@each_case
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_snap_has_an_exact_signal_as_well(case: Case, steps: int) -> None:
    """Each postsynaptic cell has a propagator of its own, and still one signal to all cells makes all traces exact."""
    for execution in EXECUTIONS:
        assert_same(grads(case, tca.Rule(Exact(), SnAp(steps)), execution), true_gradient(case))


@pytest.mark.parametrize("signal", [Horizon(2), TypeReturn(taps=1)], ids=repr)
def test_a_signal_cut_off_for_one_propagator_refuses_many(signal: tca.signals.Signal) -> None:
    """The reason is given when the rule is made."""
    with pytest.raises(ValueError, match="SnAp has none, or one for each postsynaptic cell"):
        tca.Rule(signal, SnAp(2))
    with pytest.raises(ValueError, match="at least 1, got 0"):
        SnAp(0)
    with pytest.raises(TypeError, match="a propagator for each postsynaptic cell"):
        SnAp(2).propagate_back_(*[None] * 4)  # type: ignore[list-item]


@each_case
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_homotopy_equals_its_surgery(case: Case, share: float) -> None:
    """A share of the transmitted rate carries credit; both executions."""
    rule = tca.Rule(Random(), Homotopy(share))
    bound = learner(case, rule)
    wanted = oracle_types.share_of_paths(case.model(), weights_of(bound.net), case.problem(), share, matrix_of(bound))
    for execution in EXECUTIONS:
        assert_same(grads(case, rule, execution), wanted)


@both_forms
def test_homotopy_leads_from_eprop_to_the_gradient(case: Case) -> None:
    """s = 0 is e-prop, s = 1 the gradient, and in between it is neither."""
    ends = grads(case, tca.RULES["eprop"]), true_gradient(case)
    for share, end in zip((0.0, 1.0), ends, strict=True):
        assert_same(grads(case, tca.Rule(Direct(), Homotopy(share))), end)
    middle = grads(case, tca.Rule(Direct(), Homotopy(0.5)))["w_rec"]
    assert all(relative(middle, end["w_rec"]) > 0.01 for end in ends)
    with pytest.raises(ValueError, match=r"\[0, 1\], got 1.2"):
        Homotopy(1.2)


def coefficients(case: Case) -> list[Weights]:
    """Return the part of the gradient that passes exactly r synapses, for r = 0 to T."""
    ladder = [grads(case, tca.Rule(Hops(r), Leak())) for r in range(case.steps + 1)]
    later = [{name: two[name] - one[name] for name in one} for one, two in pairwise(ladder)]
    return [ladder[0], *later]


@both_forms
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_the_homotopy_is_a_polynomial_of_the_hops(case: Case, share: float) -> None:
    """``g(s) = sum_r s^r c_r``, the coefficients from the ladder of hops; its degree is T - 1 for the weights."""
    parts = coefficients(case)
    wanted = {name: sum(share**r * part[name] for r, part in enumerate(parts)) for name in ("w_in", "w_rec", "b")}
    found = grads(case, tca.Rule(Direct(), Homotopy(share)))
    assert_same({name: found[name] for name in wanted}, wanted)
    assert relative(parts[0]["w_rec"], grads(case, tca.RULES["eprop"])["w_rec"]) < 1e-15
    assert all(float(parts[case.steps][name].norm()) < 1e-15 for name in wanted), "T hops take T + 1 steps"
    assert float(parts[case.steps - 2]["w_rec"].norm()) > 1e-12


@both_forms
def test_the_homotopy_has_the_degree_of_the_steps_less_one(case: Case) -> None:
    """The input of the first step passes T - 1 synapses to the error of the last, and nothing passes more."""
    parts = coefficients(case)
    assert 1e-12 < float(parts[case.steps - 1]["w_in"].norm()) < 1e-3 * float(parts[0]["w_in"].norm())
    assert not parts[case.steps]["w_in"].any()


def test_single_coefficients_come_from_the_ladder_and_not_from_interpolation() -> None:
    """Twelve values of the homotopy fix its twelve coefficients, of which each later one has fewer digits."""
    parts = [each["w_rec"].flatten() for each in coefficients(F1)]
    shares = torch.linspace(0, 1, F1.steps, dtype=torch.float64)
    values = [grads(F1, tca.Rule(Direct(), Homotopy(float(s))))["w_rec"].flatten() for s in shares]
    powers = shares[:, None] ** torch.arange(F1.steps)
    found = torch.linalg.solve(powers, torch.stack(values))
    errors = [relative(found[r], parts[r]) for r in range(F1.steps)]
    assert errors[0] < 1e-15
    assert errors[1] < 1e-11
    assert 1e-8 < errors[8] < 1e-2


@both_forms
def test_the_ladder_of_hops_ends_at_the_gradient(case: Case) -> None:
    """Error to the gradient for r = 0 to T - 1: it falls with every few hops, and the last rung is exact."""
    wanted = true_gradient(case)
    errors = [relative(grads(case, tca.Rule(Hops(r), Leak()))["w_rec"], wanted["w_rec"]) for r in range(case.steps)]
    assert errors[0] > 0.1
    assert errors[-1] < 1e-13
    assert errors[-4] > 1e-12, "no rung is exact before the last few"
    assert errors[6] < 0.1 * errors[0]
    assert all(errors[r + 3] < errors[r] for r in range(case.steps - 4))
    assert_same(grads(case, tca.Rule(Hops(case.steps), Leak())), wanted)


@each_case
@pytest.mark.parametrize("hops", [0, 1, 2, 5])
def test_hops_equal_their_surgery(case: Case, hops: int) -> None:
    """Copies of the network connected in a row: what the last reads has passed at most so many synapses."""
    rule = tca.Rule(Hops(hops), Leak())
    model, weights, problem = case.model(), weights_of(case.net()), case.problem()
    exact = oracle_types.exact_weights(model, weights)
    wanted = oracle_types.at_most_hops(model, weights, problem, exact, hops)
    for execution in EXECUTIONS:
        assert_same(grads(case, rule, execution), wanted)


@each_case
def test_one_hop_without_the_receivers_leak_hears_of_the_next_step(case: Case) -> None:
    """With exact weights it is the exact signal of the leak's traces, cut after one later error."""
    assert_same(grads(case, tca.Rule(Hops(1, receiver_leak=False), Leak())), grads(case, tca.Rule(Horizon(1), Leak())))
    assert_same(grads(case, tca.Rule(Hops(0), Leak())), grads(case, tca.RULES["eprop"]))


@both_forms
def test_without_a_leak_the_receiver_has_nothing_to_keep(case: Case) -> None:
    """kappa = 0: the published one-hop form is exactly the first two coefficients; for kappa > 0 it is not."""
    quick = replace(case, leak=0.0, convention="euler")
    kept, dropped = (tca.Rule(Hops(1, receiver_leak=flag), Leak()) for flag in (True, False))
    assert_same(grads(quick, dropped), grads(quick, kept))
    assert relative(grads(case, dropped)["w_rec"], grads(case, kept)["w_rec"]) > 0.05


def test_hops_are_not_negative() -> None:
    """A negative number is refused."""
    with pytest.raises(ValueError, match="got -1"):
        Hops(-1)
