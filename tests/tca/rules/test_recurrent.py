"""Facts about rules for leaky recurrent networks, each true of the mathematics and so of the library."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import tca
from tca.eligibilities import Diagonal, Full, Instant, Leak, Windowed
from tca.signals import Decorrelation, Direct, Exact, Hops, Horizon
from tests.support import oracle, oracle_traces
from tests.support.cases import F1, F2, Case, weights_of
from tests.support.rows import ROWS, Arbitrary, assert_same, changes, cosine, learner, relative, true_gradient

B12 = replace(F2, name="F2 of 12 steps", steps=12)
both_forms = pytest.mark.parametrize("case", [F1, B12], ids=str)
LEARNS_AT_UPDATES = {"dni", "weight_mirror", "force"}  # rules with a state that each update changes
OWN_READOUT = {"superspike", "force"}  # rules whose readout does not descend its gradient


def generator(seed: int) -> torch.Generator:
    """Return a source of numbers."""
    return torch.Generator().manual_seed(seed)


def test_backpropagation_by_hand() -> None:
    """``a_t = psi_t s_t + k a_{t+1} + (1 - k) psi_t W^T a_{t+1}``, ``dW = sum (1 - k) a_t z_{t-1}^T``; RTRL alike."""
    w, batch = weights_of(F1.net()), F1.batch()
    v = oracle.states(F1.model(), w, batch.inputs)
    y = oracle.outputs(F1.model(), w, batch.inputs)
    found = {name: torch.zeros_like(value) for name, value in w.items()}
    adjoint = torch.zeros_like(v[0])
    for t in range(F1.steps, 0, -1):
        psi, error = 1 - v[t].tanh() ** 2, y[t - 1] - batch.targets[t - 1]
        adjoint = psi * (error @ w["w_out"]) + 0.6 * adjoint + 0.4 * psi * (adjoint @ w["w_rec"])
        found["w_rec"] += 0.4 * adjoint.t() @ v[t - 1].tanh()
        found["w_in"] += 0.4 * adjoint.t() @ batch.inputs[t - 1]
        found["b"] += 0.4 * adjoint.sum(0)
        found["w_out"] += error.t() @ v[t].tanh()
        found["b_out"] += error.sum(0)
    found["s_0"] = (0.6 * adjoint + 0.4 * (1 - v[0].tanh() ** 2) * (adjoint @ w["w_rec"])).sum(0)
    assert_same(changes(F1, "bptt"), found)
    assert_same(changes(F1, "rtrl"), found)


@both_forms
def test_the_true_gradient_is_a_finite_difference(case: Case) -> None:
    """BPTT is the slope of the loss."""
    assert_same(
        changes(case, "bptt"), oracle.finite_differences(case.model(), weights_of(case.net()), case.problem()), 1e-7
    )


@both_forms
def test_eprop_is_not_the_gradient(case: Case) -> None:
    """E-prop points the way of BPTT, and is far from it."""
    found, wanted = changes(case, "eprop")["w_rec"], true_gradient(case)["w_rec"]
    assert relative(found, wanted) > 0.1
    assert 0.3 < cosine(found, wanted) < 0.99


@both_forms
def test_without_synapses_traces_of_the_leak_are_exact(case: Case) -> None:
    """W = 0: e-prop is BPTT; the three-factor rule, which forgets the leak, is not."""
    none = {"w_rec": torch.zeros_like(case.values()["w_rec"])}
    wanted = changes(case, "bptt", none)
    assert_same(changes(case, "eprop", none), wanted)
    assert relative(changes(case, "three_factor", none)["w_rec"], wanted["w_rec"]) > 0.01


@both_forms
def test_diagonal_synapses_are_seen_by_snap1_only(case: Case) -> None:
    """W diagonal and not zero: SnAp-1 is BPTT, e-prop is not."""
    own = {"w_rec": case.values()["w_rec"].diagonal().diag()}
    wanted = changes(case, "bptt", own)
    assert_same(changes(case, "snap1", own), wanted)
    assert relative(changes(case, "eprop", own)["w_rec"], wanted["w_rec"]) > 0.01


@both_forms
def test_snap1_is_eprop_if_and_only_if_no_cell_excites_itself(case: Case) -> None:
    """Without autapses the two agree to round-off, with them they do not."""
    without, zero = (changes(case, name, autapses=False) for name in ("snap1", "eprop"))
    assert all(relative(without[name], zero[name]) < 1e-14 for name in zero)
    assert relative(changes(case, "snap1")["w_rec"], changes(case, "eprop")["w_rec"]) > 0.01


def at_last_step(case: Case) -> tca.Batch:
    """Return the trials of a case with a loss at the last step only."""
    batch = case.batch()
    return replace(batch, weights=batch.weights * (torch.arange(case.steps) == case.steps - 1).double()[:, None])


def test_without_a_leak_and_one_late_error_eprop_is_one_outer_product() -> None:
    """kappa = 0, loss at the last step: e-prop is ``(psi_T s_T) z_{T-1}^T``, and so is the three-factor rule."""
    case = replace(F1, leak=0.0, convention="euler")
    w, batch = weights_of(case.net()), at_last_step(case)
    *_, before, last = (v.tanh() for v in oracle.states(case.model(), w, batch.inputs))
    error = last @ w["w_out"].t() + w["b_out"] - batch.targets[-1]
    wanted = ((1 - last**2) * (error @ w["w_out"])).t() @ before
    for name in ("eprop", "three_factor"):
        assert relative(learner(case, tca.RULES[name]).grads(batch)[0]["w_rec"], wanted) < 1e-14


@pytest.mark.parametrize("hops", [0, 1, 4])
def test_one_late_error_reaches_as_far_back_as_a_window(hops: int) -> None:
    """Loss at the last step: the errors of the next r steps are what a window of r + 1 steps lets through."""
    batch = at_last_step(F1)
    ahead = learner(F1, tca.Rule(Horizon(hops), Instant())).grads(batch)[0]
    assert_same(ahead, learner(F1, tca.Rule(Direct(), Windowed(hops + 1))).grads(batch)[0])


@both_forms
@pytest.mark.parametrize("hops", [0, 1, 4, 11])
def test_without_a_leak_and_one_late_error_hops_are_windows(case: Case, hops: int) -> None:
    """kappa = 0, loss at the last step: at most r hops is the window of r + 1 steps, r = 0 the three-factor rule.

    With a leak the two are different: credit that waits in a cell makes no hop.
    """
    ladder, window = tca.Rule(Hops(hops), Leak()), tca.Rule(Direct(), Windowed(hops + 1))
    quick = replace(case, leak=0.0, convention="euler")
    found, wanted = (learner(quick, each).grads(at_last_step(quick))[0] for each in (ladder, window))
    assert_same(found, wanted)
    leaky = [learner(case, each).grads(at_last_step(case))[0]["w_rec"] for each in (ladder, window)]
    exact = hops + 1 >= case.steps
    assert relative(*leaky) < 1e-12 if exact else relative(*leaky) > 0.01
    named = {0: "three_factor", 1: "mdgl_exact", 11: "bptt"}.get(hops)
    if named:
        same = learner(quick, tca.RULES[named]).grads(at_last_step(quick))[0]
        for each in (same, wanted):
            each.pop("s_0", None)  # the initial state lies before the first step, where the longest window begins
        assert_same(same, wanted)


def test_without_a_leak_and_one_late_error_only_the_last_input_is_heard() -> None:
    """kappa = 0, loss at the last step: e-prop gives input weights ``(psi_T s_T) x_T^T`` and forgets earlier inputs."""
    case = replace(F1, leak=0.0, convention="euler")
    w, batch = weights_of(case.net()), at_last_step(case)
    last = oracle.states(case.model(), w, batch.inputs)[-1].tanh()
    error = last @ w["w_out"].t() + w["b_out"] - batch.targets[-1]
    wanted = ((1 - last**2) * (error @ w["w_out"])).t() @ batch.inputs[-1]
    for name in ("eprop", "three_factor"):
        assert relative(learner(case, tca.RULES[name]).grads(batch)[0]["w_in"], wanted) < 1e-14
    assert relative(learner(case, tca.RULES["mdgl_exact"]).grads(batch)[0]["w_in"], wanted) > 0.01


@both_forms
def test_windows_end_at_the_whole_trial_and_at_single_steps(case: Case) -> None:
    """A window longer than the trial is BPTT, one of a step the three-factor rule, or e-prop if the leak crosses."""
    wanted = true_gradient(case)
    for keep_leak in (False, True):
        assert_same(changes(case, tca.Rule(Direct(), Windowed(case.steps + 1, keep_leak))), wanted)
        trial = changes(case, tca.Rule(Direct(), Windowed(case.steps, keep_leak)))
        same = wanted.keys() - {"s_0"}  # the initial state lies before the first step, where a window of T steps begins
        assert_same({name: trial[name] for name in same}, {name: wanted[name] for name in same})
    assert_same(changes(case, tca.Rule(Direct(), Windowed(1))), changes(case, "three_factor"))
    assert_same(changes(case, tca.Rule(Direct(), Windowed(1, keep_leak=True))), changes(case, "eprop"))


@both_forms
def test_a_wider_window_and_a_leak_that_crosses_come_closer(case: Case) -> None:
    """Windows of three steps are nearer to BPTT than of one, and nearer still if only the transmission is cut."""

    def error(steps: int, keep_leak: bool) -> float:
        return relative(
            changes(case, tca.Rule(Direct(), Windowed(steps, keep_leak)))["w_rec"], true_gradient(case)["w_rec"]
        )

    assert error(1, False) > error(3, False) > error(3, True) > 0.01
    assert error(1, False) > error(1, True) > error(3, True)


@both_forms
def test_horizons_lead_from_direct_to_exact(case: Case) -> None:
    """No later error is the direct signal, all of it the exact one, for every eligibility."""
    for eligibility in (Instant(), Leak(), Full()):
        none, whole = (changes(case, tca.Rule(Horizon(k), eligibility)) for k in (0, case.steps))
        assert_same(
            none, changes(case, tca.Rule(Direct(), eligibility)) if eligibility != Full() else true_gradient(case)
        )
        assert_same(whole, true_gradient(case))


@both_forms
def test_the_exact_signal_of_the_two_extremes(case: Case) -> None:
    """``mu`` is the adjoint for D = 0, which is BPTT, and the direct signal for D = J, which is RTRL."""
    model, w, problem = case.model(), weights_of(case.net()), case.problem()
    direct = oracle_traces.direct_signal(model, w, problem)
    adjoint = oracle_traces.reverse_filter(direct, oracle_traces.jacobians(model, w, problem.inputs)[0])
    exact = [learner(case, tca.Rule(Exact(), each)).signal(case.batch())[1:] for each in (Instant(), Full())]
    assert relative(exact[0], adjoint[1:]) < 1e-13
    assert relative(exact[1], direct[1:]) < 1e-13


@both_forms
@pytest.mark.parametrize("execution", ["reverse", "forward"])
def test_an_exact_signal_hides_a_wrong_propagator(case: Case, execution: Any) -> None:
    """A random propagator with its own signal gives the gradient, with the direct signal a multiple of it as error."""
    cells = case.sizes[1]
    drawn = torch.randn(case.steps, case.trials, cells, cells, dtype=torch.float64, generator=generator(3))
    anything = Arbitrary(drawn / 2)
    exact, direct = (
        learner(case, tca.Rule(signal, anything)).grads(case.batch(), execution=execution)[0]
        for signal in (Exact(), Direct())
    )
    assert_same(exact, true_gradient(case))
    assert relative(direct["w_rec"], true_gradient(case)["w_rec"]) > 0.5
    for right in (Instant(), Full(), Leak(), Diagonal()):
        found = learner(case, tca.Rule(Exact(), right)).grads(case.batch(), execution=execution)[0]
        assert_same(found, true_gradient(case), 5e-15)


@both_forms
@pytest.mark.parametrize("name", ["three_factor", "eprop", "snap1", "rtrl"])
def test_a_filtered_trace_meets_the_error_of_the_moment(case: Case, name: str) -> None:
    """Filtered readout: filtered trace with present error is plain trace with the error filtered backwards."""
    case = replace(case, readout_leak=0.8)
    bound = learner(case, tca.RULES[name])
    model, w, problem = case.model(), weights_of(bound.net), case.problem()
    jacobian, gain = oracle_traces.jacobians(model, w, problem.inputs)
    kind = {"three_factor": "instant", "eprop": "leak", "snap1": "diagonal", "rtrl": "full"}[name]
    propagator = oracle_traces.PROPAGATORS[kind](model, jacobian)
    trail = torch.stack(oracle.states(model, w, problem.inputs))
    rates = model.rate(trail)
    slope = 1 - rates**2 if case.form == "A" else torch.ones_like(rates)
    error = problem.errors(oracle.outputs(model, w, problem.inputs)) @ w["w_out"]
    cells = case.sizes[1]
    trace = torch.zeros(case.trials, cells, cells, cells, dtype=torch.float64)
    filtered, wanted = torch.zeros_like(trace), torch.zeros_like(w["w_rec"])
    for t in range(case.steps):
        trace = torch.einsum("blm,bmij->blij", propagator[t], trace)
        trace += torch.einsum("li,bi,bj->blij", torch.eye(cells, dtype=torch.float64), gain[t], rates[t])
        filtered = 0.8 * filtered + 0.2 * slope[t + 1, :, :, None, None] * trace
        wanted += torch.einsum("bl,blij->ij", error[t], filtered)
    assert relative(bound.grads(case.batch())[0]["w_rec"], wanted) < 1e-13


@pytest.mark.thirds
@both_forms
@pytest.mark.parametrize("name", [name for name in ROWS if not isinstance(tca.RULES[name].signal, Decorrelation)])
def test_trials_leave_nothing_behind(case: Case, name: str) -> None:
    """The same trial twice in a row gives the same gradient twice, whatever came between, and gradients add up.

    Each update adds the gradient that ``advance_`` returns for it. Rules that learn something besides the weights, a
    readout's inverse correlation, an estimate of later errors or feedback weights, do so at each update, and its
    gradient differs from the one before; under all others it is the same.
    """
    bound = learner(case, tca.RULES[name])
    first, info = bound.grads(case.batch())
    outputs, loss = info.outputs.clone(), float(learner(case, tca.RULES[name]).grads(case.batch())[1].loss)
    kept = {key: value.clone() for key, value in first.items()}
    other = replace(case.batch(), inputs=case.batch().inputs * 3)
    bound.grads(other)
    bound.grads(other.select(slice(0, 1)))
    second = bound.grads(case.batch())[0]
    assert all(torch.equal(kept[key], second[key]) and torch.equal(kept[key], first[key]) for key in kept)
    assert torch.equal(info.outputs, outputs), "what was handed out is not written over"
    assert float(info.loss) == loss
    twin = learner(case, tca.RULES[name])
    sums = {key: torch.zeros_like(value) for key, value in kept.items()}
    for count in (1, 2):
        bound.backward(case.batch())
        for key, value in twin.advance_(case.batch())[0].items():
            sums[key] += value
        for key, parameter in bound.net.named_parameters():
            assert torch.equal(parameter.grad, sums[key])
        repeated = all(torch.equal(sums[key], count * kept[key]) for key in kept)
        assert repeated or name in LEARNS_AT_UPDATES
    assert repeated == (name not in LEARNS_AT_UPDATES)


@both_forms
@pytest.mark.parametrize("name", ["bptt", "rtrl", "eprop", "rflo", "tbptt", "tbptt_future"])
def test_the_gradient_of_a_batch_is_the_mean_of_its_trials(case: Case, name: str) -> None:
    """Trials are independent."""
    bound, batch = learner(case, tca.RULES[name]), case.batch()
    single = [bound.grads(batch.select(slice(b, b + 1)))[0] for b in range(case.trials)]
    mean = {key: sum(each[key] for each in single) / case.trials for key in single[0]}
    assert_same(bound.grads(batch)[0], mean)


@both_forms
@pytest.mark.parametrize("name", ROWS)
def test_every_rule_gives_the_readout_its_true_gradient(case: Case, name: str) -> None:
    """``dW_o = sum_t err_t zbar_t^T`` and ``db_o = sum_t err_t``, exact under every rule, filtered or not.

    Two rules train the readout by definition otherwise: SuperSpike by its filtered errors, FORCE by least squares.
    """
    case = replace(case, readout_leak=0.7)
    found, wanted = changes(case, name), true_gradient(case)
    if name in OWN_READOUT:
        exact, weights = wanted, weights_of(case.net())
        wanted = ROWS[name].answer(case.model(), weights, case.problem(), torch.empty(0))
        assert all(relative(wanted[key], exact[key]) > 0.1 for key in ("w_out", "b_out"))
    assert_same({key: found[key] for key in ("w_out", "b_out")}, {key: wanted[key] for key in ("w_out", "b_out")})
