"""Masks of existing synapses for sparse, typed and distance-dependent wiring.

Shapes: I postsynaptic cells, J presynaptic, A types, d dimensions of space. A mask has shape ``(I, J)``, one where a
synapse exists and zero where none does, and goes to the ``mask_`` options of a network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tca.utils.checks import finite, positive, whole

__all__ = ["by_distance", "by_type", "lattice", "sparse"]


def sparse(post: int, pre: int, density: float, *, seed: int = 0, per_cell: bool = False) -> Tensor:
    """Return a mask with a random share of the synapses.

    Args:
        density: Share of the synapses that exist, in (0, 1]; rounded to an integer number, at least one.
        seed: Seed of the choice, default 0.
        per_cell: Whether every postsynaptic cell has the same in-degree, default ``False``.

    >>> int(sparse(20, 50, 0.1).sum()), sparse(4, 50, 0.1, per_cell=True).sum(1).tolist()
    (100, [5.0, 5.0, 5.0, 5.0])
    """
    post, pre = whole("post", post, 1), whole("pre", pre, 1)
    return _chosen(
        torch.zeros(post, pre, dtype=torch.float64, device="cpu"), _share("density", density), seed, per_cell
    )


def by_type(types: Tensor, densities: Sequence[Sequence[float]] | Tensor, *, seed: int = 0) -> Tensor:
    """Return a recurrent mask with one density for every pair of cell types.

    Args:
        types: Type of every cell, integers from zero, shape ``(N,)``.
        densities: Share of the synapses from type b to type a that exist at ``[a][b]``, shape ``(A, A)``, in [0, 1].
        seed: Seed of the choice, default 0.

    Raises:
        ValueError: There is not one density for each pair of types, or one is out of range.

    >>> mask = by_type(torch.tensor([0, 0, 0, 0, 1, 1]), [[0.5, 1.0], [0.0, 0.5]])
    >>> mask[:4, :4].sum().item(), mask[:4, 4:].sum().item(), mask[4:, :4].sum().item()
    (8.0, 8.0, 0.0)
    """
    shares, kinds = torch.as_tensor(densities, dtype=torch.float64, device="cpu"), int(types.max()) + 1
    if tuple(shares.shape) != (kinds, kinds):
        raise ValueError(f"densities must have shape {(kinds, kinds)}, one for each pair, got {tuple(shares.shape)}")
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(f"densities must lie in [0, 1], got {shares.tolist()}")
    mask = torch.zeros(len(types), len(types), dtype=torch.float64, device="cpu")
    for a in range(kinds):
        for b in range(kinds):
            rows, columns = (types == a).nonzero().flatten(), (types == b).nonzero().flatten()
            if shares[a, b] > 0 and len(rows) and len(columns):
                block = torch.zeros(len(rows), len(columns), dtype=torch.float64, device="cpu")
                chosen = _chosen(block, float(shares[a, b]), seed * kinds**2 + a * kinds + b, per_cell=False)
                mask[rows.unsqueeze(1), columns] = chosen
    return mask


def by_distance(
    post: Tensor,
    pre: Tensor,
    *,
    width: float,
    density: float,
    period: Sequence[float] | None = None,
    autapses: bool = True,
    seed: int = 0,
) -> Tensor:
    """Return a distance-dependent mask, ``P_ij ~ exp(-|x_i - x_j|^2 / (2 width^2))``.

    Every postsynaptic cell has the same in-degree, drawn without replacement with these odds.

    Args:
        post: Positions of the postsynaptic cells, shape ``(I, d)``.
        pre: Positions of the presynaptic cells, shape ``(J, d)``.
        width: Standard deviation of the distances, in the unit of the positions.
        density: In-degree as a share of the presynaptic cells, in (0, 1].
        period: Length of each of the d axes of a periodic space; ``None`` (default) for an open space.
        autapses: Whether synapses between cells of the same position may exist, default ``True``.
        seed: Seed of the choice, default 0.

    Raises:
        ValueError: Positions do not fit, or a number is out of range.

    >>> x = lattice((10, 10))
    >>> mask = by_distance(x, x, width=1.5, density=0.1, period=(10, 10))
    >>> mask.sum(1).unique().tolist()
    [10.0]
    """
    if post.ndim != 2 or pre.ndim != 2 or post.shape[1] != pre.shape[1]:
        raise ValueError(
            f"positions must have shapes (I, d) and (J, d), got {tuple(post.shape)} and {tuple(pre.shape)}"
        )
    apart = (post.double().unsqueeze(1) - pre.double()).abs()
    if period is not None:
        lengths = torch.as_tensor(period, dtype=torch.float64, device="cpu")
        if tuple(lengths.shape) != (post.shape[1],) or not (lengths > 0).all():
            raise ValueError(f"period must hold a positive length for each of {post.shape[1]} axes, got {period!r}")
        apart = torch.minimum(apart % lengths, -apart % lengths)
    squared = apart.square().sum(-1)
    odds = -squared / (2 * positive("width", width) ** 2)
    if not autapses:
        odds = odds.masked_fill(squared == 0, -math.inf)
    return _chosen(odds, _share("density", density), seed, per_cell=True)


def lattice(shape: Sequence[int]) -> Tensor:
    """Return the sites of a grid with unit distances, ``(sites, d)``, last axis fastest.

    Args:
        shape: Number of sites along each axis.

    >>> lattice((2, 2)).tolist()
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    axes = [torch.arange(whole("shape of a lattice", side, 1), dtype=torch.float64, device="cpu") for side in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def _share(name: str, value: float) -> float:
    if not 0 < finite(name, value) <= 1:
        raise ValueError(f"{name} must lie in (0, 1], got {value}")
    return value


def _chosen(log_odds: Tensor, density: float, seed: int, per_cell: bool) -> Tensor:
    """Draw without replacement with given log odds, by Gumbel noise."""
    uniform = torch.rand(
        log_odds.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed), device="cpu"
    )
    keys = log_odds - torch.log(-torch.log(uniform.clamp(min=1e-300)))
    rows = keys if per_cell else keys.reshape(1, -1)
    count = max(1, round(density * rows.shape[1]))
    chosen = torch.zeros_like(rows).scatter_(1, rows.topk(count, dim=1).indices, 1.0)
    return (chosen * rows.isfinite()).reshape(log_odds.shape)
