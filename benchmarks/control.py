"""What a block of proximal policy optimisation costs: rules of the library against a loop of PyTorch by hand.

Run ``python -m benchmarks.control`` from the root. One thread on one core; times are process time, the least of several
rounds in which all contestants take turns. A block is what a run does between two of its steps: acting in 8
environments for 32 steps (64 with continuous actions), generalised advantages, and 32 updates with Adam, all settings
those of a run by default. The loop by hand makes the same updates: same environments, actions, normalisation and
minibatches, which is checked before anything is timed. It steps the environments without the library's records of seeds
and actions, and its Adam is fused.

Shapes: T steps, B environments side by side, A components of an action.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import tca
from benchmarks.results import Bound, Result, add_options, finish, measure
from benchmarks.timing import one_core
from tca.experiments.config.components import Seeds
from tca.experiments.training.training_loop import TrainingLoop

ENVIRONMENTS = ("CartPole-v1", "Pendulum-v1")
LOOP, BACKPROP, STREAMS, DIFFUSION = (
    "loop of PyTorch", "tca backprop", "tca backprop, two streams", "tca error_diffusion, two streams"
)  # fmt: skip
MOST, MOST_DIFFUSION = 1.3, 1.2  # times the loop by hand, and times backpropagation
TOLERANCE = 1e-3  # between the weights after a block, in float32
SIDE, BLOCKS = 8, 10_000  # environments side by side, and blocks of a run, more than are timed
Numbers = NDArray[np.float64]
Work = Callable[[], object]


def run_of(environment: str, rule: str, **options: Any) -> tca.Run:
    """Return a run with the settings of a run by default."""
    return tca.Run(
        environment, rule, steps=BLOCKS, batch_size=SIDE, evaluate_every=BLOCKS, seeds=Seeds(0, 0, 0, 0), **options
    )


class Moments:
    """Running mean and variance, starting at those of the first rows."""

    def __init__(self, size: int) -> None:
        self.count, self.mean, self.squares = 0, np.zeros(size), np.zeros(size)

    def add(self, rows: Numbers) -> None:
        """Add rows, shape ``(n, size)``."""
        own = rows.mean(0)
        shift, total = own - self.mean, self.count + len(rows)
        self.squares += ((rows - own) ** 2).sum(0) + shift**2 * self.count * len(rows) / total
        self.mean = self.mean + shift * len(rows) / total
        self.count = total

    @property
    def deviation(self) -> Numbers:
        """Standard deviation."""
        deviation: Numbers = np.sqrt(self.squares / self.count + 1e-8)
        return deviation


class Loop:
    """Proximal policy optimisation in plain PyTorch, from the weights and seeds of a run.

    Args:
        run: A run of backpropagation in a perceptron of two hidden layers.
    """

    def __init__(self, run: tca.Run) -> None:
        start, task = TrainingLoop(run), run.make_task()
        assert run.agent is not None
        self.agent = run.agent
        self.net = modules_of(start.net)
        self.adam = torch.optim.Adam(self.net.parameters(), run.optimizer.lr, fused=True)
        self.most = run.optimizer.clip
        self.environments = start.batches.actor.environments  # type: ignore[union-attr]
        self.generator = start.batches.parts  # type: ignore[union-attr]
        self.bounds = None
        if hasattr(space := self.environments[0].action_space, "low"):
            self.bounds = space.low, space.high
        self.moments, self.returns, self.sums = Moments(task.n_in), Moments(1), np.zeros(SIDE)
        self.seen = self.shown(start.batches.actor.observation.double().numpy(), first=start)

    def shown(self, rows: Numbers, first: TrainingLoop | None = None) -> Tensor:
        """Return normalised observations, those of a run's start as they are."""
        if first is not None:
            known = first.batches.normaliser.observations  # type: ignore[union-attr]
            self.moments.count = int(known.count)
            self.moments.mean, self.moments.squares = known.mean.numpy(), known.squares.numpy()
            return torch.from_numpy(rows).float()
        self.moments.add(rows)
        return torch.from_numpy(((rows - self.moments.mean) / self.moments.deviation).clip(-10, 10)).float()

    def drawn(self, policy: Tensor) -> tuple[Tensor, list[Any]]:
        """Return actions, ``(B, A)``, and as the environments take them."""
        if self.bounds is None:
            actions = torch.multinomial(policy.double().softmax(-1), 1, generator=self.generator)
            return actions, actions[:, 0].tolist()
        mean, log_deviation = policy.double().chunk(2, -1)
        unit = torch.randn(mean.shape, generator=self.generator, dtype=torch.float64)
        actions = mean + log_deviation.exp() * unit
        return actions, list(actions.numpy().clip(*self.bounds).astype(np.float32))

    def log_probability(self, policy: Tensor, actions: Tensor) -> Tensor:
        """Return the logarithm of the probability of actions."""
        if self.bounds is None:
            return policy.log_softmax(-1).gather(-1, actions.long()).squeeze(-1)
        mean, log_deviation = policy.chunk(2, -1)
        distance = (actions - mean) / log_deviation.exp()
        return (-0.5 * distance**2 - log_deviation - 0.5 * np.log(2 * np.pi)).sum(-1)

    def block(self) -> None:
        """Act, and make the updates."""
        agent, rows = self.agent, []
        with torch.no_grad():
            for _ in range(agent.steps):
                outputs = self.net(self.seen)
                actions, taken = self.drawn(outputs[:, :-1])
                rows.append((self.seen, outputs, actions.float(), *self.stepped(taken)))
            seen, outputs, actions, rewards, ended, after, final = (
                torch.stack(each) for each in zip(*rows, strict=True)
            )
            values = torch.cat([outputs[..., -1], self.net(self.seen)[None, :, -1]])
            following = torch.where(after, final, values[1:].masked_fill(ended, 0.0))
            errors = rewards + agent.discount * following - values[:-1]
            later, advantages = torch.zeros(SIDE), torch.empty_like(errors)
            for t in range(agent.steps - 1, -1, -1):
                later = errors[t] + agent.discount * agent.trace_decay * later.masked_fill(ended[t], 0.0)
                advantages[t] = later
            old = self.log_probability(outputs[..., :-1], actions)
        columns = [each.flatten(0, 1) for each in (seen, actions, old, advantages, advantages + values[:-1])]
        for _ in range(agent.epochs):
            order = torch.randperm(len(columns[0]), generator=self.generator)
            for chosen in order.tensor_split(agent.minibatches):
                self.update(*(each[chosen] for each in columns))

    def stepped(self, taken: list[Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Step the environments and return scaled rewards, ends, time limits and values after these."""
        found = [each.made.step(action) for each, action in zip(self.environments, taken, strict=True)]
        rewards = np.array([reward for _, reward, *_ in found], np.float64)
        over, cut = (np.array([each[place] for each in found]) for place in (2, 3))
        cut &= ~over
        ended, final = over | cut, torch.zeros(SIDE)
        self.sums = self.sums * self.agent.discount + rewards
        self.returns.add(self.sums[:, None])
        self.sums[ended] = 0.0
        if cut.any():
            last = np.array([each[0] for each in found], np.float64)
            shown = ((last - self.moments.mean) / self.moments.deviation).clip(-10, 10)
            final = self.net(torch.from_numpy(shown).float())[:, -1]
        pairs = zip(self.environments, found, ended, strict=True)
        self.seen = self.shown(np.array([each.reset()[0] if end else one[0] for each, one, end in pairs], np.float64))
        scaled = (rewards / self.returns.deviation).clip(-10, 10)
        return torch.from_numpy(scaled).float(), torch.from_numpy(ended), torch.from_numpy(cut), final

    def update(self, seen: Tensor, actions: Tensor, old: Tensor, advantages: Tensor, returns: Tensor) -> None:
        """Make an update with a minibatch."""
        agent = self.agent
        assert agent.clip is not None
        assert self.most is not None
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        outputs = self.net(seen)
        ratio = (self.log_probability(outputs[:, :-1], actions) - old).exp()
        clipped = ratio.clamp(1 - agent.clip, 1 + agent.clip)
        policy = torch.maximum(-advantages * ratio, -advantages * clipped).mean()
        loss = policy + agent.value_weight * 0.5 * (outputs[:, -1] - returns).square().mean()
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.most)
        self.adam.step()


def modules_of(net: Any) -> nn.Sequential:
    """Return modules of PyTorch with the weights of a perceptron of two hidden layers."""
    sizes = [net.n_in, *(len(each) for each in (net.b_1, net.b_2, net.b_out))]
    first, second, third = (nn.Linear(*pair) for pair in itertools.pairwise(sizes))
    modules = nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), third)
    for own, other in zip(net.parameters(), modules.parameters(), strict=True):
        other.data.copy_(own.data)
    return modules


def contestants(environment: str) -> dict[str, Work]:
    """Return all loops; raise if those that should make the same updates do not."""
    streams = tca.NetworkConfig("dual_stream_mlp", sizes=[64], activation="relu", then=["rms_norm"])
    loop, ours = Loop(run_of(environment, "backprop")), TrainingLoop(run_of(environment, "backprop"))
    loop.block()
    ours.update()
    for (name, own), other in zip(ours.net.named_parameters(), loop.net.parameters(), strict=True):
        off = float((own - other).detach().norm() / own.detach().norm().clamp(min=0.1))
        if not off < TOLERANCE:
            raise AssertionError(f"the loop by hand and tca backprop differ by {off:.1e} in {name} after a block")
    others = {
        "tca dfa": run_of(environment, "dfa"),
        "tca eprop, leaky cells": run_of(environment, "eprop"),
        STREAMS: run_of(environment, "backprop", net=streams),
        DIFFUSION: run_of(environment, "error_diffusion", net=streams),
    }
    return {LOOP: loop.block, BACKPROP: ours.update} | {name: TrainingLoop(run).update for name, run in others.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, rounds=15)
    options = parser.parse_args()
    one_core()
    rows = measure({each: partial(contestants, each) for each in ENVIRONMENTS}, options.rounds, options.longest)
    bounds = [Bound(BACKPROP, LOOP, MOST), *(Bound(DIFFUSION, each, MOST_DIFFUSION) for each in (STREAMS, BACKPROP))]
    question = f"A block of PPO: acting in {SIDE} environments and 32 updates, float32"
    finish(Result("control", question, LOOP, rows, bounds), options.save)


if __name__ == "__main__":
    main()
