"""The loss of a Hessian as other libraries want it: a module whose parameters are the chosen ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from analysis.curvature.operators import Hessian

__all__ = ["LossModule"]


class LossModule(nn.Module):
    """A module that maps numbers of chunks to what each of them adds to the loss; its data are these numbers.

    Its Hessian is ``scale (H - shift I)``.

    Args:
        hessian: The Hessian of the loss.
        scale: Factor of the loss, default 1.
        shift: What is taken from every eigenvalue, default 0.

    >>> bowl = Hessian([lambda theta: theta.square().sum()], torch.tensor([2.0]), l2=1.0)
    >>> LossModule(bowl, shift=3.0)(torch.tensor([0])).tolist()
    [0.0]
    """

    def __init__(self, hessian: Hessian, scale: float = 1.0, shift: float = 0.0) -> None:
        """Take over the point."""
        super().__init__()
        self.theta = nn.Parameter(hessian.theta.detach().clone())
        self._losses: list[Callable[[Tensor], Tensor]] = hessian.losses
        self._scale = scale
        self._quadratic = (hessian.l2 - shift) / (2 * len(hessian.losses))

    def forward(self, chunks: Tensor) -> Tensor:
        """Return what chunks add to the loss, one number each.

        Args:
            chunks: Their numbers.
        """
        ridge = self._quadratic * self.theta.square().sum()
        return self._scale * torch.stack([self._losses[index](self.theta) + ridge for index in chunks.tolist()])
