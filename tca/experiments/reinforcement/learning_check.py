"""A check that a rule learns from the loss of an agent, before the first episode."""

from __future__ import annotations

import torch

from tasks.task import Task
from tca.experiments.config.agent import Agent
from tca.experiments.config.run import Run
from tca.experiments.reinforcement.actor import policy_for
from tca.experiments.reinforcement.rollout import Episode, check_minibatches
from tca.learner import Learner
from tca.nets.feedforward.layered_network import Layered

__all__ = ["check_learns"]

STEPS, TRIALS = 2, 3


def check_learns(learner: Learner, run: Run, task: Task) -> None:
    """Compute the gradient of an invented episode in a copy of the learner.

    Args:
        learner: Learner of the run.
        run: Run with an agent.
        task: Its task.

    Raises:
        ValueError: The rule does not learn from the loss of the agent, or there are too many minibatches.
    """
    assert isinstance(run.agent, Agent)
    check_minibatches(run.agent, run.agent.steps, run.batch_size, instant=isinstance(learner.net, Layered))
    (environment,) = task.environments(1, 0)
    policy = policy_for(environment)
    environment.close()
    like = next(learner.net.parameters()).detach()
    inputs, outputs = like.new_zeros(STEPS, TRIALS, task.n_in), like.new_zeros(STEPS, TRIALS, task.n_out + 1)
    actions = policy.best(outputs[..., :-1]).to(like)
    never = torch.zeros(STEPS, TRIALS, dtype=torch.bool, device=like.device)
    nothing, following = torch.zeros_like(outputs[..., 0]), torch.zeros_like(outputs[0, :, 0])
    episode = Episode(inputs, actions, nothing, never, never, outputs, following, nothing, policy)
    learner.ahead().advance_(episode.batch(run.agent))
