"""Trials from arrays: their numbers are those that were given."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import tasks
import tca
from tca.losses import MSE, CrossEntropy, Logistic

GEN = np.random.default_rng(0)
X = GEN.normal(size=(5, 3, 2))
CLASSES = np.array([[0, 1, 2]] * 4 + [[2, 1, 0]])
REAL = GEN.normal(size=(5, 3, 4))


def test_a_target_a_step() -> None:
    for targets, loss in ((CLASSES, CrossEntropy()), (REAL, MSE())):
        batch = tasks.from_arrays(X, targets, lengths=[5, 2, 4]).batch()
        assert batch.loss == loss
        np.testing.assert_array_equal(batch.inputs.numpy(), X.astype(np.float32))
        np.testing.assert_array_equal(batch.targets.numpy(), targets.astype(batch.targets.numpy().dtype))
        expected = [[1 / length if step < length else 0 for length in (5, 2, 4)] for step in range(5)]
        np.testing.assert_allclose(batch.weights.numpy(), expected, rtol=1e-6)
        assert batch.trial_lengths.tolist() == [5, 2, 4]


def test_a_target_a_trial_counts_at_its_last_step() -> None:
    for targets in (np.array([2, 0, 1]), REAL[0], REAL[0, :, 0]):
        batch = tasks.from_arrays(X, targets, lengths=[5, 2, 4]).batch()
        last = np.array([[step == length - 1 for length in (5, 2, 4)] for step in range(5)])
        np.testing.assert_array_equal(batch.weights.numpy(), last)
        shown = batch.targets[torch.from_numpy(last)]
        order = [1, 2, 0]  # trials by their last step
        np.testing.assert_allclose(shown.numpy().reshape(targets.shape), targets[order], rtol=1e-6)
        assert (batch.targets[~torch.from_numpy(last)] == 0).all()


def test_weights_and_lengths_of_the_user() -> None:
    weights = np.zeros((5, 3))
    weights[1:3] = 0.5
    batch = tasks.from_arrays(X, np.array([2, 0, 1]), weights=weights).batch()
    assert batch.targets[1:3].tolist() == [[2, 0, 1]] * 2
    assert batch.trial_lengths.tolist() == [5, 5, 5]
    np.testing.assert_array_equal(batch.weights.numpy(), weights)


@pytest.mark.parametrize("targets", [CLASSES, REAL, np.array([1, 0, 2]), REAL[0]])
def test_batch_first_is_the_same_trials(targets: np.ndarray) -> None:
    swapped = targets.swapaxes(0, 1) if targets.shape[:2] == (5, 3) else targets
    weights = np.ones((5, 3))
    one = tasks.from_arrays(X, targets, weights=weights).batch()
    other = tasks.from_arrays(X.swapaxes(0, 1), swapped, weights=weights.T, batch_first=True).batch()
    for name in ("inputs", "targets", "weights"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {"targets": [0, 1, 1]},
        {"targets": CLASSES},
        {"targets": CLASSES, "lengths": [1, 2, 3]},
        {"targets": np.zeros(3), "info": {"side": [0, 1, 1]}},
        {"targets": REAL},
    ],
)
def test_arrays_in_the_other_order_are_recognised(given: dict, batch_first: bool) -> None:
    """Inputs alone are in the wrong order; every other array says so."""
    if batch_first:
        given = {name: np.swapaxes(each, 0, 1) if np.ndim(each) > 1 else each for name, each in given.items()}
    inputs = X if batch_first else X.swapaxes(0, 1)
    targets = given["targets"]
    if np.ndim(targets) > 1:
        targets = np.swapaxes(targets, 0, 1) if given.keys() == {"targets", "lengths"} else targets
    with pytest.raises(ValueError, match=f"give batch_first={not batch_first}"):
        tasks.from_arrays(inputs, **{**given, "targets": targets}, batch_first=batch_first)


def test_batch_first_tensors_that_reach_a_batch_are_refused_with_the_remedy() -> None:
    x, y, w = torch.zeros(3, 5, 2), torch.zeros(5, 3, dtype=torch.long), torch.ones(5, 3)
    for given in (
        {"targets": y, "weights": w},
        {"targets": y.T, "weights": w.T, "lengths": torch.full((3,), 5)},
        {"targets": y.T, "weights": w.T, "info": {"side": np.zeros(3)}},
    ):
        with pytest.raises(ValueError, match=r"tasks.from_arrays\(..., batch_first=True\)"):
            tca.Batch(x, loss=CrossEntropy(), **given)
    one = torch.zeros(3, dtype=torch.long)
    with pytest.raises(ValueError, match=r"tasks.from_arrays\(..., batch_first=True\)"):
        tca.Batch(x, one, w, CrossEntropy())
    with pytest.raises(ValueError, match=r"got \(3,\); tasks.from_arrays takes one target a trial"):
        tca.Batch(x.transpose(0, 1), one, w, CrossEntropy())


def test_trials_of_different_lengths_in_a_list() -> None:
    inputs = [GEN.normal(size=(steps, 2)) for steps in (3, 6, 4)]
    by_trial = tasks.from_arrays(inputs, [1, 0, 1]).batch()
    assert by_trial.trial_lengths.tolist() == [3, 6, 4]
    by_step = tasks.from_arrays(inputs, [np.arange(len(each)) for each in inputs]).batch()
    assert by_step.targets.T.tolist() == [[0, 1, 2, 0, 0, 0], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 0, 0]]
    real = tasks.from_arrays(inputs, [each * 2 for each in inputs]).batch()
    np.testing.assert_allclose(real.targets.numpy(), 2 * real.inputs.numpy(), rtol=1e-6)
    for trial, each in enumerate(inputs):
        np.testing.assert_array_equal(real.inputs[: len(each), trial].numpy(), each.astype(np.float32))


def test_types_of_tensors_are_kept() -> None:
    batch = tasks.from_arrays(torch.zeros(4, 2, 3, dtype=torch.float64), [[0.5], [1.0]], loss=Logistic()).batch()
    assert {batch.inputs.dtype, batch.targets.dtype, batch.weights.dtype} == {torch.float64}
    assert batch.loss == Logistic()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"inputs": X[0]}, ValueError, r"inputs must have shape \(T, B, I\), got \(3, 2\)"),
        ({"targets": np.zeros((5, 3))}, ValueError, r"got real \(5, 3\); one real target a step needs a last axis"),
        (
            {"targets": np.zeros((4, 3), int)},
            ValueError,
            r"targets must have shape \(T, B\) or \(B,\) with T = 5, B = 3",
        ),
        ({"targets": ["a", "b", "c"]}, TypeError, "targets must be numbers"),
        ({"lengths": [5, 6, 1]}, ValueError, "lengths must be integers from 1 to 5"),
        ({"lengths": [5.0, 1, 1]}, ValueError, "lengths must be integers"),
        ({"lengths": [5, 5]}, ValueError, r"lengths must have shape \(B,\) = \(3,\)"),
        ({"weights": np.ones((5, 4))}, ValueError, r"weights must have shape \(T, B\) = \(5, 3\)"),
        ({"weights": np.ones((5, 3)), "lengths": [5, 2, 1]}, ValueError, "weights must be zero after the lengths"),
        ({"info": {"side": [1]}}, ValueError, r"info\['side'\] must hold one value a trial"),
        ({"inputs": [np.zeros((3, 2)), np.zeros((3, 1)), X[0]]}, ValueError, "inputs must be a list of arrays"),
        ({"inputs": [X[:, 0]] * 2}, ValueError, "targets must hold one entry a trial, 2, got 3"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(given: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        tasks.from_arrays(**{"inputs": X, "targets": [0, 1, 1], **given})


def test_a_set_of_trials_is_a_dataset_of_torch() -> None:
    trials = tasks.from_arrays(X, CLASSES, lengths=[5, 2, 4])
    assert isinstance(trials, Dataset)
    batches = list(DataLoader(trials, batch_size=2))
    assert [tuple(each[0].shape) for each in batches] == [(2, 5, 2), (1, 5, 2)]
    inputs, targets, weights = (torch.cat(each) for each in zip(*batches, strict=True))
    whole = trials.batch()
    for one, other in ((inputs, whole.inputs), (targets, whole.targets), (weights, whole.weights)):
        assert torch.equal(one.transpose(0, 1), other)
    again = tasks.from_arrays(inputs, targets, weights=weights, batch_first=True).batch()
    assert torch.equal(again.inputs, whole.inputs)
    assert len(list(iter(trials))) == 3
    with pytest.raises(IndexError, match="trial 3 of a set of 3"):
        trials[3]
    digits, _ = tasks.images().split(6, 1, seed=0)
    assert next(iter(DataLoader(digits, batch_size=4)))[0].shape == (4, 1, 64)


def test_a_dataset_of_torch_is_a_set_of_trials() -> None:
    dataset = TensorDataset(torch.from_numpy(X).transpose(0, 1), torch.tensor([0, 1, 1]))
    batch = tasks.from_dataset(dataset).batch()
    assert torch.equal(batch.inputs, torch.from_numpy(X))
    assert batch.targets[-1].tolist() == [0, 1, 1]
    still = tasks.from_dataset(TensorDataset(torch.ones(3, 4), torch.tensor([2, 0, 1]))).batch()
    assert (still.steps, still.inputs.shape[2]) == (1, 4)


def test_datasets_that_yield_no_pairs_are_refused() -> None:
    class Endless(IterableDataset):
        def __iter__(self):
            yield torch.zeros(1), 0

    with pytest.raises(TypeError, match="dataset must have a length, as map-style datasets of torch do, got Endless"):
        tasks.from_dataset(Endless())
    with pytest.raises(ValueError, match=r"dataset must hold pairs \(inputs, target\), got a sample of type tuple"):
        tasks.from_dataset(TensorDataset(torch.zeros(3, 4)))
