"""Trials are checked once, and again after a change; selections of checked trials are not."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor

import tca
from tasks.trials import TrialSet
from tca.losses import CrossEntropy

CHECKS: list[tuple[int, ...]] = []


@dataclasses.dataclass(frozen=True)
class Counted(CrossEntropy):
    """A loss that notes how often it is asked to check targets."""

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        CHECKS.append(outputs_shape)
        super().check(outputs_shape, targets)


def batch_of(loss: tca.losses.Loss, trials: int = 6) -> tca.Batch:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4, trials, 3, generator=generator)
    weights = torch.ones(4, trials)
    return tca.Batch(inputs, inputs.argmax(-1), weights, loss, info={"side": list(range(trials))})


def checks_of(batch: tca.Batch, outputs: int = 3) -> int:
    CHECKS.clear()
    batch.check(3, outputs)
    return len(CHECKS)


def test_a_batch_is_checked_again_for_other_sizes_and_after_every_change() -> None:
    batch = batch_of(Counted())
    assert [checks_of(batch), checks_of(batch), checks_of(batch, 4), checks_of(batch, 4)] == [1, 0, 1, 0]
    for part in (batch.inputs, batch.targets, batch.weights):
        part.add_(0)
        assert [checks_of(batch, 4), checks_of(batch, 4)] == [1, 0]
    assert checks_of(copy.deepcopy(batch), 4) == 1
    assert checks_of(dataclasses.replace(batch, inputs=batch.inputs.clone()), 4) == 1


@pytest.mark.parametrize("chosen", [torch.tensor([3, 1]), torch.tensor([-1, 0]), slice(1, 4), torch.arange(6) > 3])
def test_selections_of_checked_trials_are_checked_after_a_change_only(
    chosen: Tensor | slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tca.losses.loss.OWN", (Counted.__module__,))  # as if the loss were of the library
    whole = batch_of(Counted())
    assert checks_of(whole.select(chosen)) == 1  # not checked before
    whole.check(3, 3)
    part = whole.select(chosen)
    assert [checks_of(part), checks_of(part, 4)] == [0, 1]
    assert torch.equal(part.inputs, whole.inputs[:, chosen])
    assert torch.equal(part.targets, whole.targets[:, chosen])
    part = whole.select(chosen)
    part.inputs[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="inputs must be finite"):
        part.check(3, 3)
    part = batch_of(Counted()).select(chosen)
    part.targets[0, 0] = 7
    with pytest.raises(ValueError, match="targets must be classes 0 to 2"):
        part.check(3, 3)


def test_a_loss_of_a_user_checks_every_selection() -> None:
    whole = batch_of(Counted())
    whole.check(3, 3)
    assert checks_of(whole.select(slice(0, 2))) == 1


def test_a_whole_that_was_changed_answers_for_no_selection() -> None:
    whole = batch_of(CrossEntropy())
    whole.check(3, 3)
    whole.inputs[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="inputs must be finite"):
        whole.select(torch.tensor([0])).check(3, 3)


def test_padding_is_that_of_the_weights_as_they_are() -> None:
    whole = batch_of(CrossEntropy())
    assert not whole.padded
    part = whole.select(torch.tensor([1, 2]))
    part.weights[-1, 0] = 0.0
    assert part.padded
    assert not whole.padded
    whole.weights[-1, 3] = 0.0
    assert [whole.padded, whole.select(torch.tensor([3])).padded, whole.select(slice(0, 3)).padded] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("chosen", [slice(0, 0), torch.tensor([], dtype=torch.int64), torch.tensor(1)])
def test_selections_of_no_trial_or_of_one_without_its_axis_are_refused(chosen: Tensor | slice) -> None:
    with pytest.raises(ValueError, match=r"inputs must (hold at least one|have shape)"):
        batch_of(CrossEntropy()).select(chosen)


def test_trials_made_in_inference_mode_are_checked_every_time() -> None:
    with torch.inference_mode():
        batch = batch_of(Counted())
    assert [checks_of(batch), checks_of(batch)] == [1, 1]
    assert not batch.padded


def test_a_training_set_is_checked_once_and_its_batches_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tca.losses.loss.OWN", (Counted.__module__,))
    run = tca.Run(TrialSet(batch_of(Counted(), 20)), net={"size": 4}, n_train=12, n_test=8, batch_size=2, steps=6)
    CHECKS.clear()
    assert tca.train(run, progress=False).outcome == "completed"
    assert {shape[1] for shape in CHECKS} == {12}


def test_memory_shared_with_an_array_changes_unseen() -> None:
    batch = batch_of(CrossEntropy())
    batch.check(3, 3)
    batch.inputs.numpy()[0, 0, 0] = float("nan")
    batch.check(3, 3)  # not noticed; the gradient is not finite then
    net = tca.nets.LeakyRNN(3, 4, 3)
    tca.Learner(net, tca.RULES["bptt"]).backward(batch)
    assert net.w_rec.grad is not None
    assert not net.w_rec.grad.isfinite().all()


def test_checked_trials_that_are_moved_are_checked_where_their_numbers_may_not_fit_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tca.losses.loss.OWN", (Counted.__module__,))
    batch = batch_of(Counted())
    assert checks_of(batch.to(dtype=torch.float64)) == 1  # not checked before
    batch.check(3, 3)
    wide = batch.to(dtype=torch.float64)
    assert [checks_of(wide), checks_of(wide, 4), checks_of(batch.to("cpu"))] == [0, 1, 0]
    wide.inputs[0, 0, 0] = 1e300
    wide.check(3, 3)
    with pytest.raises(ValueError, match="inputs must be finite"):
        wide.to(dtype=torch.float32).check(3, 3)
    batch.inputs[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="inputs must be finite"):
        batch.to(dtype=torch.float64).check(3, 3)


def test_selections_are_those_of_an_index() -> None:
    """Trials may count from the end and come twice; one outside is an error, and so are none."""
    whole = batch_of(CrossEntropy())
    for chosen in ([2, 0], [-1, 1], [3, 3, -6]):
        part = whole.select(torch.tensor(chosen))
        for name in ("inputs", "targets", "weights"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[:, chosen])
    for outside in (6, -7):
        with pytest.raises(IndexError, match=f"index {outside} is out of bounds"):
            whole.select(torch.tensor([0, outside]))
    with pytest.raises(ValueError, match="inputs must hold at least one step, trial and channel"):
        whole.select(torch.tensor([], dtype=torch.int64))
