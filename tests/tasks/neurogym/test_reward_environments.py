"""Environments that give rewards: all parts of a schedule are shown, seeded, and paid by their own ground truth."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import tca
from tasks.neurogym.neurogym_ids import SUPERVISED
from tasks.neurogym.neurogym_rewards import ScheduledEnvironment, reward_environments

SCHEDULED = [
    "perceptualdecisionmaking.ibl20-v0",
    *(
        f"yang19.{name}-v0"
        for name in ("anti", "dlyanti", "dlygo", "dmc", "dms", "dnmc", "dnms", "go", "rtanti", "rtgo")
    ),
]


def lived(name: str, trials: int, seed: int = 0) -> list[tuple[np.ndarray, float, int]]:
    """Return observations, reward and last right action of some trials with right actions alone, but the first."""
    (environment,) = reward_environments(name, 1, seed)
    seen, rewards, found = [environment.reset()[0]], 0.0, []
    while len(found) <= trials:
        bare = environment.unwrapped
        assert np.array_equal(seen[-1], bare.ob[bare.t_ind])
        right = int(bare.gt[bare.t_ind])
        observation, reward, _, _, info = environment.step(right)
        rewards += reward
        if info["new_trial"]:
            found.append((np.array(seen), rewards, right))
            seen, rewards = [], 0.0
        seen.append(observation)
    return found[1:]


def test_those_with_a_schedule_are_all_of_these() -> None:
    assert [
        name for name in SUPERVISED if isinstance(reward_environments(name, 1)[0], ScheduledEnvironment)
    ] == SCHEDULED


@pytest.mark.parametrize("name", SCHEDULED)
def test_a_schedule_shows_trials_of_all_its_environments(name: str) -> None:
    trials = lived(name, 40)
    assert sum(reward for _, reward, _ in trials) == sum(right > 0 for *_, right in trials)
    assert len({seen.tobytes() for seen, *_ in trials}) > 15  # yang19 has few different ones without noise
    if name.startswith("yang19"):
        middle = (trials[0][0].shape[1] + 1) // 2
        first = [bool(np.abs(seen[:, 1:middle]).max() > np.abs(seen[:, middle:]).max()) for seen, *_ in trials]
        assert 0.3 < np.mean(first) < 0.7
    again = lived(name, 40)
    assert all(np.array_equal(one[0], other[0]) for one, other in zip(trials, again, strict=True))
    assert not all(np.array_equal(one[0], other[0]) for one, other in zip(trials, lived(name, 40, 1), strict=True))


def test_the_first_observation_is_that_of_the_next_environment() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from neurogym import spaces
        from neurogym.core import TrialEnv
        from neurogym.utils.scheduler import RandomSchedule
        from neurogym.wrappers.block import ScheduleEnvs

    class Named(TrialEnv):
        """Trials of two steps that show its number."""

        def __init__(self, number: int) -> None:
            super().__init__(dt=100)
            self.number, self.timing = number, {"only": 200}
            self.observation_space = spaces.Box(-9, 9, shape=(1,), dtype=np.float32, name={"number": 0})
            self.action_space = spaces.Discrete(2)

        def _new_trial(self, **_: object) -> dict[str, int]:
            self.add_period(["only"])
            self.add_ob(self.number, "only")
            self.set_groundtruth(0, "only")
            return {}

        def _step(self, action: int) -> tuple[object, float, bool, bool, dict[str, object]]:
            return self.ob_now, 0.0, False, False, {"new_trial": False}

    (environment,) = reward_environments(ScheduleEnvs([Named(1), Named(2)], RandomSchedule(2)), 1)
    first = environment.reset()[0].item()
    seen = [environment.step(0)[0].item() for _ in range(8)]
    other = 3 - first  # the schedule of two alternates
    assert seen == [other, other, first, first, other, other, first, first]


def test_a_run_learns_from_its_rewards() -> None:
    run = tca.Run("yang19.rtgo-v0", "bptt", agent=tca.Agent(steps=10), net={"size": 8}, steps=2, n_train=8, n_test=8)
    assert tca.train(run, progress=False).outcome == "completed"
