"""SuperSpike (Zenke and Ganguli 2018): filtered errors meet filtered traces, the gradient of a van Rossum distance."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Leak, PotentialLeak
from tca.nets import LeakyLayer, StackedRNN
from tca.signals import Adaptive, Broadcast, Direct, Exact, FilteredError, Random, Sparse
from tests.support import oracle_spiking as oracle
from tests.support.cases import CASES, F1, Case, weights_of
from tests.support.rows import assert_same, learner, put, relative
from tests.support.spiking_cases import SpikingCase
from tests.tca.test_online import gathered, run

RISE, DECAY = 0.6, 0.85
LIF = SpikingCase("superspike", seed=3, beta=0.0, surrogate_gradient="fast_sigmoid", steps=30)
RULE = tca.Rule(FilteredError(Direct(), RISE, DECAY), PotentialLeak())


def even(batch: tca.Batch) -> tca.Batch:
    """The batch with the same weight at every step."""
    return replace(batch, weights=torch.full_like(batch.weights, 0.5))


def smoothed(values: Tensor) -> Tensor:
    """Convolve with the double-exponential kernel, written out: ``sum_ij (1-a) a^i (1-b) b^j``, ``i + j`` the lag."""
    lags = range(len(values))
    kernel = [sum((1 - RISE) * RISE**i * (1 - DECAY) * DECAY ** (lag - i) for i in range(lag + 1)) for lag in lags]
    return torch.stack([sum(kernel[t - s] * values[s] for s in range(t + 1)) for t in lags])  # type: ignore[misc]


def test_it_is_the_gradient_of_the_van_rossum_distance() -> None:
    """Autograd of ``|alpha * (y - target)|^2 / 2`` with reset and transmission stopped; readout included."""
    net, batch, model = LIF.net(), even(LIF.batch()), LIF.model()
    assert int(net.run(batch.inputs).rate.sum()) > 20
    leaves = {name: each.requires_grad_() for name, each in weights_of(net).items()}
    rates = [state.z for state in oracle.presynaptic(model, leaves, batch.inputs)[1:]]
    y = oracle.readout(model, leaves, rates)
    distance = 0.5 * smoothed(y - batch.targets).square().sum() / 2 / batch.trials
    wanted = dict(zip(leaves, torch.autograd.grad(distance, list(leaves.values())), strict=True))
    bound = tca.Learner(net, RULE)
    assert_same(bound.grads(batch)[0], wanted)
    assert_same(bound.grads(batch, execution="forward")[0], wanted)


def test_it_is_the_rule_of_the_paper() -> None:
    """``dw = sum_t e(t) (alpha * [psi (eps * S)])(t)``, ``e = W^T (alpha * err)``, with traces carried forwards."""
    net, batch, model = LIF.net(), LIF.batch(), LIF.model()
    weights = weights_of(net)
    errors = (net.run(batch.inputs).outputs - batch.targets) * batch.weights.unsqueeze(-1) / batch.trials
    learning_signal = smoothed(errors) @ weights["w_out"]
    psi = oracle.slopes(model, weights, batch.inputs)
    trace, traces = torch.zeros_like(batch.inputs[0]), []
    for x in batch.inputs:
        trace = model.kappa[0] * trace + x  # eps * S
        traces.append(trace)
    eligibility = smoothed(torch.einsum("tbi,tbj->tbij", model.gain * psi, torch.stack(traces)))
    wanted = torch.einsum("tbi,tbij->ij", learning_signal, eligibility)
    found = tca.Learner(net, RULE).grads(batch)[0]["w_in"]
    assert relative(found, wanted) < 1e-12


@pytest.mark.parametrize("rule", ["eprop", "snap1", "bptt"])
def test_a_single_exponential_is_a_filtered_readout_and_filtered_targets(rule: str) -> None:
    """Without a rise it equals the rule inside on a leaky readout that is shown targets with the same filter."""
    case = replace(F1, plain=True)
    batch = even(case.batch())
    targets, value = [], torch.zeros_like(batch.targets[0])
    for each in batch.targets:
        value = DECAY * value + (1 - DECAY) * each
        targets.append(value)
    parts = tca.RULES[rule]
    bound = learner(case, tca.Rule(FilteredError(parts.signal, 0.0, DECAY), parts.eligibility))
    other = learner(replace(case, readout_leak=DECAY), parts)
    for each in (bound, other):
        put(each.net, {"b_out": torch.zeros(2, dtype=torch.float64)})
    found, wanted = bound.grads(batch)[0], other.grads(replace(batch, targets=torch.stack(targets)))[0]
    del found["b_out"], wanted["b_out"]  # a bias is not filtered by the readout
    assert_same(found, wanted)


def test_random_feedback_with_the_weights_of_the_readout_is_symmetric() -> None:
    """Feedback of the paper is a choice of the signal inside."""
    bound = learner(F1, tca.Rule(FilteredError(Random(), RISE, DECAY), Leak()))
    bound.buffers["feedback"].copy_(bound.net.w_out.t())
    symmetric = learner(F1, tca.Rule(FilteredError(Direct(), RISE, DECAY), Leak())).grads(F1.batch())[0]
    assert_same(bound.grads(F1.batch())[0], symmetric)


@pytest.mark.thirds
@pytest.mark.parametrize("case", [*CASES, replace(F1, readout_leak=0.4)], ids=str)
@pytest.mark.parametrize(
    "inside",
    [Direct(), Random(), Adaptive(), Sparse(), Broadcast()],
    ids=lambda each: type(each).__name__,
)
def test_online_it_sums_to_the_trial(case: Case, inside: tca.signals.Signal) -> None:
    """Errors, traces and the input of the readout pass the kernel forwards; twice, after a reset."""
    bound, batch = learner(case, tca.Rule(FilteredError(inside, RISE, DECAY), Leak())), case.batch()
    wanted = bound.grads(batch)[0]
    stream = bound.stream(case.trials, steps=case.steps)
    for _ in range(2):
        run(stream, batch)
        assert_same(gathered(bound.net), wanted)
        bound.net.zero_grad()
        stream.reset()


def test_online_trials_of_different_lengths() -> None:
    """The errors that the kernel still holds after the end of a trial reach neither cells nor readout."""
    lengths = torch.tensor([F1.steps - 4, *[F1.steps] * (F1.trials - 1)])
    full = F1.batch()
    weights = full.weights.masked_fill(torch.arange(F1.steps)[:, None] >= lengths, 0.0)
    batch, bound = replace(full, weights=weights, lengths=lengths), learner(F1, RULE)
    run(bound.stream(F1.trials, steps=lengths), batch)
    wanted = bound.grads(batch)[0]
    assert_same(gathered(bound.net), wanted)
    endless = replace(batch, lengths=torch.full_like(lengths, F1.steps))
    assert relative(bound.grads(endless)[0]["w_out"], wanted["w_out"]) > 1e-6


def test_spiking_cells_online() -> None:
    """The rule of the paper, trained one step at a time."""
    net, batch = LIF.net(), LIF.batch()
    bound = tca.Learner(net, RULE)
    run(bound.stream(batch.trials), batch)
    assert_same(gathered(net), bound.grads(batch)[0])


def test_what_it_cannot_do_is_refused() -> None:
    """Stacks, signals of later errors online, and bad kernels."""
    with pytest.raises(ValueError, match="is one of several"):
        tca.Learner(StackedRNN(3, [LeakyLayer(4), LeakyLayer(3)], 2), RULE)
    with pytest.raises(ValueError, match="needs later errors"):
        learner(F1, tca.Rule(FilteredError(Exact(), RISE, DECAY), Leak())).stream(2)
    with pytest.raises(ValueError, match="decay"):
        FilteredError(decay=1.0)
