"""Distributions of actions: log probability, entropy, and their derivatives by the outputs of a network.

Shapes: ``...`` any leading shape (time, environments), A numbers of actions or of components, P outputs of a policy.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

__all__ = ["CategoricalPolicy", "GaussianPolicy", "Policy"]


@dataclass(frozen=True)
class Policy(abc.ABC):
    """A distribution of actions whose parameters are the first P outputs of a network."""

    @abc.abstractmethod
    def sizes(self, outputs: int) -> tuple[int, int]:
        """Return P and the number of components of an action, for a network with a value beside the policy.

        Args:
            outputs: Number of outputs of the network, the value included.

        Raises:
            ValueError: The policy has no such number of outputs.
        """

    @abc.abstractmethod
    def log_probability(self, parameters: Tensor, actions: Tensor) -> Tensor:
        """Return ``log pi(a)``, shape ``(...)``.

        Args:
            parameters: Outputs of the policy, shape ``(..., P)``.
            actions: Actions, shape ``(..., A)`` or ``(..., 1)`` for classes.
        """

    @abc.abstractmethod
    def entropy(self, parameters: Tensor) -> Tensor:
        """Return the entropy in nats, shape ``(...)``."""

    @abc.abstractmethod
    def score(self, parameters: Tensor, actions: Tensor) -> Tensor:
        """Return ``d log pi(a) / d parameters``, shape ``(..., P)``."""

    @abc.abstractmethod
    def entropy_slope(self, parameters: Tensor) -> Tensor:
        """Return the derivative of the entropy by the parameters, shape ``(..., P)``."""

    @abc.abstractmethod
    def draw(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """Return random actions in float64 on the CPU, shape ``(B, A)`` or ``(B, 1)``.

        Args:
            parameters: Outputs of the policy, shape ``(B, P)``.
        """

    @abc.abstractmethod
    def best(self, parameters: Tensor) -> Tensor:
        """Return the most probable actions, shaped as those of ``draw``."""

    @abc.abstractmethod
    def check_actions(self, parameters: int, actions: Tensor) -> None:
        """Raise ValueError unless actions exist.

        Args:
            parameters: Number P of outputs of the policy.
            actions: Actions, shape ``(..., A)`` or ``(..., 1)``, finite.
        """


@dataclass(frozen=True)
class CategoricalPolicy(Policy):
    """``pi = softmax(outputs)`` over the indices of discrete actions.

    >>> policy = CategoricalPolicy()
    >>> policy.score(torch.zeros(1, 2), torch.tensor([[0.0]])).tolist(), round(policy.entropy(torch.zeros(2)).item(), 4)
    ([[0.5, -0.5]], 0.6931)
    """

    def sizes(self, outputs: int) -> tuple[int, int]:
        if outputs < 2:
            raise ValueError(f"an actor-critic network needs at least one action and a value, got {outputs} output")
        return outputs - 1, 1

    def log_probability(self, parameters: Tensor, actions: Tensor) -> Tensor:
        return torch.log_softmax(parameters, -1).gather(-1, actions.long()).squeeze(-1)

    def entropy(self, parameters: Tensor) -> Tensor:
        log_policy = torch.log_softmax(parameters, -1)
        return -(log_policy.exp() * log_policy).sum(-1)

    def score(self, parameters: Tensor, actions: Tensor) -> Tensor:
        """Return ``1_a - pi``."""
        slope = -torch.softmax(parameters, -1)
        return slope.scatter_add_(-1, actions.long(), torch.ones_like(slope[..., :1]))

    def entropy_slope(self, parameters: Tensor) -> Tensor:
        """Return ``-pi (log pi + H)``."""
        log_policy = torch.log_softmax(parameters, -1)
        return -log_policy.exp() * (log_policy + self.entropy(parameters).unsqueeze(-1))

    def draw(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        policy = torch.softmax(parameters.double().cpu(), -1)
        return torch.multinomial(policy, 1, generator=generator).double()

    def best(self, parameters: Tensor) -> Tensor:
        return parameters.argmax(-1, keepdim=True).double().cpu()

    def check_actions(self, parameters: int, actions: Tensor) -> None:
        if ((actions != actions.round()) | (actions < 0) | (actions >= parameters)).any():
            raise ValueError(f"actions must be whole numbers from 0 to {parameters - 1}")


@dataclass(frozen=True)
class GaussianPolicy(Policy):
    """``a ~ N(mean, exp(2 s))`` for each component of a continuous action; outputs ``(mean, s)``, A each.

    The logarithm s of the standard deviation is an output like the mean, so any rule adjusts it through its bias.

    >>> policy, outputs = GaussianPolicy(), torch.tensor([[0.0, 0.0]])
    >>> policy.score(outputs, torch.tensor([[2.0]])).tolist()
    [[2.0, 3.0]]
    """

    HALF_LOG_2_PI: ClassVar[float] = 0.5 * math.log(2 * math.pi)

    def sizes(self, outputs: int) -> tuple[int, int]:
        if outputs < 3 or outputs % 2 == 0:
            raise ValueError(
                "a network with continuous actions needs a mean and a logarithm of the standard deviation for each "
                f"component and a value, an odd number of outputs of at least 3, got {outputs}"
            )
        return outputs - 1, (outputs - 1) // 2

    def log_probability(self, parameters: Tensor, actions: Tensor) -> Tensor:
        mean, log_deviation = parameters.chunk(2, -1)
        distance = (actions - mean) * (-log_deviation).exp()
        return (-0.5 * distance.square() - log_deviation - self.HALF_LOG_2_PI).sum(-1)

    def entropy(self, parameters: Tensor) -> Tensor:
        return (parameters.chunk(2, -1)[1] + 0.5 + self.HALF_LOG_2_PI).sum(-1)

    def score(self, parameters: Tensor, actions: Tensor) -> Tensor:
        """Return ``d / sigma`` and ``d^2 - 1``, where ``d = (a - mean) / sigma``."""
        mean, log_deviation = parameters.chunk(2, -1)
        inverse = (-log_deviation).exp()
        distance = (actions - mean) * inverse
        return torch.cat([distance * inverse, distance.square() - 1], -1)

    def entropy_slope(self, parameters: Tensor) -> Tensor:
        """Return 0 for the means and 1 for the logarithms."""
        slope = torch.zeros_like(parameters)
        slope[..., parameters.shape[-1] // 2 :] = 1.0
        return slope

    def draw(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        mean, log_deviation = parameters.double().cpu().chunk(2, -1)
        unit = torch.randn(mean.shape, generator=generator, dtype=torch.float64, device="cpu")
        return mean + log_deviation.exp() * unit

    def best(self, parameters: Tensor) -> Tensor:
        return parameters.chunk(2, -1)[0].double().cpu()

    def check_actions(self, parameters: int, actions: Tensor) -> None:
        """Accept all: every finite action exists."""
