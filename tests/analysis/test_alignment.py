"""Alignment against the oracle's gradients and against signals taken from autograd's own adjoint."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import tca
from analysis import alignment, broadcasting, curvature, rates
from analysis.alignment import Match
from tasks.trials import TrialSet
from tests.support import oracle
from tests.support.cases import CASES, F1, Case, weights_of
from tests.support.rows import ROWS
from tests.support.same import assert_same

CASE = Case("alignment", sizes=(3, 7, 2), trials=4)
RECURRENT = ("w_in", "w_rec", "b")
SURGERY = {
    "bptt": oracle.WHOLE,
    "eprop": oracle.LEAK_ONLY,
    "snap1": oracle.LEAK_AND_OWN,
    "three_factor": oracle.NOTHING,
}


def join(gradients: oracle.Weights, names: tuple[str, ...] = RECURRENT) -> Tensor:
    return torch.cat([gradients[name].flatten() for name in names])


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("rule", ["eprop", "snap1", "three_factor"])
def test_matches_are_those_of_the_oracles_gradients(case: Case, rule: str) -> None:
    net = case.net()
    names = tuple(name for name in weights_of(net) if name not in ("w_out", "b_out"))
    true, approximate = (
        oracle.gradient(case.model(), weights_of(net), case.problem(), SURGERY[each]) for each in ("bptt", rule)
    )
    found = alignment(net, case.batch(), rule)[rule]
    for match, gh, g in [
        (found.recurrent, join(approximate, names), join(true, names)),
        *((found.parameters[name], approximate[name].flatten(), true[name].flatten()) for name in true),
    ]:
        cosine = (gh @ g / (gh.norm() * g.norm())).item()  # no direction where a rule does not reach a parameter
        assert match.cosine == pytest.approx(cosine, abs=1e-10, nan_ok=True)
        assert match.norm_ratio == pytest.approx((gh.norm() / g.norm()).item(), rel=1e-10, nan_ok=True)
        assert match.rho == pytest.approx((gh @ g / g.norm() ** 2).item(), abs=1e-10, nan_ok=True)
    assert found.parameters["w_out"].cosine == pytest.approx(1.0, abs=1e-12)
    assert found.parameters["w_out"].norm_ratio == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_backpropagation_matches_itself_exactly(case: Case) -> None:
    found = alignment(case.net(), case.batch(), ["bptt", "rtrl"])
    gradients = oracle.gradient(case.model(), weights_of(case.net()), case.problem())
    for name, match in found["bptt"].parameters.items():
        assert match == Match(1.0, 1.0, 1.0) or not gradients[name].any()  # one step reaches no recurrent weight
    assert found["bptt"].recurrent == Match(1.0, 1.0, 1.0)
    assert found["bptt"].dropped == 0.0
    assert found["rtrl"].recurrent.cosine == pytest.approx(1.0, abs=1e-12)
    assert found["rtrl"].dropped < 1e-12
    assert found.loss == pytest.approx(
        case.problem().value(oracle.outputs(case.model(), weights_of(case.net()), case.problem().inputs)).item(),
        rel=1e-12,
    )


def adjoint_and_direct(case: Case, net: tca.nets.LeakyRNN) -> tuple[Tensor, Tensor]:
    """Derivatives of the loss by the states of the steps 1 to T: all of it, and what goes through the readout alone."""
    model, weights, problem = case.model(), weights_of(net), case.problem()
    states = [oracle.start(weights, model, problem.inputs.shape[1])]
    for x in problem.inputs:
        states.append(model.step(weights, states[-1].requires_grad_(), x))
    rates = [model.rate(state) for state in states[1:]]
    loss = problem.value(oracle.readout(model, weights, rates))
    adjoint = torch.stack(torch.autograd.grad(loss, states[1:], retain_graph=True))
    per_rate = oracle.direct_errors(model, weights, problem)
    direct = [
        torch.autograd.grad(rate, state, error, retain_graph=True)[0]
        for rate, state, error in zip(rates, states[1:], per_rate, strict=True)
    ]
    return adjoint, torch.stack(direct)


@pytest.mark.parametrize(
    "case", [CASE, replace(CASE, form="B"), replace(CASE, readout_leak=0.5)], ids=["A", "B", "filtered"]
)
def test_the_dropped_term_is_the_signal_that_eprop_lacks(case: Case) -> None:
    net = case.net()
    adjoint, direct = adjoint_and_direct(case, net)
    later = torch.cat([adjoint[1:], torch.zeros_like(adjoint[:1])])
    exact = adjoint - case.leaks() * later  # for the trace of e-prop
    found = alignment(net, case.batch(), ["eprop", "three_factor"])
    assert found["eprop"].dropped == pytest.approx(((exact - direct).norm() / exact.norm()).item(), rel=1e-10)
    assert found["three_factor"].dropped == pytest.approx(
        ((adjoint - direct).norm() / adjoint.norm()).item(), rel=1e-10
    )
    assert found["eprop"].dropped > 0.01


def test_without_recurrent_weights_eprop_drops_nothing() -> None:
    net = CASE.net()
    with torch.no_grad():
        net.w_rec.zero_()
    found = alignment(net, CASE.batch(), ["eprop", "three_factor"])
    assert found["eprop"].dropped < 1e-12
    assert found["eprop"].recurrent.rho == pytest.approx(1.0, rel=1e-12)
    assert found["three_factor"].dropped > 0.1


def test_without_leak_the_gradient_at_the_last_step_is_an_outer_product() -> None:
    case = replace(CASE, leak=0.0, trials=1)
    net, batch = case.net(), case.batch()
    weights = torch.zeros_like(batch.weights)
    weights[-1] = 1.0
    batch = replace(batch, weights=weights)
    model, values = case.model(), weights_of(net)
    states = oracle.states(model, values, batch.inputs)
    error = oracle.outputs(model, values, batch.inputs)[-1] - batch.targets[-1]
    outer = ((1 - torch.tanh(states[-1]) ** 2) * (error @ values["w_out"])).T @ torch.tanh(states[-2])
    for rule in ("eprop", "three_factor"):
        gradients, _ = tca.Learner(net, tca.RULES[rule]).grads(batch)
        assert (gradients["w_rec"] - outer).norm() < 1e-12 * outer.norm()
    found = alignment(net, batch, ["eprop", "three_factor", "bptt"])
    assert found["eprop"].recurrent.rho == pytest.approx(found["three_factor"].recurrent.rho, rel=1e-12)
    assert found["bptt"].recurrent.rho == 1.0


def test_a_learner_is_measured_with_the_feedback_it_has() -> None:
    net, batch = CASE.net(), CASE.batch()
    learner = tca.Learner(net, tca.RULES["eprop_random"], seed=0)
    fresh = alignment(net, batch, ["eprop_random", tca.RULES["eprop_random"], "eprop_random"])
    assert [each.name for each in fresh.rules] == ["eprop_random", "eprop_random #2", "eprop_random #3"]
    assert fresh.rules[0].recurrent == fresh.rules[1].recurrent
    assert alignment(net, batch, ["eprop_random"], seed=1).rules[0].recurrent != fresh.rules[0].recurrent
    with torch.no_grad():
        learner.buffers["feedback"].copy_(net.w_out.t())
    aligned = alignment(net, batch, [learner, "eprop"])
    assert aligned.rules[0].recurrent.cosine == pytest.approx(aligned["eprop"].recurrent.cosine, abs=1e-12)
    assert aligned.rules[0].dropped == pytest.approx(aligned["eprop"].dropped, rel=1e-12)


def test_nothing_is_changed() -> None:
    net, batch = Case("noisy", options={"noise": 0.3}).net(), CASE.batch()
    net.w_rec.grad = torch.ones_like(net.w_rec)
    learner = tca.Learner(net, tca.RULES["eprop_adaptive"])
    before = {name: value.clone() for name, value in (net.state_dict() | learner.state_dict()).items()}
    state = torch.get_rng_state()
    one, again = (alignment(net, batch, [learner, "eprop_random", "eprop"]) for _ in range(2))
    assert one == again
    assert torch.equal(state, torch.get_rng_state())
    after = net.state_dict() | learner.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert torch.equal(net.w_rec.grad, torch.ones_like(net.w_rec))
    assert net.b.grad is None


def test_a_gradient_of_zero_has_no_direction() -> None:
    batch = CASE.batch()
    found = alignment(CASE.net(), replace(batch, weights=torch.zeros_like(batch.weights)), ["eprop", "bptt"])
    assert all(math.isnan(value) for value in vars(found["eprop"].recurrent).values())
    assert math.isnan(found["bptt"].dropped)
    assert found.gradient_norm == 0.0
    assert "nan" in str(found)


def test_the_table_has_a_row_for_every_rule() -> None:
    rules = [name for name in ROWS if name != "rflo"]  # which needs the other form
    lines = str(alignment(F1.net(), F1.batch(), rules)).splitlines()
    assert [line.split()[0] for line in lines] == ["rule", *rules]
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split()[1:5] == ["1.0000", "1.0000", "1.0000", "0.0000"]


def test_mistakes_are_named() -> None:
    net, batch = F1.net(), F1.batch()
    with pytest.raises(ValueError, match=r"unknown rule 'epropp', did you mean 'eprop'\?"):
        alignment(net, batch, ["bptt", "epropp"])
    with pytest.raises(ValueError, match="rules must hold at least one rule"):
        alignment(net, batch, [])
    with pytest.raises(ValueError, match="of the network that is measured"):
        alignment(net, batch, [tca.Learner(F1.net(), tca.RULES["bptt"])])
    with pytest.raises(ValueError, match=r"inputs must have shape \(T, B, 3\)"):
        alignment(net, replace(batch, inputs=batch.inputs[..., :1]), "bptt")
    with pytest.raises(ValueError, match=r"unknown rule 'eprpo'"):
        alignment(net, batch, "eprop")["eprpo"]


def test_trials_are_a_batch_or_a_fixed_set_in_any_type() -> None:
    """What ``curvature`` takes, every measure takes."""
    net, batch = CASE.net(), CASE.batch()
    fixed = TrialSet(batch.to(dtype=torch.float32))
    again = batch.to(dtype=torch.float32).to(dtype=torch.float64)
    assert_same(alignment(net, fixed, "eprop"), alignment(net, again, "eprop"))
    assert torch.equal(rates(net, fixed), net.run(again.inputs).rate[1:])
    assert torch.equal(rates(net, again), rates(net, again.inputs.float()))
    assert rates(net.float(), batch).dtype == torch.float32
    learner = tca.Learner(CASE.net(), tca.RULES["ebd"])
    assert_same(broadcasting(learner, fixed), broadcasting(learner, again))

    class Drawn:
        def batch(self) -> tca.Batch:
            return replace(batch, inputs=torch.randn(batch.inputs.shape, generator=generator, dtype=torch.float64))

    generator = torch.Generator().manual_seed(0)
    for call in (
        lambda trials: alignment(CASE.net(), trials, "eprop"),
        lambda trials: rates(CASE.net(), trials),
        lambda trials: broadcasting(learner, trials),
        lambda trials: curvature(CASE.net(), trials),
    ):
        with pytest.raises(TypeError, match=r"trials must be a .*Batch"):
            call([batch])
        with pytest.raises(ValueError, match="trials must be fixed"):
            call(Drawn())
