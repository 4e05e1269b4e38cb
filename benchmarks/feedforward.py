"""What a gradient of a feedforward network costs: rules of the library against autograd and plain hand-written steps.

Run ``python -m benchmarks.feedforward`` from the root. One thread on one core; times are process time, the least of
several rounds in which all contestants take turns. Everything from a batch to the gradients of all parameters counts,
and what a rule keeps (its correlations) as well. Gradients are compared before anything is timed.

Shapes: B batch, N cells, O outputs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

import tca
from benchmarks.results import Bound, Result, add_options, finish, measure
from benchmarks.timing import one_core
from tca.eligibilities import Instant
from tca.nets import CNN, MLP, AvgPool, ConvLayer, DenseLayer, Network
from tca.signals import Decorrelation, Regularised
from tca.signals.regularisers.activity_regularisers import LayerEntropy, Power, TrackedEntropy

REFERENCE = "tca backprop"
MOST = 1.30  # times the library's backpropagation
TOLERANCE = 1e-4  # between two computations of one gradient in float32
AUTOGRAD, NAIVE = "autograd of nn.Sequential", "decorrelation as published, by hand"
RULES: dict[str, tca.Rule] = {
    REFERENCE: tca.RULES["backprop"],
    "tca dfa": tca.RULES["dfa"],
    "tca dfa_shared": tca.RULES["dfa_shared"],
    "tca ebd": tca.RULES["ebd"],
    "tca sbd": tca.RULES["sbd"],
    "tca sbd_expansion": tca.RULES["sbd_expansion"],
    "tca sbd, power": tca.Rule(Regularised(Decorrelation(), (Power(),)), Instant()),
    "tca sbd, power and entropy": tca.Rule(Regularised(Decorrelation(), (Power(), LayerEntropy(1e-9))), Instant()),
    "tca sbd, power and entropy carried on": tca.Rule(
        Regularised(Decorrelation(), (Power(), TrackedEntropy(1e-9))), Instant()
    ),
}
BOUNDED = ("tca dfa", "tca ebd", "tca sbd")
Work = Callable[[], dict[str, Tensor]]


@dataclass(frozen=True, eq=False)
class Problem:
    """A network, the same in modules of torch, and a batch."""

    title: str
    net: Network
    modules: nn.Sequential
    batch: tca.Batch


def perceptron(trials: int) -> Problem:
    """Return 784-1024-512-10."""
    net = MLP(784, [1024, 512], 10)
    modules = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10))
    return _problem(f"784-1024-512-10, B = {trials}", net, modules, trials)


def convolutional(trials: int) -> Problem:
    """Return two convolutions of 64 and 32 maps, pooled, and 1024 cells on 28 x 28 pixels."""
    pooled = (AvgPool(2),)
    layers = [ConvLayer(64, 3, padding=1, then=pooled), ConvLayer(32, 3, padding=1, then=pooled), DenseLayer(1024)]
    net = CNN((1, 28, 28), layers, 10)
    modules = nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        *(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(64, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(1568, 1024), nn.ReLU(), nn.Linear(1024, 10)),
    )
    return _problem(f"two convolutions, B = {trials}", net, modules, trials)


def _problem(title: str, net: Network, modules: nn.Sequential, trials: int) -> Problem:
    for own, other in zip(net.parameters(), modules.parameters(), strict=True):
        other.data.copy_(own.data)
    source = torch.Generator().manual_seed(0)
    inputs = torch.rand(1, trials, 784, generator=source)
    targets = torch.randint(10, (1, trials), generator=source)
    batch = tca.Batch(inputs, targets, torch.ones(1, trials), tca.losses.CrossEntropy())
    return Problem(title, net, modules, batch)


def by_autograd(problem: Problem) -> Work:
    """Return a step of torch's own modules, loss and ``backward``."""
    names = [name for name, _ in problem.net.named_parameters()]
    inputs, targets = problem.batch.inputs[0], problem.batch.targets[0]
    parameters = list(problem.modules.parameters())

    def work() -> dict[str, Tensor]:
        loss = nn.functional.cross_entropy(problem.modules(inputs), targets)
        return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))

    return work


def by_hand(problem: Problem, start: dict[str, Tensor]) -> Work:
    """Return a step of decorrelation of a perceptron written line by line, with one-hot targets.

    Args:
        problem: A perceptron and a batch.
        start: The correlations (N, O) before learning, by the names that the library gives them.
    """
    linear = [module for module in problem.modules if isinstance(module, nn.Linear)]
    inputs = problem.batch.inputs[0]
    onehot = nn.functional.one_hot(problem.batch.targets[0], 10).float()
    correlations = [start[f"hidden_{layer}.correlation"].clone() for layer in (1, 2)]

    @torch.no_grad()
    def work() -> dict[str, Tensor]:
        drives, rates = [], [inputs]
        for module in linear:
            drives.append(rates[-1] @ module.weight.T + module.bias)
            rates.append(torch.relu(drives[-1]))
        score = torch.softmax(drives[-1], 1) - onehot
        trials, found = len(inputs), {}
        for layer in (0, 1):
            correlations[layer] = 0.9999 * correlations[layer] + 1e-4 / trials * rates[layer + 1].T @ score
            learning_signal = (drives[layer] > 0).float() * (score @ correlations[layer].T)
            found[f"w_{layer + 1}"] = learning_signal.T @ rates[layer] / trials
            found[f"b_{layer + 1}"] = learning_signal.mean(0)
        return found | {"w_out": score.T @ rates[2] / trials, "b_out": score.mean(0)}

    return work


def by_rule(learner: tca.Learner, batch: tca.Batch) -> Work:
    """Return a step of a learner that averages on from batch to batch."""
    parameters = dict(learner.net.named_parameters())

    def work() -> dict[str, Tensor]:
        for each in parameters.values():
            each.grad = None
        learner.backward(batch)
        return {name: each.grad for name, each in parameters.items() if each.grad is not None}

    return work


def contestants(problem: Problem) -> dict[str, Work]:
    """Return all steps; raise if two that should agree do not."""
    learners = {name: tca.Learner(problem.net, rule) for name, rule in RULES.items()}
    same = {AUTOGRAD: (by_autograd(problem), REFERENCE)}
    if not any(isinstance(module, nn.Conv2d) for module in problem.modules):
        same[NAIVE] = by_hand(problem, learners["tca sbd"].state_dict()), "tca sbd"
    for name, (work, as_in) in same.items():
        wanted = by_rule(learners[as_in], problem.batch)()
        for parameter, found in work().items():
            off = float((found - wanted[parameter]).norm() / wanted[parameter].norm())
            if not off < TOLERANCE:
                raise AssertionError(f"{name} and {as_in} differ by {off:.1e} in {parameter}")
    works = {name: by_rule(learner, problem.batch) for name, learner in learners.items()}
    return {name: work for name, (work, _) in same.items()} | works


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=128, help="of the perceptron (default: %(default)s)")
    parser.add_argument("--maps-trials", type=int, default=16, help="of the convolutions (default: %(default)s)")
    add_options(parser, rounds=9)
    options = parser.parse_args()
    one_core()
    problems = (perceptron(options.trials), convolutional(options.maps_trials))
    rows = measure({each.title: partial(contestants, each) for each in problems}, options.rounds, options.longest)
    bounds = [Bound(name, REFERENCE, MOST) for name in BOUNDED]
    question = "Gradients of feedforward networks, float32"
    finish(Result("feedforward", question, REFERENCE, rows, bounds), options.save)


if __name__ == "__main__":
    main()
