"""Test conditions as values: what they change, and that they change nothing else."""

from __future__ import annotations

import pytest
import torch

import tasks
import tca
from analysis import generalization_gap
from analysis.generalization.conditions import Changed, Clean, FreshTrials, InputNoise, Longer, PixelNoise, changed_task

TASK = tasks.make("delayed_match")
TEST = TASK.split(4, 30, seed=0)[1].batch()
ALL = [Clean(), FreshTrials(), InputNoise(0.3), PixelNoise(0.3), Changed({"delay": 500.0}), Longer("delay", 2.0)]


@pytest.mark.parametrize("condition", ALL, ids=lambda each: type(each).__name__)
def test_conditions_are_values_that_repeat_themselves(condition) -> None:  # type: ignore[no-untyped-def]
    before = TEST.inputs.clone()
    state = torch.get_rng_state()
    double = TEST.to(dtype=torch.float64)
    one, again = condition.batch(TASK, double), condition.batch(TASK, double)
    assert torch.equal(one.inputs, again.inputs)
    assert torch.equal(one.targets, again.targets)
    assert (one.trials, one.inputs.dtype) == (TEST.trials, torch.float64)
    assert torch.equal(TEST.inputs, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(condition)(**{name: getattr(condition, name) for name in condition.__dataclass_fields__}) == condition
    assert hash(condition) == hash(condition)


def test_clean_is_the_test_set_and_fresh_trials_are_others_of_the_same_kind() -> None:
    assert Clean().batch(TASK, TEST) is TEST
    fresh = FreshTrials(seed=5).batch(TASK, TEST)
    assert torch.equal(fresh.inputs, TASK.split(9, 30, seed=5)[1].batch().inputs)
    assert fresh.inputs.shape == TEST.inputs.shape
    assert not torch.equal(fresh.inputs, TEST.inputs)


def test_input_noise_has_its_size_everywhere_and_keeps_to_its_limits() -> None:
    noise = InputNoise(0.5).batch(TASK, TEST).inputs - TEST.inputs
    assert noise.std(correction=0).item() == pytest.approx(0.5, rel=0.05)
    assert (noise != 0).all()
    clipped = InputNoise(5.0, clip=(-1.0, 2.0)).batch(TASK, TEST).inputs
    assert (clipped.min(), clipped.max()) == (-1.0, 2.0)
    other = InputNoise(0.5, seed=1).batch(TASK, TEST).inputs - TEST.inputs
    assert not torch.equal(other, noise)


def test_pixel_noise_leaves_the_go_channel_and_the_decision_alone() -> None:
    task = tasks.make("sequential_digits")
    test = task.split(1, 50, seed=0)[1].batch()
    noisy = PixelNoise(0.2, channels=8, steps=8).batch(task, test)
    changed = noisy.inputs != test.inputs
    assert not changed[8:].any()
    assert not changed[..., 8].any()
    assert changed[:8, :, :8].double().mean() > 0.5
    assert (noisy.inputs.min(), noisy.inputs.max()) == (0.0, 1.0)
    everywhere = PixelNoise(0.2).batch(task, test)
    assert (everywhere.inputs[8, :, :8] != 0).any()
    with pytest.raises(ValueError, match="channels must be at most 9, as many as the trials have, got 10"):
        PixelNoise(channels=10).batch(task, test)


def test_options_of_the_task_change_and_the_rest_stays() -> None:
    shifted = Changed({"coherences": (51.2,)}, seed=2)
    task = tasks.make("perceptual_decision", noise=0.0)
    drawn = shifted.batch(task, task.split(1, 20, seed=0)[1].batch())
    known = tasks.make("perceptual_decision", noise=0.0, coherences=(51.2,)).split(1, 20, seed=2)[1].batch()
    assert torch.equal(drawn.inputs, known.inputs)
    longer = Longer("delay", 2.0).batch(TASK, TEST)
    assert longer.steps - TEST.steps == TASK.delay / TASK.dt
    ranged = tasks.make("delayed_match", delay=(200.0, 600.0))
    assert changed_task(ranged, {"dt": 50.0}).delay == (200.0, 600.0)
    stretched = Longer("delay", 1.5).batch(ranged, TEST)
    assert stretched.steps <= tasks.make("delayed_match", delay=900.0).split(1, 1, 0)[0].steps


def test_options_of_a_neurogym_task_change() -> None:
    task = tasks.make("DelayMatchSample-v0", dt=100)
    known = tasks.make("DelayMatchSample-v0", dt=100, dim_ring=4)
    assert changed_task(task, {"dim_ring": 4}) == known
    assert changed_task(task, {"dim_ring": 4}).n_in == known.n_in != task.n_in


def test_a_network_is_scored_under_every_condition() -> None:
    """The scores are those of the conditions' trials, and the gaps are taken from the training set."""
    net = tca.nets.LeakyRNN(TASK.n_in, 8, TASK.n_out, dt=TASK.dt, seed=1)
    train = TASK.split(20, 30, seed=0)[0]
    conditions = {"longer": Longer("delay", 2.0), "noisy": InputNoise(2.0)}
    found = generalization_gap(net, TASK, train, TEST, conditions=conditions)
    assert list(found.under) == ["longer", "noisy"]
    assert list(found.gaps) == ["test", "longer", "noisy"]
    for name, condition in conditions.items():
        batch = condition.batch(TASK, TEST)
        outputs = net(batch.inputs).detach()
        loss = (batch.weights * batch.loss.value(outputs, batch.targets)).sum().item() / 30
        assert found.under[name].loss == pytest.approx(loss, rel=1e-6)
        assert found.gaps[name].loss == pytest.approx(loss - found.train.loss, rel=1e-5)
        assert found.gaps[name].accuracy == found.train.accuracy - TASK.accuracy(outputs, batch)
    assert str(found).splitlines()[-1].startswith("noisy")


def test_a_condition_needs_a_task() -> None:
    class Blind:
        def accuracy(self, outputs: torch.Tensor, batch: tca.Batch) -> float:
            return 0.0

    net = tca.nets.LeakyRNN(TASK.n_in, 8, TASK.n_out, dt=TASK.dt)
    with pytest.raises(TypeError, match=r"task must be a tasks.Task where there are conditions, got Blind"):
        generalization_gap(net, Blind(), TEST, TEST, conditions={"clean": Clean()})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InputNoise(-1.0), "sd must be 0 or greater, got -1"),
        (lambda: InputNoise(clip=(1.0, 0.0)), "clip must be a lower and a higher limit"),
        (lambda: PixelNoise(clip=(0.0, 1.0, 2.0)), "clip must be a list or tuple of 2 numbers"),  # type: ignore[arg-type]
        (lambda: PixelNoise(steps=0), "steps must be at least 1, got 0"),
        (lambda: Changed(), "options must name at least one option that differs, got none"),
        (lambda: Changed({"dellay": 1.0}).batch(TASK, TEST), "'dellay', did you mean 'delay'"),
        (lambda: Longer("delai").batch(TASK, TEST), "'delai', did you mean 'delay'"),
        (lambda: Longer(factor=0.0), "factor must be greater than 0, got 0"),
        (lambda: FreshTrials(-1), "seed must be at least 0, got -1"),
    ],
)
def test_mistakes_are_named(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()
