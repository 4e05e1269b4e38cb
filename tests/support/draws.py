"""Every target that a likelihood may draw at given outputs, with its probability: sums in the place of samples.

Shapes: n targets, O outputs. Targets come as trials of n steps, ``(n, 1, ...)``. Counts are cut off where what is left
is below round-off; normal and gamma variables become the nodes of a Gauss rule, exact for polynomials.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.special import roots_genlaguerre
from torch import Tensor

from tca.losses import MSE, CrossEntropy, ExponentialFamily, GaussianNLL, Likelihood, Logistic, Poisson, families

Draw = tuple[Tensor, Tensor]  # values of one target and their probabilities
NODES = 40  # of a Gauss rule
COUNTS = 90  # more than these are never drawn at the rates used here


def answer(output: Tensor) -> Draw:
    """No or yes."""
    yes = output.sigmoid()
    return torch.tensor([0.0, 1.0]).double(), torch.stack([1 - yes, yes])


def count(output: Tensor) -> Draw:
    """Counts from zero on."""
    counts = torch.arange(COUNTS).double()
    return counts, (counts * output - output.exp() - (counts + 1).lgamma()).exp()


def normal(mean: Tensor, variance: Tensor) -> Draw:
    """Gauss-Hermite nodes."""
    nodes, weights = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(NODES))
    return mean + variance.sqrt() * nodes, weights / math.sqrt(2 * math.pi)


def gamma(output: Tensor, shape: float) -> Draw:
    """Gauss-Laguerre nodes of a variable of log scale ``output``."""
    nodes, weights = (torch.from_numpy(each) for each in roots_genlaguerre(NODES, shape - 1))
    return nodes * output.exp(), weights / math.gamma(shape)


def together(draws: list[Draw]) -> Draw:
    """All combinations of independent targets, shape ``(n, 1, number of draws)``."""
    values, chances = (torch.cartesian_prod(*parts).view(-1, len(draws)) for parts in zip(*draws, strict=True))
    return values.unsqueeze(1), chances.prod(-1)


def classes(outputs: Tensor) -> Draw:
    """Every class once."""
    return torch.arange(len(outputs)).unsqueeze(1), outputs.softmax(0)


def _family(outputs: Tensor, loss: ExponentialFamily) -> Draw:
    family = loss.family
    if isinstance(family, families.CategoricalFamily):
        return classes(outputs)
    draw = {
        families.BernoulliFamily: answer,
        families.PoissonFamily: count,
        families.GaussianFamily: lambda z: normal(family.variance * z, torch.tensor(family.variance).double()),
        families.GammaFamily: lambda z: gamma(z, family.shape),
    }[type(family)]
    return together([draw(z) for z in outputs])


DRAWS: dict[type[Likelihood], Callable[[Tensor, Likelihood], Draw]] = {
    MSE: lambda outputs, loss: together([normal(z, torch.ones(()).double()) for z in outputs]),
    CrossEntropy: lambda outputs, loss: classes(outputs),
    Logistic: lambda outputs, loss: together([answer(z) for z in outputs]),
    Poisson: lambda outputs, loss: together([count(z) for z in outputs]),
    GaussianNLL: lambda outputs, loss: together([normal(m, v.exp()) for m, v in zip(*outputs.chunk(2), strict=True)]),
    ExponentialFamily: _family,
}


def every_target(loss: Likelihood, outputs: Tensor) -> Draw:
    """Return all targets, shape ``(n, 1, ...)``, and their probabilities, shape ``(n,)``, for outputs ``(O,)``."""
    targets, chances = DRAWS[type(loss)](outputs, loss)
    assert abs(chances.sum().item() - 1) < 1e-12
    return targets, chances


def expected(values: Tensor, chances: Tensor) -> Tensor:
    """Return the mean of ``(n, 1, ...)`` over what may be drawn."""
    return torch.einsum("n,nb...->...", chances, values)


def short(part: object) -> str:
    """Return a name without blanks, and the same in every process, for a parameter of a test."""
    return part if isinstance(part, str) and part.isidentifier() else type(part).__name__
