"""Losses of reinforcement learning and generalised advantages.

Shapes: T time, B batch, A components of an action (one for an index), O outputs: the policy's and the value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.experiments.reinforcement.policies import CategoricalPolicy, Policy
from tca.losses.loss import Loss
from tca.utils.checks import NotNegative, Positive, checked

__all__ = ["PPO", "ActorCritic", "advantages"]


@checked
@dataclass(frozen=True)
class ActorCritic(Loss):
    """``l = -D log pi(a) + c/2 (V - G)^2 - beta H(pi)``: advantage actor-critic.

    The last output is the value V of the state, those before are the parameters of the policy. Targets are numbers
    ``(T, B, A + 2)``: the action a (its index, or its A components), its advantage D and the return G, the last two
    constants. The output error is ``-D dlog pi(a) - beta dH`` for the policy, ``D (pi - 1_a)`` without entropy and with
    discrete actions, and ``c (V - G)`` for the value, so that any rule learns from rewards.

    With e-prop this is reward-based e-prop: with ``D_t = sum_q (gamma lambda)^q delta_t+q`` and the temporal-difference
    errors ``delta``, ``sum_t D_t L_t e_t = sum_t delta_t F(L_t e_t)``, where F is the filter
    ``g_t = gamma lambda g_t-1 + L_t e_t`` of every synapse.

    Args:
        value_weight: Weight c of the value's loss, default 0.5, not negative.
        entropy: Weight beta of the policy's entropy, default 0.01, not negative.
        policy: Distribution of the actions, default categorical.

    Raises:
        ValueError: A weight is negative.

    Papers: Bellec et al. (2020), Nature Communications 11:3625; Mnih et al. (2016), arXiv:1602.01783.

    >>> outputs, targets = torch.zeros(1, 1, 3), torch.tensor([[[0.0, 2.0, 1.0]]])
    >>> ActorCritic(value_weight=1.0, entropy=0.0).output_error(outputs, targets).tolist()
    [[[-1.0, 1.0, -1.0]]]
    """

    value_weight: NotNegative = 0.5
    entropy: NotNegative = 0.01
    policy: Policy = field(default_factory=CategoricalPolicy)

    rewarded: ClassVar[bool] = True
    bounded_by_error: ClassVar[bool] = True
    columns: ClassVar[tuple[str, ...]] = ("advantage", "return")  # of the targets, after the action

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        parameters, actions = outputs[..., :-1], targets[..., : -len(self.columns)]
        log_probability = self.policy.log_probability(parameters, actions)
        actor, critic = self.actor(log_probability, targets), self.critic(outputs[..., -1], targets)
        return actor + self.value_weight * critic - self.entropy * self.policy.entropy(parameters)

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        parameters, actions = outputs[..., :-1], targets[..., : -len(self.columns)]
        slope = self.actor_slope(self.policy.log_probability(parameters, actions), targets).unsqueeze(-1)
        actor = slope * self.policy.score(parameters, actions)
        if self.entropy:
            actor -= self.entropy * self.policy.entropy_slope(parameters)
        critic = self.value_weight * self.critic_slope(outputs[..., -1], targets)
        return torch.cat([actor, critic.unsqueeze(-1)], -1)

    def actor(self, log_probability: Tensor, targets: Tensor) -> Tensor:
        """Return the policy's loss without entropy, ``-D log pi(a)``, shape ``(T, B)``.

        Args:
            log_probability: ``log pi(a)``, shape ``(T, B)``.
        """
        return -targets[..., -2] * log_probability

    def actor_slope(self, log_probability: Tensor, targets: Tensor) -> Tensor:
        """Return the derivative of ``actor`` by ``log pi(a)``, shape ``(T, B)``."""
        return -targets[..., -2]

    def critic(self, value: Tensor, targets: Tensor) -> Tensor:
        """Return ``(V - G)^2 / 2``, shape ``(T, B)``."""
        return (value - targets[..., -1]).square() / 2

    def critic_slope(self, value: Tensor, targets: Tensor) -> Tensor:
        """Return the derivative of ``critic`` by the value, shape ``(T, B)``."""
        return value - targets[..., -1]

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Raise unless ``targets`` hold an action and the further columns for every step and trial."""
        parameters, components = self.policy.sizes(outputs_shape[-1])
        wanted = (*outputs_shape[:-1], components + len(self.columns))
        if not targets.is_floating_point():
            raise TypeError(f"targets must be real numbers, got dtype {targets.dtype}")
        if tuple(targets.shape) != wanted:
            raise ValueError(f"targets must have shape {wanted}, got {tuple(targets.shape)}")
        if not torch.isfinite(targets).all():
            raise ValueError("targets must be finite, got NaN or infinity")
        self.policy.check_actions(parameters, targets[..., :components])


@checked
@dataclass(frozen=True)
class PPO(ActorCritic):
    """``l = max(-D r, -D clip(r, 1 - eps, 1 + eps)) + c/2 (V - G)^2 - beta H(pi)`` with ``r = pi(a) / pi_old(a)``.

    Proximal policy optimisation. Targets are numbers ``(T, B, A + 4)``: the action, the logarithm of its probability
    and the value of the state when it was taken, its advantage D and the return G. With ``value_clip`` the loss of the
    value is the larger of ``(V - G)^2 / 2`` and the same with V kept within ``value_clip`` of its old value. Where the
    old policy is the present one, the gradient is that of `ActorCritic`.

    Args:
        value_weight: Weight c of the value's loss, default 0.5, not negative.
        entropy: Weight beta of the policy's entropy, default 0.01, not negative.
        policy: Distribution of the actions, default categorical.
        clip: Largest relative change eps of a probability that is followed, default 0.2, positive.
        value_clip: Largest change of a value that is followed; default unbounded.

    Raises:
        ValueError: A number is not allowed.

    Paper: Schulman et al. (2017), arXiv:1707.06347.

    >>> outputs = torch.tensor([[[1.0, 0.0, 0.0]]])
    >>> targets = torch.tensor([[[0.0, -0.6931, 0.0, 2.0, 0.0]]])  # one of two actions, equally probable before
    >>> PPO(entropy=0.0, clip=0.2).value(outputs, targets).item()  # the ratio of 1.46 counts as 1.2
    -2.4000000953674316
    """

    clip: Positive = 0.2
    value_clip: Positive | None = None

    bounded_by_error: ClassVar[bool] = True
    columns: ClassVar[tuple[str, ...]] = ("old log probability", "old value", "advantage", "return")

    def actor(self, log_probability: Tensor, targets: Tensor) -> Tensor:
        ratio, advantage = (log_probability - targets[..., -4]).exp(), targets[..., -2]
        return torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - self.clip, 1 + self.clip))

    def actor_slope(self, log_probability: Tensor, targets: Tensor) -> Tensor:
        """Return ``-D r`` where the ratio is followed, else 0."""
        ratio, advantage = (log_probability - targets[..., -4]).exp(), targets[..., -2]
        followed = torch.where(advantage > 0, ratio <= 1 + self.clip, ratio >= 1 - self.clip)
        return -advantage * torch.where(followed, ratio, 0.0)

    def critic(self, value: Tensor, targets: Tensor) -> Tensor:
        if self.value_clip is None:
            return super().critic(value, targets)
        near = self._near(value, targets, self.value_clip)
        return torch.maximum(super().critic(value, targets), super().critic(near, targets))

    def critic_slope(self, value: Tensor, targets: Tensor) -> Tensor:
        plain = super().critic_slope(value, targets)
        if self.value_clip is None:
            return plain
        near = self._near(value, targets, self.value_clip)
        return plain * ((near == value) | (plain.abs() >= (near - targets[..., -1]).abs()))

    def _near(self, value: Tensor, targets: Tensor, most: float) -> Tensor:
        """Return the value within a distance of its old value."""
        old = targets[..., -3]
        return torch.minimum(torch.maximum(value, old - most), old + most)


def advantages(
    rewards: Tensor,
    values: Tensor,
    terminated: Tensor,
    discount: float,
    trace_decay: float,
    *,
    truncated: Tensor | None = None,
    final_values: Tensor | None = None,
) -> Tensor:
    """Return generalised advantages, ``D_t = delta_t + discount trace_decay D_t+1``, ``(T, B)``.

    ``delta_t = r_t + discount V_t+1 - V_t`` is the temporal-difference error. After a terminated trial ``V_t+1 = 0``;
    after a truncated one ``V_t+1`` is the value of its last state. The sum ends at either.

    Args:
        rewards: Reward of each action, shape ``(T, B)``.
        values: Value of the state before each action, and of that after the last, shape ``(T + 1, B)``.
        terminated: Whether the task ended the trial after the action, boolean, shape ``(T, B)``.
        discount: Discount gamma per step, in [0, 1].
        trace_decay: Decay lambda of temporal-difference errors beside the discount, in [0, 1].
        truncated: Whether a time limit ended the trial there, boolean, shape ``(T, B)``; default none.
        final_values: Value of the last state of truncated trials, shape ``(T, B)``; needed with ``truncated``.

    Raises:
        ValueError: One of ``truncated`` and ``final_values`` is given without the other.

    Papers: Schulman et al. (2016), ICLR, arXiv:1506.02438; Pardo et al. (2018), ICML, arXiv:1712.00378.

    >>> rewards, never = torch.tensor([[0.0], [1.0]]), torch.zeros(2, 1, dtype=torch.bool)
    >>> advantages(rewards, torch.zeros(3, 1), never, discount=0.5, trace_decay=1.0).tolist()
    [[0.5], [1.0]]
    """
    if (truncated is None) != (final_values is None):
        raise ValueError("truncated and final_values must be given together")
    after = values[1:].masked_fill(terminated, 0.0)
    continues = ~terminated
    if truncated is not None and final_values is not None:
        after = torch.where(truncated & continues, final_values, after)
        continues = continues & ~truncated
    errors = rewards + discount * after - values[:-1]
    advantage = torch.empty_like(errors)
    later = torch.zeros_like(errors[0])
    for t in range(len(errors) - 1, -1, -1):
        later = errors[t] + discount * trace_decay * later.masked_fill(~continues[t], 0.0)
        advantage[t] = later
    return advantage
