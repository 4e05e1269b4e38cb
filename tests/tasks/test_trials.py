"""TrialSet: every trial once an epoch, in an order that can be resumed, in batches of their own."""

from __future__ import annotations

import itertools

import pytest
import torch

from tasks.trials import TrialSet
from tca.batch import Batch
from tca.losses import CrossEntropy

TRIALS, STEPS = 10, 4


@pytest.fixture
def numbered() -> TrialSet:
    """Trial b holds the number b in all its inputs."""
    inputs = torch.arange(TRIALS, dtype=torch.float32).expand(STEPS, TRIALS).unsqueeze(-1).repeat(1, 1, 2)
    targets = torch.arange(TRIALS).expand(STEPS, TRIALS) % 3
    weights = torch.full((STEPS, TRIALS), 1 / STEPS)
    return TrialSet(Batch(inputs, targets, weights, CrossEntropy(), weights > 0))


def order(batches: itertools.islice[Batch] | list[Batch]) -> list[list[int]]:
    return [batch.inputs[0, :, 0].int().tolist() for batch in batches]


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 64])
def test_every_trial_comes_once_an_epoch_and_the_rest_is_kept(numbered: TrialSet, batch_size: int) -> None:
    batches = order(list(numbered.batches(batch_size, seed=1, epochs=2)))
    a_epoch = -(-TRIALS // batch_size)
    assert len(batches) == 2 * a_epoch
    first, second = (list(itertools.chain(*part)) for part in (batches[:a_epoch], batches[a_epoch:]))
    assert sorted(first) == sorted(second) == list(range(TRIALS))
    assert first != second, "each epoch has an order of its own"
    assert first != list(range(TRIALS))


def test_batch_keeps_inputs_targets_weights_and_decisions_of_a_trial_together(numbered: TrialSet) -> None:
    for batch in numbered.batches(4, seed=0, epochs=1):
        trial = batch.inputs[..., 0].long()
        assert torch.equal(batch.targets, trial % 3)
        assert batch.decisions is not None
        assert batch.weights.shape == batch.decisions.shape == trial.shape


def test_start_resumes_at_any_batch(numbered: TrialSet) -> None:
    whole = order(list(itertools.islice(numbered.batches(3, seed=7), 20)))
    for start in (0, 1, 3, 4, 11, 19):
        assert order(list(itertools.islice(numbered.batches(3, seed=7, start=start), 20 - start))) == whole[start:]
    assert order(list(numbered.batches(3, seed=7, epochs=2, start=5))) == whole[5:8]
    assert list(numbered.batches(3, seed=7, epochs=2, start=8)) == []


def test_order_depends_on_the_seed_only(numbered: TrialSet) -> None:
    torch.manual_seed(0)
    first = order(list(numbered.batches(3, seed=7, epochs=1)))
    torch.rand(5)
    assert order(list(numbered.batches(3, seed=7, epochs=1))) == first
    assert order(list(numbered.batches(3, seed=8, epochs=1))) != first


def test_global_generator_is_left_alone(numbered: TrialSet) -> None:
    before = torch.get_rng_state()
    list(numbered.batches(3, seed=7, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_are_copies(numbered: TrialSet) -> None:
    batches = list(numbered.batches(3, seed=0, epochs=1))
    kept = [batch.inputs.clone() for batch in batches]
    batches[0].inputs.fill_(-1)
    assert all(torch.equal(batch.inputs, copy) for batch, copy in zip(batches[1:], kept[1:], strict=True))
    assert torch.equal(numbered.batch().inputs[0, :, 0], torch.arange(10.0))


def test_subset_by_count_and_by_indices(numbered: TrialSet) -> None:
    assert order([numbered.subset(3).batch()]) == [[0, 1, 2]]
    assert order([numbered.subset([7, 2, 2]).batch()]) == [[7, 2, 2]]
    assert order([numbered.subset(torch.tensor([9])).batch()]) == [[9]]
    assert len(numbered) == TRIALS


def test_to_changes_real_numbers_only(numbered: TrialSet) -> None:
    moved = numbered.to(dtype=torch.float64).batch()
    assert (moved.inputs.dtype, moved.weights.dtype, moved.targets.dtype) == (torch.float64, torch.float64, torch.int64)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0, "seed": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.5, "seed": 0}, TypeError, "batch_size must be an integer"),
        ({"batch_size": True, "seed": 0}, TypeError, "batch_size must be an integer"),
        ({"batch_size": 4, "seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"batch_size": 4, "seed": 0, "epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"batch_size": 4, "seed": 0, "start": -2}, ValueError, "start must be at least 0, got -2"),
    ],
)
def test_bad_batches_are_refused_at_once(numbered: TrialSet, arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        numbered.batches(**arguments)


@pytest.mark.parametrize(
    ("trials", "error", "message"),
    [
        (0, ValueError, "trials must be at least 1"),
        (11, ValueError, "0 to 9"),
        ([], ValueError, "at least one index"),
        ([-1], ValueError, "0 to 9"),
        ([0.5], TypeError, r"trials\[0\] must be an integer"),
        (torch.ones(10, dtype=torch.bool), TypeError, "integer indices"),
    ],
)
def test_bad_subsets_are_refused(numbered: TrialSet, trials: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        numbered.subset(trials)
