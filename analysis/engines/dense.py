"""Both ends of a spectrum, and the trace, from the Hessian written out."""

from __future__ import annotations

import torch

from analysis.engines.base import Ends
from analysis.hessian import Hessian

__all__ = ["LARGEST", "ends"]

LARGEST = 2000  # parameters: a matrix of 32 MB in float64


def ends(hessian: Hessian, tolerance: float, products: int, seed: int) -> Ends:
    """Return the ends and the trace of the matrix, from one product per parameter and ``torch.linalg.eigh`` in float64.

    Args:
        hessian: The operator.
        tolerance: Not needed.
        products: Not needed.
        seed: Not needed.

    Raises:
        ValueError: There are more than 2,000 parameters.
    """
    if hessian.size > LARGEST:
        raise ValueError(
            f"engine 'dense' takes up to {LARGEST} parameters, got {hessian.size}: "
            "choose engine='lanczos', or fewer parameters"
        )
    matrix = hessian.matrix().to("cpu", torch.float64)
    _, vectors = torch.linalg.eigh(matrix)
    return Ends.of(hessian, vectors[:, -1], vectors[:, 0], float(matrix.trace()))
