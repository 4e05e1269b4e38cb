"""The loss between two solutions: whether a ridge lies between what two rules have found.

Shapes: P parameters, S positions, N cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from analysis.curvature.problem import Trials, as_batch, problem_of
from analysis.landscape.permutation_alignment import MATCHINGS, match_cells, permuted, same_kind
from tca.batch import Batch
from tca.nets import Network
from tca.utils.checks import Count, DType, Named, checked

__all__ = ["Barrier", "barrier"]


@dataclass(frozen=True, eq=False)
class Barrier:
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
    net: Network,
    other: Network,
    trials: Trials | Batch,
    *,
    match: Annotated[str, Named(MATCHINGS)] | None = None,
    points: Annotated[int, Ge(2)] = 25,
    chunk: Count | None = None,
    dtype: DType | None = torch.float64,
) -> Barrier:
    """Return the loss on the straight line between all parameters of two networks, and the barrier between them.

    ``L((1 - a) theta_1 + a theta_2)``; the barrier is the most by which it exceeds ``(1 - a) L_1 + a L_2``. Two
    networks whose cells are in different orders are far apart even if they do the same; with ``match`` the cells of the
    second are first put into the order that fits the first best.

    Args:
        net: A network; it is copied.
        other: Another of the same kind and size; it is copied.
        trials: A fixed set of trials, or a batch.
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
    batch = as_batch(trials)
    order = None if match is None else match_cells(net, other, batch, match)
    if order is not None:
        other = permuted(other, order)
    problem = problem_of(net, batch, "all", chunk=chunk, dtype=dtype)
    there = problem_of(other, batch, "all", chunk=chunk, dtype=dtype)
    if any(_differ(a, b) for a, b in zip(problem.parameters.existing, there.parameters.existing, strict=True)):
        raise ValueError("networks must have the same missing synapses")
    end = there.theta.to(problem.theta)
    positions = torch.linspace(0, 1, points, dtype=torch.float64, device="cpu")
    line = [torch.lerp(problem.theta, end, at.item()) for at in positions]
    losses = torch.tensor([problem.loss(theta) for theta in line], dtype=torch.float64, device="cpu")
    return Barrier(positions, losses, order, (end - problem.theta).norm().item())


def _differ(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is not b
    return not torch.equal(a.cpu(), b.cpu())
