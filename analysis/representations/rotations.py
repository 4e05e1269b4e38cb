"""The rotation that brings one linear vector field closest to another: a local search from many starts.

Shapes: N dimensions.

All functions take and return NumPy matrices in float64. The distance ``|A - C B C^T|`` over orthogonal C may have many
local minima unless both matrices are symmetric, or both skew.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

__all__ = ["closest", "distance"]

Matrix = NDArray[np.float64]

COARSE = 1e-7  # change of the squared distance at which the search from a start ends; the best is then refined
WORDS = 3  # frames from random symmetric polynomials of a matrix and its transpose
FLIPS = 100  # rounds of improving signs, at most; each lowers the distance


def distance(a: Matrix, b: Matrix, rotation: Matrix) -> float:
    """Return ``|A - C B C^T|``.

    Args:
        a: The field A, shape ``(N, N)``.
        b: The field B, same shape.
        rotation: The rotation C, same shape.

    >>> distance(np.diag([1.0, 2.0]), np.diag([2.0, 1.0]), np.eye(2)[::-1])
    0.0
    """
    return float(np.linalg.norm(a - rotation @ b @ rotation.T))


def closest(a: Matrix, b: Matrix, starts: int, seed: int) -> Matrix:
    """Return the best orthogonal C found for ``|A - C B C^T|``, the same but for its transpose if A and B change place.

    Both ``(A, B)`` and ``(B, A)`` are searched, from frames that turn with a matrix (eigenvectors of its symmetric
    part, of random symmetric polynomials of it and its transpose, and its Schur vectors), whose signs are chosen first,
    and from random rotations, each together with a mirror image. A matrix and itself in other coordinates are brought
    together exactly unless eigenvalues of all these polynomials coincide.

    Args:
        a: The field A, shape ``(N, N)``.
        b: The field B, same shape.
        starts: Random rotations to start from in each order.
        seed: Seed of these and of the polynomials.
    """
    ends = [_descended(a, b, each, COARSE) for each in _starts(a, b, starts, seed)]
    ends += [_descended(b, a, each, COARSE).T for each in _starts(b, a, starts, seed)]
    best = min(ends, key=lambda end: distance(a, b, end))
    refined = (_descended(a, b, best, 0.0), _descended(b, a, best.T, 0.0).T)
    return min(refined, key=lambda end: distance(a, b, end))


def _starts(a: Matrix, b: Matrix, count: int, seed: int) -> Iterator[Matrix]:
    """Yield orthogonal matrices, each followed by a mirror image."""
    generator = np.random.default_rng(seed)
    pairs = [(_frame(a), _frame(b))]
    for _ in range(WORDS):
        weights = generator.standard_normal(4)
        pairs.append((_frame(_word(a, weights)), _frame(_word(b, weights))))
    pairs.append((_schur_vectors(a), _schur_vectors(b)))
    for left, right in pairs:
        signs = _signs(left.T @ a @ left, right.T @ b @ right)
        yield left * signs @ right.T
        yield left * _one_flipped(signs, left.T @ a @ left, right.T @ b @ right) @ right.T
    mirror = np.ones(len(a))
    mirror[0] = -1.0
    for _ in range(count):
        drawn = np.linalg.qr(generator.standard_normal(a.shape))[0]
        yield drawn
        yield drawn * mirror


def _word(matrix: Matrix, weights: Matrix) -> Matrix:
    """Return a polynomial of a matrix and its transpose, whose symmetric part turns as the matrix does."""
    parts = (matrix, matrix @ matrix.T, matrix.T @ matrix, matrix @ matrix)
    total: Matrix = sum(
        weight * part / np.linalg.norm(part) for weight, part in zip(weights, parts, strict=True) if part.any()
    )
    return total


def _frame(matrix: Matrix) -> Matrix:
    vectors: Matrix = np.linalg.eigh((matrix + matrix.T) / 2)[1]
    return vectors


def _schur_vectors(matrix: Matrix) -> Matrix:
    """Return real vectors that span the eigenspaces by falling modulus: the order in which QR meets them."""
    values, vectors = np.linalg.eig(matrix)
    order = np.argsort(-np.abs(values), kind="stable")
    ordered = vectors[:, order]
    spanning = np.where(values[order].imag >= 0, ordered.real, ordered.imag)
    basis: Matrix = np.linalg.qr(spanning)[0]
    return basis


def _agreement(a: Matrix, b: Matrix) -> Matrix:
    """Return M such that signs d have ``<A, D B D> = d . M d``."""
    product = a * b
    total: Matrix = (product + product.T) / 2
    return total


def _signs(a: Matrix, b: Matrix) -> Matrix:
    """Return the signs d under which ``D B D`` is closest to A: those of the leading eigenvector, improved one by one.

    Exact where the two are equal but for signs and no cell stands apart from the others.
    """
    pull = _agreement(a, b)
    signs = np.where(np.linalg.eigh(pull)[1][:, -1] < 0, -1.0, 1.0)
    for _ in range(FLIPS):
        gains = _gains(signs, pull)
        if gains.max() <= 0:
            break
        signs[gains.argmax()] *= -1
    return signs


def _one_flipped(signs: Matrix, a: Matrix, b: Matrix) -> Matrix:
    """Return signs of the opposite orientation: those with the sign flipped that matters least."""
    flipped = signs.copy()
    flipped[_gains(signs, _agreement(a, b)).argmax()] *= -1
    return flipped


def _gains(signs: Matrix, pull: Matrix) -> Matrix:
    """Return the gain of ``d . M d`` by each flip."""
    gains: Matrix = -4 * signs * (pull @ signs - np.diag(pull) * signs)
    return gains


def _descended(a: Matrix, b: Matrix, start: Matrix, precision: float) -> Matrix:
    """Return the rotation at the minimum of ``|A - C B C^T|`` next to a start.

    It is ``C = start (1 - S)^-1 (1 + S)`` with S skew;
    ``dC = 2 start (1 - S)^-1 dS (1 - S)^-1`` gives the slope.
    """
    size = len(a)
    rows, columns = np.triu_indices(size, 1)
    if not len(rows):
        return start
    one = np.eye(size)

    def turned(free: Matrix) -> tuple[Matrix, Matrix]:
        skew = np.zeros((size, size))
        skew[rows, columns] = free
        skew -= skew.T
        inverse = np.linalg.inv(one - skew).astype(np.float64, copy=False)
        return start @ inverse @ (one + skew), inverse

    def loss(free: Matrix) -> tuple[float, Matrix]:
        rotation, inverse = turned(free)
        left = a - rotation @ b @ rotation.T
        by_rotation = -(left @ rotation @ b.T + left.T @ rotation @ b)
        by_skew = 2 * (start @ inverse).T @ by_rotation @ inverse.T
        return float((left * left).sum() / 2), by_skew[rows, columns] - by_skew[columns, rows]

    options = {"maxiter": 500, "ftol": precision, "gtol": 1e-12}
    found = minimize(loss, np.zeros(len(rows)), jac=True, method="L-BFGS-B", options=options)
    return turned(found.x)[0]
