"""Diagnostics of broadcast rules against numbers by hand."""

from __future__ import annotations

import math

import pytest
import torch

import tca
from analysis.broadcast import CollapseWarning, broadcasting, effective_rank
from tca.eligibilities import Instant
from tca.regularisers import Power
from tca.signals import Decay, Decorrelation, Regularised
from tests.test_populations import FEEDFORWARD, autograd, batch_of


def test_numbers_of_every_layer() -> None:
    """Norms, what is left of the start, activity, and the match with the gradient."""
    net = FEEDFORWARD["mlp"]()
    with torch.no_grad():
        net.get_parameter("b_1")[0] = -100.0
    batch = batch_of(net, steps=1, trials=8)
    learner = tca.Learner(net, tca.Rule(Regularised(Decorrelation(Decay(0.9)), (Power(),)), Instant()))
    start = learner.state_dict()
    for _ in range(3):
        learner.backward(batch)
    found = broadcasting(learner, batch, start=start, updates=3)
    assert [each.name for each in found.layers] == ["hidden_1", "hidden_2"]
    rates = [tape.rate[1:].flatten(0, 1) for tape in reversed(net.run(batch.inputs).levels)]
    change, true = learner.grads(batch)[0], autograd(net, batch)
    for number, (each, rate) in enumerate(zip(found.layers, rates, strict=True), 1):
        name = f"hidden_{number}.correlation"
        assert each.norm == pytest.approx(float(learner.buffers[name].norm()), rel=1e-12)
        assert each.remaining == pytest.approx(0.9**3 * float(start[name].norm()), rel=1e-12)
        assert each.rms == pytest.approx(float((rate**2).sum() / rate.numel()) ** 0.5, rel=1e-12)
        assert each.dead == float((rate.abs().sum(0) == 0).sum()) / rate.shape[1]
        one, two = (torch.cat([of[f"w_{number}"].flatten(), of[f"b_{number}"]]) for of in (change, true))
        assert each.match.cosine == pytest.approx(float(torch.cosine_similarity(one, two, 0)), rel=1e-10)
    assert found.layers[0].dead >= 0.2
    assert found.loss == pytest.approx(float(learner.grads(batch)[1].loss))
    assert len(str(found).splitlines()) == 3
    assert math.isnan(broadcasting(learner, batch).layers[0].remaining)


def test_effective_rank_of_known_spectra() -> None:
    """Equal singular values count whole; of two in the ratio 3 to 1 the entropy is known; zeros have none."""
    values = torch.diag(torch.tensor([3.0, 1.0, 0.0]))
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert effective_rank(values) == pytest.approx(math.exp(entropy))
    assert effective_rank(torch.zeros(3, 4)) == 0
    with pytest.raises(ValueError, match="values must be a matrix"):
        effective_rank(torch.zeros(3))


def test_the_region_of_collapse_warns() -> None:
    """By the number of updates, by the rate of the readout, and not in between."""
    net = FEEDFORWARD["mlp"]()
    batch, learner = batch_of(net), tca.Learner(net, tca.Rule(Decorrelation(Decay(0.99)), Instant()))
    broadcasting(learner, batch, updates=300, rate=1e-2)
    with pytest.warns(CollapseWarning, match="updates"):
        broadcasting(learner, batch, updates=500)
    with pytest.warns(CollapseWarning, match="rate"):
        broadcasting(learner, batch, rate=1e-3)


def test_other_signals_are_refused() -> None:
    """There is no correlation to look at."""
    net = FEEDFORWARD["mlp"]()
    with pytest.raises(ValueError, match="must be a Decorrelation"):
        broadcasting(tca.Learner(net, tca.RULES["dfa"]), batch_of(net))
