"""Masks of existing synapses from a few parameters, for the configuration of runs.

Shapes: I postsynaptic cells, J presynaptic.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from tca.nets.wiring import sparse
from tca.utils.checks import Seed, Size, checked, positive
from tca.utils.names import lookup

__all__ = ["filled_mask", "mask_of", "torus", "torus_chance"]

APART = 3_000_017  # added to a seed, so that synapses and weights are independent


@checked
def torus_chance(side: Size, sigma: float = 0.012) -> Tensor:
    """Return the probability of every synapse among cells on a periodic square, shape ``(N, N)``.

    Two cells at distance d, the shortest way around, are joined with ``1 / (1 + exp(d^2 / (4 sigma)))``, the side of
    the square being 1. Cell j lies on site j, row by row.

    Args:
        sigma: Width of the wiring, default 0.012, positive.

    >>> torus_chance(2, sigma=1 / 16)[0].mul(1000).round().tolist()
    [500.0, 269.0, 269.0, 119.0]
    """
    along = torch.arange(side, dtype=torch.float64, device="cpu")
    apart = (along - along.unsqueeze(1)).abs()
    squares = (torch.minimum(apart, side - apart) / side) ** 2
    distance = (squares[:, None, :, None] + squares[None, :, None, :]).reshape(side**2, side**2)
    return torch.sigmoid(-distance / (4 * positive("sigma", sigma)))


@checked
def torus(post: Size, pre: Size, *, sigma: float = 0.012, seed: Seed = 0) -> Tensor:
    """Return a distance-dependent recurrent mask of cells on a periodic square.

    Each synapse exists with its probability of `torus_chance`, independently of all others.

    Args:
        post: Number of postsynaptic cells, a square.
        pre: Number of presynaptic cells, the same.
        sigma: Width of the wiring, default 0.012: a tenth of all synapses exist.
        seed: Seed of the choice, default 0.

    Raises:
        ValueError: The cells do not fill a square, or ``sigma`` is not positive.

    Paper: Barretto-Bittar et al. (2026), arXiv:2603.08949.

    >>> torus(100, 100).mean(0, dtype=torch.float64).shape, 0.08 < float(torus(100, 100).mean()) < 0.12
    (torch.Size([100]), True)
    """
    side = math.isqrt(post)
    if post != pre or side**2 != post:
        raise ValueError(f"a torus needs as many cells before as after its synapses, a square, got {pre} and {post}")
    chance = torus_chance(side, sigma)
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(post, pre, generator=generator, dtype=torch.float64, device="cpu") < chance).double()


KINDS: dict[str, Callable[..., Tensor]] = {"sparse": sparse, "torus": torus}


@checked
def mask_of(described: Mapping[str, Any], post: Size, pre: Size, seed: Seed) -> Tensor:
    """Return a mask of kind ``sparse`` (see `tca.nets.wiring.sparse`) or `torus`.

    Args:
        described: The kind as the only key of a mapping to its options.

    Raises:
        ValueError: There is not one kind, the kind or an option is unknown, or a value is not allowed.

    >>> int(mask_of({"sparse": {"density": 0.1}}, 20, 50, seed=0).sum())
    100
    """
    kind, options = _kind(described)
    return kind(post, pre, **options, seed=seed + APART)


@checked
def filled_mask(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a mask with all options.

    Args:
        described: The mask, as for `mask_of`.

    Raises:
        ValueError: See `mask_of`.

    >>> filled_mask({"torus": {}})
    {'torus': {'sigma': 0.012}}
    """
    kind, options = _kind(described)
    parameters = inspect.signature(kind).parameters.values()
    defaults = {each.name: each.default for each in parameters if each.default is not each.empty}
    del defaults["seed"]
    return {name: {**defaults, **options} for name in described}


def _kind(described: Mapping[str, Any]) -> tuple[Callable[..., Tensor], Mapping[str, Any]]:
    """Return the function of a mask and its options."""
    if len(described) != 1:
        raise ValueError(f"a mask must be a mapping with one key, {' or '.join(KINDS)}, got {dict(described)!r}")
    ((name, options),) = described.items()
    kind = lookup(KINDS, name, "mask")
    accepted = dict.fromkeys(each for each in inspect.signature(kind).parameters if each not in ("post", "pre", "seed"))
    for option in options:
        lookup(accepted, option, f"option of a {name} mask")
    return kind, options
