"""The contracts of every rule, and of every signal paired with every eligibility, on every network of the cases."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import tca
from tca.conformance.properties import horizons, permuted, reads_other_synapses
from tca.eligibilities import Eligibility, Instant, Leak
from tca.execution import EXECUTIONS
from tca.signals import Direct, Exact, Horizon, InstantSignal, Signal
from tests.support import oracle
from tests.support.cases import CASES, F1, F2, LOSS_CASES, Case, mask, some_cases, tau, weights_of
from tests.support.padding import alone, appended, problem
from tests.support.rows import (
    COUPLED,
    ELIGIBILITIES,
    ELIGIBILITIES_ELSEWHERE,
    ELSEWHERE,
    ROWS,
    SAME_GRADIENT,
    SIGNALS,
    SIGNALS_ELSEWHERE,
    STOCHASTIC,
    Arbitrary,
    assert_same,
    composed,
    learner,
    matrix_of,
    put,
    recombined,
    relative,
    surgery,
    true_gradient,
)

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_rule = pytest.mark.parametrize("name", ROWS)
TANH = [replace(F1, steps=14), replace(F2, steps=14)]
APART = {"cell_types": torch.tensor([0, 1, 1, 0, 1, 0, 0, 1, 0, 1]), "dale": (1, -1), "mask_rec": mask(11, 10, 10)}
LONG = [
    replace(each, name=f"long-{each.form}", sizes=(3, 10, 2), steps=30, leak=0.9, options=dict(each.options) | APART)
    for each in (F1, F2)
]


def in_turn(*groups: list[Case]) -> pytest.MarkDecorator:
    """Pair every signal with every eligibility on one case of each group, so that every part meets every case."""
    pairs = [
        pytest.param(case, signal, eligibility, id=f"{eligibility!r}-{signal!r}-{case}")
        for one, eligibility in enumerate(ELIGIBILITIES)
        for other, signal in enumerate(SIGNALS)
        for case in (cases[(one + other) % len(cases)] for cases in groups)
    ]
    return pytest.mark.parametrize(("case", "signal", "eligibility"), pairs)


def concrete(module: Any, base: type) -> set[type]:
    """Return the classes of a package that can be used as they are."""
    found = {each for _, each in inspect.getmembers(module, inspect.isclass) if issubclass(each, base)}
    return {each for each in found if not inspect.isabstract(each)}


def test_every_rule_has_its_row() -> None:
    """No rule enters the library's table without entering the tests' table; each cites its paper."""
    assert ROWS.keys() | ELSEWHERE.keys() | STOCHASTIC == tca.RULES.keys()
    for name, rule in tca.RULES.items():
        assert rule.summary
        assert rule.reference
        assert rule.form == (ROWS[name].form if name in ROWS else None)
        assert rule == tca.Rule(rule.signal, rule.eligibility), "what is said about a rule does not count"


def test_every_part_has_its_row() -> None:
    """No signal and no eligibility enters the library without entering the recombinations that are tried here."""
    assert {type(signal) for signal in SIGNALS} | SIGNALS_ELSEWHERE == concrete(tca.signals, Signal)
    named = {type(each) for each in ELIGIBILITIES} | ELIGIBILITIES_ELSEWHERE
    assert named == concrete(tca.eligibilities, Eligibility)


@pytest.mark.parametrize(("name", "words"), ELSEWHERE.items())
def test_rules_of_other_networks_are_refused(name: str, words: str) -> None:
    """A rule that needs another network says so when it is bound."""
    with pytest.raises(ValueError, match=words):
        learner(CASES[0], tca.RULES[name])


@pytest.mark.thirds
@each_case
@each_rule
def test_rule_equals_its_surgery(case: Case, name: str) -> None:
    """Both executions of every rule equal autograd on a network with the rule's paths cut by hand."""
    bound = learner(case, tca.RULES[name])
    found, info = bound.grads(case.batch())
    wanted = ROWS[name].answer(case.model(), weights_of(bound.net), case.problem(), matrix_of(bound))
    assert_same(found, wanted)
    assert_same(bound.grads(case.batch(), execution="forward")[0], wanted)
    outputs = oracle.outputs(case.model(), weights_of(bound.net), case.problem().inputs)
    assert relative(info.outputs, outputs) < 1e-13
    assert relative(info.loss, case.problem().value(outputs)) < 1e-13


@pytest.mark.thirds
@in_turn([CASES[1], CASES[6], CASES[2], CASES[7], CASES[3]])
def test_recombination_equals_its_traces(case: Case, signal: Signal, eligibility: Eligibility) -> None:
    """Every signal with every eligibility, named or not, is ``sum_t L_t e_t`` with the oracle's signal and traces."""
    bound = composed(case, signal, eligibility)
    learning_signal, wanted = recombined(
        signal, eligibility, case.model(), weights_of(bound.net), case.problem(), matrix_of(bound)
    )
    shown = bound.signal(case.batch())
    if bound.net.s_0 is None:
        assert not shown[0].any()
        learning_signal = torch.cat([torch.zeros_like(learning_signal[:1]), learning_signal[1:]])
    assert relative(shown, learning_signal) < 1e-12
    assert_same(bound.grads(case.batch(), execution="reverse")[0], wanted)
    assert_same(bound.grads(case.batch(), execution="forward")[0], wanted)


@pytest.mark.thirds
@some_cases(
    [tca.Rule(one, other) for other in ELIGIBILITIES for one in SIGNALS if isinstance(one, (InstantSignal, Direct))], 2
)
def test_instant_signals_equal_surgery(case: Case, part: tca.Rule) -> None:
    """A signal without later error is a detached path per eligibility and a swapped backward pass of the readout."""
    bound = learner(case, part)
    answer = surgery(ELIGIBILITIES[part.eligibility], feedback=True)
    wanted = answer(case.model(), weights_of(bound.net), case.problem(), matrix_of(bound))
    assert_same(bound.grads(case.batch())[0], wanted)


@pytest.mark.thirds
@each_case
@pytest.mark.parametrize("kind", [*ELIGIBILITIES, "random"], ids=repr)
def test_every_eligibility_has_an_exact_signal(case: Case, kind: Eligibility | str) -> None:
    """With the signal made to fit it, any propagator gives the true gradient, a random one included."""
    n_rec, generator = case.sizes[1], torch.Generator().manual_seed(3)
    drawn = torch.randn(case.steps, case.trials, n_rec, n_rec, dtype=torch.float64, generator=generator) / n_rec**0.5
    eligibility = kind if isinstance(kind, Eligibility) else Arbitrary(0.7 * drawn)
    bound = learner(case, tca.Rule(Exact(), eligibility))
    assert_same(bound.grads(case.batch())[0], true_gradient(case))
    assert_same(bound.grads(case.batch(), execution="forward")[0], true_gradient(case), 3e-12)


@pytest.mark.thirds
@in_turn([CASES[4], CASES[8]])
def test_windows_of_the_cache_leave_no_seam(
    case: Case, signal: Signal, eligibility: Eligibility, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reverse execution goes through a trial in pieces, whose length must not matter."""
    bound = composed(case, signal, eligibility)
    whole, learning_signal = bound.grads(case.batch())[0], bound.signal(case.batch())
    for length in (1, 5):
        monkeypatch.setattr("tca.tape.tape.WINDOW_BYTES", length * case.trials * case.sizes[1] * 8)
        assert len(list(bound.tape(case.batch()).windows())) == -(-case.steps // length) + 1
        assert_same(bound.grads(case.batch())[0], whole)
        assert relative(bound.signal(case.batch()), learning_signal) < 1e-12, length


@pytest.mark.parametrize("case", LONG, ids=str)
def test_rules_differ(case: Case) -> None:
    """Approximate rules differ from the true gradient, and from one another, by more than a hundredth."""
    found = {
        name: learner(case, rule).grads(case.batch())[0]["w_rec"] for name, rule in tca.RULES.items() if name in ROWS
    }
    for name, row in ROWS.items():
        error = relative(found[name], true_gradient(case)["w_rec"])
        assert error < 1e-12 if row.true_gradient else error > 1e-2, name
        for other in ROWS:
            alike = name == other or any({name, other} <= group for group in SAME_GRADIENT)
            apart = relative(found[name], found[other])
            near = 1e-2 if "dni" in (name, other) else 1e-10  # its estimate has learned from the batch
            assert apart < near if alike else apart > 1e-2, (name, other)


@pytest.mark.thirds
@pytest.mark.parametrize("case", TANH, ids=str)
@pytest.mark.parametrize("part", [*ROWS, *(tca.Rule(each, Leak()) for each in SIGNALS)], ids=str)
def test_declared_horizon_holds(case: Case, part: str | tca.Rule) -> None:
    """Targets after the horizon leave a signal as it was, bit for bit; the last target within it does not."""
    rule = tca.RULES[part] if isinstance(part, str) else part
    if isinstance(part, str):
        assert rule.signal.horizon == ROWS[part].horizon
    bound, batch = learner(case, rule), case.batch()
    found = list(horizons(bound, batch))
    assert [each.step for each in found] == list(range(1, case.steps + 1))
    assert not any(each.beyond for each in found)
    assert all(each.within for each in found)


@pytest.mark.thirds
@pytest.mark.parametrize("case", TANH, ids=str)
@pytest.mark.parametrize("part", [*ROWS, *(tca.Rule(each, Instant()) for each in SIGNALS)], ids=str)
def test_declared_locality_holds(case: Case, part: str | tca.Rule) -> None:
    """Local rules give the same bits whatever the synapses between other cells are once the activity is known."""
    rule = tca.RULES[part] if isinstance(part, str) else part
    if isinstance(part, str):
        assert rule.local == ROWS[part].local
    bound = learner(case, rule)
    for reads in reads_other_synapses(bound, case.batch()):  # Horizon(0): no later error returns through a synapse
        assert reads != (rule.local or rule.signal == Horizon(0))


@pytest.mark.thirds
@pytest.mark.parametrize("case", [CASES[1], CASES[6], CASES[8]], ids=str)
@each_rule
def test_permuting_cells_permutes_the_change(case: Case, name: str) -> None:
    """Cells have no names: the same network in another order learns the same."""
    order = torch.randperm(case.sizes[1], generator=torch.Generator().manual_seed(5))
    bound = learner(case, tca.RULES[name])
    of_cells = {key: each for key, each in case.options.items() if isinstance(each, torch.Tensor)}
    options = {**case.options, **permuted(of_cells, order)}
    other_case = replace(case, leak=tuple(case.leaks()[order].tolist()), options=options)
    other = learner(other_case, tca.RULES[name])
    put(other.net, permuted(weights_of(bound.net), order))
    other.load_state_dict(permuted(bound.state_dict(), order, single=("correlation",)))
    assert_same(other.grads(case.batch())[0], permuted(bound.grads(case.batch())[0], order))


@each_rule
def test_same_seed_same_bits(name: str) -> None:
    """Two learners made alike give the same bits; another seed changes what is drawn and nothing else."""
    case = CASES[1]
    first, second = (learner(case, tca.RULES[name]).grads(case.batch())[0] for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    rule = tca.RULES[name]
    other = tca.Learner(case.net(), tca.Rule(rule.signal, rule.eligibility), seed=18).grads(case.batch())[0]
    draws = bool(
        {"feedback", "backward", "correlation", "local_readout"} & learner(case, tca.RULES[name]).buffers.keys()
    )
    assert torch.equal(other["w_rec"], first["w_rec"]) != draws
    assert torch.equal(other["w_out"], first["w_out"])


@pytest.mark.thirds
@some_cases(ROWS, 4)
def test_single_precision_is_close(case: Case, part: str) -> None:
    """Float32 gives what float64 gives, to its own precision."""
    exact = learner(case, tca.RULES[part]).grads(case.batch())[0]
    bound, batch = learner(case, tca.RULES[part], dtype=torch.float32), case.batch().to(dtype=torch.float32)
    for execution in EXECUTIONS:
        found = bound.grads(batch, execution=execution)[0]
        assert all(value.dtype == torch.float32 for value in found.values())
        assert_same({key: value.double() for key, value in found.items()}, exact, 1e-4)


@pytest.mark.cuda
@each_case
@each_rule
def test_gpu_equals_cpu(case: Case, name: str) -> None:
    """A GPU gives what the CPU gives, in both executions and both precisions."""
    wanted = learner(case, tca.RULES[name]).grads(case.batch())[0]
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        bound = learner(case, tca.RULES[name], dtype=dtype, device="cuda")
        batch = case.batch().to(device="cuda", dtype=dtype)
        for execution in EXECUTIONS:
            found = bound.grads(batch, execution=execution)[0]
            assert_same({key: value.cpu().double() for key, value in found.items()}, wanted, tolerance)


@pytest.mark.thirds
@pytest.mark.parametrize(
    ("name", "execution"), [(name, each) for name, rule in tca.RULES.items() for each in rule.executions]
)
def test_padding_changes_nothing(name: str, execution: Any) -> None:
    """Steps without weight after the end of trials change no gradient; without padding each trial gives its part."""
    net, batch = problem(name)

    def found(trials: tca.Batch) -> dict[str, torch.Tensor]:
        bound = tca.Learner(net, tca.RULES[name], seed=17)
        if "expected" in bound.buffers:
            bound.buffers["expected"].fill_(1e-3)  # a kind of trial that has been met
        return bound.grads(trials, execution=execution)[0]

    whole = found(batch)
    assert whole["w_rec"].any()
    for steps in (1, 9):
        assert_same(found(appended(batch, steps)), whole)
    if name not in COUPLED:
        parts = [found(alone(batch, trial)) for trial in range(batch.trials) if batch.trial_lengths[trial]]
        assert len(parts) == batch.trials - 1
        assert_same({key: sum(part[key] for part in parts) / batch.trials for key in whole}, whole)  # type: ignore[misc]


def test_every_parameter_belongs_to_one_connection() -> None:
    """A parameter that no connection owns, or two do, is refused when the learner is built."""
    for case in CASES:
        net = case.net()
        owned = [connection.name for connection in net.connections()]
        assert sorted(owned) == sorted(name for name, _ in net.named_parameters())
    orphan = F1.net()
    orphan.stray = nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match="'stray' belongs to 0 connections"):
        tca.Learner(orphan, tca.RULES["eprop"])
    shared = F1.net()
    shared.b = shared.s_0
    with pytest.raises(ValueError, match="belongs to 2 connections"):
        tca.Learner(shared, tca.RULES["eprop"])


def test_cases_reach_what_they_claim() -> None:
    """The cases hold every activation in both forms, every loss, both leaks, filters, masks, initial states."""
    nets = [case.net() for case in CASES]
    assert {(case.form, case.activation) for case in CASES} == {(f, a) for f in "AB" for a in oracle.ACTIVATIONS}
    assert {case.loss for case in [*CASES, *LOSS_CASES]} == set(tca.losses.LOSSES)
    assert {case.convention for case in CASES} == {"exponential", "euler"}
    for flag in ("readout_leak", "s_0", "mask_in", "mask_rec", "mask_out"):
        assert {bool(isinstance(value, torch.Tensor) or value) for net in nets for value in [getattr(net, flag)]} == {
            True,
            False,
        }
    assert tau(0.6) == pytest.approx(19.576, abs=1e-3)
