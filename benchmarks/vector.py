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
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import nn

import tca
from benchmarks.timing import one_core, race
from tca.experiments.config.components import Optimizer
from tca.experiments.training.update import Updates
from tca.nets import MLP, Network, VectorMLP, VectorRNN

REFERENCE, PLAIN = "MLP, backprop", "MLP, PyTorch, default Adam"
SIZES = (784, [1024, 512], 10)
FORWARD = "forward pass"
STEPS, INPUTS, CELLS, OUTPUTS = 20, 6, 256, 10


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


def recurrent(trials: int) -> dict[str, Callable[[], object]]:
    """Return the forward pass of a recurrent network of vectors, and passes of several rules.

    Args:
        trials: Number of trials.
    """
    net, generator = VectorRNN(INPUTS, CELLS, OUTPUTS), torch.Generator().manual_seed(0)
    inputs = torch.randn(STEPS, trials, INPUTS, generator=generator)
    targets = torch.randint(OUTPUTS, (STEPS, trials), generator=generator)
    works: dict[str, Callable[[], object]] = {FORWARD: lambda: net.run(inputs)}
    for rule in ("gevb", "gevb_local", "gevb_network", "bptt"):
        for when, first in (("every step", 0), ("the last step", STEPS - 1)):
            weights = torch.zeros(STEPS, trials)
            weights[first:] = 1
            batch = tca.Batch(inputs, targets, weights, tca.losses.CrossEntropy())
            works[f"{rule}, {when}"] = passes(tca.Learner(net, tca.RULES[rule]), batch)
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


def report(title: str, works: dict[str, Callable[[], object]], references: Sequence[str], rounds: int) -> None:
    """Time some contestants and print what they took.

    Args:
        title: What they do.
        works: The contestants.
        references: Whose times the others are divided by, a column for each.
        rounds: Number of rounds.
    """
    for work in works.values():
        work()
    least = race(works, rounds, 30.0)
    print(f"{title}: ms, then as a multiple of {' and of '.join(references)}")
    for name, seconds in least.items():
        ratios = " ".join(f"{seconds / least[each]:6.2f}" for each in references)
        print(f"{name:28s} {1e3 * seconds:8.1f} {ratios}")


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=128, help="trials in a batch, default 128")
    parser.add_argument("--rounds", type=int, default=15, help="rounds, default 15")
    options = parser.parse_args()
    one_core()
    generator = torch.Generator().manual_seed(0)
    shape = (1, options.trials)
    inputs, targets = torch.randn(*shape, 784, generator=generator), torch.randint(10, shape, generator=generator)
    batch = tca.Batch(inputs, targets, torch.ones(*shape), tca.losses.CrossEntropy())
    works: dict[str, Callable[[], object]] = {
        REFERENCE: step(MLP(*SIZES), "backprop", batch),
        PLAIN: plain(batch),
        "MLP, PyTorch, fused Adam": plain(batch, fused=True),
        "MLP, backprop, default Adam": step(MLP(*SIZES), "backprop", batch, fused=False),
        "vectors, gevb": step(VectorMLP(*SIZES), "gevb", batch),
        "vectors, gevb, default Adam": step(VectorMLP(*SIZES), "gevb", batch, fused=False),
        "vectors, backprop": step(VectorMLP(*SIZES), "backprop", batch),
        "vectors, dfa": step(VectorMLP(*SIZES), "dfa", batch),
    }
    report(f"784-1024-512-10, {options.trials} trials, a step of training", works, (REFERENCE, PLAIN), options.rounds)
    title = f"{CELLS} recurrent cells, {OUTPUTS} components, {STEPS} steps, {options.trials} trials, gradients"
    report(title, recurrent(options.trials), (FORWARD,), options.rounds)


if __name__ == "__main__":
    main()
