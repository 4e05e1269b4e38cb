"""Both ends of a spectrum, and the trace, from the dense matrix."""

from __future__ import annotations

import torch

from analysis.curvature.eigensolvers.ends import Ends
from analysis.curvature.operators import Operator

__all__ = ["LARGEST", "ends"]

LARGEST = 2000  # parameters: a matrix of 32 MB in float64


def ends(operator: Operator, tolerance: float, products: int, seed: int, k: int = 1) -> Ends:
    """Return the ends and the trace of the matrix, from one product per parameter and ``torch.linalg.eigh`` in float64.

    Args:
        operator: The operator, symmetric.
        tolerance: Not used.
        products: Not used.
        seed: Not used.
        k: Number of eigenvalues at each end, default 1.

    Raises:
        ValueError: There are more than 2,000 parameters.
    """
    if operator.size > LARGEST:
        raise ValueError(
            f"engine 'dense' takes up to {LARGEST} parameters, got {operator.size}: "
            "choose engine='lanczos', or fewer parameters"
        )
    matrix = operator.matrix().to("cpu", torch.float64)
    _, vectors = torch.linalg.eigh(matrix)
    chosen = vectors if len(vectors) <= 2 * k else torch.cat([vectors[:, :k], vectors[:, -k:]], 1)
    return Ends.of(operator, chosen, k, float(matrix.trace()))
