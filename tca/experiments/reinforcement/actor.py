"""Networks that act in environments, one step of time after another.

Shapes: T time, B environments side by side, I inputs, A components of an action, O outputs: the policy's and the value.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from tca.experiments.reinforcement.normaliser import Normaliser
from tca.experiments.reinforcement.policies import CategoricalPolicy, GaussianPolicy, Policy
from tca.experiments.reinforcement.rollout import Episode
from tca.learner import Learner
from tca.nets.feedforward.layered_network import Layered
from tca.nets.network import Network
from tca.utils.checks import DivergenceError
from tca.utils.numerics import Lasting

__all__ = ["Actor", "Environment", "policy_for"]


@runtime_checkable
class Environment(Protocol):
    """The interface of gymnasium's environments.

    ``terminated`` is an end by the rules of the task, ``truncated`` one by a time limit outside of them. Environments
    of neurogym report the end of a trial in ``info["new_trial"]``, which counts as terminated.
    """

    def reset(self) -> tuple[Any, dict[str, Any]]:
        """Start, and return the first observation."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Return the next observation, the reward, terminated, truncated and info."""


def policy_for(environment: Environment) -> Policy:
    """Return the distribution of actions in an environment: GaussianPolicy in a box, else categorical.

    >>> class Box:
    ...     shape, low, high = (2,), -1.0, 1.0
    >>> class Arm:
    ...     action_space = Box()
    >>> policy_for(Arm())
    GaussianPolicy()
    """
    space = getattr(environment, "action_space", None)
    return GaussianPolicy() if hasattr(space, "low") else CategoricalPolicy()


class Actor(Lasting):
    """A network and its environments, which continue from episode to episode.

    Args:
        learner: A rule bound to the network.
        environments: Environments side by side, seeded; they are reset once.
        generator: Generator of the actions; ``None`` for the most probable action.
        normaliser: Normalisation of observations and rewards; default none.
        carry: Whether a recurrent network goes on from its last state when it acts again, and starts every episode at
            its initial state; default no: it starts there when it acts, and goes on from episode to episode. Networks
            that cannot learn from a given state (``Network.starts_anywhere``) never do, nor with rules that run trials
            again.

    Raises:
        ValueError: The network cannot act step by step, its outputs do not fit the actions, or there is no environment.
    """

    def __init__(
        self,
        learner: Learner,
        environments: Sequence[Environment],
        generator: torch.Generator | None,
        normaliser: Normaliser | None = None,
        *,
        carry: bool = False,
    ) -> None:
        if not environments:
            raise ValueError("environments must hold at least one environment")
        self.net: Any = learner.net
        self.environments, self.generator = environments, generator
        self.policy = policy_for(environments[0])
        self.space = getattr(environments[0], "action_space", None) if isinstance(self.policy, GaussianPolicy) else None
        self._check_actions()
        self.cells = _Cells(self.net, len(environments))  # refuses networks that run through whole trials only
        self.carry = carry and self.net.starts_anywhere and not learner.rule.eligibility.perturbs
        self.normaliser = Normaliser(0, 0, 1.0) if normaliser is None else normaliser
        self.earned, self.ages = [0.0] * len(environments), [0] * len(environments)
        self.observation = self.normaliser.observed(_rows([each.reset()[0] for each in environments]))

    @property
    def instant(self) -> bool:
        """Whether the network has no memory between steps."""
        return isinstance(self.net, Layered)

    @torch.no_grad()
    def act(self, steps: int, noise: Tensor | None) -> Episode:
        """Return an episode.

        Args:
            noise: Private noise of the network, shape ``(T, B, N)``; ``None`` for none.

        Raises:
            DivergenceError: The parameters of the policy are not finite.
        """
        like = self.net.check_numbers().detach()
        if not self.carry:
            self.cells = _Cells(self.net, len(self.environments))
        cells, start = self.cells, self.cells.memory if self.carry else None
        noises = [None] * (steps + 1) if noise is None else [*noise, None]
        rows: list[tuple[Tensor, ...]] = []
        performance: list[float] = []
        returns: list[float] = []
        lengths: list[int] = []
        for t in range(steps):
            observation = self.observation.to(like)
            outputs = cells.advance(observation, noises[t])
            actions = self._actions(outputs[:, :-1])
            results = [each.step(action) for each, action in zip(self.environments, self._taken(actions), strict=True)]
            over = [bool(info.get("new_trial")) or bool(end) for _, _, end, _, info in results]
            cut = [bool(limit) and not done for (_, _, _, limit, _), done in zip(results, over, strict=True)]
            performance += [float(info["performance"]) for *_, info in results if "performance" in info]
            rewards = [float(reward) for _, reward, *_ in results]
            ended = self._ended(rewards, over, cut)
            returns += [earned for earned, _ in ended]
            lengths += [age for _, age in ended]
            last = torch.zeros_like(outputs[:, -1])
            if any(cut):
                seen = self.normaliser.shown(_rows([observed for observed, *_ in results])).to(like)
                last[cut] = copy.copy(cells).advance(seen, noises[t + 1])[cut, -1]
            earned, flags = _rows(rewards), torch.tensor([over, cut], dtype=torch.bool, device="cpu")
            restarted = flags.any(0)
            scaled = self.normaliser.earned(earned, restarted)
            if self.carry and ended:
                cells.restart(restarted)
            rows.append((observation, actions, outputs, last, earned, scaled, *flags))
            self.observation = self.normaliser.observed(
                _rows(
                    [
                        each.reset()[0] if end or limit else observed
                        for each, (observed, _, end, limit, _) in zip(self.environments, results, strict=True)
                    ]
                )
            )
        following = copy.copy(cells).advance(self.observation.to(like), None)[:, -1]
        inputs, taken, outputs, last, earned, scaled, terminated, truncated = (
            torch.stack(each).to(like.device) for each in zip(*rows, strict=True)
        )
        return Episode(
            inputs, taken.to(like), earned.to(like), terminated, truncated, outputs, following, last, self.policy,
            scaled.to(like), tuple(performance), tuple(returns), tuple(lengths), start,
        )  # fmt: skip

    def state(self) -> dict[str, Tensor]:
        """Return the state to resume from, of environments that have one; not that of the normaliser."""
        assert self.generator is not None
        found = {
            "observation": self.observation.clone(),
            "actions": self.generator.get_state(),
            "earned": torch.tensor(self.earned, dtype=torch.float64, device="cpu"),
            "ages": torch.tensor(self.ages, dtype=torch.int64, device="cpu"),
        }
        if self.carry:
            found |= {"cells": self.cells.memory.clone()}
        for place, each in enumerate(self.environments):
            its: dict[str, Tensor] = each.state()  # type: ignore[attr-defined]
            found |= {f"environments.{place}.{name}": value for name, value in its.items()}
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a value of ``state``."""
        assert self.generator is not None
        self.observation = state["observation"].to(self.observation)
        self.generator.set_state(state["actions"])
        self.earned, self.ages = state["earned"].tolist(), state["ages"].tolist()
        if self.carry:
            self.cells.restore(state["cells"])
        for place, each in enumerate(self.environments):
            names = ("episode", "actions")
            each.restore({name: state[f"environments.{place}.{name}"] for name in names})  # type: ignore[attr-defined]

    @torch.no_grad()
    def episodes(self) -> tuple[list[float], list[int]]:
        """Return returns and lengths of the first episode in every environment, from the initial state.

        Raises:
            DivergenceError: The parameters of the policy are not finite.
        """
        cells = _Cells(self.net, len(self.environments))
        going = [True] * len(self.environments)
        seen: list[Any] = [None] * len(self.environments)
        while any(going):
            outputs = cells.advance(self.observation.to(next(self.net.parameters())), None)
            for place, action in enumerate(self._taken(self._actions(outputs[:, :-1]))):
                if not going[place]:
                    continue
                seen[place], reward, end, limit, _ = self.environments[place].step(action)
                self.earned[place] += float(reward)
                self.ages[place] += 1
                going[place] = not (end or limit)
            self.observation = self.normaliser.shown(_rows(seen))
        return list(self.earned), list(self.ages)

    def _actions(self, parameters: Tensor) -> Tensor:
        """Return an action for each environment, shape ``(B, A)``."""
        if not torch.isfinite(parameters).all():
            raise DivergenceError("the network cannot act: the probabilities of its actions are not finite")
        if self.generator is None:
            return self.policy.best(parameters)
        return self.policy.draw(parameters, self.generator)

    def _taken(self, actions: Tensor) -> list[Any]:
        """Return the actions as the environments take them: indices, or components within their bounds."""
        if self.space is None:
            return [int(action) for action in actions[:, 0].tolist()]
        bounded = np.clip(actions.numpy(), np.ravel(self.space.low), np.ravel(self.space.high))
        return [each.reshape(self.space.shape).astype(getattr(self.space, "dtype", np.float64)) for each in bounded]

    def _ended(self, rewards: list[float], over: list[bool], cut: list[bool]) -> list[tuple[float, int]]:
        """Add rewards to the trials and return the sums and lengths of those that ended."""
        ended = []
        for place, reward in enumerate(rewards):
            self.earned[place] += reward
            self.ages[place] += 1
            if over[place] or cut[place]:
                ended.append((self.earned[place], self.ages[place]))
                self.earned[place], self.ages[place] = 0.0, 0
        return ended

    def _check_actions(self) -> None:
        """Raise unless the outputs of the network are those of the policy and a value."""
        if self.space is not None:
            wanted = 2 * math.prod(self.space.shape) + 1
            if self.net.n_out != wanted:
                raise ValueError(
                    f"the network must have {wanted} outputs, a mean and a logarithm of the standard deviation for "
                    f"each component of the action and a value, got {self.net.n_out}"
                )
        else:
            self.policy.sizes(self.net.n_out)


def _rows(numbers: Sequence[Any]) -> Tensor:
    """Return a flat row for each environment, or a number, in float64."""
    rows = np.array(numbers, dtype=np.float64)
    return torch.from_numpy(rows.reshape(len(rows), -1) if rows.ndim > 2 else rows)


class _Cells:
    """A network between two steps, and its readout."""

    def __init__(self, net: Network, trials: int) -> None:
        self.net: Any = net
        self.stepper: Any = None if isinstance(net, Layered) else net.stepper(trials)
        self.read = None if self.stepper is None else torch.zeros_like(self.stepper.rate)

    def __copy__(self) -> _Cells:
        other = object.__new__(_Cells)
        other.net, other.stepper, other.read = self.net, copy.copy(self.stepper), self.read
        return other

    @property
    def memory(self) -> Tensor:
        """State of a network that starts anywhere, as `tca.Batch.start` has it, shape ``(B, M)``."""
        memory: Tensor = self.stepper.memory
        return torch.cat([memory, self.read], -1) if self.read is not None and self.net.readout_leak else memory

    def restore(self, memory: Tensor) -> None:
        """Continue from a value of ``memory``."""
        cells = self.net.n_memory
        self.stepper.start_from(memory[:, :cells])
        if self.net.readout_leak:
            self.read = memory[:, cells:].to(self.stepper.rate)

    def restart(self, places: Tensor) -> None:
        """Set some trials to the initial state, which is zero, of a network that starts anywhere.

        Args:
            places: Whether each trial restarts, boolean, shape ``(B,)``.
        """
        self.restore(self.memory.masked_fill(places.to(self.memory.device).unsqueeze(-1), 0.0))

    def advance(self, observation: Tensor, noise: Tensor | None) -> Tensor:
        """Return the outputs after an observation, shape ``(B, O)``."""
        if self.stepper is None:
            outputs: Tensor = self.net.outputs(self.net._parameters, observation.unsqueeze(0), None)[0]
            return outputs
        self.stepper.advance(observation, noise, None)
        assert self.read is not None
        self.read = torch.lerp(self.stepper.rate, self.read, self.net.readout_leak)
        read: Tensor = self.net.read_out(self.read, observation)
        return read
