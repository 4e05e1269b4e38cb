"""What every task promises, native or from neurogym: the same bits, weights that sum to 1, a true chance level."""

from __future__ import annotations

import functools
import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tasks
from tca.batch import Batch
from tca.losses import CrossEntropy

NAMES = [name for name in tasks.list() if name not in tasks.CONTROL]  # these have no trials
ROOT = Path(__file__).parents[2]
COARSE = {"dt": 10.0, "per_group": 3}  # two thousand steps of many cells would be slow


@functools.cache
def made(name: str) -> tasks.Task:
    return again(name)


def again(name: str) -> tasks.Task:
    return tasks.make(name, **COARSE if name.endswith("_spikes") else {})


def fingerprint(*batches: Batch) -> str:
    digest = hashlib.sha256()
    for batch in batches:
        for part in (batch.inputs, batch.targets, batch.weights, batch.decision_steps):
            digest.update(str(tuple(part.shape)).encode() + part.contiguous().numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.thirds
@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bits_and_other_seeds_others(name: str) -> None:
    task = made(name)
    train, test = task.split(12, 10, seed=3)
    fresh = list(itertools.islice(task.stream(5, seed=3), 3))
    first = fingerprint(train.batch(), test.batch(), *fresh)
    task.split(7, 5, seed=4)
    anew = again(name)
    train, test = anew.split(12, 10, seed=3)
    assert fingerprint(train.batch(), test.batch(), *itertools.islice(anew.stream(5, seed=3), 3)) == first
    assert fingerprint(next(iter(anew.stream(5, seed=3, start=2)))) == fingerprint(fresh[2]), "a stream can be resumed"
    others = [batch.batch() for batch in anew.split(12, 12, seed=4)] + [train.subset(12).batch()]
    others += [next(iter(task.stream(5, seed=seed))) for seed in (3, 4)]
    assert len({fingerprint(batch) for batch in others}) == len(others)
    for numbers in (train.batch().inputs, train.batch().weights):
        assert numbers.dtype == torch.float32


@pytest.mark.thirds
@pytest.mark.parametrize("name", NAMES)
def test_trials_fit_the_task_and_weights_sum_to_one(name: str) -> None:
    task = made(name)
    for batch in (task.split(40, 1, seed=0)[0].batch(), next(iter(task.stream(8, seed=0)))):
        batch.check(task.n_in, task.n_out)
        assert type(batch.loss) is type(task.loss)
        torch.testing.assert_close(batch.weights.sum(0), torch.ones(batch.trials), atol=1e-6, rtol=0)
        decisions = batch.decision_steps
        assert decisions.any(0).all()
        assert (batch.weights[decisions] > 0).all(), "what counts for accuracy counts in the loss"
        inside = batch.weights > 0
        last = inside.shape[0] - inside.flip(0).int().argmax(0)
        if name.endswith("-v0"):  # every step of the trial has a weight, so padding is all after the last
            assert torch.equal(inside, torch.arange(batch.steps)[:, None] < last)
        padding = torch.arange(batch.steps)[:, None] >= last
        assert not batch.inputs[padding].any()
        assert not batch.targets[padding].any()
        assert last.max() == batch.steps, "padded to the longest and no further"


@pytest.mark.thirds
@pytest.mark.parametrize("name", NAMES)
def test_chance_is_the_best_that_can_be_had_without_looking(name: str) -> None:
    task = made(name)
    batch = task.split(1198, 1, seed=11)[0].batch()
    shape = (batch.steps, batch.trials, task.n_out)
    if task.measure == "R2":
        assert task.chance == 0
        mean = batch.targets[batch.decision_steps].mean(0)
        assert task.accuracy(mean.expand(shape), batch) == pytest.approx(0, abs=1e-5)
        return
    scores = []
    for answer in range(task.n_out):
        outputs = torch.zeros(shape)
        outputs[..., answer] = 1
        scores.append(task.accuracy(outputs, batch))
    assert max(scores) == pytest.approx(task.chance, abs=0.06)
    if min(score for score in scores if score > 0) > 0.8 * max(scores):  # all answers that occur are equally common
        answers = torch.tensor([answer for answer, score in enumerate(scores) if score > 0])
        guesses = torch.from_numpy(np.random.default_rng(0).integers(len(answers), size=shape[:2]))
        guessed = torch.nn.functional.one_hot(answers[guesses], task.n_out).float()
        assert task.accuracy(guessed, batch) == pytest.approx(task.chance, abs=0.05)


@pytest.mark.thirds
@pytest.mark.parametrize("name", NAMES)
def test_the_right_answer_scores_one(name: str) -> None:
    task = made(name)
    batch = task.split(20, 1, seed=0)[0].batch()
    if task.measure == "R2":
        outputs = batch.targets.clone()
    else:
        outputs = torch.nn.functional.one_hot(batch.targets, task.n_out).float()
    outputs[~batch.decision_steps] = -5  # what is said elsewhere does not count
    assert task.accuracy(outputs, batch) == 1
    outputs[tuple(batch.decision_steps.nonzero()[0])] = float("nan")
    assert np.isnan(task.accuracy(outputs, batch))


def test_accuracy_counts_every_trial_the_same() -> None:
    task = tasks.make("delayed_xor")
    decisions = torch.tensor([[True, True], [True, False], [True, False]])
    targets = torch.zeros(3, 2, dtype=torch.int64)
    batch = Batch(torch.zeros(3, 2, 2), targets, decisions / 3, CrossEntropy(), decisions)
    outputs = torch.tensor([1.0, 0.0]).repeat(3, 2, 1)
    outputs[1:, 0] = torch.tensor([0.0, 1.0])
    assert task.accuracy(outputs, batch) == pytest.approx((1 / 3 + 1) / 2)
    with pytest.raises(ValueError, match=r"outputs must have shape \(T, B, O\) = \(3, 2, 2\)"):
        task.accuracy(outputs[:2], batch)


def test_accuracy_leaves_out_trials_without_a_decision() -> None:
    """A padded trial and one that asks nothing change no accuracy; where nothing is asked there is none."""
    generator = torch.Generator().manual_seed(4)
    inside = torch.arange(6).unsqueeze(1) < torch.tensor([6, 4, 0, 5])
    decisions = inside & (torch.arange(6).unsqueeze(1) >= 3) & torch.tensor([True, True, True, False])
    for task, targets in (
        (tasks.make("delayed_xor"), torch.randint(2, (6, 4), generator=generator)),
        (tasks.make("flip_flop", bits=2), torch.randn(6, 4, 2, generator=generator)),
    ):
        batch = Batch(torch.zeros(6, 4, 2), targets, inside / 6, task.loss, decisions)
        outputs = torch.randn(6, 4, 2, generator=generator)
        wanted = task.accuracy(outputs[:, :2], batch.select(slice(0, 2)))
        assert np.isfinite(wanted)
        assert task.accuracy(outputs, batch) == pytest.approx(wanted, rel=1e-12)
        with pytest.raises(ValueError, match="batch must have a decision step in at least one trial, got none"):
            task.accuracy(outputs[:, 2:], batch.select(slice(2, 4)))


def test_r_squared_against_its_definition() -> None:
    task = tasks.make("flip_flop", bits=2)
    batch = task.split(5, 1, seed=0)[0].batch()
    outputs = torch.randn(batch.targets.shape, generator=torch.Generator().manual_seed(0))
    answers, targets = (part.double().numpy().reshape(-1, 2) for part in (outputs, batch.targets))
    expected = 1 - ((answers - targets) ** 2).sum() / ((targets.mean(0) - targets) ** 2).sum()
    assert task.accuracy(outputs, batch) == pytest.approx(expected, abs=1e-12)


def test_bits_agree_between_processes_and_nothing_is_printed() -> None:
    names = [*sorted(tasks.NATIVE)[::3], "HierarchicalReasoning-v0", "PostDecisionWager-v0", "yang19.dms-v0"]
    names += ["perceptualdecisionmaking.ibl20-v0"]
    here = {name: fingerprint(tasks.make(name).split(5, 25, seed=1)[1].batch()) for name in names}
    code = (
        "import hashlib, tasks\n"
        "from tests.tasks.test_contract import fingerprint\n"
        f"print({{name: fingerprint(tasks.make(name).split(5, 25, seed=1)[1].batch()) for name in {names[::-1]!r}}})\n"
        "try: tasks.make('Bandit-v0', timing={})  # the environment logs a line about timing\n"
        "except ValueError: pass"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (result.returncode, result.stderr) == (0, "")
    assert eval(result.stdout) == here


def test_importing_tasks_loads_no_third_party_task_library() -> None:
    code = (
        "import sys, tasks; tasks.list(); tasks.make('delayed_xor').split(2, 2, 0)\n"
        "print(sorted({'neurogym', 'gymnasium', 'sklearn', 'matplotlib', 'scipy', 'loguru'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


def test_global_generators_are_left_alone() -> None:
    np.random.seed(0)  # noqa: NPY002
    before = (torch.get_rng_state(), np.random.get_state()[1].copy())  # noqa: NPY002
    for name in ("delayed_match", "sequential_digits", "PostDecisionWager-v0", "yang19.go-v0"):
        task = tasks.make(name)
        task.split(5, 5, seed=0)
        next(iter(task.stream(5, seed=0)))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


FINITE = {"anbn", "copy_memory", "sequential_digits"}  # so few different trials that chance repeats them


@pytest.mark.thirds
@pytest.mark.parametrize("name", sorted({*tasks.NATIVE} - FINITE))
def test_sets_and_stream_share_no_trial(name: str) -> None:
    task = tasks.make(name)
    batches = [part.batch() for part in task.split(100, 100, seed=0)]
    batches += itertools.islice(task.stream(100, seed=0), 3)
    seen = {numbers.numpy().tobytes().rstrip(b"\0") for batch in batches for numbers in batch.inputs.unbind(1)}
    assert len(seen) == 500


@pytest.mark.parametrize("name", NAMES)
def test_every_task_has_one_line_of_description(name: str) -> None:
    line = tasks.describe(name)
    assert 20 < len(line) <= 120
    assert line.endswith(".")
    assert "\n" not in line
