"""Training by rewards alone: a run whose network acts, measured on the trials that supervision is measured on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from tasks.neurogym.neurogym_rewards import reward_environments
from tasks.neurogym.neurogym_task import NeurogymTask
from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.records.files import explained
from tca.experiments.records.record import Record, RecordError
from tca.experiments.records.result import Metrics, Result
from tca.experiments.records.sealed_json import read_json, write_json
from tca.experiments.reinforcement.actor import Actor, Agent, Episode
from tca.experiments.training.training_loop import Course
from tca.losses import CrossEntropy
from tca.nets.network import Network
from tca.utils.checks import Folder, checked
from tca.utils.text import in_a_line

__all__ = ["REWARD_RULES", "check_rewards", "folder_of", "policy_of", "train_by_reward"]

REWARD_RULES = ("reward_eprop",)  # whose papers have the network act; every other rule may, too


@checked
@torch.inference_mode(False)
def train_by_reward(
    run: Run, agent: Agent | None = None, folder: Folder | None = None, *, progress: bool = True
) -> Result:
    """Train a network that acts in environments of neurogym and hears of rewards alone, and return what it has led to.

    Of the run, ``batch_size`` is the number of environments side by side, ``steps`` that of episodes, one update each.
    The network has one output for every action and one more for the value. It is measured as a supervised network is,
    by the answers of its policy on a training and a test set whose right actions are known, which it never learns from;
    what it has earned meanwhile is in ``Metrics.observed`` as ``reward_per_trial``, and ``performance`` is the share of
    trials that the environments called right. After every measurement the environments begin anew with other trials.

    With a folder the run is recorded there, with ``agent.json`` beside; an unfinished record is gone on with from its
    last checkpoint, to the same bits on the CPU, and a finished one is read.

    Args:
        run: What to train.
        agent: How the network acts; ``None`` (default) for the defaults of `tca.Agent`.
        folder: Where the record is or shall be, for example ``folder_of(run, agent, "runs")``; ``None`` (default) for
            no record.
        progress: Whether to show a progress bar, default yes.

    Raises:
        ValueError: The task gives no rewards, the network cannot act step by step, or the run watches something.
        RecordError: The folder cannot be written, is in use by another process, or holds another run or agent.
    """
    agent = Agent() if agent is None else agent
    task = check_rewards(run)
    if folder is not None and records.finished(folder):
        _require_agent(Path(folder), agent)
        return records.reread(folder, run)
    training = _Training(run, agent, task)
    with Record(None if folder is None else Path(folder), run, training.sizes, task.measure) as record:
        if folder is not None:
            _require_agent(Path(folder), agent)
        if not record.ended:
            record.witness("agent.json")
            return training.finish(record, progress)
    assert folder is not None
    return records.reread(folder, run)


def check_rewards(run: Run) -> NeurogymTask:
    """Return the task of a run, or raise if it cannot be trained by rewards.

    Args:
        run: The run.

    Raises:
        ValueError: The reason.
    """
    task = run.make_task()
    if not isinstance(task, NeurogymTask) or not isinstance(task.loss, CrossEntropy):
        raise ValueError(
            f"task {run.task!r} gives no rewards for actions, which {_named(run)} learns from: take an environment of "
            "neurogym with discrete actions, such as 'PerceptualDecisionMaking-v0', or another rule, such as 'eprop'"
        )
    if run.watch:
        raise ValueError("watch must be empty where a network learns from rewards: there are no training trials")
    if run.fresh:
        raise ValueError("fresh must be False where a network learns from rewards: its trials are always new")
    return task


def folder_of(run: Run, agent: Agent, root: str | Path) -> Path:
    """Return the record folder of a run and an agent, which depends on every value of both and nothing else.

    Args:
        run: The run.
        agent: The agent.
        root: The folder in which records are kept.
    """
    values = json.dumps(dataclasses.asdict(agent), sort_keys=True)
    return Path(root) / f"{run.name}-{hashlib.sha256(values.encode()).hexdigest()[:8]}"


def policy_of(run: Run, net: Network, dt: float) -> Network:
    """Return the network that answers with what a network that acts would do: the same without the value.

    Args:
        run: Whose network it is.
        net: The network that acts.
        dt: Duration of a step in ms.
    """
    sizes: dict[str, Any] = {"n_in": net.n_in, "n_out": net.n_out - 1, "dt": dt}
    policy = run.net.build(**sizes, seed=run.seeds.net, device=run.device, dtype=run.torch_dtype)
    wanted, own = policy.state_dict(), net.state_dict()
    policy.load_state_dict({name: own[name][: len(each)] if each.ndim else own[name] for name, each in wanted.items()})
    assert isinstance(policy, Network)
    return policy


class _Training(Course):
    """The course of a run that learns from rewards."""

    unit: ClassVar[str] = "episode"

    def __init__(self, run: Run, agent: Agent, task: NeurogymTask) -> None:
        """Draw the sets and the weights; the network has an output more than the task, for the value."""
        super().__init__(run, task, task.n_out + 1)
        self.agent = agent

    def begin(self) -> None:
        """Build network, learner and optimizer as they are before the first episode."""
        super().begin()
        self.lived: list[Episode] = []

    @property
    def answering(self) -> Network:
        """The policy: the network without its value."""
        return policy_of(self.run, self.net, self.task.dt)

    @property
    def title(self) -> str:
        """What the progress bar calls it."""
        return f"{self.run.task}, rewards, seed {self.run.seeds.net}"

    def block(self, updates: int, made: Callable[[], object]) -> str:
        """Live through some episodes in environments that begin anew; return what was not finite, or nothing.

        Args:
            updates: How many, one update each.
            made: To be called after each.
        """
        self.lived = []
        number = self.step // self.run.evaluate_every
        seeds = self.run.seeds
        environments = reward_environments(
            self.run.task, self.run.batch_size, _seed(seeds.data, number), **self.run.task_options
        )
        actor = Actor(self.learner, environments, torch.Generator().manual_seed(_seed(seeds.batches, number)))
        for _ in range(updates):
            begun = time.perf_counter()
            if trouble := self._episode(actor):
                return trouble
            self.elapsed += time.perf_counter() - begun
            made()
        return ""

    def _episode(self, actor: Actor) -> str:
        """Act, and learn from what came of it."""
        drawn_from: Tensor | None = self.net.noise_state
        state = None if drawn_from is None else drawn_from.clone()
        noise = self.net.draw_noise(self.agent.steps, self.run.batch_size)
        with torch.no_grad():
            episode = actor.act(self.agent.steps, noise)
        if state is not None:
            self.net.noise_state.copy_(state)  # the learner then draws the noise that the network has acted with
        if trouble := self.updates.make(self.agent.batch(episode), self.step):
            return trouble
        self.lived.append(episode)
        self.step += 1
        return ""

    def measure(self) -> Metrics:
        """Return loss and accuracy of the policy over both sets, and what was earned since the last measurement."""
        observed: dict[str, float] = {}
        if self.lived:
            observed["reward_per_trial"] = sum(each.reward_per_trial for each in self.lived) / len(self.lived)
        judged = [right for each in self.lived for right in each.performance]
        if judged:
            observed["performance"] = sum(judged) / len(judged)
        return self.measured(observed)


def _seed(base: int, number: int) -> int:
    """Return one of a row of seeds that belong to a seed."""
    return int(torch.randint(2**62, (number + 1,), generator=torch.Generator().manual_seed(base), device="cpu")[number])


def _require_agent(folder: Path, agent: Agent) -> None:
    """Write the agent beside the run, or raise if another is there."""
    path, values = folder / "agent.json", dataclasses.asdict(agent)
    if not os.path.lexists(path) and not os.path.lexists(folder / "checkpoint") and not records.finished(folder):
        with explained(folder):
            write_json(path, values)
    if (there := read_json(path)) != values:
        raise RecordError(f"{folder} holds the record of another agent: {in_a_line(there)} there, {values} here")


def _named(run: Run) -> str:
    return f"rule {run.rule!r}" if isinstance(run.rule, str) else "the rule"
