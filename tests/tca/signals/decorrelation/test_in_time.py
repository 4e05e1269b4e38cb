"""Decorrelation of a score and earlier activity: which pairs are allowed, and the forms in time against their traces.

Shapes: T time, B batch. Everything is float64.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Diagonal, Leak
from tca.losses import MSE
from tca.nets import MLP
from tca.signals import Decay, Decorrelation, Filtered, Lagged
from tca.signals.decorrelation.observables import Polynomial
from tests.support import oracle, oracle_decorrelation
from tests.support.cases import F2, weights_of
from tests.tca.signals.decorrelation.test_decorrelation import EXACT, F64, bound, normal
from tests.tca.test_stacks import distance


def test_only_past_activity_meets_a_score() -> None:
    """A target that is the next input leaves no correlation; one that was the last input leaves one at lag one."""
    net = MLP(1, [1], 1, activation="linear", bias=False, dtype=F64)
    with torch.no_grad():
        net.w_1.fill_(1.0)
        net.w_out.zero_()
    x = normal(3, 4, 100_000, 1)
    weights = torch.zeros(3, 100_000, dtype=F64)
    weights[1] = 1
    found = {}
    for name, targets in (("next", x[1:]), ("last", torch.cat([x[:1], x[:2]]))):
        learner = bound(net, Decorrelation(Decay(0.0), reach=Lagged(1)))
        learner.backward(tca.Batch(x[:3], targets, weights, MSE()))
        found[name] = learner.buffers["hidden_1.correlation"][0]
    assert found["next"].abs().max() < 0.02
    assert abs(float(found["last"][0])) < 0.02
    assert float(found["last"][1]) == pytest.approx(-1, abs=0.02)
    assert float((x[2] * -x[2]).mean()) == pytest.approx(-1, abs=0.02), "activity after the score would be correlated"


F2_SIGNALS = {
    "same step": Decorrelation(Decay(0.9)),
    "kappa 0": Decorrelation(Decay(0.9), observable=Polynomial((1.0, 0.0, 1.0)), reach=Filtered((0.0,))),
    "kappa 0.7": Decorrelation(Decay(0.9), observable=Polynomial((1.0, 0.0, 1.0)), reach=Filtered((0.7,))),
}
F2_CASE = replace(F2, sizes=(3, 5, 2), steps=6, leak=0.7, trials=3)


@pytest.mark.parametrize("signal", F2_SIGNALS.values(), ids=F2_SIGNALS)
@pytest.mark.parametrize(
    ("eligibility", "cut"), [(Leak(), oracle.LEAK_ONLY), (Diagonal(), oracle.LEAK_AND_OWN)], ids=["leak", "diagonal"]
)
def test_traces_of_filtered_activity(signal: Decorrelation, eligibility: Any, cut: oracle.Surgery) -> None:
    """The change is ``sum_t q_t E_t`` with ``E_t = kappa E_{t-1} + g'(z_t) e_t``, carried forwards, and autograd's."""
    net, batch, model, problem = F2_CASE.net(), F2_CASE.batch(), F2_CASE.model(), F2_CASE.problem()
    learner = bound(net, signal, eligibility)
    weights, matrix = weights_of(net), learner.buffers["correlation"]
    found = learner.grads(batch)[0]
    wanted = oracle_decorrelation.gradient(signal, model, weights, problem, matrix, cut)
    for name in ("w_rec", "w_in", "b"):
        assert float((found[name] - wanted[name]).norm() / wanted[name].norm()) < EXACT
    rtrl = oracle_decorrelation.gradient(signal, model, weights, problem, matrix, oracle.WHOLE)
    assert float((found["w_rec"] - rtrl["w_rec"]).norm() / rtrl["w_rec"].norm()) > 0.1
    assert torch.allclose(found["w_rec"], online(learner, batch, isinstance(eligibility, Diagonal)), rtol=1e-10)


def online(learner: tca.Learner, batch: tca.Batch, own: bool) -> Tensor:
    """The change of the recurrent weights by traces of a tanh network with the leak on the rate, step by step."""
    signal, net = learner.rule.signal, learner.net
    assert isinstance(signal, Decorrelation)
    kappa = signal.reach.kappas[0] if isinstance(signal.reach, Filtered) else 0.0
    cubic = isinstance(signal.observable, Polynomial)
    state = {name: each.clone() for name, each in learner.buffers.items()}
    signal.update_statistics_(learner.tape(batch), state)
    rate = torch.zeros(batch.trials, 5, dtype=F64)
    trace = torch.zeros(batch.trials, 5, 5, dtype=F64)
    remembered, change = torch.zeros_like(trace), torch.zeros(5, 5, dtype=F64)
    w_rec, w_in, b, w_out, b_out = (net.get_parameter(n).detach() for n in ("w_rec", "w_in", "b", "w_out", "b_out"))
    for t in range(batch.steps):
        active = torch.tanh(rate @ w_rec.T + batch.inputs[t] @ w_in.T + b)
        kept = 0.7 + 0.3 * (1 - active**2) * w_rec.diagonal() * float(own)
        trace = kept.unsqueeze(-1) * trace + 0.3 * ((1 - active**2).unsqueeze(-1) * rate.unsqueeze(1))
        rate = 0.7 * rate + 0.3 * active
        remembered = kappa * remembered + (3 * rate**2 + 1 if cubic else torch.ones_like(rate)).unsqueeze(-1) * trace
        score = (rate @ w_out.T + b_out - batch.targets[t]) * batch.weights[t].unsqueeze(-1) / batch.trials
        change += torch.einsum("bi,bij->ij", score @ state["correlation"].T, remembered)
    return change


def test_forms_in_time_agree_where_they_must() -> None:
    """No memory is the same step; lags without correlation but the first are the same step; several kappas add up."""
    net, batch = F2_CASE.net(), F2_CASE.batch()
    batch.weights[:-1] = 0
    step = bound(net, Decorrelation(Decay(0.9)), Leak())
    wanted, start = step.grads(batch)[0], step.buffers["correlation"]
    same = bound(net, Decorrelation(Decay(0.9), reach=Filtered((0.0,))), Leak())
    assert distance(same.grads(batch)[0], wanted) < EXACT
    lagged = bound(net, Decorrelation(Decay(1.0), reach=Lagged(5)), Leak())
    lagged.buffers["correlation"].zero_()[:, :2] = start
    still = bound(net, Decorrelation(Decay(1.0)), Leak())
    assert distance(lagged.grads(batch)[0], still.grads(batch)[0]) < EXACT
    pair = bound(net, Decorrelation(Decay(0.9), reach=Filtered((0.3, 0.7))), Leak())
    total = torch.zeros_like(net.w_rec)
    for index, kappa in enumerate((0.3, 0.7)):
        one = bound(net, Decorrelation(Decay(0.9), reach=Filtered((kappa,))), Leak())
        one.buffers["correlation"].copy_(pair.buffers["correlation"][:, 2 * index : 2 * index + 2])
        total += one.grads(batch)[0]["w_rec"]
    assert torch.allclose(pair.grads(batch)[0]["w_rec"], total, rtol=1e-10, atol=1e-13)
