"""The loss on the line between two solutions, and the height of the barrier between them.

Shapes: P parameters, S positions, N cells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor, nn

from analysis.curvature.parameters import Parameters
from analysis.curvature.problem import Problem, problem_of
from analysis.fixed_data import Data, as_data
from analysis.landscape.permutation_alignment import MATCHINGS, match_cells, permuted, same_kind
from analysis.samples import Criterion
from tca.batch import Batch
from tca.nets import Network
from tca.utils.checks import Count, DType, Named, checked
from tca.utils.tables import Tabular

__all__ = ["Barrier", "barrier"]


@dataclass(frozen=True, eq=False)
class Barrier(Tabular):
    """The loss on the straight line between two networks.

    Attributes:
        positions: From 0, the first network, to 1, the second, float64, shape ``(S,)``.
        losses: The loss at each, shape ``(S,)``.
        order: Which cell of the second network was put at each place; ``None`` if they were left as they were.
        distance: Euclidean distance of the parameters of the two.
    """

    positions: Tensor
    losses: Tensor
    order: Tensor | None
    distance: float

    def _columns(self) -> dict[str, Any]:
        """Return a row for each position."""
        return {"position": self.positions, "loss": self.losses, "chord": self.chord}

    @property
    def chord(self) -> Tensor:
        """The linear interpolation of the losses of the two networks, shape ``(S,)``."""
        return (1 - self.positions) * self.losses[0] + self.positions * self.losses[-1]

    @property
    def height(self) -> float:
        """How far the loss rises above the chord at most, zero if it never does: the barrier."""
        return (self.losses - self.chord).max().item()

    @property
    def top(self) -> float:
        """The largest loss on the way."""
        return self.losses.max().item()


@checked
@torch.inference_mode(False)
def barrier(
    net: nn.Module,
    other: nn.Module,
    trials: Data,
    *,
    loss: Criterion | None = None,
    match: Annotated[str, Named(MATCHINGS)] | None = None,
    points: Annotated[int, Ge(2)] = 25,
    chunk: Count | None = None,
    dtype: DType | None = torch.float64,
) -> Barrier:
    """Return the loss on the straight line between all parameters of two networks, and the barrier between them.

    ``L((1 - a) theta_1 + a theta_2)``; the barrier is the most by which it exceeds ``(1 - a) L_1 + a L_2``. Two
    networks whose cells are in different orders are far apart even if they do the same; with ``match`` the cells of the
    second are first put into the order that fits the first best. Statistics that a module keeps in floating-point
    buffers, such as those of batch normalisation, are interpolated with the parameters.

    Args:
        net: A network; it is copied.
        other: Another of the same kind and size; it is copied.
        trials: A batch or a fixed set of trials; or samples, a pair or a loader of inputs and targets, see ``as_data``.
        loss: The loss of inputs and targets; ``None`` (default) for that of the trials.
        match: How to match cells, ``"activity"`` or ``"weights"``, see ``match_cells``; ``None`` (default) for not.
        points: Positions, the two networks included, default 25.
        chunk: Trials run together; ``None`` (default) for as many as fit into memory.
        dtype: Type of the numbers, default ``torch.float64``; ``None`` for the network's own.

    Raises:
        TypeError: Cells are to be matched in a network that is not recurrent.
        ValueError: The networks are of different kinds, or a name or a number is not allowed.

    Papers: Frankle, Dziugaite, Roy and Carbin (2020), ICML, arXiv:1912.05671; Entezari, Sedghi, Saukh and Neyshabur
    (2022), ICLR, arXiv:2110.06296.

    >>> from tca.nets import LeakyRNN
    >>> from tca.losses import MSE
    >>> net = LeakyRNN(1, 4, 1)
    >>> batch = Batch(torch.ones(6, 2, 1), torch.ones(6, 2, 1), torch.full((6, 2), 1 / 6), MSE())
    >>> twin = permuted(net, torch.tensor([2, 0, 3, 1]))
    >>> result = barrier(net, twin, batch, match="activity")
    >>> result.height < 1e-9, result.distance, barrier(net, twin, batch).distance > 1
    (True, 0.0, True)
    """
    same_kind(net, other)
    data, order = as_data(trials, loss, net), None
    if match is not None:
        if not isinstance(net, Network) or not isinstance(other, Network) or not isinstance(data, Batch):
            raise TypeError(f"cells are matched in networks of the library on trials, got {type(net).__name__}")
        order = match_cells(net, other, data, match)
        other = permuted(other, order)
    problem, there = (
        _with_statistics(problem_of(each, data, "all", chunk=chunk, dtype=dtype)) for each in (net, other)
    )
    if any(_differ(a, b) for a, b in zip(problem.parameters.existing, there.parameters.existing, strict=True)):
        raise ValueError("networks must have the same missing synapses")
    end = there.theta.to(problem.theta)
    positions = torch.linspace(0, 1, points, dtype=torch.float64, device="cpu")
    line = [torch.lerp(problem.theta, end, at.item()) for at in positions]
    losses = torch.tensor([problem.loss(theta) for theta in line], dtype=torch.float64, device="cpu")
    apart = [slice_ for name, slice_ in problem.parameters.slices().items() if name in dict(net.named_parameters())]
    distance = torch.cat([(end - problem.theta)[each] for each in apart]).norm().item()
    return Barrier(positions, losses, order, distance)


def _with_statistics(problem: Problem) -> Problem:
    """Return a problem whose parameters include the statistics that a module has learned, such as running means."""
    if isinstance(problem.net, Network):
        return problem
    own = {name: each for name, each in problem.net.named_buffers() if each.is_floating_point()}
    old = problem.parameters
    wider = Parameters((*old.names, *own), (*old.values, *own.values()), (*old.existing, *([None] * len(own))))
    return replace(problem, parameters=wider, theta=wider.flat())


def _differ(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is not b
    return not torch.equal(a.cpu(), b.cpu())
