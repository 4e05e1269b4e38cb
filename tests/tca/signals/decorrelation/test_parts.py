"""The parts of decorrelation by themselves, and direct feedback alignment through few or shared weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import tca
from tca.eligibilities import Instant
from tca.losses import SmoothedCrossEntropy
from tca.losses.expansions import Bartlett
from tca.signals import (
    CollapseWarning,
    Decay,
    Decorrelation,
    Filtered,
    Lagged,
    NormalStart,
    Score,
    Share,
    SharedRandom,
    Sparse,
    TimeConstant,
    UniformStart,
)
from tca.signals.decorrelation.averages import warn_if_fast
from tca.signals.decorrelation.observables import Identity, Polynomial, Square, TanhOf
from tca.signals.feedback_weights import Drawn
from tests.tca.test_stacks import NETS, batch_of

F64 = torch.float64


def test_averages_say_what_they_keep() -> None:
    """As a number, as a time constant, as the share that a training renews."""
    assert Decay(0.25).lam == 0.25
    assert TimeConstant(50).lam ** 50 == pytest.approx(1 / math.e)
    assert 1 - Share(3000, 0.3).lam == pytest.approx(1e-4)


def test_fast_averages_warn() -> None:
    """Above c = 4 or rho = 5, and not below."""
    with pytest.warns(CollapseWarning, match=r"updates \* \(1 - lam\) = 4.2"):
        Share(420, 4.2)
    with pytest.warns(CollapseWarning, match=r"\(1 - lam\) / rate = 10"):
        warn_if_fast(0.99, rate=1e-3)
    Share(420, 3.9)
    warn_if_fast(0.9999, updates=30_000, rate=1e-3)


def test_first_correlations_have_their_size() -> None:
    """Normal numbers of a standard deviation, uniform ones within their bound; each population has its own."""
    net = tca.nets.MLP(4, [300, 200], 50, dtype=F64)
    drawn = tca.Learner(net, tca.Rule(Decorrelation(start=NormalStart(0.02)), Instant())).buffers
    assert {name: tuple(each.shape) for name, each in drawn.items()} == {
        "hidden_2.correlation": (200, 50),
        "hidden_1.correlation": (300, 50),
    }
    for each in drawn.values():
        assert float(each.std()) == pytest.approx(0.02, rel=0.03)
    assert not torch.allclose(drawn["hidden_1.correlation"][:200], drawn["hidden_2.correlation"])
    even = tca.Learner(net, tca.Rule(Decorrelation(start=UniformStart(0.5)), Instant())).buffers["hidden_2.correlation"]
    bound = 0.5 * math.sqrt(6 / 250)
    assert float(even.abs().max()) == pytest.approx(bound, rel=1e-2)
    assert float(even.std()) == pytest.approx(bound / math.sqrt(3), rel=0.03)


@pytest.mark.parametrize("observable", [Identity(), Square(), TanhOf(), Polynomial((0.5, -2.0, 0.0, 1.0))], ids=repr)
def test_slopes_of_observables(observable: Any) -> None:
    """Equal autograd."""
    rate = torch.randn(50, dtype=F64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = observable(rate) if not isinstance(observable, Polynomial) else None
    if value is None:
        value = sum(a * rate**k for k, a in enumerate(observable.coefficients, 1))
        assert torch.allclose(observable(rate.detach()), value.detach(), rtol=1e-13)
    (wanted,) = torch.autograd.grad(value.sum(), rate)
    found = torch.full_like(wanted, 3.0)
    observable.times_slope_(found, rate.detach())
    assert torch.allclose(found, 3 * wanted, rtol=1e-12)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("nonnegative", [False, True])
def test_one_matrix_for_all_populations(name: str, nonnegative: bool) -> None:
    """Every population has the first rows of it, uniform from -1 or 0 to 1, not those of another seed."""
    net = NETS[name]()
    rule = tca.Rule(SharedRandom(nonnegative=nonnegative), Instant())
    drawn = sorted(tca.Learner(net, rule, seed=3).buffers.values(), key=len)
    assert all(torch.equal(each, drawn[-1][: len(each)]) for each in drawn)
    wide = tca.Learner(tca.nets.MLP(2, [500], 40, dtype=F64), rule).buffers["hidden_1.feedback"]
    assert float(wide.max()) == pytest.approx(1, abs=1e-2)
    assert float(wide.min()) == pytest.approx(0 if nonnegative else -1, abs=1e-2)
    assert float(wide.mean()) == pytest.approx(0.5 if nonnegative else 0, abs=0.02)
    other = sorted(tca.Learner(net, rule, seed=4).buffers.values(), key=len)
    assert not torch.equal(other[-1], drawn[-1])


@pytest.mark.parametrize("name", NETS)
def test_few_feedback_weights_reach_populations_without_a_readout(name: str) -> None:
    """A third of the weights exist in every population; cells of the others have no learning signal."""
    net = NETS[name]()
    batch = batch_of(net, steps=2)
    learner = tca.Learner(net, tca.Rule(Sparse(Drawn(1 / 3)), Instant()))
    for population in net.populations():
        prefix = f"{population.name}." if population.name else ""
        feedback = learner.buffers[f"{prefix}feedback"]
        assert int((feedback != 0).sum()) == round(population.cells * population.n_out / 3)
        learning_signal = learner.signals(batch)[population.name]
        silent = ~(feedback != 0).any(1)
        assert not learning_signal[..., silent].any()
        assert learning_signal.any()


CARELESS: tuple[tuple[Callable[[], Any], str], ...] = (
    (lambda: Decay(1.5), "kept must lie in"),
    (lambda: TimeConstant(0.0), "updates must be greater than 0"),
    (lambda: Share(0), "updates must be at least 1"),
    (lambda: Share(3, 3.5), "c must be at most updates = 3"),
    (lambda: NormalStart(0.0), "scale must be greater than 0"),
    (lambda: UniformStart(-1.0), "gain must be greater than 0"),
    (lambda: Filtered(()), "kappas must hold at least 1"),
    (lambda: Filtered((1.0,)), "kappas must lie in"),
    (lambda: Lagged(-1), "lags must be at least 0"),
    (lambda: Polynomial(()), "coefficients must hold at least 1"),
    (lambda: SharedRandom(0.0), "scale must be greater than 0"),
    (lambda: Decorrelation(forward_broadcast=-1.0), "forward_broadcast must be 0 or greater"),
    (lambda: Decorrelation(forward_broadcast=0.1, reach=Lagged(1)), "forward_broadcast needs the score as it is"),
    (lambda: Decorrelation(forward_broadcast=0.1, source=Score(Bartlett())), "forward_broadcast needs the score"),
)


@pytest.mark.parametrize(("call", "message"), CARELESS, ids=[message for _, message in CARELESS])
def test_careless_use_is_refused(call: Callable[[], Any], message: str) -> None:
    """Every error says what was wrong."""
    with pytest.raises(ValueError, match=message):
        call()


def test_what_a_batch_shows_can_be_refused() -> None:
    """No forward broadcast through a filter, no second moment without a likelihood, no trials on a bare tape."""
    net = tca.nets.LeakyRNN(2, 3, 2, readout_tau=20.0)
    batch = batch_of(net, dtype=torch.float32)
    with pytest.raises(ValueError, match="readout without a filter"):
        tca.Learner(net, tca.Rule(Decorrelation(forward_broadcast=0.1), Instant())).backward(batch)
    smooth = tca.Batch(batch.inputs, torch.zeros(7, 4, dtype=torch.int64), batch.weights, SmoothedCrossEntropy())
    with pytest.raises(ValueError, match="needs a negative log likelihood as loss"):
        tca.Learner(net, tca.Rule(Decorrelation(source=Score(Bartlett())), Instant())).backward(smooth)
    with pytest.raises(ValueError, match="does not know its trials"):
        Decorrelation().update_statistics_(net.run(batch.inputs).with_error(torch.zeros(7, 4, 2)), {})
    with pytest.raises(ValueError, match="needs later errors"):
        tca.Learner(net, tca.RULES["sbd"]).stream(1)
