"""Facts about rules that know cells by their type: MDGL, its leak-filtered form, and ModProp."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Instant, Leak, TypePropagation
from tca.signals import CausalHop, Direct, Hops, Random, TypeReturn
from tca.tape.weight_estimates import BlockMean, SynapseMean, TypeMeans, WeightEstimate
from tests.support import oracle, oracle_traces, oracle_types
from tests.support.cases import CASES, F1, F2, Case, mask, weights_of
from tests.support.oracle import Weights
from tests.support.rows import ESTIMATES, assert_same, learner, matrix_of, relative, true_gradient

KINDS = (0, 2, 1, 0, 1, 0)


def typed(case: Case, kinds: tuple[int, ...] = KINDS, **options: object) -> Case:
    """Return a case whose cells have types."""
    kinds = kinds[: case.sizes[1]] if kinds == KINDS else kinds
    return replace(case, options=dict(case.options) | {"cell_types": torch.tensor(kinds)} | options)


TYPED = [typed(case) for case in CASES]
B12 = typed(replace(F2, name="F2 of 12 steps", steps=12))
A12 = typed(F1)
SPARSE = replace(
    typed(F1),
    name="sparse",
    options={"mask_rec": mask(21, 6, 6), "cell_types": torch.tensor(KINDS), "learn_initial": True},
)
both_forms = pytest.mark.parametrize("case", [A12, B12], ids=str)
each_case = pytest.mark.parametrize("case", TYPED, ids=str)
each_estimate = pytest.mark.parametrize("estimate", ESTIMATES, ids=repr)
EXECUTIONS = ("reverse", "forward")


def kinds_of(case: Case) -> list[int]:
    """Return the type of every cell."""
    return [int(kind) for kind in case.options["cell_types"]]


def grads(case: Case, rule: tca.Rule | str, execution: str = "reverse", **weights: Tensor) -> Weights:
    """Return what a rule gives on a case, with some of the weights replaced."""
    bound = learner(case, tca.RULES[rule] if isinstance(rule, str) else rule)
    with torch.no_grad():
        for name, value in weights.items():
            bound.net.get_parameter(name).copy_(value)
    return bound.grads(case.batch(), execution=execution)[0]


def cosine(one: Tensor, other: Tensor) -> float:
    """Return the cosine of the angle between two tensors."""
    return float((one * other).sum() / (one.norm() * other.norm()))


@pytest.mark.parametrize("case", [*TYPED, SPARSE], ids=str)
@each_estimate
def test_estimates_are_means_taken_number_by_number(case: Case, estimate: WeightEstimate) -> None:
    """Weights by type, against sums over pairs of cells."""
    bound = learner(case, tca.Rule(Direct(), Leak()))
    wanted = ESTIMATES[estimate](case.model(), weights_of(bound.net))
    assert relative(estimate.of(bound.tape(case.batch()).recurrence), wanted) < 1e-14
    assert relative(estimate.of(bound.tape(case.batch()).local_step(1).recurrence), wanted) < 1e-14


def test_as_many_types_as_cells_know_every_weight() -> None:
    """N types: both means are the weights themselves; a type without cells has the mean zero."""
    case = typed(SPARSE, (5, 4, 3, 2, 1, 0))
    tape = learner(case, tca.Rule(Direct(), Leak())).tape(case.batch())
    for estimate in (SynapseMean(), BlockMean()):
        assert relative(estimate.of(tape.recurrence), tape.recurrent) < 1e-15
    means = TypeMeans.of(tape.recurrent, torch.tensor([0, 2, 0, 2, 0, 2]))
    assert means.weights.shape == (3, 3)
    assert not means.weights[1].any()
    assert not means.weights[:, 1].any()


@each_case
@each_estimate
def test_mdgl_equals_its_equation(case: Case, estimate: WeightEstimate) -> None:
    """One hop without the receiver's leak is e-prop with the signal ``s_t + (1 - k) W~^T (psi_{t+1} s_{t+1})``."""
    rule = tca.Rule(Hops(1, estimate, receiver_leak=False), Leak())
    model, weights = case.model(), weights_of(case.net())
    known = ESTIMATES[estimate](model, weights)
    wanted = oracle_types.published_mdgl(model, weights, case.problem(), known)
    for execution in EXECUTIONS:
        assert_same(grads(case, rule, execution), wanted)


@pytest.mark.thirds
@each_case
@each_estimate
@pytest.mark.parametrize("hops", [1, 3])
def test_leak_filtered_hops_equal_their_surgery(case: Case, estimate: WeightEstimate, hops: int) -> None:
    """Errors that stay in the receivers' leak, over estimated weights, are copies of the network in a row."""
    rule = tca.Rule(Hops(hops, estimate), Leak())
    model, weights = case.model(), weights_of(case.net())
    known = ESTIMATES[estimate](model, weights)
    wanted = oracle_types.at_most_hops(model, weights, case.problem(), known, hops)
    for execution in EXECUTIONS:
        assert_same(grads(case, rule, execution), wanted)


@pytest.mark.parametrize("leak", [0.0, 0.6])
@pytest.mark.parametrize("form", ["A", "B"])
def test_mdgl_is_one_hop_of_the_gradient_without_a_leak_only(leak: float, form: str) -> None:
    """``c_0 + c_1`` by surgery: the published form with exact weights for kappa = 0, the leak-filtered one always."""
    case = replace(A12 if form == "A" else B12, leak=leak, convention="exponential" if leak else "euler")
    model, weights = case.model(), weights_of(case.net())
    exact = oracle_types.exact_weights(model, weights)
    wanted = oracle_types.at_most_hops(model, weights, case.problem(), exact, 1)
    assert_same(grads(case, tca.Rule(Hops(1), Leak())), wanted)
    published = grads(case, tca.Rule(Hops(1, receiver_leak=False), Leak()))
    error = relative(published["w_rec"], wanted["w_rec"])
    assert error < 1e-13 if leak == 0 else error > 0.05


@each_case
@each_estimate
def test_online_mdgl_equals_its_equation(case: Case, estimate: WeightEstimate) -> None:
    """Errors of the moment times filtered slopes, met by filtered traces of the step before."""
    model, weights = case.model(), weights_of(case.net())
    wanted = oracle_types.online_mdgl(model, weights, case.problem(), ESTIMATES[estimate](model, weights))
    for execution in EXECUTIONS:
        assert_same(grads(case, tca.Rule(CausalHop(estimate), Leak()), execution), wanted)


@both_forms
def test_online_mdgl_is_mdgl_where_nothing_is_filtered(case: Case) -> None:
    """Without a filter of the readout the two are one, with it they differ."""
    online, offline = (tca.Rule(s, Leak()) for s in (CausalHop(), Hops(1, SynapseMean(), receiver_leak=False)))
    assert_same(grads(case, online), grads(case, offline))
    slow = replace(case, readout_leak=0.8)
    assert relative(grads(slow, online)["w_rec"], grads(slow, offline)["w_rec"]) > 0.01


@both_forms
def test_without_synapses_nothing_comes_back(case: Case) -> None:
    """W = 0: MDGL in all forms, ModProp and e-prop are the gradient."""
    none = {"w_rec": torch.zeros_like(case.values()["w_rec"])}
    wanted = grads(case, "bptt", **none)
    for rule in (
        *(tca.Rule(Hops(1, estimate, flag), Leak()) for estimate in ESTIMATES for flag in (True, False)),
        tca.Rule(Direct(), TypePropagation(0.9)),
    ):
        assert_same(grads(case, rule, **none), wanted)


@both_forms
def test_local_and_non_local_mdgl_differ_by_the_missing_synapses(case: Case) -> None:
    """Without missing synapses the two are one; with them each is its own, and neither is the exact form."""

    def change(where: Case, estimate: WeightEstimate) -> Tensor:
        return grads(where, tca.Rule(Hops(1, estimate, receiver_leak=False), Leak()))["w_rec"]

    assert relative(change(case, SynapseMean()), change(case, BlockMean())) < 1e-14
    cells = case.sizes[1]
    sparse = typed(case, tuple(kinds_of(case)), mask_rec=mask(21, cells, cells))
    found = {estimate: change(sparse, estimate) for estimate in ESTIMATES}
    for one in found:
        for other in found:
            assert one == other or relative(found[one], found[other]) > 0.01, (one, other)


@pytest.mark.parametrize("leak", [0.0, 0.6])
def test_one_hop_points_nearer_to_the_gradient(leak: float) -> None:
    """In this network e-prop with the errors of the next synapse is better aligned than without; no theorem."""
    case = replace(F1, leak=leak, convention="exponential" if leak else "euler")
    truth = grads(case, "bptt")["w_rec"]
    eprop = cosine(grads(case, "eprop")["w_rec"], truth)
    for flag in (True, False):
        assert 1 > cosine(grads(case, tca.Rule(Hops(1, receiver_leak=flag), Leak()))["w_rec"], truth) > eprop + 0.02


@each_case
@pytest.mark.parametrize("slope", [0.25, 0.6])
def test_modprop_equals_its_surgery(case: Case, slope: float) -> None:
    """Propagation by type is a deviation from e-prop that spreads as ``leak + gain m W_ab``, in both executions."""
    rule = tca.Rule(Random(), TypePropagation(slope))
    bound = learner(case, rule)
    model, weights = case.model(), weights_of(bound.net)
    mean = oracle_types.block_mean(model, weights)
    wanted = oracle_types.spread_by_type(model, weights, case.problem(), mean, slope, feedback=matrix_of(bound))
    for execution in EXECUTIONS:
        assert_same(grads(case, rule, execution), wanted)


@pytest.mark.thirds
@each_case
@pytest.mark.parametrize("reading", ["mean", "exact"])
def test_both_readings_of_the_first_synapse_equal_their_surgery(case: Case, reading: str) -> None:
    """The sender's own slope is m, as in ModProp's backward pass, or exact."""
    model, weights = case.model(), weights_of(case.net())
    mean = oracle_types.block_mean(model, weights)
    wanted = oracle_types.spread_by_type(model, weights, case.problem(), mean, 0.3, sender_exact=reading == "exact")
    for eligibility in (Leak(), Instant(), TypePropagation(0.3)):
        for execution in EXECUTIONS:
            assert_same(grads(case, tca.Rule(TypeReturn(0.3, reading), eligibility), execution), wanted)


def test_the_two_readings_differ_where_the_leak_is_on_the_potential() -> None:
    """They are one where the sender's slope lies in the gain of its traces."""
    mean, exact = (tca.Rule(TypeReturn(0.3, reading), Leak()) for reading in ("mean", "exact"))
    assert relative(grads(A12, exact)["w_rec"], grads(A12, mean)["w_rec"]) > 0.01
    assert_same(grads(B12, exact), grads(B12, mean))


@both_forms
def test_modprop_without_a_slope_is_eprop(case: Case) -> None:
    """m = 0: nothing spreads."""
    for execution in EXECUTIONS:
        assert_same(grads(case, tca.Rule(Direct(), TypePropagation(0.0)), execution), grads(case, "eprop"))


@pytest.mark.parametrize("form", ["A", "B"])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_modprop_of_linear_cells_with_their_own_weights_is_the_gradient(form: str, activation: str) -> None:
    """m = 1 and a type for each cell: exact for linear cells, and for rectified ones as long as all are active."""
    base = replace(A12 if form == "A" else B12, activation=activation, options={})
    cells = base.sizes[1]
    case = typed(base, tuple(range(cells)))
    values = case.values()
    positive = {"w_rec": 0.2 * values["w_rec"].abs(), "b": values["b"].abs() + 20}
    model, weights = case.model(), weights_of(case.net()) | positive
    rates = torch.stack([model.rate(s) for s in oracle.states(model, weights, case.batch().inputs)[1:]])
    assert activation == "linear" or float(rates.min()) > 0, "all cells are active"
    rule = tca.Rule(Direct(), TypePropagation(1.0))
    for execution in EXECUTIONS:
        assert_same(grads(case, rule, execution, **positive), grads(case, "bptt", **positive))
    silent = {"w_rec": 0.2 * values["w_rec"].abs(), "b": values["b"]}
    off = relative(grads(case, rule, **silent)["w_rec"], grads(case, "bptt", **silent)["w_rec"])
    assert off < 1e-13 if activation == "linear" else off > 0.01
    half = grads(case, tca.Rule(Direct(), TypePropagation(0.5)), **positive)["w_rec"]
    assert relative(half, grads(case, "bptt", **positive)["w_rec"]) > 0.01


@both_forms
def test_type_means_are_exact_where_weights_are(case: Case) -> None:
    """Weights that depend on the two types alone: linear cells, m = 1, three types give the gradient."""
    case = replace(case, activation="linear")
    kinds = torch.tensor(kinds_of(case))
    table = 0.1 * torch.tensor([[1.0, -2.0, 0.5], [0.3, 1.0, -1.0], [2.0, -0.4, 1.0]], dtype=torch.float64)
    blocks = {"w_rec": table[kinds][:, kinds]}
    assert_same(grads(case, tca.Rule(Direct(), TypePropagation(1.0)), **blocks), grads(case, "bptt", **blocks))


@both_forms
def test_the_backward_recursion_is_a_causal_filter_on_top_of_eprop(case: Case) -> None:
    """``dW = e-prop + sum_t l_t sum_q F_q gain pre_{t-q}`` with ``F_q = (leak + m gain W_ab)^q - leak^q``."""
    model, weights, problem = case.model(), weights_of(case.net()), case.problem()
    mean, slope = oracle_types.block_mean(model, weights), 0.3
    direct = oracle_traces.direct_signal(model, weights, problem)
    _, gain = oracle_traces.jacobians(model, weights, problem.inputs)
    rates = model.rate(torch.stack(oracle.states(model, weights, problem.inputs)))
    one = torch.eye(case.sizes[1], dtype=torch.float64)
    wanted = grads(case, "eprop")["w_rec"]
    for q in range(1, case.steps):
        power = torch.linalg.matrix_power(0.6 * one + 0.4 * slope * mean, q) - 0.6**q * one
        for t in range(q + 1, case.steps + 1):
            wanted = wanted + (gain[t - q - 1] * (direct[t] @ power)).T @ rates[t - q - 1]
    found = grads(case, tca.Rule(Direct(), TypePropagation(slope)))["w_rec"]
    assert relative(found, wanted) < 1e-13


@both_forms
def test_all_taps_are_the_adjoint_and_fewer_come_closer_one_by_one(case: Case) -> None:
    """``sum_{q <= Q} M^q l_{t+q}``: the whole for Q = T - 1, and nearer to it with more taps."""
    model, weights, problem = case.model(), weights_of(case.net()), case.problem()
    mean, slope = oracle_types.block_mean(model, weights), 0.3
    direct = oracle_traces.direct_signal(model, weights, problem)
    _, gain = oracle_traces.jacobians(model, weights, problem.inputs)
    rates = model.rate(torch.stack(oracle.states(model, weights, problem.inputs)))
    step = 0.6 * torch.eye(case.sizes[1], dtype=torch.float64) + 0.4 * slope * mean
    whole, total, errors = grads(case, tca.Rule(Direct(), TypePropagation(slope)))["w_rec"], 0.0, []
    for q in range(case.steps):
        power = torch.linalg.matrix_power(step, q)
        for t in range(q + 1, case.steps + 1):
            total = total + (gain[t - q - 1] * (direct[t] @ power)).T @ rates[t - q - 1]
        found = grads(case, tca.Rule(TypeReturn(slope, taps=q), Instant()))["w_rec"]
        assert relative(found, total) < 1e-13
        errors.append(relative(found, whole))
    assert errors[0] > errors[2] > errors[4] > errors[7] > 1e-4
    assert errors[-1] < 1e-13
    assert_same(grads(case, tca.Rule(TypeReturn(slope, taps=0), Leak())), grads(case, "eprop"))


def test_without_a_leak_modprop_is_its_published_sum() -> None:
    """kappa = 0: ``sum_t s_i e_ij(t) + sum_c (s_c psi_c)(t) sum_q m^(q-1) (W_ab^q)_ci e_ij(t - q)``."""
    case, slope = typed(replace(F1, leak=0.0, convention="euler")), 0.3
    model, weights, problem = case.model(), weights_of(case.net()), case.problem()
    mean = oracle_types.block_mean(model, weights)
    rates = torch.stack([state.tanh() for state in oracle.states(model, weights, problem.inputs)])
    psi = 1 - rates**2
    learning_signal = oracle.direct_errors(model, weights, problem)  # s, of steps 1 to T

    def trace(t: int, at_cells: Tensor) -> Tensor:
        """Learning signals times ``e_ij(t) = psi_i(t) z_j(t - 1)``, summed over trials."""
        return (at_cells * psi[t]).T @ rates[t - 1]

    wanted = torch.zeros_like(mean)
    for t in range(1, case.steps + 1):
        wanted += trace(t, learning_signal[t - 1])
        for q in range(1, t):
            spread = (learning_signal[t - 1] * psi[t]) @ (slope ** (q - 1) * torch.linalg.matrix_power(mean, q))
            wanted += trace(t - q, spread)
    found, other = (grads(case, tca.Rule(TypeReturn(slope, reading), Leak()))["w_rec"] for reading in ("exact", "mean"))
    assert relative(found, wanted) < 1e-13
    assert relative(other, wanted) > 0.01


@both_forms
def test_the_first_tap_alone_remembers_nothing(case: Case) -> None:
    """``q <= 0`` without a trace is the three-factor rule, in which no synapse has a memory; with all taps it has."""
    assert_same(grads(case, tca.Rule(TypeReturn(0.3, taps=0), Instant())), grads(case, "three_factor"))
    assert relative(grads(case, tca.Rule(TypeReturn(0.3), Instant()))["w_rec"], grads(case, "eprop")["w_rec"]) > 0.01


def test_traces_by_type_are_small_where_the_leak_is_on_the_potential() -> None:
    """One number a type and one a pair of types for every presynaptic cell; they equal the dense influence."""
    case = Case("wide", sizes=(3, 30, 2), options={"cell_types": [0] * 10 + [1] * 20})
    bound = learner(case, tca.Rule(Direct(), TypePropagation(0.3)))
    tape = bound.tape(case.batch())
    trace = bound.rule.eligibility.trace(bound.net.hidden_connections()[1], tape.local_step(1), case.trials)
    assert trace.own.shape == (case.trials, 2, 30)
    assert trace.spread.shape == (case.trials, 2, 2, 30)
    assert trace.dense().shape == (case.trials, 30, 30, 30)
    propagator = torch.eye(30, dtype=torch.float64) * 0.6 + 0.4 * 0.3 * BlockMean().of(tape.recurrence)
    influence = torch.zeros(case.trials, 30, 30, 30, dtype=torch.float64)
    for t in range(1, case.steps + 1):
        step = tape.local_step(t)
        trace.advance(step, step.pres[1])
        influence = torch.einsum("lm,bmij->blij", propagator, influence)
        influence.diagonal(dim1=1, dim2=2).add_(0.4 * step.pres[1].unsqueeze(-1))
    assert relative(trace.dense(), influence) < 1e-13


def circulating(case: Case, radius: float) -> dict[str, Tensor]:
    """Return equal weights between all cells whose spectral radius is given; negative for an inhibitory mode."""
    cells = case.sizes[1]
    return {"w_rec": torch.full((cells, cells), radius / cells, dtype=torch.float64)}


@both_forms
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_modprop_refuses_to_diverge(case: Case, execution: str) -> None:
    """``m rho(W_ab) < 1`` where the largest eigenvalue is positive; an inhibitory mode may be larger."""
    for rule in (tca.Rule(Direct(), TypePropagation(0.25)), tca.Rule(TypeReturn(0.25), Leak())):
        grads(case, rule, execution, **circulating(case, 3.99))
        with pytest.raises(ValueError, match=r"spectral radius 1\.001 .* 1 / rho\(W_ab\) = 0\.2494.* got m = 0\.25"):
            grads(case, rule, execution, **circulating(case, 4.01))
        grads(case, rule, execution, **circulating(case, -15.9))  # 0.6 - 0.4 * 0.25 * 15.9 = -0.99
        with pytest.raises(ValueError, match=r"spectral radius 1\.01 "):
            grads(case, rule, execution, **circulating(case, -16.1))


def test_the_bound_holds_for_cells_that_leak_differently() -> None:
    """The radius is that of ``leak + gain m W_ab`` with every cell's own leak, whatever the types."""
    leaks = (0.2, 0.9, 0.5, 0.5, 0.2, 0.8)
    case = typed(replace(F1, leak=leaks))
    rule = tca.Rule(Direct(), TypePropagation(0.5))
    diagonal = torch.tensor(leaks, dtype=torch.float64)
    for seed in range(30):
        drawn = torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        weights = {"w_rec": 2.5 * drawn}
        mean = oracle_types.block_mean(case.model(), weights)
        radius = float(torch.linalg.eigvals(diagonal.diag() + 0.5 * (1 - diagonal)[:, None] * mean).abs().max())
        if radius < 1:
            grads(case, rule, **weights)
        else:
            with pytest.raises(ValueError, match=f"spectral radius {radius:.4g}"):
                grads(case, rule, **weights)


def test_what_is_not_a_slope_a_reading_or_a_tap_is_refused() -> None:
    """The error names what is allowed."""
    for make in (TypePropagation, TypeReturn):
        for slope in (-0.1, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=r"slope must be finite( and not negative)?, got"):
                make(slope)
    with pytest.raises(ValueError, match="did you mean 'exact'"):
        TypeReturn(0.25, "exakt")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not be negative, got -1"):
        TypeReturn(taps=-1)


def test_rules_by_type_are_not_the_gradient() -> None:
    """Each differs from the gradient by more than a hundredth where a condition of its exactness fails."""
    for case in (A12, B12, SPARSE):
        wanted = true_gradient(case)["w_rec"]
        for rule in (
            *(tca.Rule(Hops(1, estimate, flag), Leak()) for estimate in ESTIMATES for flag in (True, False)),
            tca.Rule(Direct(), TypePropagation()),
            tca.Rule(TypeReturn(0.25, "exact"), Leak()),
        ):
            assert relative(grads(case, rule)["w_rec"], wanted) > 0.01


def test_networks_know_their_types() -> None:
    """Labels are taken as they are, fractions rounded to whole cells, the first cells being of type 0."""

    def types(given: object, cells: int = 5) -> list[int]:
        return tca.nets.LeakyRNN(2, cells, 1, cell_types=given).types.tolist()  # type: ignore[arg-type]

    assert types(None) == [0, 0, 0, 0, 0]
    assert types([1, 0, 2, 1, 0]) == [1, 0, 2, 1, 0]
    assert types((0.8, 0.2)) == [0, 0, 0, 0, 1]
    assert types((0.25, 0.25, 0.5), 8) == [0, 0, 1, 1, 2, 2, 2, 2]
    for wrong in ([0, 1], [0, 0, -1, 0, 0], (0.8, 0.3), (1.2, -0.2)):
        with pytest.raises(ValueError, match="types must be 5 whole numbers, one for each cell"):
            types(wrong)
    with pytest.raises(TypeError, match=r"types\[0\] must be a number, got \[0, 0, 0, 0, 0\]"):
        types([[0, 0, 0, 0, 0]])
    net = tca.nets.LeakyRNN(2, 5, 1, cell_types=(0.8, 0.2), dtype=torch.float64)
    assert net.types.dtype == torch.int64
    assert "types" in net.state_dict()


@pytest.mark.parametrize("sparse", [False, True])
def test_dales_principle_holds_from_the_first_weight_to_the_last(sparse: bool) -> None:
    """A cell's synapses have one sign when drawn and after every projection, which changes nothing else."""
    options = {"cell_types": (0.8, 0.2), "dale": (1, -1), "mask_rec": mask(3, 200, 200) if sparse else None}
    net = tca.nets.LeakyRNN(2, 200, 1, dtype=torch.float64, **options)
    signs = torch.tensor([1.0] * 160 + [-1.0] * 40, dtype=torch.float64)
    there = options["mask_rec"] if sparse else torch.ones(200, 200, dtype=torch.float64)

    def obeyed() -> bool:
        return bool((net.w_rec * signs >= 0).all()) and bool((net.w_rec[there == 0] == 0).all())

    assert obeyed()
    weights = net.w_rec.detach().clone()
    assert torch.equal(weights != 0, there != 0)
    assert float(weights.square().sum(1).mean()) == pytest.approx(1, abs=0.05)
    assert abs(float(weights.sum(1).mean())) < 0.3  # the excitatory part alone is more than 3
    assert float(weights[:, :160].sum(1).mean()) > 3
    batch = tca.Batch(
        torch.randn(10, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)),
        torch.ones(10, 4, 1, dtype=torch.float64),
        torch.ones(10, 4, dtype=torch.float64),
        tca.losses.MSE(),
    )
    bound = tca.Learner(net, tca.RULES["eprop"])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        bound.backward(batch)
        optimizer.step()
        assert not (net.w_rec * signs >= 0).all(), "the optimizer alone breaks it"
        loose = net.w_rec.detach().clone()
        net.project_()
        assert obeyed()
        kept = (loose * signs >= 0) & (there == 1)
        assert torch.equal(net.w_rec.detach()[kept], loose[kept])


def test_types_without_a_sign_are_free() -> None:
    """Zero leaves the weights of a type as they are; a wrong number of signs, or another one, is refused."""
    free = tca.nets.LeakyRNN(2, 6, 1, seed=4)
    mixed = tca.nets.LeakyRNN(2, 6, 1, seed=4, cell_types=(0.5, 0.5), dale=(0, 1))
    assert torch.equal(mixed.w_rec[:, :3], free.w_rec[:, :3])
    assert torch.equal(mixed.w_rec[:, 3:], free.w_rec[:, 3:].abs())
    for wrong in ((1,), (1, -1, 1), (1, 2)):
        with pytest.raises(ValueError, match="one sign for each of the 2 types"):
            tca.nets.LeakyRNN(2, 6, 1, cell_types=(0.5, 0.5), dale=wrong)
