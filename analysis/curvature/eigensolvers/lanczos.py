"""Both ends of a spectrum by Lanczos iteration with full orthogonalisation and thick restarts.

Shapes: P parameters, M vectors of the basis.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from analysis.curvature.eigensolvers.ends import Ends, Pair
from analysis.curvature.operators import Operator

__all__ = ["ends"]

BASIS = 40  # vectors between restarts, at least
EXHAUSTED = 1e-13  # length of a new direction relative to the operator below which it is round-off


def ends(
    operator: Operator,
    tolerance: float,
    products: int,
    seed: int,
    k: int = 1,
    *,
    only_largest: bool = False,
    of_values: bool = False,
) -> Ends:
    """Return eigenvectors at each end of the spectrum.

    One Krylov space serves both ends. Every new vector is orthogonalised against all before it, twice, so that no
    eigenvalue appears twice by round-off. After every product the residuals ``beta |s_M|`` of the outermost k Ritz
    pairs at both ends are known, and the iteration stops when all are at most the tolerance times the largest modulus.
    When the basis is full, it restarts from the outer Ritz vectors and the newest direction. Where a Krylov space is
    exhausted, a random direction starts another, until one has added no new value: it finds copies of eigenvalues.

    SciPy's ``eigsh`` (ARPACK) tests convergence at restarts alone, and relative to each value: for both ends it takes
    up to twice as many products, and up to six times for an end of small modulus.

    The basis is float64 on the device of the operator. The pairs returned are judged by products of their own, in one
    block.

    Args:
        operator: The operator, symmetric.
        tolerance: Residual at which to stop, relative to the eigenvalue of largest modulus.
        products: Bound of the products of the iteration; 2 k are made in any case.
        seed: Seed of the starting vector.
        k: Number of eigenvalues at each end, default 1.
        of_values: Stop when the errors of the values are estimated to be that small, not the residuals, default
            ``False``: the square of the residual over the gap, an estimate from the Ritz values and their residuals.
        only_largest: Stop when the largest have converged, default ``False``: the smallest are then Ritz values and not
            judged by products.

    Paper: Wu and Simon (2000), SIAM Journal on Matrix Analysis and Applications 22:602.
    """
    most, least = min(operator.size, max(BASIS, 6 * k)), min(operator.size, 2 * k)
    generator = torch.Generator().manual_seed(seed)
    basis = torch.zeros(most + 1, operator.size, dtype=torch.float64, device=operator.theta.device)
    basis[0] = _direction(basis[:0], generator)
    projected = basis.new_zeros(most, most)
    last, settled = 0, None
    for step in range(1, max(products, least) + 1):
        rest = operator.product(basis[last]).to(basis)
        known = basis[: last + 1]
        for _ in range(2):
            shares = known @ rest
            rest -= shares @ known
            projected[: last + 1, last] += shares
        projected[last] = projected[:, last]
        values, turns = torch.linalg.eigh(projected[: last + 1, : last + 1])
        length, size = rest.norm(), values.abs().amax()
        exhausted = bool(length <= EXHAUSTED * size)
        residuals = torch.zeros_like(values) if exhausted else length * turns[-1].abs()
        gaps = _gaps(values, residuals)
        errors = torch.where(gaps > residuals, residuals.square() / gaps, residuals) if of_values else residuals
        outer = errors[-k:] if only_largest else torch.cat([errors[:k], errors[-k:]])
        if last + 1 == operator.size:
            break
        if step >= least and bool((outer <= tolerance * size).all()):
            found = torch.cat([values[:k], values[-k:]])
            if not exhausted or (settled is not None and bool(((found - settled).abs() <= tolerance * size).all())):
                break
            settled = found
        if last + 1 == most:
            kept = _outermost(len(values), k + (most - 2 * k) // 4)
            basis[: len(kept)] = turns[:, kept].mT @ known
            projected.zero_()
            projected.diagonal()[: len(kept)] = values[kept]
            last = len(kept) - 1
        last += 1
        basis[last] = _direction(basis[:last], generator) if exhausted else rest / length
    vectors = (turns[:, _outermost(len(values), k)].mT @ basis[: len(values)]).mT
    if not only_largest or len(values) <= 2 * k:
        ends_found = Ends.of(operator, vectors, k)
    else:
        tops = sorted(Pair.of(operator, vectors[:, -k:]), key=lambda pair: -pair.value)
        bottoms = [Pair(values[index].item(), vectors[:, index], residuals[index].item()) for index in range(k)]
        ends_found = Ends(tuple(tops), tuple(bottoms))
    return _with_gaps(ends_found, gaps.tolist())


def _gaps(values: Tensor, residuals: Tensor) -> Tensor:
    """Return how far every Ritz value is from the intervals of its neighbours, 0 where they may overlap.

    Args:
        values: The Ritz values, rising.
        residuals: Their residuals: an eigenvalue is within this distance of each.
    """
    far = values.new_full((1,), torch.inf)
    apart = values.diff()
    below, above = apart - residuals[:-1], apart - residuals[1:]
    return torch.minimum(torch.cat([far, below]), torch.cat([above, far])).clamp(min=0.0)


def _with_gaps(found: Ends, gaps: list[float]) -> Ends:
    known = [each if math.isfinite(each) else 0.0 for each in gaps]  # infinite beside no other value
    tops = (replace(pair, gap=gap) for pair, gap in zip(found.tops, reversed(known), strict=False))
    bottoms = (replace(pair, gap=gap) for pair, gap in zip(found.bottoms, known, strict=False))
    return replace(found, tops=tuple(tops), bottoms=tuple(bottoms))


def _outermost(count: int, each: int) -> Tensor:
    """Return the indices of so many at each end, of all if there are not as many."""
    everything = torch.arange(count, device="cpu")
    return everything if count <= 2 * each else torch.cat([everything[:each], everything[-each:]])


def _direction(known: Tensor, generator: torch.Generator) -> Tensor:
    """Return a random unit vector orthogonal to all known ones."""
    fresh = torch.randn(known.shape[1], generator=generator, dtype=torch.float64, device="cpu").to(known)
    for _ in range(2):
        fresh -= (known @ fresh) @ known
    unit: Tensor = fresh / fresh.norm()
    return unit
