"""The agent of a run that learns from rewards: length of its episodes, discounts and weights of its loss."""

from __future__ import annotations

from dataclasses import dataclass

from tca.utils.checks import Count, Fraction, NotNegative, checked

__all__ = ["REWARD_RULES", "Agent"]

REWARD_RULES = ("reward_eprop",)  # rules published for rewards; every other rule learns from them with an agent


@checked
@dataclass(frozen=True)
class Agent:
    """An advantage actor-critic with eligibility traces.

    Args:
        steps: Steps of an episode, default 100; the network starts each at its initial state, the environments go on.
        discount: Discount gamma of rewards per step, default 0.99, in [0, 1].
        trace_decay: Decay lambda of temporal-difference errors beside the discount, default 1, in [0, 1].
        value_weight: Weight of the value's loss, default 0.5, not negative.
        entropy: Weight of the policy's entropy, default 0.01, not negative.

    Raises:
        ValueError: A number is not allowed.

    Papers: Mnih et al. (2016), arXiv:1602.01783; Schulman et al. (2016), ICLR, arXiv:1506.02438.
    """

    steps: Count = 100
    discount: Fraction = 0.99
    trace_decay: Fraction = 1.0
    value_weight: NotNegative = 0.5
    entropy: NotNegative = 0.01
