"""Facts about errors that diffuse, and about errors broadcast to all cells or to few.

The oracle is ``tests.support.oracle_fields``: powers of dense matrices, and autograd on a network with cut paths.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Instant, Leak
from tca.nets import MLP, LeakyLayer, SpikingLayer, StackedRNN
from tca.signals import Broadcast, Diffusion, Random, Sparse, StationaryDiffusion
from tca.signals.diffusion.fields import Box, Explicit, Exponential, Graph, Grid, Implicit, Quasistatic
from tca.signals.diffusion.release import PerError, Shared
from tca.signals.feedback_weights import Drawn, Frozen, Tracked
from tca.tape.population import Population
from tests.support import oracle, oracle_fields
from tests.support.cases import CASES, DT, Case, weights_of
from tests.support.oracle import LEAK_ONLY
from tests.support.rows import assert_same, changes, cosine, learner, put, relative, true_gradient
from tests.tca.test_online import gathered, run

EXACT, SINGLE = 1e-12, 2e-5

TORUS = Grid((10, 12))
WIDE = Case("wide", sizes=(3, 120, 2), steps=15, seed=41, leak=0.8)
WIDE_B = replace(WIDE, name="wide-B", form="B")
FILTERED = replace(WIDE, name="wide-filtered", readout_leak=0.7, sizes=(3, 12, 2))
FILTERED_B = replace(FILTERED, name="wide-filtered-B", form="B", leak=0.6)
SMALL = replace(WIDE, name="small", sizes=(3, 12, 3), loss="cross_entropy")
RECURRENT = Case("recurrent", sizes=(3, 100, 2), steps=20, seed=42, leak=0.8)

PROPAGATORS = [Box(0.75), Explicit(0.7, 0.2, 0.25), Implicit(0.7, 0.2), Exponential(0.7, 0.2)]
each_propagator = pytest.mark.parametrize("propagator", PROPAGATORS, ids=lambda each: type(each).__name__)
each_release = pytest.mark.parametrize("release", [Shared(), PerError(0.4)], ids=repr)


def bind(case: Case, signal: Any, **options: Any) -> tca.Learner:
    """Return a learner with the trace of e-prop."""
    return learner(case, tca.Rule(signal, Leak()), **options)


def told_by_oracle(bound: tca.Learner, case: Case, field: Any) -> Tensor:
    """Return ``G_t`` of a field in time, ``(T, B, N)``."""
    buffers, weights = bound.buffers, weights_of(bound.net)
    sites = buffers["positions"]
    if "permutation" in buffers:
        sites = buffers["permutation"][sites]
    where = oracle_fields.placing(sites, field.space.sites)
    feedback = buffers["feedback"]
    if bound.rule.signal.weights.follows:
        feedback = weights["w_out"].T * feedback
    step = oracle_fields.dense_step(field)
    lags = field.uptake * oracle_fields.taps(step, where, feedback, case.steps, buffers.get("sites"))
    return oracle_fields.rates_told(lags, oracle_fields.errors_of(case.model(), weights, case.problem()))


@pytest.mark.thirds
@each_propagator
@each_release
@pytest.mark.parametrize("case", [SMALL, FILTERED, FILTERED_B], ids=str)
def test_diffusion_equals_powers_of_the_dense_kernel(case: Case, release: Any, propagator: Any) -> None:
    """Signal, both executions and a stream equal ``sum_q A_q err_{t-q}`` into a network with cut paths."""
    signal = Diffusion(propagator, Grid((4, 5)), weights=Frozen(0.3), release=release)
    bound, batch = bind(case, signal), case.batch()
    model, weights, problem = case.model(), weights_of(bound.net), case.problem()
    learning_signal = told_by_oracle(bound, case, signal.medium(12))
    wanted = oracle_fields.gradient_of(model, weights, problem, learning_signal, LEAK_ONLY)
    assert relative(bound.signal(batch), oracle_fields.state_signal(model, weights, problem, learning_signal)) < EXACT
    assert_same(bound.grads(batch)[0], wanted)
    assert_same(bound.grads(batch, execution="forward")[0], wanted)
    stream = bound.stream(case.trials)
    for _ in range(2):
        run(stream, batch)
        assert_same(gathered(bound.net), wanted)
        bound.net.zero_grad()
        stream.reset()


@pytest.mark.parametrize(
    "signal",
    [
        Diffusion(Box(0.75), weights=Tracked(0.3)),
        Diffusion(Box(0.75), weights=Drawn(0.3), gain="raw"),
        Diffusion(Box(0.75), Grid((3, 5), "absorbing"), scattered=False),
        Diffusion(Box(0.9), Grid((2, 3, 2), "no-flux"), weights=Frozen(0.3)),
        Diffusion(Exponential(), Grid((40,)), weights=Frozen(0.3)),
        Diffusion(Box(0.75), shuffle="once", weights=Frozen(0.3)),
        Diffusion(Exponential(0.0, 0.3), weights=Frozen(0.3)),
    ],
    ids=repr,
)
def test_every_option_reaches_the_field(signal: Diffusion) -> None:
    """Weights that follow or are random, raw gain, rims, one to three axes, order, shuffle, and no diffusion at all."""
    bound = bind(SMALL, signal)
    put(bound.net, {"w_out": bound.net.w_out.detach() * 1.5 + 0.1})
    learning_signal = told_by_oracle(bound, SMALL, signal.medium(12))
    weights, problem = weights_of(bound.net), SMALL.problem()
    wanted = oracle_fields.gradient_of(SMALL.model(), weights, problem, learning_signal, LEAK_ONLY)
    assert_same(bound.grads(SMALL.batch())[0], wanted)
    run(bound.stream(SMALL.trials), SMALL.batch())
    assert_same(gathered(bound.net), wanted)


@each_release
@pytest.mark.parametrize("propagator", [*PROPAGATORS, Quasistatic(0.7, 0.2)], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("gain", ["raw", "unit"])
def test_stationary_diffusion_folds_the_settled_kernel(gain: str, propagator: Any, release: Any) -> None:
    """``F_eff = g P G P^T F``, or ``F_jm (P G P^T q)_j``, with G the inverse of a dense matrix; of rank at most O."""
    signal = StationaryDiffusion(propagator, TORUS, gain, Frozen(0.1), release)
    bound = bind(WIDE, signal)
    where = oracle_fields.placing(bound.buffers["positions"], 120)
    field = signal.medium(120)
    uptake = 1.0 if gain == "raw" else 1 / float(oracle_fields.dense_settled(field)[0].sum())
    kernel = uptake * where @ oracle_fields.dense_settled(field) @ where.T
    released = bound.buffers["released"]
    sites = bound.buffers.get("sites")
    wanted = kernel @ released if sites is None else released * (kernel @ sites)[:, None]
    assert relative(bound.buffers["feedback"], wanted) < EXACT
    errors = oracle_fields.errors_of(WIDE.model(), weights_of(bound.net), WIDE.problem())
    learning_signal = bound.rule.signal.rate_signal(errors, bound.net.populations()[0], bound.buffers)
    assert relative(learning_signal, errors @ wanted.T) < EXACT
    assert torch.linalg.matrix_rank(learning_signal.flatten(0, 1), rtol=1e-10) == 2


@pytest.mark.parametrize("case", [WIDE, WIDE_B, replace(WIDE, sizes=(3, 7, 5), loss="cross_entropy")], ids=str)
@pytest.mark.parametrize("source", [Frozen(0.1), Tracked(0.1), Drawn(0.1)], ids=repr)
@pytest.mark.parametrize("still", [Box(0.0), Quasistatic(0.0, 0.3), Exponential(0.0, 0.3)], ids=repr)
def test_without_a_field_it_is_sparse_eprop_bit_for_bit(still: Any, source: Any, case: Case) -> None:
    """With k = 0, or no diffusion and a settled field, every bit is that of sparse feedback; k = 0.75 is not."""
    wanted = bind(case, Sparse(source)).grads(case.batch())[0]
    kinds = [StationaryDiffusion, Diffusion] if still == Box(0.0) else [StationaryDiffusion]
    for kind in kinds:
        found = bind(case, kind(still, weights=source)).grads(case.batch())[0]
        assert all(torch.equal(found[name], wanted[name]) for name in wanted), kind
    for kind in (StationaryDiffusion, Diffusion):
        assert (
            relative(bind(case, kind(Box(0.75), weights=source)).grads(case.batch())[0]["w_rec"], wanted["w_rec"]) > 0.1
        )


STACKS = {
    "leaky": lambda: StackedRNN(3, [LeakyLayer(7, tau=30.0), LeakyLayer(5, tau=50.0)], 2, dt=10.0, dtype=torch.float64),
    "spiking below": lambda: StackedRNN(3, [SpikingLayer(6, threshold=0.1), 5], 2, dt=1.0, dtype=torch.float64),
    "no recurrence": lambda: MLP(3, [7, 5], 2, activation="tanh", dtype=torch.float64),
}


@pytest.mark.parametrize("build", STACKS.values(), ids=STACKS)
def test_every_population_of_a_stack_has_a_field_of_its_own(build: Callable[[], Any]) -> None:
    """The learning signal is the powers of a dense kernel over that population's cells, fed by feedback of its own."""
    net, batch = build(), SMALL.batch()
    batch = replace(batch, targets=batch.targets.clamp(max=1))
    signal = Diffusion(Box(0.75), weights=Drawn(0.4))
    bound = tca.Learner(net, tca.Rule(signal, Instant() if isinstance(net, MLP) else Leak()))
    tape, learning_signal = bound.tape(batch), bound.signals(batch)
    score = tape.filtered_error[1:]
    for level in tape.levels:
        name = level.population.name
        own = {key.removeprefix(f"{name}."): each for key, each in bound.buffers.items() if key.startswith(f"{name}.")}
        field = signal.medium(level.population.cells)
        where = oracle_fields.placing(own["positions"], field.space.sites)
        lags = oracle_fields.taps(oracle_fields.dense_step(field), where, own["feedback"], batch.steps, None)
        wanted = level.lift(oracle_fields.rates_told(field.uptake * lags, score), slice(1, batch.steps + 1))
        assert wanted.abs().max() > 0
        assert relative(learning_signal[name][1:], wanted) < EXACT
    assert_same(bound.grads(batch, execution="forward")[0], bound.grads(batch)[0])
    still = tca.Learner(net, tca.Rule(StationaryDiffusion(Box(0.0), weights=Drawn(0.4)), Instant()))
    sparse = tca.Learner(net, tca.Rule(Sparse(Drawn(0.4)), Instant()))
    sparse.load_state_dict({name: still.buffers[name] for name in sparse.buffers if name.endswith("feedback")} | {
        name: each for name, each in sparse.buffers.items() if name.endswith("kept")})  # fmt: skip
    wanted = sparse.grads(batch)[0]
    assert all(torch.equal(each, wanted[name]) for name, each in still.grads(batch)[0].items())


@pytest.mark.parametrize("diffusion", [1e6, 1e7])
def test_fast_diffusion_is_a_broadcast(diffusion: float) -> None:
    """One field carries the mean release to all cells; one per error gives ``L_j = qbar R_j err``, random feedback."""
    fast = Quasistatic(diffusion, 0.3)
    shared = bind(WIDE, StationaryDiffusion(fast, TORUS, weights=Frozen(0.1))).buffers
    assert relative(shared["feedback"], shared["released"].mean(0).expand(120, -1)) < 1e-5
    drawn = StationaryDiffusion(fast, TORUS, weights=Drawn(1.0), release=PerError(0.1))
    own = bind(WIDE, drawn).buffers
    assert float(own["sites"].mean()) == pytest.approx(0.1)
    assert relative(own["feedback"], 0.1 * own["released"]) < 1e-5
    broadcast = bind(WIDE, Random())
    broadcast.buffers["feedback"].copy_(0.1 * own["released"])
    assert_same(bind(WIDE, drawn).grads(WIDE.batch())[0], broadcast.grads(WIDE.batch())[0], 1e-5)


def test_a_field_per_error_without_diffusion_and_released_everywhere_is_feedback() -> None:
    """With D = 0 and all cells releasing, ``L = F err``; and then one field and one per error are the same."""
    still = Quasistatic(0.0, 0.3)
    options = {"space": TORUS, "weights": Drawn(1.0)}
    everywhere = bind(WIDE, StationaryDiffusion(still, release=PerError(1.0), **options))
    wanted = everywhere.buffers["released"]
    assert relative(everywhere.buffers["feedback"], wanted) < EXACT
    assert relative(bind(WIDE, StationaryDiffusion(still, **options)).buffers["feedback"], wanted) < EXACT
    spread = bind(WIDE, StationaryDiffusion(Quasistatic(1.0, 0.3), release=PerError(1.0), **options))
    assert relative(spread.buffers["feedback"], wanted) < EXACT, "a release everywhere is uniform"


@each_propagator
def test_linear_causal_and_settling(propagator: Any) -> None:
    """The signal is linear in the error, deaf to later errors bit for bit, and settles at the stationary one."""
    bound = bind(WIDE, Diffusion(propagator, TORUS))
    buffers, population = bound.buffers, bound.net.populations()[0]
    errors = torch.randn(40, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(7))

    def learning_signal(each: Tensor) -> Tensor:
        send = bound.rule.signal.online_signal(population, buffers)
        return torch.stack([send(now) for now in each])

    one, other = learning_signal(errors), learning_signal(errors.roll(3, 0))
    assert relative(learning_signal(2 * errors - 3 * errors.roll(3, 0)), 2 * one - 3 * other) < EXACT
    later = errors.clone()
    later[20:] += 1
    assert torch.equal(learning_signal(later)[:20], one[:20])
    assert not torch.equal(learning_signal(later)[20:], one[20:])
    constant = torch.ones(400, 2, 2, dtype=torch.float64)
    settled = bind(WIDE, StationaryDiffusion(propagator, TORUS))
    settled.load_state_dict(settled.state_dict() | {"positions": buffers["positions"]})
    assert relative(learning_signal(constant)[-1], constant[0] @ settled.buffers["feedback"].T) < 3e-8


def test_a_fresh_release_is_whole_and_the_field_starts_empty() -> None:
    """A cell receives its own release of the step whole, and nothing before the first error, or of earlier trials."""
    bound = bind(WIDE, Diffusion(Box(0.75), TORUS, gain="raw"))
    batch = WIDE.batch()
    weights = batch.weights.clone()
    weights[:6] = 0
    learning_signal = bound.signal(replace(batch, weights=weights))
    assert torch.equal(learning_signal[:7], torch.zeros_like(learning_signal[:7]))
    tape = bound.tape(replace(batch, weights=weights))
    fresh = (tape.filtered_error[7] @ bound.buffers["feedback"].T) * (1 - tape.rate[7] ** 2)
    assert relative(learning_signal[7], fresh) < EXACT
    assert relative(learning_signal[8], fresh) > 0.1
    stream = bound.stream(WIDE.trials)
    run(stream, batch)
    first = gathered(bound.net)
    stream.reset()
    bound.net.zero_grad()
    run(stream, batch)
    assert_same(gathered(bound.net), first, 0)


@pytest.mark.parametrize("case", [WIDE, WIDE_B], ids=str)
def test_without_recurrence_tracked_feedback_is_exact(case: Case) -> None:
    """Symmetric feedback with k = 0 is the true gradient if W = 0, or in a trial of one step for U and b."""
    symmetric = StationaryDiffusion(Box(0.0), weights=Tracked(1.0))
    none = {"w_rec": torch.zeros(120, 120, dtype=torch.float64)}
    bound = bind(case, symmetric)
    put(bound.net, none)
    assert_same(bound.grads(case.batch())[0], oracle.gradient(case.model(), weights_of(bound.net), case.problem()))
    single = replace(case, steps=1)
    found, wanted = bind(single, symmetric).grads(single.batch())[0], true_gradient(single)
    assert_same({name: found[name] for name in ("w_in", "b")}, {name: wanted[name] for name in ("w_in", "b")})
    for signal in (symmetric, StationaryDiffusion(), Diffusion(), Sparse(), Broadcast()):
        found, wanted = bind(case, signal).grads(case.batch())[0], true_gradient(case)
        assert_same({name: found[name] for name in ("w_out", "b_out")}, {n: wanted[n] for n in ("w_out", "b_out")})


def test_controls_in_a_recurrent_network() -> None:
    """With recurrence e-prop is not exact, the field moves cells without feedback, and a shuffle moves the field."""
    truth = true_gradient(RECURRENT)
    eprop = changes(RECURRENT, "eprop")
    assert all(0.5 < cosine(eprop[name], truth[name]) < 0.995 for name in ("w_rec", "w_in"))
    batch = RECURRENT.batch()
    for kind in (StationaryDiffusion, Diffusion):
        still, moved = (bind(RECURRENT, kind(Box(k))) for k in (0.0, 0.75))
        silent = (still.buffers["feedback"] == 0).all(1)
        assert 75 <= int(silent.sum()) <= 90
        assert not still.signal(batch)[1:, :, silent].any()
        assert (moved.signal(batch)[-1, :, silent].abs().amax(0) > 0).all()
        for shuffle in ("once", "every step")[: 2 if kind is Diffusion else 1]:
            other = bind(RECURRENT, kind(Box(0.75), shuffle=shuffle))
            assert relative(other.signal(batch), moved.signal(batch)) > 0.1


def test_coverage_of_the_published_box() -> None:
    """A tenth of 2 x 100 feedback weights reaches a fifth of the cells; the field lifts over half above 5 percent."""
    direct, covered = [], []
    for seed in range(20):
        bound = tca.Learner(RECURRENT.net(), tca.Rule(StationaryDiffusion(), Leak()), seed=seed)
        error = torch.randn(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        reached = lambda matrix, error=error: (error @ matrix.T).abs()  # noqa: E731
        share = [reached(bound.buffers[name]) for name in ("released", "feedback")]
        fractions = [float((each > 0.05 * each.amax(1, keepdim=True)).double().mean()) for each in share]
        direct.append(fractions[0])
        covered.append(fractions[1])
    assert 0.13 < sum(direct) / 20 < 0.2
    assert 0.5 < sum(covered) / 20 < 0.75


def test_identity_permutation_is_aligned_and_spectra_agree() -> None:
    """An identity in place of the permutation gives the same bits; any permutation keeps the kernel's spectrum."""
    aligned, shuffled = (bind(RECURRENT, Diffusion(shuffle=each)) for each in ("none", "once"))
    before = shuffled.grads(RECURRENT.batch())[0]
    assert relative(before["w_rec"], aligned.grads(RECURRENT.batch())[0]["w_rec"]) > 0.1
    order = shuffled.buffers["permutation"].clone()
    shuffled.buffers["permutation"].copy_(torch.arange(100))
    assert_same(shuffled.grads(RECURRENT.batch())[0], aligned.grads(RECURRENT.batch())[0], 0)
    step = oracle_fields.dense_step(Diffusion().medium(100))
    mixed = step[order][:, order]
    assert relative(torch.linalg.eigvalsh(mixed), torch.linalg.eigvalsh(step)) < EXACT
    assert relative(mixed, step) > 0.1


def test_shuffled_steps_run_online_and_move_on_with_every_batch() -> None:
    """Permutations of every step are the same for reverse, forward and online, and fresh in the next batch."""
    bound, batch = bind(SMALL, Diffusion(shuffle="every step", weights=Frozen(0.3))), SMALL.batch()
    wanted = bound.grads(batch)[0]
    assert_same(bound.grads(batch, execution="forward")[0], wanted)
    stream = bound.stream(SMALL.trials)
    run(stream, batch)
    assert_same(gathered(bound.net), wanted)
    state = bound.state_dict()
    again = bound.grads(batch)[0]
    assert relative(again["w_rec"], wanted["w_rec"]) > 1e-3
    other = bind(SMALL, Diffusion(shuffle="every step", weights=Frozen(0.3)))
    other.load_state_dict(state)
    assert_same(other.grads(batch)[0], again, 0)


def test_cells_at_free_places() -> None:
    """Cells on the sites of a graph, one field in time and one settled, equal dense matrices of the graph."""
    points = torch.rand(12, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(8)) * 3
    space = Graph.of_points(points.tolist(), reach=1.2)
    laplacian = space.laplacian()
    signal = Diffusion(Exponential(0.3, 0.4), space, weights=Frozen(0.3), scattered=False)
    bound = bind(SMALL, signal)
    lags = oracle_fields.taps(
        torch.linalg.matrix_exp(0.3 * laplacian - 0.4 * torch.eye(12, dtype=torch.float64)),
        torch.eye(12, dtype=torch.float64),
        bound.buffers["feedback"],
        SMALL.steps,
    )
    weights, problem = weights_of(bound.net), SMALL.problem()
    learning_signal = (1 - math.exp(-0.4)) * oracle_fields.rates_told(
        lags, oracle_fields.errors_of(SMALL.model(), weights, problem)
    )
    wanted = oracle_fields.gradient_of(SMALL.model(), weights, problem, learning_signal, LEAK_ONLY)
    assert_same(bound.grads(SMALL.batch())[0], wanted)
    settled = bind(SMALL, StationaryDiffusion(Quasistatic(0.3, 0.4), space, weights=Frozen(0.3), scattered=False))
    kernel = 0.4 * torch.linalg.inv(0.4 * torch.eye(12, dtype=torch.float64) - 0.3 * laplacian)
    assert relative(settled.buffers["feedback"], kernel @ settled.buffers["released"]) < EXACT


@pytest.mark.parametrize("source", [Tracked(0.3), Frozen(0.3), Drawn(0.3)], ids=repr)
def test_only_tracked_weights_follow_the_readout(source: Any) -> None:
    """After an update of the readout tracked weights are its own again, through the field too; others stay."""
    for signal in (Sparse(source), StationaryDiffusion(weights=source), Diffusion(weights=source)):
        bound = bind(SMALL, signal)
        before = bound.signal(SMALL.batch())
        put(bound.net, {"w_out": bound.net.w_out.detach() * 1.5})
        bound.follow_weights_()
        fresh = bind(SMALL, signal)
        put(fresh.net, weights_of(bound.net))
        renewed = tca.Learner(fresh.net, fresh.rule, seed=17)
        same = relative(bound.signal(SMALL.batch()), renewed.signal(SMALL.batch())) < EXACT
        assert same == (not isinstance(source, Frozen))
        assert relative(bound.signal(SMALL.batch()), before) > 0.01


def test_how_many_feedback_weights_exist_and_which() -> None:
    """The nearest whole number of all N O, at least one; those of a readout among its own synapses, as they are."""
    readout = torch.randn(3, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    generator = torch.Generator().manual_seed(10)
    for source in (Frozen(0.1), Drawn(0.1), Tracked(0.1)):
        assert int((source.draw(readout, generator) != 0).sum()) == 12
    frozen = Frozen(0.1).draw(readout, generator)
    assert torch.equal(frozen[frozen != 0], readout.T[frozen != 0])
    assert int((Frozen(0.001).draw(readout, generator) != 0).sum()) == 1
    few = readout * (torch.arange(40) < 2)
    assert torch.equal(Frozen(0.1).draw(few, generator), few.T), "a sparse readout is fed back whole"
    assert torch.equal(Frozen(1.0).draw(readout, generator), readout.T)
    drawn = Drawn(1.0, scale=3.0).draw(torch.zeros(50, 200), generator)
    assert float(drawn.var()) * 200 == pytest.approx(9, rel=0.05)
    assert int(Tracked(0.1).draw(torch.zeros(3, 40), generator).sum()) == 12, "a readout of zeros has synapses to come"


def test_a_uniform_broadcast_of_a_softmax_error_vanishes() -> None:
    """Scores of cross-entropy sum to zero over the outputs: no learning signal, but with other weights."""
    batch = SMALL.batch()
    uniform = bind(SMALL, Broadcast(uniform=True))
    scale = float(bind(SMALL, Random()).signal(batch).abs().max())
    assert float(uniform.signal(batch).abs().max()) < EXACT * scale
    full = StationaryDiffusion(Box(0.75), weights=Drawn(1.0))
    uniform_release = bind(SMALL, full)
    uniform_release.buffers["feedback"].fill_(0.3)
    assert float(uniform_release.signal(batch).abs().max()) < EXACT * scale
    assert float(bind(SMALL, Broadcast()).signal(batch).abs().max()) > 0.01 * scale
    squares = replace(SMALL, loss="mse")
    assert float(bind(squares, Broadcast(uniform=True)).signal(squares.batch()).abs().max()) > 0.01 * scale


def test_a_broadcast_tells_all_cells_the_same() -> None:
    """Every row of the feedback is alike; the uniform one holds ``1 / sqrt(N)``, the random ``N(0, 1 / N)``."""
    bound = bind(WIDE, Broadcast())
    errors = oracle_fields.errors_of(WIDE.model(), weights_of(bound.net), WIDE.problem())
    learning_signal = bound.rule.signal.rate_signal(errors, bound.net.populations()[0], bound.buffers)
    assert (
        float((learning_signal - learning_signal[..., :1]).abs().max()) < 1e-15 * float(learning_signal.abs().max()) * 4
    )
    uniform = bind(WIDE, Broadcast(scale=2.0, uniform=True)).buffers["feedback"]
    assert torch.equal(uniform, torch.full((120, 2), 2 / 120**0.5, dtype=torch.float64))
    wide = Population("", (4,), 5000, torch.zeros(1))
    drawn = Broadcast().buffers(wide, torch.Generator().manual_seed(0))["feedback"][0]
    assert float(drawn.var()) * 4 == pytest.approx(1, rel=0.06)


@pytest.mark.parametrize("signal", [StationaryDiffusion(), Diffusion(), Diffusion(release=PerError(0.2))], ids=repr)
def test_single_precision(signal: Any) -> None:
    """Float32 gives what float64 gives to its own precision."""
    exact = bind(WIDE, signal).grads(WIDE.batch())[0]
    found = bind(WIDE, signal, dtype=torch.float32).grads(WIDE.batch().to(dtype=torch.float32))[0]
    assert_same({name: value.double() for name, value in found.items()}, exact, SINGLE)


def test_a_state_carries_a_field_to_another_learner() -> None:
    """Places, weights and permutations travel in the state of a learner."""
    for signal in (StationaryDiffusion(shuffle="once"), Diffusion(shuffle="once", release=PerError(0.3))):
        one, other = (tca.Learner(WIDE.net(), tca.Rule(signal, Leak()), seed=seed) for seed in (1, 2))
        assert relative(one.signal(WIDE.batch()), other.signal(WIDE.batch())) > 0.1
        other.load_state_dict(one.state_dict())
        assert torch.equal(one.signal(WIDE.batch()), other.signal(WIDE.batch()))


def test_what_is_refused() -> None:
    """What does not fit is refused when the signal is made, or when it meets its network."""
    refused: list[tuple[Any, str]] = [
        (lambda: Diffusion(shuffle="onec"), "unknown shuffle 'onec', did you mean 'once'"),
        (lambda: StationaryDiffusion(shuffle="every step"), "needs a field with steps of time: use Diffusion"),
        (lambda: StationaryDiffusion(Box(1.0), gain="raw"), "never settles"),
        (lambda: Diffusion(Box(1.0)), "gain 'unit' needs a field that decays"),
        (lambda: Diffusion(Quasistatic()), "Quasistatic has no steps"),
        (lambda: Diffusion(Explicit(1.0, 0.3, 1.0)), "beyond the bound of positivity .* = 0.232558 ms"),
        (lambda: Diffusion(gain="mass"), "unknown gain 'mass'"),
        (lambda: bind(WIDE, Diffusion(space=Grid((10, 10)))), "space has 100 sites, too few for 120 cells"),
        (lambda: Frozen(0.0), r"fraction of the feedback weights must lie in \(0, 1\], got 0.0"),
        (lambda: Drawn(1.5), "fraction of the feedback weights"),
        (lambda: Drawn(0.5, scale=0.0), "scale must be greater than 0"),
        (lambda: PerError(2.0), "fraction of the cells that release"),
        (lambda: Broadcast(scale=-1.0), "scale must be greater than 0"),
    ]
    for attempt, message in refused:
        with pytest.raises(ValueError, match=message):
            attempt()


def test_time_constants_of_a_step_belong_to_it() -> None:
    """k = 3/4 per ms is nothing per step of the cases: at ten ms the field keeps a twentieth."""
    assert Exponential(dt=DT).kept == pytest.approx(0.75**10, rel=0.01)
    assert Exponential(dt=1.0).kept == pytest.approx(0.75, abs=5e-4)


def test_masked_networks_learn_by_diffusion() -> None:
    """Missing synapses stay without gradient, whatever the field."""
    case = CASES[3]
    for signal in (StationaryDiffusion(weights=Frozen(1.0)), Diffusion(weights=Frozen(1.0))):
        found = bind(case, signal).grads(case.batch())[0]
        for name, key in (("w_in", "mask_in"), ("w_rec", "mask_rec"), ("w_out", "mask_out")):
            assert not found[name][case.options[key] == 0].any()
            assert found[name].any()
