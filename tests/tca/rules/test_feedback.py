"""Facts about rules with feedback weights of their own: random, or following the readout."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch

import tca
from tca.eligibilities import Leak
from tca.signals import Adaptive, Random
from tests.support import oracle
from tests.support.cases import F1, F2, Case, weights_of
from tests.support.oracle import LEAK_ONLY
from tests.support.rows import assert_same, changes, cosine, learner, put, relative, true_gradient

B12 = replace(F2, name="F2 of 12 steps", steps=12)
both_forms = pytest.mark.parametrize("case", [F1, B12], ids=str)


@pytest.mark.parametrize("leak", [0.6, 0.0])
def test_symmetric_rflo_is_eprop_of_the_leaky_rate(leak: float) -> None:
    """With ``F = W_o^T`` RFLO is the stop-gradient of form B, also without any leak (alpha = 1)."""
    case = replace(B12, leak=leak, convention="euler")
    bound = learner(case, tca.RULES["rflo"])
    bound.buffers["feedback"].copy_(bound.net.w_out.t())
    wanted = oracle.gradient(case.model(), weights_of(bound.net), case.problem(), LEAK_ONLY)
    assert_same(bound.grads(case.batch())[0], wanted)
    assert_same(changes(case, "eprop"), wanted)


@pytest.mark.parametrize(("activation", "rank"), [("linear", 2), ("tanh", 20)])
def test_linear_rflo_learns_within_the_rank_of_its_outputs(activation: str, rank: int) -> None:
    """Linear form B, fixed feedback: at no time has ``W - W_0`` a rank above the number of outputs; tanh has."""
    case = Case("rank", form="B", activation=activation, sizes=(2, 20, 2), steps=10, trials=4, seed=31)
    bound = learner(case, tca.RULES["rflo"])
    before = bound.net.w_rec.detach().clone()
    optimizer = torch.optim.SGD(bound.net.parameters(), lr=0.02)
    ranks = []
    for _ in range(40):
        optimizer.zero_grad()
        bound.backward(case.batch())
        optimizer.step()
        ranks.append(int(torch.linalg.matrix_rank(bound.net.w_rec.detach() - before, rtol=1e-10)))
    assert ranks[-1] == max(ranks) == rank


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
def test_kolen_pollack_feedback_converges_to_the_readout(kind: Any) -> None:
    """``F - W_o^T`` is ``(1 - c)^k`` times its first value after k updates, whatever the optimizer."""
    bound = learner(F1, tca.Rule(Adaptive(decay=0.02), Leak()))
    optimizer = kind(bound.net.parameters(), lr=1e-3)
    gap = bound.buffers["feedback"] - bound.net.w_out.detach().t()
    for _ in range(100):
        optimizer.zero_grad()
        bound.backward(F1.batch())
        optimizer.step()
    bound.follow_weights_()
    left = bound.buffers["feedback"] - bound.net.w_out.detach().t()
    assert relative(left, gap * 0.98**100) < 3e-14
    moved = bound.net.w_out.detach().clone()
    bound.follow_weights_()
    bound.backward(F1.batch())
    assert torch.equal(bound.net.w_out.detach(), moved), "without an update nothing decays"


def test_kolen_pollack_decay_acts_on_readout_and_feedback() -> None:
    """An update of the readout by d makes the feedback ``(1 - c)(F + d^T)`` and the readout ``(1 - c)(W_o + d)``."""
    bound = learner(F1, tca.Rule(Adaptive(decay=0.25), Leak()))
    feedback, readout = bound.buffers["feedback"].clone(), bound.net.w_out.detach().clone()
    step = torch.arange(12.0, dtype=torch.float64).view(2, 6)
    put(bound.net, {"w_out": readout + step})
    bound.follow_weights_()
    assert relative(bound.buffers["feedback"], 0.75 * (feedback + step.t())) < 1e-15
    assert relative(bound.net.w_out.detach(), 0.75 * (readout + step)) < 1e-15


@both_forms
def test_feedback_equal_to_the_readout_is_symmetric_eprop(case: Case) -> None:
    """Random-feedback e-prop with ``F = W_o^T`` is symmetric e-prop, bit for bit."""
    bound = learner(case, tca.RULES["eprop_random"])
    bound.buffers["feedback"].copy_(bound.net.w_out.t())
    found, wanted = bound.grads(case.batch())[0], changes(case, "eprop")
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_random_feedback_is_not_aligned_before_learning() -> None:
    """Over draws of the feedback the mean cosines to BPTT and to e-prop are near zero; entries are ``N(0, 1 / N)``."""
    wide = Case("wide", sizes=(3, 40, 2), seed=32)
    learners = [tca.Learner(wide.net(), tca.RULES["eprop_random"], seed=seed) for seed in range(200)]
    found = [each.grads(wide.batch())[0]["w_rec"] for each in learners]
    for other in (true_gradient(wide)["w_rec"], changes(wide, "eprop")["w_rec"]):
        cosines = torch.tensor([cosine(each, other) for each in found])
        assert abs(float(cosines.mean())) < 4 * float(cosines.std()) / 200**0.5
        assert float(cosines.std()) > 0.05
    draws = torch.stack([each.buffers["feedback"] for each in learners])
    assert float(draws.var()) * 40 == pytest.approx(1, abs=0.05)
    scaled = tca.Learner(wide.net(), tca.Rule(Random(scale=3.0), Leak()), seed=0).buffers["feedback"]
    assert relative(scaled, 3 * draws[0]) < 1e-15


def test_adaptive_feedback_resumes_where_it_was() -> None:
    """Network, optimizer and learner restored from their states go on bit for bit; a wrong state is refused."""

    def steps(bound: tca.Learner, optimizer: torch.optim.Optimizer, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            bound.backward(F1.batch())
            optimizer.step()

    bound = learner(F1, tca.RULES["eprop_adaptive"])
    optimizer = torch.optim.SGD(bound.net.parameters(), lr=0.05, momentum=0.9)
    steps(bound, optimizer, 3)
    state, weights, memory = bound.state_dict(), weights_of(bound.net), deepcopy(optimizer.state_dict())
    steps(bound, optimizer, 3)
    other = tca.Learner(F1.net(), tca.RULES["eprop_adaptive"], seed=99)
    put(other.net, weights)
    other.load_state_dict(state)
    resumed = torch.optim.SGD(other.net.parameters(), lr=0.05, momentum=0.9)
    resumed.load_state_dict(memory)
    steps(other, resumed, 3)
    assert_same(weights_of(other.net), weights_of(bound.net), 0)
    assert_same(other.state_dict(), bound.state_dict(), 0)
    with pytest.raises(ValueError, match="state must hold"):
        other.load_state_dict({"feedback": state["feedback"]})


def test_feedback_is_not_drawn_as_weights_are() -> None:
    """From one seed, with as many inputs as outputs, input weights and feedback are not the same numbers."""
    net = tca.nets.LeakyRNN(3, 200, 3, seed=4)
    feedback = tca.Learner(net, tca.RULES["eprop_random"], seed=4).buffers["feedback"]
    together = torch.stack([net.w_in.detach().flatten(), feedback.flatten()])
    assert abs(float(torch.corrcoef(together)[0, 1])) < 0.15
