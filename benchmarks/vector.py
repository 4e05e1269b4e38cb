"""What a step of a network of vectors costs, against an MLP of the same width, and in time against the forward pass.

The plain perceptron is that of PyTorch's modules with its Adam as it comes; a step of global error vectors is to take
at most six times as long. The matrix products alone are 6.8 times those of the perceptron: ten of its first layer
forwards, and ten for the weights there.

Run ``python -m benchmarks.vector`` from the root. One thread on one core; times are process time, the least of several
rounds in which all contestants take turns. A step is an update as a run makes it, from a batch to changed parameters:
gradients, their norm, Adam, and what keeps weights nonnegative. In the recurrent network, 20 steps with an error at
each or at the last alone, it is everything from a batch to gradients.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import nn

import tca
from benchmarks.results import Bound, Result, add_options, finish, measure
from benchmarks.timing import one_core
from tca.experiments.config.components import Optimizer
from tca.experiments.training.update import Updates
from tca.nets import MLP, Network, VectorMLP, VectorRNN

REFERENCE, PLAIN, GEVB = "perceptron, tca backprop", "perceptron of PyTorch", "vectors, gevb"
SIZES = (784, [1024, 512], 10)
FORWARD = "forward pass"
STEPS, INPUTS, CELLS, OUTPUTS = 20, 6, 256, 10
WHEN = {"every step": 0, "the last step": STEPS - 1}  # first step with an error


def step(net: Network, rule: str, batch: tca.Batch, **options: bool) -> Callable[[], object]:
    """Return an update as a run makes it.

    Args:
        net: The network.
        rule: Name of the rule.
        batch: The trials.
        options: Further options of Adam.
    """
    updates = Updates(tca.Learner(net, tca.RULES[rule]), Optimizer(lr=3e-4, clip=None, options=options), 1, 0)
    return lambda: updates.make(batch, 0)


def plain(batch: tca.Batch, **options: bool) -> Callable[[], None]:
    """Return a step of training of the perceptron as it is written without this library.

    Args:
        batch: The trials.
        options: Further options of Adam.
    """
    (inputs,), (targets,) = batch.inputs, batch.targets
    hidden = [nn.Sequential(nn.Linear(*sizes), nn.ReLU()) for sizes in pairwise((SIZES[0], *SIZES[1]))]
    net = nn.Sequential(*hidden, nn.Linear(SIZES[1][-1], SIZES[2]))
    optimizer = torch.optim.Adam(net.parameters(), 3e-4, **options)

    def work() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), targets).backward()
        optimizer.step()

    return work


def recurrent(trials: int, first: int) -> dict[str, Callable[[], object]]:
    """Return the forward pass of a recurrent network of vectors, and gradients of several rules.

    Args:
        trials: Number of trials.
        first: First step with an error, from 0.
    """
    net, generator = VectorRNN(INPUTS, CELLS, OUTPUTS), torch.Generator().manual_seed(0)
    inputs = torch.randn(STEPS, trials, INPUTS, generator=generator)
    targets = torch.randint(OUTPUTS, (STEPS, trials), generator=generator)
    works: dict[str, Callable[[], object]] = {FORWARD: lambda: net.run(inputs)}
    weights = torch.zeros(STEPS, trials)
    weights[first:] = 1
    batch = tca.Batch(inputs, targets, weights, tca.losses.CrossEntropy())
    for rule in ("gevb", "gevb_local", "gevb_network", "bptt"):
        works[rule] = passes(tca.Learner(net, tca.RULES[rule]), batch)
    return works


def passes(learner: tca.Learner, batch: tca.Batch) -> Callable[[], None]:
    """Return what finds the gradients of a batch.

    Args:
        learner: The rule and the network.
        batch: The trials.
    """

    def work() -> None:
        learner.net.zero_grad()
        learner.backward(batch)

    return work


def steps_of_training(trials: int) -> dict[str, Callable[[], object]]:
    """Return updates of perceptrons and of networks of vectors.

    Args:
        trials: Number of trials.
    """
    generator, shape = torch.Generator().manual_seed(0), (1, trials)
    inputs, targets = torch.randn(*shape, 784, generator=generator), torch.randint(10, shape, generator=generator)
    batch = tca.Batch(inputs, targets, torch.ones(*shape), tca.losses.CrossEntropy())
    return {
        REFERENCE: step(MLP(*SIZES), "backprop", batch),
        PLAIN: plain(batch),
        "perceptron of PyTorch, fused Adam": plain(batch, fused=True),
        "perceptron, tca backprop, default Adam": step(MLP(*SIZES), "backprop", batch, fused=False),
        GEVB: step(VectorMLP(*SIZES), "gevb", batch),
        "vectors, gevb, default Adam": step(VectorMLP(*SIZES), "gevb", batch, fused=False),
        "vectors, backprop": step(VectorMLP(*SIZES), "backprop", batch),
        "vectors, dfa": step(VectorMLP(*SIZES), "dfa", batch),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=128, help="trials in a batch (default: %(default)s)")
    add_options(parser, rounds=9, longest=5.0)
    options = parser.parse_args()
    one_core()
    width = "784-1024-512-10"
    rows = measure({width: partial(steps_of_training, options.trials)}, options.rounds, options.longest)
    question = f"A step of training, {options.trials} trials, networks of vectors with {OUTPUTS} components, float32"
    bounds = [Bound(GEVB, REFERENCE, 6), Bound(GEVB, PLAIN, 6)]
    finish(Result("vector", question, REFERENCE, rows, bounds), options.save)
    columns = {f"errors at {when}": partial(recurrent, options.trials, first) for when, first in WHEN.items()}
    rows = measure(columns, options.rounds, options.longest)
    question = f"Gradients of {CELLS} recurrent cells with {OUTPUTS} components, {STEPS} steps, {options.trials} trials"
    finish(Result("vector_recurrent", question, FORWARD, rows), options.save)


if __name__ == "__main__":
    main()
