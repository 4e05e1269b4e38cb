"""The loss of a network that acts: a policy and a value, told how much better an action was than expected.

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
    """``l = -D log pi(a) + c/2 (V - G)^2 - beta H(pi)``: the surrogate whose slope is that of the expected reward.

    The first A outputs are logits of actions, the last is the value V of the state. Targets are numbers ``(T, B, 3)``:
    the action a that was taken, its advantage D, and the return G; the last two are constants. With them the score is
    ``D (pi - 1_a)`` for the policy and ``c (V - G)`` for the value, and any rule of the library learns from rewards.

    With e-prop this is reward-based e-prop: ``D_t = sum_q (gamma lambda)^q delta_t+q`` is what the errors of prediction
    ``delta`` later in the trial reach back to, so that ``sum_t D_t L_t e_t = sum_t delta_t F(L_t e_t)``, F the filter
    ``g_t = gamma lambda g_t-1 + L_t e_t`` of every synapse.

    Args:
        value_weight: Weight c of the value's loss, default 0.5, not negative.
        entropy: Weight beta of the policy's entropy, default 0.01, not negative.

    Raises:
        ValueError: A weight is negative.

    Papers: Bellec et al. (2020), Nature Communications 11:3625; Mnih et al. (2016), arXiv:1602.01783.

    >>> outputs, targets = torch.zeros(1, 1, 3), torch.tensor([[[0.0, 2.0, 1.0]]])
    >>> ActorCritic(value_weight=1.0, entropy=0.0).score(outputs, targets).tolist()
    [[[-1.0, 1.0, -1.0]]]
    """

    value_weight: NotNegative = 0.5
    entropy: NotNegative = 0.01

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of every step and trial, shape ``(T, B)``."""
        log_policy = torch.log_softmax(outputs[..., :-1], -1)
        taken = log_policy.gather(-1, targets[..., :1].long()).squeeze(-1)
        entropy = -(log_policy.exp() * log_policy).sum(-1)
        missed = (outputs[..., -1] - targets[..., 2]).square()
        return -targets[..., 1] * taken + self.value_weight / 2 * missed - self.entropy * entropy

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
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
            ValueError: The shape is another, a number is not finite, or there is no such action.
            TypeError: They are no real numbers.
        """
        if outputs_shape[-1] < 2:
            raise ValueError(
                f"a network that acts needs at least one action and a value, got {outputs_shape[-1]} output"
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
    memory: float,
    *,
    truncated: Tensor | None = None,
    beyond: Tensor | None = None,
) -> Tensor:
    """Return how much better things went than was expected, ``D_t = delta_t + discount memory D_t+1``, ``(T, B)``.

    ``delta_t = r_t + discount V_t+1 - V_t`` is the error of prediction. After a trial that came to its own end there is
    nothing: ``V_t+1 = 0``. One that was cut by a limit of time would have gone on: ``V_t+1`` is the value of its last
    state. No error of prediction reaches back over either.

    Args:
        rewards: Reward that followed each action, shape ``(T, B)``.
        values: Value of the state before each action, and of that after the last, shape ``(T + 1, B)``.
        terminated: Whether the trial came to its own end after the action, boolean, shape ``(T, B)``.
        discount: What a reward one step later is worth, in [0, 1].
        memory: What an error of prediction one step later counts for, beside the discount, in [0, 1].
        truncated: Whether the trial was cut there by a limit of time, boolean, shape ``(T, B)``; default nowhere.
        beyond: Value of the last state of trials that were cut, shape ``(T, B)``; needed with ``truncated``.

    Raises:
        ValueError: One of ``truncated`` and ``beyond`` is given without the other.

    Papers: Schulman et al. (2016), ICLR, arXiv:1506.02438; Pardo et al. (2018), ICML, arXiv:1712.00378.

    >>> rewards, never = torch.tensor([[0.0], [1.0]]), torch.zeros(2, 1, dtype=torch.bool)
    >>> advantages(rewards, torch.zeros(3, 1), never, discount=0.5, memory=1.0).tolist()
    [[0.5], [1.0]]
    """
    if (truncated is None) != (beyond is None):
        raise ValueError("truncated and beyond belong together: the value of the last state of a trial that was cut")
    after = values[1:].masked_fill(terminated, 0.0)
    goes_on = ~terminated
    if truncated is not None and beyond is not None:
        after = torch.where(truncated & goes_on, beyond, after)
        goes_on = goes_on & ~truncated
    errors = rewards + discount * after - values[:-1]
    found = torch.empty_like(errors)
    later = torch.zeros_like(errors[0])
    for t in range(len(errors) - 1, -1, -1):
        later = errors[t] + discount * memory * later.masked_fill(~goes_on[t], 0.0)
        found[t] = later
    return found
