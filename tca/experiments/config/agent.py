"""The agent of a run that learns from rewards: length of its episodes, discounts and weights of its loss."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from tca.utils.checks import Count, Fraction, NotNegative, Positive, checked

__all__ = ["REWARD_RULES", "Agent"]

REWARD_RULES = ("reward_eprop",)  # rules published for rewards; every other rule learns from them with an agent


@checked
@dataclass(frozen=True)
class Agent:
    """An advantage actor-critic, with a clip proximal policy optimisation (PPO), without a critic REINFORCE.

    Args:
        steps: Steps of an episode, default 100; the network starts each at its initial state, the environments go on.
        discount: Discount gamma of rewards per step, default 0.99, in [0, 1].
        trace_decay: Decay lambda of temporal-difference errors beside the discount, default 1, in [0, 1].
        value_weight: Weight of the value's loss, default 0.5, not negative.
        entropy: Weight of the policy's entropy, default 0.01, not negative.
        clip: Largest relative change of a probability that is followed, for PPO usually 0.2; default unbounded.
        value_clip: Largest change of a value that is followed; default unbounded.
        epochs: Passes over the steps of an episode, default 1.
        minibatches: Random parts of an episode, an update each, default 1: steps in a network without memory, else
            environments.
        standardize_advantages: Whether the advantages of an update have mean zero and variance one, default no.
        normalize_observations: Whether observations have running mean zero and variance one, default no.
        normalize_rewards: Whether rewards are divided by the running deviation of returns, default no.
        test_episodes: Episodes in which the policy is tested where a task gives rewards only, default 20.
        critic: Whether the value is learned, subtracted from returns, and stands for the rewards that follow a block or
            a time limit, default yes. Without one returns end there, and the output of the value is not used.

    Raises:
        ValueError: A number is not allowed, or several updates of an episode, or a value clip, have no clip.

    Papers: Williams (1992), Machine Learning 8:229; Mnih et al. (2016), arXiv:1602.01783; Schulman et al. (2016), ICLR,
    arXiv:1506.02438; Schulman et al. (2017), arXiv:1707.06347.
    """

    steps: Count = 100
    discount: Fraction = 0.99
    trace_decay: Fraction = 1.0
    value_weight: NotNegative = 0.5
    entropy: NotNegative = 0.01
    clip: Positive | None = None
    value_clip: Positive | None = None
    epochs: Count = 1
    minibatches: Count = 1
    standardize_advantages: bool = False
    normalize_observations: bool = False
    normalize_rewards: bool = False
    test_episodes: Count = 20
    critic: bool = True

    def __post_init__(self) -> None:
        """Check that several updates of an episode are clipped."""
        for name, without in (("epochs", 1), ("minibatches", 1), ("value_clip", None)):
            if self.clip is None and getattr(self, name) != without:
                raise ValueError(
                    f"{name} must be {without} without a clip, got {getattr(self, name)}: give clip=0.2 for PPO"
                )

    def to_json(self) -> dict[str, Any]:
        """Return the values as JSON; those of PPO only if they are not their defaults."""
        values = dataclasses.asdict(self)
        added = {each.name: each.default for each in dataclasses.fields(self)[5:]}
        return {name: value for name, value in values.items() if name not in added or value != added[name]}

    @property
    def updates(self) -> int:
        """Number of updates of an episode."""
        return self.epochs * self.minibatches
