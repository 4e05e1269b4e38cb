"""Both ends of a spectrum by Lanczos iteration: ARPACK's implicitly restarted method through ``scipy``."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from analysis.engines import dense
from analysis.engines.base import Ends
from analysis.operators import Operator

__all__ = ["ends"]

BASIS = 20  # the fewest Lanczos vectors between restarts
POWER_STEPS = 4


def ends(operator: Operator, tolerance: float, products: int, seed: int, k: int = 1) -> Ends:
    """Return eigenvectors at each end of the spectrum.

    One Krylov space serves both ends. ARPACK stops when the residual of a value falls below a fraction of that value,
    which no value near zero ever meets, or below an absolute floor, which every value of a small loss meets. So the
    operator is first divided by an estimate m of its largest modulus and shifted by 5, which moves every eigenvalue
    into [1, 9]: the stopping rule becomes relative to m for both ends and does not change when the loss is rescaled.

    The vectors are float64 whatever the type of the products.

    Args:
        operator: The operator, symmetric.
        tolerance: Residual at which to stop, relative to the eigenvalue of largest modulus.
        products: Most products before giving up.
        seed: Seed of the starting vector.
        k: How many eigenvalues at each end, default 1.

    Paper: Lehoucq, Sorensen and Yang (1998), ARPACK Users' Guide, SIAM.
    """
    basis = max(BASIS, 4 * k + 1)
    if operator.size <= basis:
        return dense.ends(operator, tolerance, products, seed, k)
    start = np.random.default_rng(seed).standard_normal(operator.size)
    size = _magnitude(operator, start)
    if size == 0.0:
        return Ends.of(operator, torch.eye(operator.size, 2 * k), k)
    shift = 5.0

    def apply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        flat = vector.ravel()
        return _apply(operator, flat) / size + shift * flat

    shifted = LinearOperator((operator.size, operator.size), matvec=apply, dtype=np.float64)
    options = {"k": 2 * k, "which": "BE", "v0": start, "ncv": basis}
    draws = np.random.default_rng(seed)  # for the new directions that ARPACK needs when a subspace is exhausted
    try:
        _, vectors = eigsh(shifted, tol=tolerance / 10, maxiter=max(1, products // basis), rng=draws, **options)
    except ArpackNoConvergence:
        _, vectors = eigsh(shifted, tol=1.0, rng=draws, **options)  # a rough answer, to be flagged by its residual
    return Ends.of(operator, torch.from_numpy(vectors), k)


def _magnitude(operator: Operator, start: NDArray[np.float64]) -> float:
    """Return a lower bound of the largest modulus that is nearly always within a factor of 4.

    ``|H v_k| / |v_k|`` grows with every power step and is at least ``|c|^(1/k)`` of the largest modulus, ``c`` the
    share of its eigenvector in the start: a quarter for a share of 1/256 after 4 steps.
    """
    vector, size = start, 0.0
    for _ in range(POWER_STEPS):
        norm = float(np.linalg.norm(vector))
        if norm == 0.0:
            break
        vector = _apply(operator, vector / norm)
        size = max(size, float(np.linalg.norm(vector)))
    return size


def _apply(operator: Operator, vector: NDArray[np.float64]) -> NDArray[np.float64]:
    product: Tensor = operator.product(torch.from_numpy(vector).to(operator.theta))
    result: NDArray[np.float64] = product.to("cpu", torch.float64).numpy()
    return result
