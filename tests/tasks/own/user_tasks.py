"""Tasks as a user writes them, imported by path."""

import numpy as np
import torch
from gymnasium import spaces
from neurogym.core import TrialEnv

import tasks
from tasks.task import DrawnTask
from tca.batch import Batch
from tca.losses import MSE


class Doubled(DrawnTask):
    """Say twice the input."""

    n_in, n_out, chance, loss = 1, 1, 0.0, MSE()

    def __init__(self, dt: float = 20.0, factor: float = 2.0) -> None:
        self._dt, self.factor = dt, factor

    @property
    def dt(self) -> float:
        return self._dt

    def draw(self, trials: int, generator: torch.Generator) -> Batch:
        inputs = torch.randn(6, trials, 1, generator=generator)
        return Batch(inputs, self.factor * inputs, torch.full((6, trials), 1 / 6), self.loss)


def made(trials: int = 40, shift: float = 0.0) -> tasks.TrialSet:
    """Return trials whose class is the sign of their mean."""
    inputs = np.random.default_rng(0).normal(size=(5, trials, 2)) + shift
    return tasks.from_arrays(inputs, (inputs.mean((0, 2)) > shift).astype(int), info={"number": range(trials)})


fixed = made()


class Sides(TrialEnv):
    """An environment of a user: report on which side the stimulus was."""

    def __init__(self, dt: int = 100, strength: float = 1.0) -> None:
        super().__init__(dt=dt)
        self.strength = strength
        self.timing = {"stimulus": 300, "decision": 200}
        self.observation_space = spaces.Box(-np.inf, np.inf, shape=(2,), dtype=np.float32)
        self.action_space = spaces.Discrete(3)

    def _new_trial(self, **kwargs: object) -> dict:
        side = int(self.rng.choice([0, 1]))
        self.add_period(["stimulus", "decision"])
        shown = np.zeros(2)
        shown[side] = self.strength
        self.add_ob(shown, "stimulus")
        self.set_groundtruth(side + 1, period="decision")
        return {"side": side, "ground_truth": side + 1}

    def _step(self, action: int) -> tuple:
        return self.ob_now, 0.0, False, False, {"new_trial": False, "gt": self.gt_now}
