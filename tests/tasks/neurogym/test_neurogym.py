"""Neurogym: its own trials, seeded in all parts, aligned, copied; what can not be supervised is refused by name."""

from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import tasks
from tasks.neurogym import neurogym_task
from tasks.neurogym.neurogym_environment import SupervisedEnvironment, UnsupervisableError, registered
from tasks.neurogym.neurogym_ids import SUPERVISED
from tasks.seeds import TRAIN, generator

IDS = sorted(registered())


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test measures its environments itself, also those that it changes."""
    monkeypatch.setattr(neurogym_task, "_MEASURED", {})


@pytest.mark.parametrize("name", IDS)
def test_every_id_is_listed_and_works_or_is_refused_with_the_reason(name: str) -> None:
    if name in SUPERVISED:
        assert name in tasks.list()  # and therefore among those of test_contract.py
    else:
        with pytest.raises(UnsupervisableError, match=f"^{name} can not be supervised: .+"):
            tasks.make(name)
        assert name not in tasks.list()


def test_the_table_holds_registered_ids_only() -> None:
    assert set(SUPERVISED) <= set(IDS)
    assert len(SUPERVISED) >= 40
    assert tasks.list() == [*sorted(tasks.NATIVE), *sorted(tasks.IMAGES), *sorted(SUPERVISED), *sorted(tasks.CONTROL)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("EconomicDecisionMaking-v0", "no ground truth"),
        ("Bandit-v0", "no ground truth"),
        ("Reaching1D-v0", "its ground truth goes from 0 to 6, its actions from 0 to 2"),
        ("AnnubesEnv-v0", "no default for session, catch_prob"),
    ],
)
def test_reasons_are_true_to_the_case(name: str, reason: str) -> None:
    with pytest.raises(UnsupervisableError, match=reason):
        tasks.make(name)


@pytest.mark.parametrize("name", ["PerceptualDecisionMaking-v0", "DelayMatchSample-v0", "ReachingDelayResponse-v0"])
def test_trials_are_those_of_the_environment(name: str) -> None:
    batch = tasks.make(name).split(6, 1, seed=4)[0].batch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import neurogym

        bare = neurogym.make(name).unwrapped
    bare.seed(int(torch.randint(2**32, (), generator=generator(4, TRAIN))))
    for trial in range(6):
        bare.new_trial()
        length = len(bare.ob)
        np.testing.assert_array_equal(batch.inputs[:length, trial], bare.ob)
        np.testing.assert_array_equal(batch.targets[:length, trial], bare.gt)
        assert not batch.weights[length:, trial].any()
        decision = slice(bare.start_ind["decision"], bare.end_ind["decision"])
        expected = np.zeros(batch.steps, bool)
        expected[decision] = True
        np.testing.assert_array_equal(batch.decision_steps[:, trial], expected)
        relative = np.where(expected, 1.0, 0.1) * (np.arange(batch.steps) < length)
        np.testing.assert_allclose(batch.weights[:, trial], relative / relative.sum(), rtol=1e-6)


def test_trials_begin_at_their_first_step() -> None:
    batch = tasks.make("DelayMatchSample-v0", dt=50).split(50, 1, seed=0)[0].batch()
    fixation = torch.cat((torch.ones(46), torch.zeros(18)))
    assert torch.equal(batch.inputs[..., 0], fixation[:, None].expand(64, 50))
    assert not batch.inputs[:6, :, 1:].any()
    assert batch.inputs[6:16, :, 1:].all()
    assert torch.equal(batch.targets[:46], torch.zeros(46, 50, dtype=torch.int64))
    assert (batch.targets[46:] > 0).all()


def test_options_reach_the_environment() -> None:
    task = tasks.make("DelayMatchSample-v0", dt=20, sigma=0.0, timing={"delay": 200}, dim_ring=4)
    assert (task.dt, task.n_in) == (20.0, 5)
    batch = task.split(10, 2, seed=0)[0].batch()
    assert batch.steps == (300 + 500 + 200 + 500 + 900) / 20
    assert torch.equal(batch.inputs[20], batch.inputs[30]), "no noise"


def test_an_environment_without_defaults_works_once_they_are_given() -> None:
    task = tasks.make("AnnubesEnv-v0", session={"v": 0.5, "a": 0.5}, catch_prob=0.5)
    train, test = (part.batch() for part in task.split(200, 200, seed=0))
    assert not torch.equal(train.targets, test.targets)
    assert task.chance == pytest.approx(0.5, abs=0.05)
    assert task.decision_periods == ("stimulus",)


@pytest.mark.parametrize(
    ("name", "periods"),
    [
        ("GoNogo-v0", ("decision",)),
        ("HierarchicalReasoning-v0", ("decision",)),
        ("DelayMatchCategory-v0", ("test",)),
        ("DualDelayMatchSample-v0", ("test1", "test2")),
        ("ReadySetGo-v0", ("production",)),
        ("OneTwoThreeGo-v0", ()),
    ],
)
def test_accuracy_counts_where_the_decision_is(name: str, periods: tuple[str, ...]) -> None:
    assert tasks.make(name).decision_periods == periods


def test_trials_are_copies_of_the_buffers() -> None:
    environment = SupervisedEnvironment("PerceptualDecisionMaking-v0", {})
    trials = environment.draw(5, generator(0))
    kept = [trial.inputs.copy() for trial in trials]
    bare = environment._top.unwrapped
    bare.ob[:], bare.gt[:] = 9, 9
    assert all(np.array_equal(trial.inputs, copy) for trial, copy in zip(trials, kept, strict=True))
    assert not any(np.shares_memory(trials[0].inputs, trial.inputs) for trial in trials[1:])


def test_parts_of_an_environment_do_not_share_their_random_numbers() -> None:
    def pairs_agree(trials: list) -> float:
        return float(np.mean([one[-1] == two[-1] for one, two in zip(trials[::2], trials[1::2], strict=True)]))

    environment = SupervisedEnvironment("yang19.go-v0", {})
    top = environment._top
    theirs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        top.seed(0)
        for _ in range(100):
            top.new_trial()
            theirs.append(top.unwrapped.gt.copy())
    assert pairs_agree(theirs) == 1, "with the environment's own seed each trial is shown again in the other modality"
    ours = [trial.targets for trial in SupervisedEnvironment("yang19.go-v0", {}).draw(100, generator(0))]
    assert pairs_agree(ours) < 0.4


def test_schedules_are_seeded() -> None:
    def state(seed: int) -> int:
        environment = SupervisedEnvironment("yang19.go-v0", {})
        environment.draw(1, generator(seed))
        return int(environment._top.schedule.rng.randint(2**31))

    assert state(0) == state(0) != state(1)


def test_both_modalities_are_drawn() -> None:
    batch = tasks.make("yang19.go-v0").split(100, 1, seed=0)[0].batch()
    shown = batch.inputs[5:10].sum(0).split([1, 16, 16], dim=-1)
    assert int((shown[1].sum(-1) > 0).sum()) == int((shown[2].sum(-1) > 0).sum()) == 50


def test_blocks_begin_the_same_way_in_every_environment() -> None:
    first, second = (SupervisedEnvironment("HierarchicalReasoning-v0", {}).draw(60, generator(2)) for _ in range(2))
    assert all(one.same(two) for one, two in zip(first, second, strict=True))


def test_blocks_longer_than_a_batch_come_in_a_stream() -> None:
    batches = itertools.islice(tasks.make("perceptualdecisionmaking.ibl20-v0").stream(60, seed=0), 3)
    share = [(batch.targets[-1] == 1).float().mean().item() for batch in batches]
    assert share[0] > 0.6
    assert share[2] < 0.4


def test_no_warning_and_no_line_reaches_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = warnings.filters.copy()
        for name in ("DelayMatchSample-v0", "MultiSensoryIntegration-v0", "perceptualdecisionmaking.ibl20-v0"):
            tasks.make(name).split(2, 2, seed=0)
        assert warnings.filters == before
    assert caught == []
    assert capfd.readouterr() == ("", "")


def test_an_environment_of_neurogym_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, slow = (tasks.make("DelayMatchSample-v0", dt=dt) for dt in (100, 50))
    monkeypatch.setattr(neurogym_task, "_probe", lambda *_: pytest.fail("measured again"))
    assert tasks.make("DelayMatchSample-v0", dt=100)._facts is first._facts
    assert (first.dt, slow.dt) == (100, 50)


def test_a_warning_of_ones_own_still_passes() -> None:
    from tasks.neurogym.neurogym_environment import _quiet

    with pytest.warns(UserWarning, match="mine"), _quiet():
        warnings.warn("mine", UserWarning, stacklevel=1)


def test_a_failing_environment_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurogym.envs.native.delaymatchsample import DelayMatchSample

    def broken(self: DelayMatchSample, **_: object) -> dict:
        self.add_period(["fixation", "sample", "delay", "test", "decision"])
        self.add_ob(float("nan"), "sample", where="stimulus")
        self.set_groundtruth(1, "decision")
        return {}

    monkeypatch.setattr(DelayMatchSample, "_new_trial", broken)
    with pytest.raises(UnsupervisableError, match="NaN or infinity"):
        tasks.make("DelayMatchSample-v0")
    monkeypatch.setattr(DelayMatchSample, "_new_trial", lambda self: {}["stimulus"])
    with pytest.raises(UnsupervisableError, match="fails to draw a trial: KeyError"):
        tasks.make("DelayMatchSample-v0")


def test_an_environment_that_can_not_be_seeded_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from neurogym.envs.native.delaymatchsample import DelayMatchSample

    monkeypatch.setattr(DelayMatchSample, "seed", lambda self, seed=None: [seed])
    with pytest.raises(UnsupervisableError, match="the same seed gives different trials"):
        tasks.make("DelayMatchSample-v0")


def test_an_environment_with_few_different_trials_repeats_them_in_both_sets() -> None:
    sets = [part.batch() for part in tasks.make("GoNogo-v0").split(30, 30, seed=0)]
    kinds = [{trial.numpy().tobytes() for trial in part.inputs.unbind(1)} for part in sets]
    assert kinds[0] == kinds[1]
    assert len(kinds[0]) == 2


@pytest.mark.slow
def test_importing_neurogym_takes_away_the_handlers_of_loguru() -> None:
    code = (
        "import io, tasks; from loguru import logger; sink = io.StringIO(); logger.add(sink); "
        "logger.info('before'); tasks.make('GoNogo-v0'); logger.info('after'); print(sink.getvalue())"
    )
    root = Path(__file__).parents[3]
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert "before" in ran.stdout
    assert "after" not in ran.stdout
