"""Measurements that a run may name to have them made while it is trained: curvature, alignment, learned broadcasts.

Shapes: P parameters, M products.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

from analysis.alignment import alignment
from analysis.broadcast_measures import broadcasting
from analysis.curvature.network_operators import operator
from analysis.curvature.operators import Operator
from tca.batch import Batch
from tca.learner import Learner
from tca.utils.checks import Count, Whole, checked

__all__ = ["AlignmentWatcher", "BroadcastWatcher", "CurvatureWatcher", "ritz_ends"]


@checked
@dataclass(eq=False)
class CurvatureWatcher:
    """Both ends of the spectrum of the Hessian over some training trials, with their residuals, in a few products.

    Each search starts from the eigenvectors of the last one, since weights move little from one measurement to
    the next, so a few products suffice. An eigenvalue of the Hessian lies within the residual of each number. Returns
    ``curvature_largest``, ``curvature_smallest`` and the same with ``_residual``.

    Args:
        trials: How many of the first training trials, at most, default 100.
        parameters: A name, or ``"all"``; default the recurrent weights, or all where there are none.
        products: Hessian-vector products, default 12.
        first: Products of the first measurement, which starts from a random vector, default 40.
        seed: Seed of that vector, default 0.
    """

    trials: Count = 100
    parameters: str | None = None
    products: Annotated[int, Ge(2)] = 12
    first: Annotated[int, Ge(2)] = 40
    seed: Whole = 0
    _ends: Tensor | None = field(default=None, init=False, repr=False)

    def __call__(self, learner: Learner, train: Batch) -> Mapping[str, float]:
        """Return the ends and their residuals."""
        few = train.select(slice(0, min(self.trials, train.trials)))
        matrix = operator(learner.net, few, self.parameters)
        if self._ends is None:
            start = torch.randn(
                matrix.size, generator=torch.Generator().manual_seed(self.seed), dtype=torch.float64, device="cpu"
            )
            products = self.first
        else:
            start, products = self._ends.sum(1), self.products
        values, residuals, ends = ritz_ends(matrix, start, products)
        self._ends = ends
        return {
            f"curvature_{name}{what}": number
            for what, numbers in (("", values), ("_residual", residuals))
            for name, number in zip(("largest", "smallest"), numbers.tolist(), strict=True)
        }

    def state(self) -> dict[str, Any]:
        """Return the last eigenvectors."""
        return {} if self._ends is None else {"ends": self._ends}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Start from given vectors."""
        self._ends = state.get("ends")


@checked
@dataclass(eq=False)
class AlignmentWatcher:
    """How the rule's gradient of one parameter matches the true one over some training trials.

    Returns ``cosine``, ``norm_ratio`` and ``rho``, see ``analysis.alignment.Match``.

    Args:
        trials: How many of the first training trials, at most, default 100.
        parameter: Name of the parameter; default the recurrent weights if they are one, else all hidden ones.
    """

    trials: Count = 100
    parameter: str | None = None

    def __call__(self, learner: Learner, train: Batch) -> Mapping[str, float]:
        """Return how they match."""
        few = train.select(slice(0, min(self.trials, train.trials)))
        found = alignment(learner.net, few, [learner]).rules[0]
        names = learner.net.default_parameters() if self.parameter is None else (self.parameter,)
        match = found.parameters[names[0]] if len(names) == 1 else found.recurrent
        return {"cosine": match.cosine, "norm_ratio": match.norm_ratio, "rho": match.rho}

    def state(self) -> dict[str, Any]:
        """Return no state."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Ignore the empty state."""


@checked
@dataclass(eq=False)
class BroadcastWatcher:
    """Diagnostics of decorrelation rules on some training trials, population by population.

    Returns ``broadcast_norm/NAME``, the same with ``rms``, ``dead``, ``rank``, ``cosine`` and ``norm_ratio``, see
    ``analysis.broadcast_measures.Layer``; the only population of a network is called ``hidden``. The first measurement
    raises ``ValueError`` for a rule without such correlations.

    Args:
        trials: How many of the first training trials, at most, default 100.
    """

    trials: Count = 100

    def __call__(self, learner: Learner, train: Batch) -> Mapping[str, float]:
        """Return the numbers of every population, from the inputs upwards."""
        found: dict[str, float] = {}
        for layer in broadcasting(learner, train.select(slice(0, min(self.trials, train.trials)))).layers:
            numbers = {
                "norm": layer.norm,
                "rms": layer.rms,
                "dead": layer.dead,
                "rank": layer.rank,
                "cosine": layer.match.cosine,
                "norm_ratio": layer.match.norm_ratio,
            }
            found |= {f"broadcast_{what}/{layer.name or 'hidden'}": number for what, number in numbers.items()}
        return found

    def state(self) -> dict[str, Any]:
        """Return no state."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Ignore the empty state."""


def ritz_ends(matrix: Operator, start: Tensor, products: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return estimates of both ends of a spectrum after a given number of products, largest first.

    Lanczos iteration with full orthogonalization. The largest estimate never exceeds the largest eigenvalue, the
    smallest never falls below the smallest.

    Args:
        matrix: A symmetric operator of size P.
        start: Where to start, shape ``(P,)``, not zero.
        products: Number of products M, at least 1; fewer are made where the space is exhausted.

    Returns:
        The two values, their residuals ``|A v - lambda v|``, and the two unit vectors v, shape ``(P, 2)``; float64 on
        the CPU.

    Paper: Lanczos (1950), J Res Natl Bur Stand 45:255.

    >>> from analysis.curvature.operators import Hessian
    >>> saddle = [lambda theta: (theta.square() * torch.tensor([-1.0, 2.0, 5.0])).sum() / 2]
    >>> [round(each, 10) for each in ritz_ends(Hessian(saddle, torch.zeros(3).double()), torch.ones(3), 3)[0].tolist()]
    [5.0, -1.0]
    """
    direction = start.to("cpu", torch.float64)
    direction = direction / direction.norm()
    basis, images = [], []
    for _ in range(min(products, matrix.size)):
        image = matrix.product(direction.to(matrix.theta)).to("cpu", torch.float64)
        basis.append(direction)
        images.append(image)
        known = torch.stack(basis, 1)
        direction = image
        for _ in range(2):  # once more, since round-off spoils the first
            direction = direction - known @ (known.mT @ direction)
        norm = direction.norm()
        if norm <= 1e-12 * image.norm():
            break
        direction = direction / norm
    space, mapped = torch.stack(basis, 1), torch.stack(images, 1)
    inner = space.mT @ mapped
    values, vectors = torch.linalg.eigh((inner + inner.mT) / 2)
    values, vectors = values[[-1, 0]], vectors[:, [-1, 0]]
    ends = space @ vectors
    return values, (mapped @ vectors - values * ends).norm(dim=0), ends
