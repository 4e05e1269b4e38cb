"""Both ends of a spectrum from the products of curvlinops, kept as an independent computation to compare with.

Curvlinops (Dangel et al. 2025) differentiates a module twice, forwards over backwards, and vectorises over vectors. It
is installed with the extra ``peers``. It weights batches by their length and knows no weights of steps, so it is given
a module of the chosen parameters alone whose data are numbers of chunks, each adding its share of the loss.

Paper: Dangel, Mucsányi, Weber and Eschenhagen (2025), Position: curvature matrices should be democratized via linear
operators, arXiv:2501.19183.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from analysis.curvature.eigensolvers import lanczos
from analysis.curvature.eigensolvers.ends import Ends, Pair
from analysis.curvature.eigensolvers.module import LossModule
from analysis.curvature.operators import Hessian, Operator

__all__ = ["ends"]


def ends(operator: Operator, tolerance: float, products: int, seed: int, k: int = 1) -> Ends:
    """Return eigenvectors at each end of the spectrum: Lanczos iteration on the products of curvlinops.

    What is found is judged by products of the operator itself, so that residuals show where the two disagree.

    Args:
        operator: The Hessian of a loss.
        tolerance: Residual at which to stop, relative to the eigenvalue of largest modulus.
        products: Most products of the iteration before giving up.
        seed: Seed of the starting vector.
        k: How many eigenvalues at each end, default 1.

    Raises:
        ValueError: The operator is no Hessian.
        ImportError: Curvlinops is not installed.
    """
    if not isinstance(operator, Hessian):
        raise ValueError(f"engine 'curvlinops' takes the Hessian only, got {type(operator).__name__}")
    found = lanczos.ends(_Peer(operator), tolerance, products, seed, k)
    tops, bottoms = (
        tuple(Pair.of(operator, torch.stack([each.vector for each in pairs], 1)))
        for pairs in (found.tops, found.bottoms)
    )
    return Ends(tops, bottoms)


class _Peer(Operator):
    """The Hessian of a loss as curvlinops computes it."""

    def __init__(self, hessian: Hessian) -> None:
        try:
            from curvlinops import HessianLinearOperator
        except ImportError as error:
            message = "engine 'curvlinops' needs curvlinops: pip install curvlinops-for-pytorch==3.0.1"
            raise ImportError(message) from error
        super().__init__(hessian.theta, width=hessian.width)
        module = LossModule(hessian)
        chunks = torch.arange(len(hessian.losses), device=hessian.theta.device)
        data = [(each, each) for each in torch.split(chunks, 1)]
        self._peer: Any = HessianLinearOperator(module, _Sum(), [module.theta], data, check_deterministic=False)

    def _multiply(self, vectors: Tensor) -> Tensor:
        with torch.enable_grad():
            products: Tensor = self._peer @ vectors
        return products


class _Sum(nn.Module):
    """The loss of what is a loss already."""

    reduction = "sum"

    def forward(self, losses: Tensor, targets: Tensor) -> Tensor:
        return losses.sum()
