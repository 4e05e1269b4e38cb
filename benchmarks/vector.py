"""What a step of a network of vectors costs, against an MLP of the same width.

Run ``python -m benchmarks.vector`` from the root. One thread on one core; times are process time, the least of several
rounds in which all contestants take turns. A step is everything from a batch to changed parameters: gradients, Adam,
and what keeps weights nonnegative.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

import tca
from benchmarks.timing import one_core, race
from tca.nets import MLP, Network, VectorMLP

REFERENCE = "MLP, backprop"
SIZES = (784, [1024, 512], 10)


def step(net: Network, rule: str, batch: tca.Batch) -> Callable[[], None]:
    """Return a step of training.

    Args:
        net: The network.
        rule: Name of the rule.
        batch: The trials.
    """
    learner, optimizer = tca.Learner(net, tca.RULES[rule]), torch.optim.Adam(net.parameters(), 3e-4, fused=True)

    def work() -> None:
        optimizer.zero_grad()
        learner.backward(batch)
        optimizer.step()
        net.project_()

    return work


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
    works = {
        REFERENCE: step(MLP(*SIZES), "backprop", batch),
        "vectors, gevb": step(VectorMLP(*SIZES), "gevb", batch),
        "vectors, backprop": step(VectorMLP(*SIZES), "backprop", batch),
        "vectors, dfa": step(VectorMLP(*SIZES), "dfa", batch),
    }
    for work in works.values():
        work()
    least = race(works, options.rounds, 30.0)
    print(f"784-1024-512-10, {options.trials} trials, ms a step")
    for name, seconds in least.items():
        print(f"{name:20s} {1e3 * seconds:8.1f} {seconds / least[REFERENCE]:6.2f}")


if __name__ == "__main__":
    main()
