"""Weight mirrors: feedback weights that learn the forward weights from noise, Akrout et al. (2019)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Leak
from tca.nets import CNN, MLP, ConvLayer, LeakyLayer, StackedRNN
from tca.signals import FeedbackAlignment, WeightMirror
from tca.utils.noise import NoiseDistribution
from tests.support.cases import CASES, F1, weights_of
from tests.support.rows import assert_same, changes, cosine, learner, put, relative

F64 = torch.float64


@dataclass(frozen=True)
class EverySign(NoiseDistribution):
    """All patterns of signs, once each, in the place of a draw: the mean of a function of them is exact."""

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        patterns = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=shape[1])), dtype=F64)
        assert len(patterns) == shape[0]
        return patterns


def mirrored(net: Any, updates: int, **options: Any) -> tca.Learner:
    """Return a learner whose mirror has run, without any data."""
    bound = tca.Learner(net, tca.Rule(WeightMirror(**options), Leak()), seed=3)
    for _ in range(updates):
        bound.follow_weights_()
    return bound


@pytest.mark.parametrize("updates", [1, 2, 40])
def test_the_mean_over_all_noise_is_the_forward_weight(updates: int) -> None:
    """``B_k = (1 - d)^k B_0 + (r / d)(1 - (1 - d)^k) W``, the mean over all 64 patterns of signs taken exactly."""
    rate, decay = 0.05, 0.2
    bound = learner(F1, tca.Rule(WeightMirror(rate=rate, decay=decay, samples=64, noise=EverySign()), Leak()))
    start, weight = bound.buffers["backward"].clone(), bound.net.w_out.detach()
    for _ in range(updates):
        bound.follow_weights_()
    kept = (1 - decay) ** updates
    assert relative(bound.buffers["backward"], kept * start + rate / decay * (1 - kept) * weight) < 1e-12


def test_noise_alone_teaches_the_transposed_weights_up_to_scale() -> None:
    """With drawn noise and fixed weights: the direction of ``W``, its size ``rate / decay`` times that of ``W``."""
    net = F1.net()
    bound = mirrored(net, 400, rate=0.02, decay=0.01, samples=256)
    found, weight = bound.buffers["backward"], net.w_out.detach()
    assert cosine(found, weight) > 0.995
    assert float(found.norm() / weight.norm()) == pytest.approx(2, abs=0.1)
    assert abs(cosine(mirrored(net, 0).buffers["backward"], weight)) < 0.9


def test_every_layer_has_a_mirror_of_its_own() -> None:
    """In stacks and in feedforward networks each connection onwards is learned."""
    for net in (MLP(6, [5, 4], 3, dtype=F64), StackedRNN(3, [LeakyLayer(4), LeakyLayer(5)], 2, dtype=F64)):
        bound = mirrored(net, 400, samples=128)
        for population in net.populations():
            assert population.onwards is not None
            learned = bound.buffers[f"{population.name}.backward"]
            assert cosine(learned, population.onwards.weight.detach()) > 0.98, population.name


def test_with_the_forward_weights_it_is_eprop() -> None:
    """A mirror at its fixed point is symmetric feedback; at its start it is feedback alignment with traces."""
    bound = learner(F1, tca.RULES["weight_mirror"])
    bound.buffers["backward"].copy_(bound.net.w_out)
    assert_same(bound.grads(F1.batch())[0], changes(F1, "eprop"))
    for case in CASES[:4]:
        assert_same(
            changes(case, tca.Rule(WeightMirror(), Leak())), changes(case, tca.Rule(FeedbackAlignment(), Leak())), 0
        )


def test_missing_synapses_have_no_feedback() -> None:
    """What the forward connection lacks the mirror does not learn."""
    bound = learner(CASES[3], tca.RULES["weight_mirror"])
    bound.follow_weights_()
    mask = CASES[3].options["mask_out"]
    assert torch.equal(bound.buffers["backward"] != 0, mask != 0)


def test_it_resumes_bit_for_bit_and_draws_anew() -> None:
    """The seed of the noise is a part of the state, and no two batches see the same noise."""
    first, second = (learner(F1, tca.RULES["weight_mirror"]) for _ in range(2))
    first.backward(F1.batch())
    put(second.net, weights_of(first.net))
    second.load_state_dict(first.state_dict())
    before = first.buffers["backward"].clone()
    first.follow_weights_()
    second.follow_weights_()
    assert all(torch.equal(second.buffers[name], each) for name, each in first.buffers.items())
    once = first.buffers["backward"] - 0.99 * before
    before = first.buffers["backward"].clone()
    first.follow_weights_()
    assert relative(first.buffers["backward"] - 0.99 * before, once) > 1e-3


def test_what_cannot_be_mirrored_is_refused() -> None:
    """Shared weights and bad constants."""
    net = CNN((2, 6, 6), [ConvLayer(4, padding=1), ConvLayer(3, padding=1)], 3)
    with pytest.raises(ValueError, match=r"WeightMirror needs all-to-all weights \(Dense\) from population"):
        tca.Learner(net, tca.RULES["weight_mirror"])
    with pytest.raises(ValueError, match="decay"):
        WeightMirror(decay=1.0)
    with pytest.raises(ValueError, match="samples"):
        WeightMirror(samples=0)
