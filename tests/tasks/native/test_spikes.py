"""Tasks in spikes: solved from the spikes by solvers that share no code, at the rates and times declared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

import tasks
from tasks.native.spike_encoding import poisson

CELLS = 60  # a group's spikes then say whether it fires beyond doubt


def groups(inputs: torch.Tensor, count: int) -> np.ndarray:
    """Return the spikes of every group, shape ``(T, B, G)``."""
    return inputs.reshape(*inputs.shape[:2], count, -1).sum(-1).numpy()


@pytest.mark.parametrize(
    "options", [{}, {"cues": 3, "lead": 0, "bias": 0.9, "answer": 10}, {"delay": (0, 300), "gap": 20, "dt": 10}]
)
def test_the_side_with_more_cues_is_the_answer(options: dict[str, Any]) -> None:
    """Cue by cue the side that fires is counted; recall fires in the decision and nowhere else."""
    settings: dict[str, Any] = {"dt": 5.0, "per_group": CELLS, "rate": 100.0, **options}
    task = tasks.make("evidence_accumulation_spikes", **settings)
    batch = task.split(60, 1, seed=4)[0].batch()
    lead, slot = (int(x / task.dt) for x in (task.lead, task.cue + task.gap))
    cue = int(task.cue / task.dt)
    spikes = groups(batch.inputs, 4)
    assert set(np.unique(batch.inputs)) == {0.0, 1.0}
    lengths = set()
    for trial in range(60):
        left, right, recall, background = spikes[:, trial].T
        starts = [lead + place * slot for place in range(task.cues)]
        sides = [right[at : at + cue].sum() > left[at : at + cue].sum() for at in starts]
        shown = np.zeros(len(left), bool)
        for at in starts:
            shown[at : at + cue] = True
        assert not left[~shown].any(), "no cue outside its time"
        assert not right[~shown].any(), "no cue outside its time"
        assert not ((left > 0) & (right > 0)).any(), "one side at a time"
        answered = batch.decision_steps[:, trial].numpy()
        assert (batch.targets[:, trial].numpy()[answered] == (sum(sides) > task.cues / 2)).all()
        last = answered.nonzero()[0].max() + 1
        go = int(task.decision / task.dt)
        assert recall[last - go : last].sum() > 0
        assert recall[: last - go].sum() + recall[last:].sum() == 0
        assert background[:last].sum() > 0
        assert background[last:].sum() == 0
        assert answered.sum() == (task.answer or task.decision) / task.dt
        lengths.add(last)
    assert (len(lengths) > 1) == isinstance(task.delay, tuple)


def test_published_lengths_of_cue_accumulation() -> None:
    """2050 steps of 1 ms and 40 cells; 2000 for MDGL, whose loss counts at the last step."""
    task = tasks.make("evidence_accumulation_spikes")
    assert (task.n_in, task.split(1, 1, seed=0)[0].steps) == (40, 2050)
    batch = tasks.make("evidence_accumulation_spikes", bias=0.7, lead=0, answer=1).split(3, 1, seed=0)[0].batch()
    assert batch.steps == 2000
    assert batch.weights.nonzero()[:, 0].tolist() == [1999] * 3


@pytest.mark.parametrize("options", [{}, {"delay": (100, 500)}, {"dt": 10.0, "fixation": 0}])
def test_two_cues_match_if_both_or_neither_fire(options: dict[str, Any]) -> None:
    """From the spikes of two groups; all four pairs come equally often; each cue has its own time."""
    task = tasks.make("delayed_match_spikes", **{"dt": 5.0, "per_group": CELLS, "rate": 100.0, **options})
    batch = task.split(400, 1, seed=4)[0].batch()
    spikes = groups(batch.inputs, 4)
    first, second = (spikes[..., place].sum(0) > 0 for place in (0, 1))
    decided = batch.decision_steps.numpy()
    for trial in range(400):
        assert (batch.targets[:, trial].numpy()[decided[:, trial]] == (first[trial] == second[trial])).all()
        assert not batch.targets[:, trial].numpy()[~decided[:, trial]].any()
    counts = [(first == a) & (second == b) for a in (False, True) for b in (False, True)]
    assert all(70 < each.sum() < 130 for each in counts)
    assert not spikes[..., 2][~decided].any(), "recall fires in the decision only"
    start = int(task.fixation / task.dt)
    assert spikes[:start, :, 0].sum() + spikes[start + int(150 / task.dt) :, :, 0].sum() == 0
    both = first & second
    gaps = [_gap(spikes[:, trial]) * task.dt for trial in np.flatnonzero(both)]
    low, high = task.delay if isinstance(task.delay, tuple) else (task.delay, task.delay)
    assert low <= min(gaps) <= max(gaps) <= high + 3 * task.dt
    assert (max(gaps) - min(gaps) > 100) == isinstance(task.delay, tuple)


def _gap(spikes: np.ndarray) -> int:
    """Return the steps between the last spike of the first cue and the first of the second."""
    return int(spikes[:, 1].nonzero()[0].min() - spikes[:, 0].nonzero()[0].max() - 1)


def test_published_length_of_delayed_match() -> None:
    """1100 steps of 1 ms, 80 cells, the last 50 steps decide."""
    task = tasks.make("delayed_match_spikes")
    batch = task.split(1, 1, seed=0)[0].batch()
    assert (task.n_in, batch.steps) == (80, 1100)
    assert batch.weights.nonzero()[:, 0].tolist() == list(range(1050, 1100))


def test_the_pattern_is_a_sum_of_sines_without_mean() -> None:
    """Its Fourier lines are the declared frequencies with positive weights that sum to one; all trials share it."""
    task = tasks.make("pattern_generation_spikes", dt=1.0, pattern_seed=5, frequencies=[1, 2, 3, 5], per_group=3)
    batch = task.split(3, 1, seed=0)[0].batch()
    assert batch.targets.shape == (2000, 3, 1)
    signal = batch.targets[:, 0, 0].double().numpy()
    assert torch.equal(batch.targets, batch.targets[:, :1].expand(-1, 3, -1))
    lines = np.fft.rfft(signal) / len(signal) * 2
    weights = {place / 2: -line.imag for place, line in enumerate(lines) if abs(line) > 1e-6}
    assert set(weights) == {1.0, 2.0, 3.0, 5.0}
    assert sum(weights.values()) == pytest.approx(1, abs=1e-6)
    assert min(weights.values()) > 0
    broken = tasks.make("pattern_generation_spikes", frequencies=[0.7], duration=500)  # no whole period
    wave = np.sin(2 * math.pi * 0.7 * np.arange(500) / 1000)
    np.testing.assert_allclose(broken.signal().numpy(), wave - wave.mean(), atol=1e-6)
    other = tasks.make("pattern_generation_spikes", pattern_seed=6, frequencies=[1, 2, 3, 5], per_group=3)
    assert not torch.equal(other.signal(), task.signal())


def test_published_pattern_generation() -> None:
    """2000 steps, 100 cells at 50 Hz all the time; the trials trained on are the same whenever they are asked for."""
    task = tasks.make("pattern_generation_spikes")
    train, test = task.split(8, 8, seed=1)
    assert tuple(train.batch().inputs.shape) == (2000, 8, 100)
    assert float(train.batch().inputs.mean()) == pytest.approx(0.05, rel=0.02)
    assert torch.equal(train.batch().inputs, task.split(8, 8, seed=1)[0].batch().inputs)
    assert not torch.equal(train.batch().inputs, test.batch().inputs)
    assert task.accuracy(torch.zeros(2000, 8, 1), train.batch()) == pytest.approx(0, abs=1e-6)


def test_groups_of_the_clock_take_turns() -> None:
    """Each fires in its own part of the trial, one after the other."""
    task = tasks.make("pattern_generation_spikes", groups=4, per_group=30, rate=200.0, dt=2.0)
    spikes = groups(task.split(2, 1, seed=0)[0].batch().inputs, 4)
    for place in range(4):
        when = spikes[:, :, place].sum(1).nonzero()[0]
        assert 250 * place <= when.min() < when.max() < 250 * (place + 1)


def test_spikes_come_at_the_declared_rates_and_independently() -> None:
    """Counts of a group have the mean and, over steps and cells, the variance of independent draws."""
    rates = torch.tensor([20.0, 100.0]).expand(4000, 5, 2)
    spikes = poisson(rates, 2.0, 10, torch.Generator().manual_seed(0)).double()
    for place, chance in enumerate((0.04, 0.2)):
        mine = spikes[..., 10 * place : 10 * place + 10]
        error = math.sqrt(chance * (1 - chance) / mine.numel())
        assert float(mine.mean()) == pytest.approx(chance, abs=5 * error)
        for axis in (0, 2):
            counts = mine.sum(axis)
            wanted = mine.shape[axis] * chance * (1 - chance)
            assert float(counts.var()) == pytest.approx(wanted, rel=5 * math.sqrt(2 / counts.numel()) + 0.05)


def test_sides_and_cues_follow_the_bias() -> None:
    """Without bias cues are fair and independent; with bias 1 all are on one side, each side in half of the trials."""
    for bias, spread in ((0.5, 7 / 4), (1.0, 49 / 4)):
        task = tasks.make("evidence_accumulation_spikes", bias=bias, dt=10.0, per_group=40, rate=100.0, delay=0)
        inputs = groups(task.split(1500, 1, seed=2)[0].batch().inputs, 4)
        cues = np.stack([inputs[5 + 15 * place : 15 + 15 * place, :, 1].sum(0) > 0 for place in range(7)]).sum(0)
        assert float(((cues - 3.5) ** 2).mean()) == pytest.approx(spread, rel=0.12)


BAD: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("evidence_accumulation_spikes", {"cues": 2}, ValueError, "cues must be odd"),
    ("evidence_accumulation_spikes", {"bias": 1.2}, ValueError, "bias must be at most 1, got 1.2"),
    ("evidence_accumulation_spikes", {"answer": 200}, ValueError, "answer must be at most decision = 150 ms, got 200"),
    ("evidence_accumulation_spikes", {"rate": 2000}, ValueError, "rate must be at most one spike a step, 1000 / dt"),
    ("evidence_accumulation_spikes", {"background": -1}, ValueError, "background must be 0 or greater"),
    ("evidence_accumulation_spikes", {"lead": 0.5}, ValueError, "lead must be 0 or at least one time step"),
    ("delayed_match_spikes", {"sample": 0}, ValueError, "sample must be greater than 0"),
    ("delayed_match_spikes", {"per_group": 0}, ValueError, "per_group must be at least 1"),
    ("delayed_match_spikes", {"dt": 30.0, "rate": 40}, ValueError, "rate must be at most one spike a step"),
    ("delayed_match_spikes", {"decision": 0.1}, ValueError, "decision must be 0 or at least one time step"),
    ("pattern_generation_spikes", {"frequencies": [600]}, ValueError, "frequencies must lie between 0 and 500 / dt"),
    ("pattern_generation_spikes", {"groups": 0}, ValueError, "groups must be at least 1"),
    ("pattern_generation_spikes", {"groups": 9, "duration": 5}, ValueError, "at most the number of steps, 5, got 9"),
    ("pattern_generation_spikes", {"pattern_seed": -1}, ValueError, "pattern_seed must be at least 0"),
    ("pattern_generation_spikes", {"duration": 1}, ValueError, "duration must be at least 2 steps"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), BAD)
def test_bad_options_are_refused(name: str, options: dict[str, Any], error: type[Exception], message: str) -> None:
    """Each with an error that names the option, what came and what is allowed."""
    with pytest.raises(error, match=message) as caught:
        tasks.make(name, **options)
    assert "\n" not in str(caught.value)
