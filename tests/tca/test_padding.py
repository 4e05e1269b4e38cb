"""Steps after the end of a trial change no gradient, no noise and nothing that is remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.eligibilities import Full, Instant, Leak, NodeNoise, WeightNoise, Windowed
from tca.eligibilities.deviations import Displaced
from tca.losses import MSE, Poisson
from tca.nets import MLP, DualStreamMLP, LeakyLayer, LeakyRNN, SpikingRNN, StackedRNN
from tca.nets.feedforward.interlayer import Dropout
from tca.signals import CausalSignal, Direct, Random, Regularised, RewardDifference, RewardPredictionError
from tca.signals.perturbation.trial_reward import Correctness
from tca.signals.regularisers.activity_regularisers import ActivityL1, LayerEntropy, Power, Regulariser, TrackedEntropy
from tca.signals.regularisers.firing_rate import FiringRate
from tca.signals.signal import DelayedSignal
from tests.support.cases import CASES
from tests.support.padding import F64, alone, appended, problem, uneven
from tests.support.rows import SIGNALS, STOCHASTIC, assert_same, learner, relative
from tests.support.small_networks import scattered
from tests.tca.test_stacks import batch_of, plain_stack

LENGTHS = (14, 9, 0, 4)


def changes(net: Any, rule: tca.Rule, batch: tca.Batch) -> dict[str, Tensor]:
    return tca.Learner(net, rule, seed=3).grads(batch)[0]


@pytest.mark.thirds
@pytest.mark.parametrize("signal", SIGNALS, ids=repr)
@pytest.mark.parametrize("eligibility", [Leak(), Windowed(5), Windowed(5, keep_leak=True)], ids=repr)
def test_recombinations_end_where_a_trial_ends(signal: Any, eligibility: Any) -> None:
    """Every signal, with windows or without, in both executions, at a filtered readout and a learned initial state."""
    case = replace(CASES[7], steps=14, trials=4)
    batch = uneven(case.batch(), *LENGTHS)
    bound = learner(case, tca.Rule(signal, eligibility))
    whole = bound.grads(batch)[0]
    longer = appended(batch, 6)
    assert_same(bound.grads(longer)[0], whole)
    assert_same(bound.grads(longer, execution="forward")[0], whole)
    assert not bound.signal(longer)[1:][~longer.inside].any()
    if not isinstance(
        signal,
        (tca.signals.Decorrelation, Regularised, tca.signals.RecursiveLeastSquares, tca.signals.SyntheticGradient),
    ):
        parts = [bound.grads(alone(batch, trial))[0] for trial in (0, 1, 3)]
        assert_same({key: sum(part[key] for part in parts) / 4 for key in whole}, whole)


NETS: dict[str, Callable[[], Any]] = {
    "spiking": lambda: SpikingRNN(3, 6, 2, beta=1.8, adaptive=0.5, dtype=F64, seed=1),
    "stack": plain_stack,
    "mlp": lambda: scattered(MLP(6, [5, 4], 3, dtype=F64)),
}


@pytest.mark.parametrize("build", NETS.values(), ids=NETS)
@pytest.mark.parametrize("name", ["bptt", "tbptt", "eprop", "ebd", "sbd", "node_perturbation", "weight_perturbation"])
def test_other_networks(build: Callable[[], Any], name: str) -> None:
    """Spiking cells, several populations, and instants one after another."""
    net = build()
    batch = uneven(batch_of(net, 14), *LENGTHS)
    assert_same(changes(net, tca.RULES[name], appended(batch, 5)), changes(net, tca.RULES[name], batch))


LOSSES: dict[Regulariser, Callable[[list[Tensor]], Tensor]] = {
    Power(0.3, 0.4): lambda z: 0.3 * (torch.cat(z).square().mean(0) - 0.4).square().sum(),
    ActivityL1(0.2): lambda z: 0.2 * torch.cat(z).abs().mean(0).sum(),
    LayerEntropy(0.5, 0.9, 1e-3): lambda z: -0.25 * torch.logdet(_moment(torch.cat(z), 0.9) + 1e-3 * _one(z)),
    TrackedEntropy(0.5, 0.9, 1e-3): lambda z: -0.25 * torch.logdet(_moment(torch.cat(z), 0.9) + 0.9e-3 * _one(z)),
    FiringRate(0.1, 0.4, 1000.0): lambda z: 0.2 * (torch.cat(z).mean(0) - 0.1).square().sum(),
    FiringRate(0.1, 0.4, 1000.0, per_trial=True): lambda z: (
        0.2 * torch.stack([each.mean(0) - 0.1 for each in z]).square().sum(1).mean()
    ),
}


def _one(z: list[Tensor]) -> Tensor:
    return torch.eye(z[0].shape[1], dtype=F64)


def _moment(z: Tensor, kept: float) -> Tensor:
    return kept * torch.eye(z.shape[1], dtype=F64) + (1 - kept) * z.T @ z / len(z)


@pytest.mark.parametrize("part", LOSSES, ids=repr)
def test_losses_of_activity_are_of_the_steps_of_trials(part: Regulariser) -> None:
    """Autograd on each trial run by itself, cut at its end, gives what the padded batch gives."""
    net = LeakyRNN(3, 5, 2, seed=1, tau=30.0, dtype=F64)
    batch = uneven(batch_of(net, 14), *LENGTHS)
    leaves = {name: each.detach().clone().requires_grad_() for name, each in net.named_parameters()}
    rates, cost = [], torch.zeros((), dtype=F64)
    for trial in (0, 1, 3):
        one = alone(batch, trial)
        state, z = torch.zeros(1, 5, dtype=F64), []
        for x in one.inputs:
            drive = torch.tanh(state) @ leaves["w_rec"].T + x @ leaves["w_in"].T + leaves["b"]
            state = net.leak * state + (1 - net.leak) * drive
            z.append(torch.tanh(state))
        rates.append(torch.cat(z))
        outputs = torch.stack(z) @ leaves["w_out"].T + leaves["b_out"]
        cost = cost + one.loss.mean(outputs, one.targets, one.weights) / 4
    total = cost + LOSSES[part](rates)
    wanted = dict(zip(leaves, torch.autograd.grad(total, list(leaves.values())), strict=True))
    rule = tca.Rule(Regularised(Direct(), (part,)), Full())
    assert_same(changes(net, rule, batch), wanted, 1e-11)
    assert_same(changes(net, rule, appended(batch, 9)), wanted, 1e-11)
    assert not torch.allclose(wanted["w_rec"], changes(net, tca.RULES["bptt"], batch)["w_rec"], rtol=1e-4)


@pytest.mark.parametrize("part", LOSSES, ids=repr)
def test_a_batch_of_padding_alone_teaches_nothing(part: Regulariser) -> None:
    """Without any step there is no mean to take and nothing to divide by."""
    net = LeakyRNN(3, 5, 2, dtype=F64)
    bound = tca.Learner(net, tca.Rule(Regularised(Direct(), (part,)), Leak()))
    before = bound.state_dict()
    bound.backward(uneven(batch_of(net, 5), 0, 0, 0, 0))
    assert not any(each.grad.any() for each in net.parameters())  # type: ignore[union-attr]
    assert all(torch.equal(each, before[name]) for name, each in bound.state_dict().items())


@pytest.mark.parametrize("name", [*sorted(STOCHASTIC), "sbd", "error_diffusion_online", "ebd"])
def test_what_a_rule_remembers_is_not_changed(name: str) -> None:
    """After two batches the state of the rule, the gradients and the noise to come are those without padding."""
    found = []
    for steps in (0, 7):
        net, batch = problem(name)
        bound = tca.Learner(net, tca.RULES[name], seed=17)
        for each in (batch, batch.select(torch.tensor([2, 1, 0, 3]))):
            bound.backward(appended(each, steps) if steps else each)
        bound.follow_weights_()
        found.append({key: each.grad.clone() for key, each in net.named_parameters()} | bound.state_dict())
    plain, padded = found
    assert_same(
        {key: each.double() for key, each in padded.items()}, {key: each.double() for key, each in plain.items()}
    )


STREAMED = {
    name: rule
    for name, rule in tca.RULES.items()
    if isinstance(rule.signal, (CausalSignal, DelayedSignal))
    and name not in ("gevb", "gevb_local", "gevb_network", "weight_mirror")
} | {
    "diffusing": tca.Rule(tca.signals.Diffusion(weights=tca.signals.feedback_weights.Frozen(0.3)), Leak()),
    "windows": tca.Rule(Direct(), Windowed(5)),
}


@pytest.mark.thirds
@pytest.mark.parametrize("case", [replace(each, steps=14, trials=4) for each in (CASES[1], CASES[5])], ids=str)
@pytest.mark.parametrize("name", STREAMED)
def test_online_a_trial_ends_at_its_length(case: Any, name: str) -> None:
    """With the number of steps of each trial a stream sums to the gradient of the padded batch."""
    batch = appended(uneven(case.batch(), *LENGTHS), 3)
    ahead, bound = learner(case, STREAMED[name]), learner(case, STREAMED[name])
    ahead.follow_weights_()  # as the stream does
    wanted = ahead.grads(batch)[0]
    stream = bound.stream(4, steps=batch.trial_lengths)
    for t in range(14):
        stream.step(batch.inputs[t], batch.targets[t], batch.weights[t], batch.loss)
    assert_same({key: each.grad for key, each in bound.net.named_parameters()}, wanted)
    with pytest.raises(ValueError, match="the trial is over after 14 steps"):
        stream.step(batch.inputs[0], batch.targets[0], batch.weights[0], batch.loss)
    stream.reset()
    with pytest.raises(ValueError, match="weights must be zero after the end of a trial"):
        stream.step(batch.inputs[0], batch.targets[0], torch.ones(4, dtype=F64), batch.loss)


@pytest.mark.parametrize("name", ["diffusing", "kernl"])
def test_online_without_its_length_a_trial_runs_on(name: str) -> None:
    """Fields and KeRNL then take padding for steps of the trial: their gradients are those of trials of full length."""
    case = replace(CASES[1], steps=14, trials=4)
    batch = appended(uneven(case.batch(), *LENGTHS), 3)
    ahead, bound, cut = (learner(case, STREAMED[name]) for _ in range(3))
    for each in (ahead, cut):
        each.follow_weights_()  # as the stream does
    wanted = ahead.grads(replace(batch, lengths=torch.full((4,), 17)))[0]
    stream = bound.stream(4)
    for t in range(17):
        stream.step(batch.inputs[t], batch.targets[t], batch.weights[t], batch.loss)
    changed = {key: each.grad for key, each in bound.net.named_parameters()}
    assert_same(changed, wanted)
    ended = cut.grads(batch)[0]
    assert all(relative(changed[key], ended[key]) > 1e-3 for key in ("w_in", "w_rec"))


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        (0, ValueError, "steps must be at least 1"),
        (2.5, TypeError, "steps must be an integer"),
        (torch.ones(4), TypeError, "steps must be integers, got dtype"),
        (torch.tensor([1, 2]), ValueError, "steps must be 4 integers"),
        (torch.tensor([1, -2, 3, 4]), ValueError, "of at least 0"),
        (torch.tensor([0, 0, 0, 0]), ValueError, "not all of them 0"),
    ],
)
def test_careless_steps_of_a_stream(steps: Any, error: type[Exception], message: str) -> None:
    """A trial must have a number of steps."""
    with pytest.raises(error, match=message):
        tca.Learner(LeakyRNN(2, 3, 1), tca.RULES["eprop"]).stream(4, steps=steps)


NOISY: dict[str, Callable[[], Any]] = {
    "leaky": lambda: LeakyRNN(3, 5, 2, noise=0.3, dtype=F64),
    "spiking": lambda: SpikingRNN(3, 5, 2, noise=0.3, dtype=F64),
    "stack": lambda: StackedRNN(3, [LeakyLayer(5, noise=0.3), LeakyLayer(4, noise=0.2)], 2, dtype=F64),
    "dropout": lambda: MLP(3, [5, 4], 2, then=(Dropout(0.4),), dtype=F64),
}


@pytest.mark.parametrize("build", NOISY.values(), ids=NOISY)
def test_private_noise_belongs_to_the_steps_of_trials(build: Callable[[], Any]) -> None:
    """A step's noise depends on no later step; padding moves no generator, and a longer mate changes no noise."""
    few, many = build().draw_noise(5, 4), build().draw_noise(21, 4)
    assert torch.equal(few, many[:5])
    found = []
    for steps in (0, 6):
        net = build()
        bound, batch = tca.Learner(net, tca.RULES["bptt"]), uneven(batch_of(net, 14), *LENGTHS)
        for _ in range(2):
            bound.backward(appended(batch, steps) if steps else batch)
        found.append({name: each.grad for name, each in net.named_parameters()} | {"next": net.draw_noise(2, 4)})
    assert_same(found[1], found[0])
    one, two = build(), build()
    batch = batch_of(one, 14)
    for net, lengths in ((one, (9, 9, 4, 4)), (two, (9, 9, 4, 14))):
        trials = uneven(batch, *lengths)
        trials = replace(
            trials, weights=trials.weights * torch.tensor([1.0, 1.0, 1.0, 0.0]), lengths=trials.trial_lengths
        )
        tca.Learner(net, tca.RULES["bptt"]).backward(trials)
    assert_same(*({name: each.grad for name, each in net.named_parameters()} for net in (one, two)))


@pytest.mark.parametrize(
    "eligibility",
    [NodeNoise(antithetic=True), NodeNoise(rates="perturbed"), NodeNoise(by=Displaced()), NodeNoise(by=Displaced(True)),
     WeightNoise(antithetic=True)],
    ids=repr,
)  # fmt: skip
def test_noise_that_is_tried_belongs_to_the_steps_of_trials(eligibility: Any) -> None:
    """What was drawn for padding, and how far drives went there, enter no gradient; nor does a longer mate."""
    net, batch = problem("node_perturbation")
    rule = tca.Rule(RewardDifference(), eligibility)
    assert_same(changes(net, rule, appended(batch, 9)), changes(net, rule, batch))
    muted = replace(batch, weights=batch.weights * torch.tensor([0.0, 1.0, 0.0, 1.0]))
    assert int(muted.trial_lengths.max()) == 9
    assert_same(changes(net, rule, muted), changes(net, rule, replace(muted, lengths=batch.trial_lengths)))


def test_a_trial_without_steps_is_of_no_kind() -> None:
    """What is expected of a kind of trial is the mean over trials that were shown."""
    net, batch = problem("miconi")
    for reward in (RewardPredictionError().reward, Correctness()):
        rule = tca.Rule(RewardPredictionError(reward), tca.RULES["miconi"].eligibility)
        whole, shown = tca.Learner(net, rule), tca.Learner(net, rule)
        whole.backward(batch)
        shown.backward(batch.select(torch.tensor([0, 1, 3])))
        assert float(whole.buffers["met"].sum()) == 3
        assert torch.equal(whole.buffers["met"], shown.buffers["met"])


def test_centring_and_warning_see_trials_that_count() -> None:
    """Targets in padding do not hide that all that count are of one class; steps of one trial do not matter."""
    net = DualStreamMLP(6, [5], 3, dtype=F64)
    batch = replace(
        batch_of(net, 3, 4), loss=tca.losses.CrossEntropy(),
        targets=torch.tensor([[0, 0, 0, 0], [2, 2, 1, 1], [1, 2, 2, 0]]),
        weights=torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 0]]).double(),
    )  # fmt: skip
    with pytest.warns(tca.signals.error_diffusion.SingleClassWarning):
        changes(net, tca.RULES["error_diffusion"], batch)
    changes(net, tca.RULES["error_diffusion"], replace(batch, weights=batch.weights.roll(1, 1)))


def test_explicit_lengths_end_trials() -> None:
    """Steps without weight at the end belong to a trial whose length says so; without lengths they do not."""
    net = LeakyRNN(3, 5, 2, seed=1, tau=30.0, dtype=F64)
    batch = uneven(batch_of(net, 14), *LENGTHS)
    longer = replace(batch, lengths=torch.tensor([14, 12, 0, 4]))
    assert batch.trial_lengths.tolist() == list(LENGTHS)
    assert longer.select(slice(1, 3)).lengths.tolist() == [12, 0]  # type: ignore[union-attr]
    assert longer.to(dtype=torch.float32).lengths.dtype == torch.int64  # type: ignore[union-attr]
    assert_same(changes(net, tca.RULES["bptt"], longer), changes(net, tca.RULES["bptt"], batch))
    power = tca.Rule(Regularised(Random(), (Power(0.3),)), Instant())
    samples = tca.Learner(net, power).tape(longer).samples
    assert samples.shape == (30, 5)
    assert tca.Learner(net, power).tape(batch).samples.shape == (27, 5)
    assert not torch.allclose(changes(net, power, longer)["w_rec"], changes(net, power, batch)["w_rec"], rtol=1e-3)
    whole = replace(batch, lengths=torch.full((4,), 14))
    assert not whole.padded
    assert tca.Learner(net, power).tape(whole).lengths is None


def test_infinite_losses_in_padding_weigh_nothing() -> None:
    """Outputs may leave every bound after the end of a trial."""
    net = LeakyRNN(3, 5, 2, activation="relu", dtype=F64)
    batch = uneven(batch_of(net, 14), *LENGTHS)
    batch = replace(batch, targets=batch.targets.abs().round(), loss=Poisson())
    longer = appended(batch, 3)
    longer.inputs[14:] *= 1e6
    with torch.no_grad():
        net.w_out.abs_()
    found, info = tca.Learner(net, tca.RULES["bptt"]).grads(longer)
    assert not torch.isfinite(batch.loss.value(info.outputs, longer.targets)).all()
    wanted, short = tca.Learner(net, tca.RULES["bptt"]).grads(batch)
    assert torch.allclose(info.loss, short.loss, rtol=1e-12)
    assert_same(found, wanted)


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([3, 4], TypeError, "lengths must be a tensor of integers, got"),
        (torch.ones(2), TypeError, "lengths must be integers, got dtype torch.float32"),
        (torch.ones(2, dtype=torch.bool), TypeError, "lengths must be integers, got dtype torch.bool"),
        (torch.ones(3, dtype=torch.int64), ValueError, r"lengths must have shape \(B,\) = \(2,\), got \(3,\)"),
        (torch.tensor([6, 1]), ValueError, "lengths must lie between 0 and the 5 steps of the batch, got 1 to 6"),
        (torch.tensor([-1, 1]), ValueError, "got -1 to 1"),
    ],
)
def test_careless_lengths(lengths: Any, error: type[Exception], message: str) -> None:
    """One line says what was wrong."""
    parts = torch.zeros(5, 2, 3), torch.zeros(5, 2, 1), torch.ones(5, 2)
    with pytest.raises(error, match=message):
        tca.Batch(*parts, MSE(), lengths=lengths)


def test_weights_after_the_end_are_refused() -> None:
    """A length that leaves weighted steps out contradicts the loss."""
    batch = tca.Batch(torch.zeros(5, 2, 3), torch.zeros(5, 2, 1), torch.ones(5, 2), MSE(), lengths=torch.tensor([5, 4]))
    with pytest.raises(ValueError, match="weights must be zero after the lengths of the trials"):
        batch.check(3, 1)
