"""Which networks are differentiated by hand, and how much of that is kept in memory.

Shapes: T time, B batch, N cells.

The recurrent networks in ``SCANNED`` are differentiated by their own passes, which a `Scan` takes from their tapes,
unless they have general cells or learned constants. A product costs a quarter to a half of one by autograd. Feedforward
networks, where it would cost as much, and all other networks, subclasses included, are left to autograd, which
differentiates ``functional`` twice.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch

from analysis.curvature.analytic.scan import Scan, spaces
from analysis.curvature.analytic.scan_expansion import ScanCarrier, ScanExpansion
from analysis.curvature.operators.pullback import Carrier
from analysis.curvature.operators.second_order import LossExpansion
from analysis.curvature.problem import Problem
from tca import nets
from tca.batch import Batch
from tca.nets.network import Network

__all__ = ["SCANNED", "WIDTH", "Plan", "plan"]

SCANNED: frozenset[type[Network]] = frozenset(
    {nets.LeakyRNN, nets.StackedRNN, nets.SpikingRNN, nets.DualStreamRNN, nets.VectorRNN}
)

WIDTH = 8  # vectors at once: more gain nothing
KEPT, PASSING = 5, 3  # tensors of (T, B, N) that a scan keeps, and that a pass needs for every vector, at most


class Plan(NamedTuple):
    """How a loss is differentiated.

    Attributes:
        keep: Whether values that do not depend on a vector are kept between products.
        width: How many vectors are taken at once.
        expansions: For each chunk a function that expands the loss to second order; ``None`` for autograd.
        carriers: For each chunk a function that expands the outputs to first order; ``None`` for autograd.
    """

    keep: bool
    width: int
    expansions: Sequence[Callable[[], LossExpansion]] | None = None
    carriers: Sequence[Callable[[], Carrier]] | None = None


def plan(problem: Problem) -> Plan:
    """Return how to differentiate a problem: by hand where that is known, else by autograd.

    By hand, the memory kept for all chunks and that of a pass stay below ``problem.memory`` together. Where they do
    not, no more than one chunk is kept, and then fewer vectors are taken at once, at least one.

    Args:
        problem: The loss as a function of the parameters.

    >>> import torch
    >>> from analysis.curvature.problem import problem_of
    >>> from tca.losses import MSE
    >>> batch = Batch(torch.zeros(4, 5, 1), torch.ones(4, 5, 2), torch.full((4, 5), 0.25), MSE())
    >>> result = plan(problem_of(nets.LeakyRNN(1, 4, 2), batch))
    >>> result.keep, result.width
    (True, 8)
    """
    by_hand = type(problem.net) in SCANNED and not any(each.general for each in problem.network.populations())
    if not by_hand or not isinstance(problem.batch, Batch):
        return Plan(keep=len(problem.parts) == 1 or problem.needed <= problem.memory, width=1)
    net = problem.network
    cells = sum(population.cells for population in net.populations())
    a_trial = problem.batch.steps * cells * problem.theta.element_size() / 1e6
    kept, passing = KEPT * a_trial * problem.batch.trials, PASSING * a_trial * problem.parts[0].trials
    keep = len(problem.parts) == 1 or kept + passing <= problem.memory
    left = problem.memory - (kept if keep else KEPT * a_trial * problem.parts[0].trials)
    net = _at(problem)
    scratch, shared = spaces(), spaces()

    def scanned(part: Batch) -> Scan:
        return Scan(net, problem.parameters.names, part.inputs, spaces() if keep else shared, scratch)

    def expansion(part: Batch) -> LossExpansion:
        return ScanExpansion(scanned(part), problem.parameters, part, problem.batch.trials)

    def carrier(part: Batch) -> Carrier:
        return ScanCarrier(scanned(part), problem.parameters)

    return Plan(
        keep,
        max(1, min(WIDTH, int(left / passing))),
        [partial(expansion, part) for part in problem.batches],
        [partial(carrier, part) for part in problem.batches],
    )


@torch.no_grad()
def _at(problem: Problem) -> Network:
    """Return a copy of the network with the parameters of the point."""
    net = copy.deepcopy(problem.network)
    for name, value in problem.parameters.unflatten(problem.theta).items():
        net.get_parameter(name).copy_(value)
    return net
