"""Whole updates: a batch of a set, gradients, their norm and bound, a step of Adam, constraints.

Run ``python -m benchmarks.updates`` from the root. One thread, float32, trials of 50 steps with 3 inputs and a class of
3 at every step, 32 a batch; process time, the least of several rounds in which all take turns. A *run* makes the
updates of `tca.train`; *by hand* is the loop that a user writes with `torch.optim.Adam`. Beside them `nn.RNN` and
perceptrons of PyTorch trained by hand, and scans of JAX where it is installed. Leaky networks have the same weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import tasks
import tca
from benchmarks import jax_peers
from benchmarks.results import Bound, Result, add_options, finish, measure
from benchmarks.timing import one_core
from tca.experiments.training.training_loop import TrainingLoop

__all__ = ["layered", "recurrent"]

STEPS, TRIALS, SET, RATE, BOUND = 50, 32, 512, 1e-3, 1.0
RNN, PERCEPTRON = "nn.RNN, by hand", "PyTorch, by hand"
Works = dict[str, Callable[[], object]]


def trials(steps: int, channels: int, classes: int) -> Any:
    """Return a set of trials whose class is the largest of the first inputs."""
    inputs = torch.randn(steps, SET, channels, generator=torch.Generator().manual_seed(0))
    return tasks.from_arrays(inputs, inputs[..., :classes].argmax(-1))


def run(rule: str, net: tca.NetworkConfig, given: Any) -> TrainingLoop:
    """Return the training of a run, before its first update."""
    optimizer = tca.Optimizer(lr=RATE, clip=BOUND)
    return TrainingLoop(
        tca.Run(given, rule, net=net, optimizer=optimizer, batch_size=TRIALS, steps=10**6, n_train=SET - 1, n_test=1)
    )


def of_run(loop: TrainingLoop) -> Callable[[], object]:
    """Return an update of a run."""
    return loop.update


def by_hand(loop: TrainingLoop, given: Any) -> Callable[[], object]:
    """Return an update of the same network written with PyTorch's own parts."""
    learner, batches = loop.copied().learner, given.subset(SET - 1).batches(TRIALS, seed=0)
    optimizer = torch.optim.Adam(learner.net.parameters(), lr=RATE)

    def update() -> None:
        optimizer.zero_grad()
        learner.backward(next(batches))
        nn.utils.clip_grad_norm_(learner.net.parameters(), BOUND)
        optimizer.step()
        learner.net.project_()

    return update


def of_module(module: nn.Module, given: Any, fused: bool = False) -> Callable[[], object]:
    """Return an update of a module of PyTorch that maps inputs to logits."""
    optimizer, batch = torch.optim.Adam(module.parameters(), lr=RATE, fused=fused or None), given.batch()
    order = shuffled()

    def update() -> None:
        chosen = next(order)
        optimizer.zero_grad()
        outputs = module(batch.inputs[:, chosen])
        nn.functional.cross_entropy(outputs.flatten(0, 1), batch.targets[:, chosen].flatten()).backward()
        nn.utils.clip_grad_norm_(module.parameters(), BOUND)
        optimizer.step()

    return update


def shuffled() -> Iterator[Tensor]:
    """Yield the trials of every batch, each trial once an epoch."""
    while True:
        yield from torch.split(torch.randperm(SET), TRIALS)


class ReadOut(nn.Module):
    """An Elman network with a readout at every step."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells, self.readout = nn.RNN(3, cells), nn.Linear(cells, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.readout(self.cells(inputs)[0])  # type: ignore[no-any-return]


def of_jax(gradient: Callable[..., dict[str, Any]], loop: TrainingLoop) -> Callable[[], object]:
    """Return an update compiled as a whole, its batch gathered on the device, Adam and bound written out."""
    import jax
    import jax.numpy as jnp

    def array(each: Tensor) -> Any:
        return jnp.array(each.detach().numpy())

    batch, order, leak = loop.train_set.batch(), shuffled(), float(loop.net.leak)
    inputs, targets = array(batch.inputs), array(batch.targets)
    parameters: Any = {name: array(each) for name, each in loop.net.named_parameters()}
    moments: Any = [jax.tree.map(jnp.zeros_like, parameters) for _ in range(2)]

    @jax.jit
    def step(parameters: Any, moments: Any, count: Any, chosen: Any) -> Any:
        found = gradient(parameters, inputs[:, chosen], targets[:, chosen], leak)
        norm = jnp.sqrt(sum(jnp.sum(each**2) for each in found.values()))
        scale = jnp.minimum(1.0, BOUND / (norm + 1e-6))
        found = jax.tree.map(lambda each: each * scale, found)
        mean = jax.tree.map(lambda old, each: 0.9 * old + 0.1 * each, moments[0], found)
        square = jax.tree.map(lambda old, each: 0.999 * old + 0.001 * each**2, moments[1], found)
        rate, root = RATE / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
        changed = jax.tree.map(lambda w, m, s: w - rate * m / (jnp.sqrt(s) / root + 1e-8), parameters, mean, square)
        return changed, [mean, square], norm

    state, count = [parameters, moments], [0.0]

    def update() -> None:
        count[0] += 1
        state[0], state[1], norm = step(*state, count[0], next(order).numpy() % (SET - 1))
        float(norm)

    return update


def recurrent(cells: int) -> Works:
    """Return the updates of recurrent networks of N cells."""
    given, net = trials(STEPS, 3, 3), tca.NetworkConfig("leaky_rnn", {"size": cells})
    works: Works = {RNN: of_module(ReadOut(cells), given, fused=True)}
    for rule, gradient in (("eprop", jax_peers.eprop), ("bptt", jax_peers.bptt)):
        loop = run(rule, net, given)
        works[f"{rule}, by hand"] = by_hand(loop, given)
        if jax_peers.installed("jax"):
            works[f"{rule}, JAX scan"] = of_jax(gradient, loop)
        works[f"{rule}, run"] = of_run(loop)
    return works


def layered(sizes: tuple[int, ...]) -> Works:
    """Return the updates of perceptrons with 64 inputs and 10 classes."""
    given, net = trials(1, 64, 10), tca.NetworkConfig("mlp", {"sizes": list(sizes)})
    widths = [64, *sizes]

    def perceptron() -> nn.Sequential:
        hidden = [each for pair in pairwise(widths) for each in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(*hidden, nn.Linear(widths[-1], 10))

    loop = run("backprop", net, given)
    return {
        PERCEPTRON: of_module(perceptron(), given),
        "PyTorch, by hand, fused Adam": of_module(perceptron(), given, fused=True),
        "backprop, by hand": by_hand(loop, given),
        "backprop, run": of_run(loop),
        "dfa, run": of_run(run("dfa", net, given)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[64, 128], help="(default: 64 and 128)")
    add_options(parser, rounds=9, longest=20.0)
    options = parser.parse_args()
    one_core()
    columns = {f"{cells} cells": partial(recurrent, cells) for cells in options.cells}
    rows = measure(columns, options.rounds, options.longest)
    question = f"Whole updates of recurrent networks, {STEPS} steps, {TRIALS} trials, float32"
    finish(Result("updates", question, RNN, rows), options.save)
    rows = measure({"64-256-128-10": partial(layered, (256, 128))}, options.rounds, options.longest)
    bounds = [Bound("backprop, run", PERCEPTRON, 1.2)]
    question = f"Whole updates of a perceptron, {TRIALS} trials, float32"
    finish(Result("updates_layers", question, PERCEPTRON, rows, bounds), options.save)


if __name__ == "__main__":
    main()
