"""The actor-critic loss and generalised advantages.

Shapes: T time, B batch, A actions, O = A + 1 outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tca.losses.loss import Loss
from tca.utils.checks import NotNegative, checked

__all__ = ["ActorCritic", "advantages"]


@checked
@dataclass(frozen=True)
class ActorCritic(Loss):
    """``l = -D log pi(a) + c/2 (V - G)^2 - beta H(pi)``: advantage actor-critic.

    The first A outputs are logits of actions, the last is the value V of the state. Targets are numbers ``(T, B, 3)``:
    the action a, its advantage D and the return G, the last two constants. The output error is ``D (pi - 1_a)`` for the
    policy and ``c (V - G)`` for the value, so that any rule learns from rewards.

    With e-prop this is reward-based e-prop: with ``D_t = sum_q (gamma lambda)^q delta_t+q`` and the temporal-difference
    errors ``delta``, ``sum_t D_t L_t e_t = sum_t delta_t F(L_t e_t)``, where F is the filter
    ``g_t = gamma lambda g_t-1 + L_t e_t`` of every synapse.

    Args:
        value_weight: Weight c of the value's loss, default 0.5, not negative.
        entropy: Weight beta of the policy's entropy, default 0.01, not negative.

    Raises:
        ValueError: A weight is negative.

    Papers: Bellec et al. (2020), Nature Communications 11:3625; Mnih et al. (2016), arXiv:1602.01783.

    >>> outputs, targets = torch.zeros(1, 1, 3), torch.tensor([[[0.0, 2.0, 1.0]]])
    >>> ActorCritic(value_weight=1.0, entropy=0.0).output_error(outputs, targets).tolist()
    [[[-1.0, 1.0, -1.0]]]
    """

    value_weight: NotNegative = 0.5
    entropy: NotNegative = 0.01

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        log_policy = torch.log_softmax(outputs[..., :-1], -1)
        taken = log_policy.gather(-1, targets[..., :1].long()).squeeze(-1)
        entropy = -(log_policy.exp() * log_policy).sum(-1)
        critic = (outputs[..., -1] - targets[..., 2]).square()
        return -targets[..., 1] * taken + self.value_weight / 2 * critic - self.entropy * entropy

    def output_error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``D (pi - 1_a) + beta pi (log pi + H)`` and ``c (V - G)``."""
        log_policy = torch.log_softmax(outputs[..., :-1], -1)
        policy = log_policy.exp()
        entropy = -(policy * log_policy).sum(-1, keepdim=True)
        advantage = targets[..., 1:2]
        actor = advantage * policy + self.entropy * policy * (log_policy + entropy)
        actor.scatter_add_(-1, targets[..., :1].long(), -advantage)
        critic = self.value_weight * (outputs[..., -1:] - targets[..., 2:])
        return torch.cat([actor, critic], -1)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Raise unless ``targets`` hold an action, an advantage and a return for every step and trial.

        Raises:
            ValueError: The shape differs, a number is not finite, or an action does not exist.
        """
        if outputs_shape[-1] < 2:
            raise ValueError(
                f"an actor-critic network needs at least one action and a value, got {outputs_shape[-1]} output"
            )
        if not targets.is_floating_point():
            raise TypeError(f"targets must be real numbers, got dtype {targets.dtype}")
        if tuple(targets.shape) != (*outputs_shape[:-1], 3):
            raise ValueError(f"targets must have shape {(*outputs_shape[:-1], 3)}, got {tuple(targets.shape)}")
        if not torch.isfinite(targets).all():
            raise ValueError("targets must be finite, got NaN or infinity")
        actions = targets[..., 0]
        if ((actions != actions.round()) | (actions < 0) | (actions >= outputs_shape[-1] - 1)).any():
            raise ValueError(f"actions must be whole numbers from 0 to {outputs_shape[-1] - 2}")


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
