"""What native tasks show, without noise and against their equations: sizes of stimuli, weights, rates, times."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import tasks
from tasks.measures import classification_accuracy, r_squared
from tca.batch import Batch
from tca.losses import MSE, CrossEntropy


def drawn(name: str, trials: int = 40, **options: object) -> Batch:
    return tasks.make(name, **options).split(trials, 1, seed=0)[0].batch()


def shown(batch: Batch, channels: slice) -> Tensor:
    """Return the distinct values of channels where they are not zero, sorted."""
    values = batch.inputs[..., channels].flatten()
    return values[values != 0].mul(1e5).round().div(1e5).unique()


def test_two_modalities_show_a_half_and_half_their_coherence() -> None:
    batch = drawn("context_decision", 200, noise=0.0, coherences=[10.0, 40.0], delay=300.0)
    assert shown(batch, slice(1, 5)).tolist() == pytest.approx([0.3, 0.45, 0.55, 0.7])
    pairs = batch.inputs[..., 1:5].unflatten(-1, (2, 2)).sum(-1)
    assert torch.allclose(pairs[pairs != 0], torch.ones(()))


@pytest.mark.parametrize("choices", [2, 3, 4])
def test_choices_on_a_ring_show_a_cosine_around_a_half(choices: int) -> None:
    task = tasks.make("perceptual_decision", noise=0.0, coherences=[20.0], choices=choices)
    batch = task.split(30, 1, seed=0)[0].batch()
    target = batch.targets[-1] - 1
    angle = torch.arange(choices) * 2 * math.pi / choices
    wanted = 0.5 + 0.1 * torch.cos(angle[None] - angle[target][:, None])
    assert torch.allclose(batch.inputs[1, :, 1:], wanted, atol=1e-6)  # the step after fixation
    assert task.chance == 1 / choices


@pytest.mark.parametrize("stimuli", [2, 3, 5])
def test_stimuli_on_a_ring_show_half_a_cosine_around_a_half(stimuli: int) -> None:
    batch = drawn("delayed_match", noise=0.0, stimuli=stimuli)
    at = torch.arange(stimuli)
    tuning = 0.5 + 0.5 * torch.cos(2 * math.pi * (at[:, None] - at) / stimuli)
    sample, test = batch.inputs[3, :, 1:], batch.inputs[18, :, 1:]  # after .3 s of fixation; 1.5 s later
    for each in (sample, test):
        assert torch.allclose(each, tuning[each.argmax(-1)], atol=1e-6)
    same = sample.argmax(-1) == test.argmax(-1)
    assert torch.equal(batch.targets[-1], torch.where(same, 1, 2))


@pytest.mark.parametrize("name", ["delayed_xor", "evidence_accumulation"])
def test_nothing_is_shown_or_weighed_after_the_end_or_before_the_decision(name: str) -> None:
    batch = drawn(name, delay=[200.0, 900.0])
    ended = batch.weights.flip(0).cumsum(0).flip(0) == 0
    assert ended.any()
    assert not batch.inputs[ended].any()
    decided = batch.decision_steps
    assert not batch.weights[~decided].any()
    per_trial = decided.sum(0)
    assert torch.allclose(batch.weights[decided], (1 / per_trial).expand_as(decided)[decided].float())


@pytest.mark.parametrize("name", ["context_decision", "perceptual_decision", "delayed_match"])
def test_steps_outside_the_decision_weigh_a_tenth_and_each_trial_one(name: str) -> None:
    batch = drawn(name, delay=[200.0, 900.0])
    assert torch.allclose(batch.weights.sum(0), torch.ones(batch.trials))
    for trial in range(batch.trials):
        weights, decided = batch.weights[:, trial], batch.decision_steps[:, trial]
        inside = (weights > 0) & ~decided
        assert inside.sum() >= 2
        assert torch.allclose(weights[inside], 0.1 * weights[decided][0])


def test_pulses_of_a_flip_flop_come_at_their_rate() -> None:
    batch = drawn("flip_flop", 400, noise=0.0, rate=5.0, bits=4)
    width = 2  # steps of 20 ms in a pulse of 40 ms
    comes = (batch.inputs[::width] != 0)[1:].double()  # the first pulse always comes
    assert comes.mean().item() == pytest.approx(5.0 * 0.04, abs=4 * math.sqrt(0.16 / comes.numel()))


def test_the_clock_of_patterns_ticks_once_through_a_trial() -> None:
    task = tasks.make("pattern_generation", noise=0.0, clock=5, patterns=3)
    batch = task.split(6, 1, seed=0)[0].batch()
    clock = batch.inputs[:, 0, 3:]
    assert clock.sum(0).tolist() == [20.0] * 5
    assert clock.argmax(1).tolist() == [tick for tick in range(5) for _ in range(20)]


def test_accuracy_is_a_mean_over_decision_steps_and_then_trials() -> None:
    """Trials of two and four decision steps among six: one half and three quarters right."""
    decides = torch.zeros(6, 2, dtype=torch.bool)
    decides[4:, 0], decides[2:, 1] = True, True
    targets = torch.ones(6, 2, dtype=torch.int64)
    outputs = torch.nn.functional.one_hot(targets, 2).float()
    outputs[4, 0] = outputs[2, 1] = torch.tensor([1.0, 0.0])
    batch = Batch(torch.zeros(6, 2, 1), targets, decides.float(), CrossEntropy(), decides)
    assert classification_accuracy(outputs, batch) == pytest.approx((1 / 2 + 3 / 4) / 2)


def test_r_squared_compares_with_the_mean_of_each_output() -> None:
    targets = torch.tensor([[[5.0, -1.0]], [[7.0, -3.0]]])
    batch = Batch(torch.zeros(2, 1, 1), targets, torch.full((2, 1), 0.5), MSE())
    assert r_squared(targets + torch.tensor([1.0, 0.0]), batch) == pytest.approx(1 - 2 / 4)
