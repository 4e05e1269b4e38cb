"""Every rule on spiking networks: against networks whose paths have been cut by hand, and against dense traces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import (
    Diagonal,
    Eligibility,
    Full,
    Homotopy,
    Instant,
    Leak,
    Paths,
    PopulationJacobian,
    PotentialLeak,
    SnAp,
    Windowed,
)
from tca.execution import EXECUTIONS
from tca.signals import (
    CausalHop,
    CausalSignal,
    Diffusion,
    Direct,
    Exact,
    Hops,
    Horizon,
    Random,
    Regularised,
    Signal,
    TypeReturn,
    WeightMirror,
)
from tca.signals.diffusion.fields import Box
from tca.signals.feedback_weights import Frozen, Tracked
from tca.signals.regularisers.firing_rate import FiringRate
from tca.tape.weight_estimates import BlockMean, ExactWeights, SynapseMean
from tests.support import oracle_spiking as oracle
from tests.support.cases import weights_of
from tests.support.oracle import Problem, Weights, _grad, _leaves
from tests.support.oracle_spiking import Model, Surgery
from tests.support.rows import assert_same, learner, matrix_of, put, relative
from tests.support.spiking_cases import LSNN, SLOW_AND_FAST, SPIKING, SpikingCase

Answer = Callable[[Model, Weights, Problem, Tensor], Weights]

each_case = pytest.mark.parametrize("case", SPIKING, ids=str)


def cut(which: Surgery, feedback: bool = False) -> Answer:
    """The gradient after surgery, with the feedback matrix in the place of the readout's weights or without."""
    return lambda m, w, p, matrix: oracle.gradient(m, w, p, which, matrix if feedback else None)


def means(existing: bool) -> Callable[[Model, Weights], Tensor]:
    """Mean weights of pairs of types."""
    return lambda m, w: oracle.weight_means(m, w, existing)


def exact(model: Model, weights: Weights) -> Tensor:
    """The recurrent weights themselves."""
    return model.weight(weights, "w_rec")


def mdgl(known: Callable[[Model, Weights], Tensor]) -> Answer:
    """e-prop and the errors of the next step."""
    return lambda m, w, p, matrix: oracle.published_mdgl(m, w, p, known(m, w))


def presynaptic(model: Model, weights: Weights, problem: Problem, matrix: Tensor) -> Weights:
    """OTTT: potentials remember what synapses delivered, and neither adaptation nor reset."""
    leaves = {name: each.detach().clone().requires_grad_() for name, each in weights.items()}
    rates = [state.z for state in oracle.presynaptic(model, leaves, problem.inputs)[1:]]
    loss = problem.value(oracle.readout(model, leaves, rates))
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def hops(count: int, known: Callable[[Model, Weights], Tensor] = exact) -> Answer:
    """Paths with at most so many transmissions."""
    return lambda m, w, p, matrix: oracle.at_most_hops(m, w, p, known(m, w), count)


ANSWERS: dict[str, Answer] = {
    "bptt": cut(oracle.WHOLE),
    "rtrl": cut(oracle.WHOLE),
    "tbptt": cut(oracle.windows(10)),
    "tbptt_rate_cut": cut(oracle.rate_windows(10)),
    "tbptt_future": lambda m, w, p, matrix: oracle.future_gradient(m, w, p, 10),
    "snap1": cut(oracle.LEAK_AND_OWN),
    "snap2": lambda m, w, p, matrix: oracle.reach(m, w, p, 2),
    "eprop": cut(oracle.LEAK_ONLY),
    "eprop_random": cut(oracle.LEAK_ONLY, feedback=True),
    "eprop_adaptive": cut(oracle.LEAK_ONLY, feedback=True),
    "eprop_sparse": cut(oracle.LEAK_ONLY, feedback=True),
    "rflo": cut(oracle.LEAK_ONLY, feedback=True),
    "global_broadcast": cut(oracle.LEAK_ONLY, feedback=True),
    "diffusion": cut(oracle.LEAK_ONLY, feedback=True),
    "three_factor": cut(oracle.NOTHING),
    "weight_mirror": cut(oracle.LEAK_ONLY, feedback=True),
    "ottt": presynaptic,
    "ostl": cut(oracle.WHOLE),
    "homotopy": cut(oracle.share(0.5)),
    "one_hop": hops(1),
    "two_hops": hops(2),
    "mdgl_exact": mdgl(exact),
    "mdgl": mdgl(means(existing=True)),
    "nl_mdgl": mdgl(means(existing=False)),
    "mdgl_online": lambda m, w, p, matrix: oracle.online_mdgl(m, w, p, oracle.weight_means(m, w, existing=True)),
    "mdgl_one_hop": hops(1, means(existing=True)),
}
SAME = [{"bptt", "rtrl", "ostl"}, {"eprop_random", "rflo", "eprop_adaptive"}]

SIGNALS: list[Signal] = [
    Direct(),
    Random(),
    Exact(),
    Horizon(3),
    Hops(2),
    Hops(1, BlockMean(), receiver_leak=False),
    CausalHop(),
    Diffusion(Box(0.8), weights=Frozen(0.5)),
    Regularised(Direct(), (FiringRate(20.0, 0.3),)),
]
ELIGIBILITIES: dict[Eligibility, Surgery | None] = {
    Instant(): oracle.NOTHING,
    Leak(): oracle.LEAK_ONLY,
    Diagonal(): oracle.LEAK_AND_OWN,
    Full(): oracle.WHOLE,
    PopulationJacobian(): oracle.WHOLE,
    PotentialLeak(): None,
    Windowed(7): oracle.windows(7),
    Windowed(7, keep_leak=True): oracle.rate_windows(7),
    Homotopy(0.3): oracle.share(0.3),
    SnAp(2): None,
    Paths(3, seed=1): None,
}


def propagator_of(eligibility: Eligibility, model: Model, weights: Weights, inputs: Tensor) -> Tensor:
    """``D (T, B, M, M)`` of an eligibility, from the oracle's Jacobians."""
    whole, leak = (oracle.jacobians(model, weights, inputs, cut=each) for each in (False, True))
    steps, cells = len(whole), len(model.kappa)
    if isinstance(eligibility, Homotopy):
        return leak + eligibility.share * (whole - leak)
    if isinstance(eligibility, Paths):
        exists = model.masks.get("w_rec", torch.ones_like(weights["w_rec"]))
        return leak + eligibility.kept(exists).repeat(2, 2) * (whole - leak)
    if isinstance(eligibility, Windowed):
        at_cut = leak if eligibility.keep_leak else torch.zeros_like(leak)
        closed = [(steps - t + 1) % eligibility.steps == 0 for t in range(1, steps + 1)]
        return torch.stack([at_cut[t] if closed[t] else whole[t] for t in range(steps)])
    own = torch.eye(cells, dtype=torch.float64).repeat(2, 2)
    if isinstance(eligibility, PotentialLeak):
        return leak * (torch.arange(2 * cells) < cells) * (torch.arange(2 * cells) < cells)[:, None]
    if isinstance(eligibility, Full):
        return whole
    return {Instant: torch.zeros_like(whole), Leak: leak, Diagonal: whole * own}[type(eligibility)]


def assert_every_path(bound: tca.Learner, case: SpikingCase, wanted: Weights, tolerance: float = 1e-12) -> None:
    """Demand an answer of both executions."""
    for execution in EXECUTIONS:
        assert_same(bound.grads(case.batch(), execution=execution)[0], wanted, tolerance)


@lru_cache(maxsize=64)
def true_gradient(case: SpikingCase) -> Weights:
    """The gradient of the whole network through the surrogate gradient."""
    return oracle.gradient(case.model(), weights_of(case.net()), case.problem())


@each_case
def test_the_network_is_that_of_the_oracle(case: SpikingCase) -> None:
    """Spikes, slopes and outputs are those of a loop over steps, in training and where it is differentiable."""
    net, batch, model = case.net(), case.batch(), case.model()
    weights, tape = weights_of(net), net.run(batch.inputs)
    with torch.no_grad():
        trail = oracle.states(model, weights, batch.inputs)
    assert torch.equal(tape.rate, torch.stack([state.z for state in trail]))
    assert relative(tape.slope[1:], oracle.slopes(model, weights, batch.inputs)) < 1e-13
    wanted = oracle.outputs(model, weights, batch.inputs)
    assert relative(tape.outputs, wanted) < 1e-13
    assert relative(net.functional({}, batch.inputs).detach(), wanted) < 1e-13


@pytest.mark.thirds
@each_case
@pytest.mark.parametrize("name", ANSWERS)
def test_rule_equals_its_surgery(case: SpikingCase, name: str) -> None:
    """Both executions of every rule equal autograd on a network with the rule's paths cut by hand."""
    bound = learner(case, tca.RULES[name])
    wanted = ANSWERS[name](case.model(), weights_of(bound.net), case.problem(), matrix_of(bound))
    assert_every_path(bound, case, wanted)


def test_half_adaptive_fixture() -> None:
    """Six cells, half of them adaptive, forty steps: e-prop is what autograd gives with transmission and reset stopped.

    Bellec et al. (2020): own spikes reach own adaptation.
    """
    bound = learner(LSNN, tca.RULES["eprop"])
    assert int(bound.net.run(LSNN.batch().inputs).rate.sum()) == 24
    wanted = cut(oracle.LEAK_ONLY)(LSNN.model(), weights_of(bound.net), LSNN.problem(), matrix_of(bound))
    assert_every_path(bound, LSNN, wanted, 1e-13)
    assert relative(wanted["w_rec"], true_gradient(LSNN)["w_rec"]) > 1e-2


@pytest.mark.parametrize("name", sorted(set(tca.RULES) - set(ANSWERS)))
def test_further_rules_agree_with_themselves_or_say_why_not(name: str) -> None:
    """Rules made for other networks are refused where they make no sense, else forwards and backwards they are one."""
    case = SPIKING[2]
    try:
        bound = learner(case, tca.RULES[name])
    except ValueError as refusal:
        pytest.skip(str(refusal))
    reverse = bound.grads(case.batch())[0]
    for execution in bound.rule.eligibility.executions:
        assert_same(bound.grads(case.batch(), execution=execution)[0], reverse)


def test_propagation_by_type_is_refused() -> None:
    """A constant slope cannot stand in for that of a spike: ModProp says so, as traces and as a signal."""
    for rule in (tca.RULES["modprop"], tca.Rule(TypeReturn(), Leak())):
        with pytest.raises(ValueError, match="replaces the slope of every rate by one constant"):
            learner(SPIKING[0], rule)


@pytest.mark.thirds
@pytest.mark.parametrize("case", [SPIKING[4]], ids=str)
@pytest.mark.parametrize("signal", SIGNALS, ids=repr)
@pytest.mark.parametrize("eligibility", ELIGIBILITIES, ids=repr)
def test_forward_equals_reverse(case: SpikingCase, signal: Signal, eligibility: Eligibility) -> None:
    """Every signal with every eligibility: traces carried forwards and the signal filtered backwards are one."""
    if signal.fitted and not eligibility.shared:
        pytest.skip("a signal made to fit one propagator, and an eligibility with many")
    bound = learner(case, tca.Rule(signal, eligibility))
    assert_same(bound.grads(case.batch(), execution="forward")[0], bound.grads(case.batch())[0])


@pytest.mark.thirds
@pytest.mark.parametrize("case", [SPIKING[1], SPIKING[2], SPIKING[3]], ids=str)
@pytest.mark.parametrize("eligibility", [each for each, which in ELIGIBILITIES.items() if which], ids=repr)
def test_eligibility_is_its_surgery(case: SpikingCase, eligibility: Eligibility) -> None:
    """A random signal with every eligibility equals detached paths, and dense traces of potential and adaptation."""
    bound = learner(case, tca.Rule(Random(), eligibility))
    model, weights, problem, matrix = case.model(), weights_of(bound.net), case.problem(), matrix_of(bound)
    wanted = oracle.gradient(model, weights, problem, ELIGIBILITIES[eligibility], matrix)
    assert_same(bound.grads(case.batch())[0], wanted)
    learning_signal = bound.signal(case.batch())
    assert learning_signal.shape == (case.steps + 1, case.trials, 2, case.sizes[1])
    traces = oracle.dense_traces(model, weights, problem, propagator_of(eligibility, model, weights, problem.inputs))
    assert_same(oracle.summed(model, weights, problem, learning_signal[1:].flatten(2), traces), wanted)


@pytest.mark.thirds
@pytest.mark.parametrize("case", [SPIKING[0], SPIKING[3], SPIKING[4]], ids=str)
@pytest.mark.parametrize("eligibility", ELIGIBILITIES, ids=repr)
def test_every_eligibility_has_an_exact_signal(case: SpikingCase, eligibility: Eligibility) -> None:
    """With the signal made to fit it, every propagator gives the true gradient through the surrogate gradient."""
    bound = learner(case, tca.Rule(Exact(), eligibility))
    assert_every_path(bound, case, true_gradient(case), 3e-12)


@pytest.mark.parametrize("case", [SPIKING[2]], ids=str)
@pytest.mark.parametrize("length", [1, 7])
@pytest.mark.parametrize("signal", SIGNALS, ids=repr)
def test_windows_of_the_cache_leave_no_seam(
    case: SpikingCase, length: int, signal: Signal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reverse execution goes through a trial in pieces, and so do the slopes; their length must not matter."""
    bound = learner(case, tca.Rule(signal, Leak()))
    whole, slope = bound.grads(case.batch())[0], bound.tape(case.batch()).slope
    for module in ("tape.tape", "nets.spiking.spiking_population"):
        monkeypatch.setattr(f"tca.{module}.WINDOW_BYTES", length * case.trials * case.sizes[1] * 8)
    assert_same(bound.grads(case.batch())[0], whole)
    assert torch.equal(bound.tape(case.batch()).slope, slope)


def test_rules_differ() -> None:
    """Approximate rules differ from the true gradient, and from one another, by more than a hundredth."""
    sparse = (torch.rand(10, 10, generator=torch.Generator().manual_seed(1)) < 0.3).double()
    options = {"cell_types": torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 0, 1]), "dale": (1, -1), "mask_rec": sparse}
    options |= {"autapses": True}
    case = SpikingCase("apart", sizes=(3, 10, 2), seed=5, tau_adaptation=50.0, readout_leak=0.8, beta=1.2, steps=50,
                       surrogate_gradient="fast_sigmoid", strength=12.0, options=options)  # fmt: skip
    found = {name: learner(case, tca.RULES[name]).grads(case.batch())[0]["w_rec"] for name in ANSWERS}
    for name in ANSWERS:
        error = relative(found[name], true_gradient(case)["w_rec"])
        assert error < 1e-12 if name in ("bptt", "rtrl", "ostl") else error > 1e-2, name
        for other in ANSWERS:
            alike = name == other or any({name, other} <= group for group in SAME)
            assert alike or relative(found[name], found[other]) > 1e-2, (name, other)


@each_case
def test_hops_add_up(case: SpikingCase) -> None:
    """No hop is e-prop, as many hops as steps are the true gradient, and those between get nearer in the end."""
    errors = []
    for count in (0, 5, 20, case.steps - 1):
        found = learner(case, tca.Rule(Hops(count), Leak())).grads(case.batch())[0]
        errors.append(relative(found["w_rec"], true_gradient(case)["w_rec"]))
    assert errors[0] == relative(
        learner(case, tca.RULES["eprop"]).grads(case.batch())[0]["w_rec"], true_gradient(case)["w_rec"]
    )
    assert errors[0] > 1e-3
    assert errors[-1] < 1e-12
    assert errors[2] < errors[0]


def test_reset_in_the_trace_changes_eprop_and_nothing_else() -> None:
    """MDGL's traces keep the reset, those of e-prop cut it; SnAp-1 without autapses is e-prop that keeps it."""
    for case in SPIKING[:3]:
        cut_off, kept = (replace(case, reset_in_trace=each) for each in (False, True))
        one, two = (
            {name: learner(each, tca.RULES[name]).grads(case.batch())[0] for name in ("bptt", "eprop", "snap1")}
            for each in (cut_off, kept)
        )
        assert_same(one["bptt"], two["bptt"])
        assert relative(one["eprop"]["w_rec"], two["eprop"]["w_rec"]) > 1e-2
        assert_same(two["eprop"], two["snap1"])
        assert_same(one["snap1"], two["snap1"])


def test_adaptation_is_remembered_by_eprop() -> None:
    """Cutting own spike -> own adaptation is another rule: it would lose what adaptive cells remember."""
    case = replace(SPIKING[5], steps=40)
    bound = learner(case, tca.RULES["eprop"])
    found = bound.grads(case.batch())[0]["w_in"]
    model = case.model()
    deaf = oracle.jacobians(model, weights_of(bound.net), case.batch().inputs, cut=True).clone()
    cells = case.sizes[1]
    deaf[:, :, cells:, :cells] = 0
    signal = bound.signal(case.batch())[1:].flatten(2)
    traces = oracle.dense_traces(model, weights_of(bound.net), case.problem(), deaf)
    other = oracle.summed(model, weights_of(bound.net), case.problem(), signal, traces)["w_in"]
    assert relative(found, other) > 1e-2


@pytest.mark.parametrize("name", ["eprop", "mdgl", "snap1", "tbptt", "mdgl_online"])
def test_without_adaptation_only_potentials_are_told(name: str) -> None:
    """In a network of LIF cells nothing reads the adaptation, and a trace is one number per presynaptic cell."""
    case = SPIKING[6]
    bound = learner(case, tca.RULES[name])
    assert not bound.signal(case.batch())[..., 1, :].any()
    step = bound.tape(case.batch()).local_step(1)
    trace = Leak().trace(bound.net.hidden_connections()[0], step, case.trials)
    assert trace.value.numel() == 0


def test_published_firing_rate_regulariser() -> None:
    """With the traces of e-prop it adds ``mean_B weight / T (f_i - target) sum_t e_ij``, with any signal.

    With all paths open it is the gradient of a loss.
    """
    case, trials = SPIKING[2], SPIKING[2].trials
    term = FiringRate(15.0, 0.7, dt=2.0)
    weights, model, problem = weights_of(case.net()), case.model(), case.problem()
    rates = torch.stack([s.z for s in oracle.states(model, weights, problem.inputs)[1:]])
    hertz = rates.mean((0, 1)) * 1000 / 2.0
    signal = 0.7 / (case.steps * trials) * (hertz - 15.0).expand_as(rates)
    for inner in (Direct(), Random()):
        plain = learner(case, tca.Rule(inner, Leak())).grads(case.batch())[0]
        bound = learner(case, tca.Rule(Regularised(inner, (term,)), Leak()))
        extra = oracle.learning_signal(model, weights, problem, signal)
        wanted = {name: plain[name] + (extra[name] if name[-3:] != "out" else 0) for name in plain}
        assert_every_path(bound, case, wanted)
    for each in (term, replace(term, per_trial=True)):
        leaves = _leaves(weights)
        z = torch.stack([s.z for s in oracle.states(model, leaves, problem.inputs)[1:]])
        hertz = z.mean(0) * 500 if each.per_trial else z.mean((0, 1)).expand(trials, -1) * 500
        loss = (
            problem.value(oracle.readout(model, leaves, list(z))) + 0.35 * 0.002 * (hertz - 15).square().mean(0).sum()
        )
        bound = learner(case, tca.Rule(Regularised(Direct(), (each,)), Full()))
        assert_every_path(bound, case, _grad(loss, leaves))


@pytest.mark.parametrize("case", [SPIKING[3]], ids=str)
@pytest.mark.parametrize("name", ANSWERS)
def test_permuting_cells_permutes_the_change(case: SpikingCase, name: str) -> None:
    """Cells have no names: the same network in another order learns the same."""
    order = torch.randperm(case.sizes[1], generator=torch.Generator().manual_seed(5))
    axes = {key: (0,) for key in ("w_in", "b", "feedback", "mask_in", "cell_types", "kept", "released", "positions")}
    axes |= {key: (1,) for key in ("w_out", "readout_seen", "backward", "local_readout", "mask_out")} | {
        "w_rec": (0, 1),
        "mask_rec": (0, 1),
    }

    def permuted(values: Any) -> dict[str, Any]:
        moved = {}
        for key, value in values.items():
            for axis in axes.get(key, ()):
                value = value.index_select(axis, order)
            moved[key] = value
        return moved

    bound = learner(case, tca.RULES[name])
    times = {
        key: tuple(case._per_cell(getattr(case, key))[order].tolist()) for key in ("tau", "tau_adaptation", "beta")
    }
    other = learner(replace(case, **times, options=permuted(case.options)), tca.RULES[name])
    put(other.net, permuted(weights_of(bound.net)))
    other.load_state_dict(permuted(bound.state_dict()))
    assert_same(other.grads(case.batch())[0], permuted(bound.grads(case.batch())[0]))


@pytest.mark.thirds
@pytest.mark.parametrize("case", [SPIKING[2]], ids=str)
@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_single_precision_is_close(case: SpikingCase, name: str, execution: Any) -> None:
    """Float32 gives what float64 gives; no cell of the cases comes so near its threshold that a spike could flip."""
    bound = learner(case, tca.RULES[name])
    exact, batch = bound.grads(case.batch())[0], case.batch().to(dtype=torch.float32)
    single = learner(case, tca.RULES[name], dtype=torch.float32)
    assert torch.equal(single.net.run(batch.inputs).rate.double(), bound.net.run(case.batch().inputs).rate)
    found = single.grads(batch, execution=execution)[0]
    assert all(value.dtype == torch.float32 for value in found.values())
    assert_same({key: value.double() for key, value in found.items()}, exact, 1e-4)


@pytest.mark.cuda
@each_case
@pytest.mark.parametrize("name", ANSWERS)
def test_gpu_equals_cpu(case: SpikingCase, name: str) -> None:
    """A GPU gives what the CPU gives, in both executions and both precisions."""
    wanted = learner(case, tca.RULES[name]).grads(case.batch())[0]
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        bound = learner(case, tca.RULES[name], dtype=dtype, device="cuda")
        batch = case.batch().to(device="cuda", dtype=dtype)
        for execution in EXECUTIONS:
            found = bound.grads(batch, execution=execution)[0]
            assert_same({key: value.cpu().double() for key, value in found.items()}, wanted, tolerance)


ONLINE = [name for name in ANSWERS if isinstance(tca.RULES[name].signal, CausalSignal)]
FROZEN = {"weight_mirror": tca.Rule(WeightMirror(rate=1e-300, decay=0.0), Leak())}  # a rate must be positive


@pytest.mark.thirds
@pytest.mark.parametrize("case", [SPIKING[3], SPIKING[4]], ids=str)
@pytest.mark.parametrize("rule", [*ONLINE, *(tca.Rule(Random(), each) for each in ELIGIBILITIES)], ids=str)
def test_online_equals_the_trial(case: SpikingCase, rule: str | tca.Rule) -> None:
    """A rule without later error, online with frozen weights, sums to what it gives at the end of the trial.

    The weight mirror learns its feedback weights before every step, not once before the trial, and is compared with
    these frozen too.
    """
    bound = learner(case, FROZEN.get(rule, tca.RULES[rule]) if isinstance(rule, str) else rule)
    batch = case.batch()
    wanted, info = bound.grads(batch)
    stream = bound.stream(case.trials, steps=case.steps)
    for _ in range(2):
        outputs = [
            stream.step(batch.inputs[t], batch.targets[t], batch.weights[t], batch.loss) for t in range(batch.steps)
        ]
        found = {name: parameter.grad.clone() for name, parameter in bound.net.named_parameters()}
        assert_same(found, wanted)
        assert torch.allclose(torch.stack(outputs), info.outputs, rtol=1e-12, atol=1e-14)
        stream.reset()
        bound.net.zero_grad()


def test_weights_that_change_in_a_trial() -> None:
    """Learning after every step equals a loop over single numbers that carries both traces of every synapse."""
    case = SpikingCase("online", sizes=(2, 4, 2), steps=30, trials=1, seed=23, strength=12.0, beta=(0.0, 1.5, 0.8, 0.0),
                       tau=(20.0, 10.0, 5.0, 30.0), refractory=2, readout_leak=0.0)  # fmt: skip
    bound, batch, model, rate = learner(case, tca.RULES["eprop_random"]), case.batch(), case.model(), 0.05
    feedback = bound.buffers["feedback"].tolist()
    w = weights_of(bound.net)
    optimizer, stream = torch.optim.SGD(bound.net.parameters(), lr=rate), bound.stream(1)
    spikes = 0.0
    state, psi = oracle.rest(model, 1), torch.zeros(4, dtype=torch.float64)
    eps_v, eps_a = torch.zeros(4, 6, dtype=torch.float64), torch.zeros(4, 6, dtype=torch.float64)
    kappa, gain, rho, gain_a, beta = (getattr(model, key) for key in ("kappa", "gain", "rho", "gain_a", "beta"))
    off_diagonal = torch.cat([torch.ones(4, 2), 1 - torch.eye(4)], 1)
    for t in range(case.steps):
        stream.step(batch.inputs[t], batch.targets[t], batch.weights[t], batch.loss)
        optimizer.step(), optimizer.zero_grad(), bound.net.project_()
        pre = torch.cat([batch.inputs[t, 0], state.z[0]])
        for i in range(4):
            for j in range(6):
                old = float(eps_v[i, j]) - float(beta[i]) * float(eps_a[i, j])
                eps_a[i, j] = rho[i] * eps_a[i, j] + gain_a[i] * psi[i] * old
                eps_v[i, j] = kappa[i] * eps_v[i, j] + gain[i] * pre[j]
        state = model.step(w, state, batch.inputs[t])
        psi = model.psi(state.v, state.a, state.wait)[0]
        error = (w["w_out"] @ state.z[0] + w["b_out"] - batch.targets[t, 0]) * batch.weights[t, 0]
        change = torch.zeros(4, 6, dtype=torch.float64)
        for i in range(4):
            learning_signal = sum(feedback[i][k] * float(error[k]) for k in range(2))
            change[i] = learning_signal * psi[i] * (eps_v[i] - beta[i] * eps_a[i])
        change = change * off_diagonal
        w["w_in"], w["w_rec"] = w["w_in"] - rate * change[:, :2], w["w_rec"] - rate * change[:, 2:]
        w["w_out"], w["b_out"] = w["w_out"] - rate * torch.outer(error, state.z[0]), w["b_out"] - rate * error
        spikes += float(state.z.sum())
    assert spikes > 5
    assert_same(weights_of(bound.net), w)


def test_sparse_feedback_is_diffusion_that_does_not_spread() -> None:
    """With ``k = 0`` neuromodulator diffusion in a spiking network is sparse e-prop, bit for bit."""
    case = SPIKING[4]
    for weights in (Frozen(0.5), Tracked(0.5)):
        bound = learner(case, tca.Rule(Diffusion(Box(k=0.0), weights=weights, gain="raw"), Leak()))
        wanted = oracle.gradient(
            case.model(), weights_of(bound.net), case.problem(), oracle.LEAK_ONLY,
            weights.now(bound.net.w_out.detach(), bound.buffers["feedback"]),
        )  # fmt: skip
        assert_every_path(bound, case, wanted)
    spread = learner(case, tca.Rule(Diffusion(Box(k=0.75), weights=Frozen(0.5), gain="raw"), Leak()))
    still = learner(case, tca.Rule(Diffusion(Box(k=0.0), weights=Frozen(0.5), gain="raw"), Leak()))
    one, two = (each.grads(case.batch())[0]["w_in"] for each in (spread, still))
    assert relative(one, two) > 1e-2


def test_estimates_of_the_weights_keep_the_reset() -> None:
    """Cell types stand in for synapses, not for the reset: with types of single cells the hop is exact."""
    case = replace(SPIKING[0], options={"cell_types": torch.arange(6)})
    for estimate in (SynapseMean(), BlockMean()):
        found = learner(case, tca.Rule(Hops(1, estimate), Leak())).grads(case.batch())[0]
        assert_same(found, learner(case, tca.Rule(Hops(1, ExactWeights()), Leak())).grads(case.batch())[0])


def test_cases_reach_what_they_claim() -> None:
    """The cases hold every convention, both kinds of cells, silence after spikes, and every surrogate gradient."""
    nets = [case.net() for case in SPIKING]
    assert {case.surrogate_gradient for case in SPIKING} == set(tca.cells.surrogate_gradients.SURROGATE_GRADIENTS)
    assert {case.reset_in_trace for case in SPIKING} == {True, False}
    assert {case.scaled for case in SPIKING} == {(True, True), (False, False)}
    assert {bool(net.beta.any()) for net in nets} == {True, False}
    assert {bool((net.beta > 0).all()) for net in nets} == {True, False}
    assert {net.refractory > 0 for net in nets} == {True, False}
    assert {net.b is None for net in nets} == {True, False}
    assert {len(net.leak.unique()) > 1 for net in nets} == {True, False}
    assert len(set(SLOW_AND_FAST)) > 2
    for case, net in zip(SPIKING, nets, strict=True):
        assert int(net.run(case.batch().inputs).rate.sum()) > 5
