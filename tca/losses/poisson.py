"""The Poisson loss of counts.

Shapes: T time, B batch, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.losses import moments
from tca.losses.admissibility import Admissibility
from tca.losses.loss import Likelihood
from tca.losses.targets import check_between, check_real

__all__ = ["Poisson"]


@dataclass(frozen=True)
class Poisson(Likelihood):
    """Counts whose log rates are the outputs, ``l = sum_o e^y_o - target_o y_o``, score ``e^y - target``.

    The term ``log(target!)``, which no output changes, is left out. Targets are not negative, shape ``(T, B, O)``;
    numbers that are not whole are taken as mean counts. The rate overflows, and with it the loss, where an output
    exceeds 88 in float32 and 709 in float64; the exponent is not clipped, since the mean of a clipped score need not be
    zero.

    >>> outputs, targets = torch.zeros(1, 1, 2), torch.tensor([[[3.0, 0.0]]])
    >>> Poisson().value(outputs, targets).item(), Poisson().score(outputs, targets).tolist()
    (2.0, [[[-2.0, 1.0]]])
    """

    admissibility: ClassVar[Admissibility] = Admissibility(
        True, "it is smallest where every rate is the conditional mean of its count"
    )

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of every step and trial, shape ``(T, B)``."""
        return (outputs.exp() - targets * outputs).sum(-1)

    def score(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return ``exp(outputs) - targets``."""
        return torch.exp(outputs).sub_(targets)

    def check(self, outputs_shape: tuple[int, ...], targets: Tensor) -> None:
        """Raise unless ``targets`` are numbers of at least zero of the outputs' shape."""
        check_real(outputs_shape, targets)
        check_between("Poisson", targets, 0.0)

    def score_covariance(self, outputs: Tensor) -> Tensor:
        """Return the rates on the diagonal."""
        return torch.diag_embed(outputs.exp())

    def score_moment(self, outputs: Tensor, order: int) -> Tensor:
        """Return the moments of the rate less the count."""
        return moments.signed(order, moments.poisson(outputs.exp(), order))
