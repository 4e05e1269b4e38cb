"""Blocks of an operator: its rows and columns of some parameters.

Shapes: P parameters of the whole operator, Q of the block, V vectors.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from analysis.curvature.operators.operator import Operator
from tca.utils.checks import checked
from tca.utils.names import lookup

__all__ = ["Block", "BlockDiagonal"]


@checked
class Block(Operator):
    """The rows and columns of an operator that belong to a range of its parameters, ``A_qq``.

    It uses the whole operator's graph, and a product costs one of the whole operator. Where only one block is wanted,
    the operator of those parameters alone is the same and cheaper.

    Args:
        whole: The operator.
        parameters: The range.

    Raises:
        ValueError: The range is empty.

    >>> from analysis.curvature.operators.hessian import Hessian
    >>> whole = Hessian([lambda theta: theta[0] * theta[1] + 2 * theta[1] ** 2], torch.ones(2))
    >>> Block(whole, slice(1, 2)).matrix().tolist()
    [[4.0]]
    """

    def __init__(self, whole: Operator, parameters: slice) -> None:
        """Take over the operator."""
        super().__init__(whole.theta[parameters], symmetric=whole.symmetric, width=whole.width)
        self.whole = whole
        self.parameters = parameters

    @classmethod
    @checked
    def of(cls, whole: Operator, name: str) -> Block:
        """Return the block of one parameter of a network.

        Args:
            name: Name of the parameter.

        Raises:
            ValueError: The operator does not act on it.
        """
        return cls(whole, lookup(whole.groups, name, "parameter of the operator"))

    def _multiply(self, vectors: Tensor) -> Tensor:
        embedded = vectors.new_zeros(self.whole.size, vectors.shape[1])
        embedded[self.parameters] = vectors
        return (self.whole @ embedded)[self.parameters]


@checked
class BlockDiagonal(Operator):
    """Operators of different parameters along a diagonal of blocks: ``A v = (A_1 v_1, A_2 v_2, ...)``.

    Args:
        blocks: The operators, in the order of their parameters.

    Raises:
        ValueError: There is none.

    >>> from analysis.curvature.operators.hessian import Hessian
    >>> whole = Hessian([lambda theta: theta[0] * theta[1] + 2 * theta[1] ** 2], torch.ones(2))
    >>> BlockDiagonal([Block(whole, slice(0, 1)), Block(whole, slice(1, 2))]).matrix().tolist()
    [[0.0, 0.0], [0.0, 4.0]]
    """

    def __init__(self, blocks: Sequence[Operator]) -> None:
        """Put the blocks side by side."""
        if not blocks:
            raise ValueError("blocks must hold at least one operator")
        super().__init__(
            torch.cat([each.theta for each in blocks]),
            symmetric=all(each.symmetric for each in blocks),
            width=max(each.width for each in blocks),
        )
        self.blocks = list(blocks)

    @classmethod
    @checked
    def of(cls, whole: Operator) -> BlockDiagonal:
        """Return an operator without the blocks between different parameters of a network."""
        blocks = cls([Block.of(whole, name) for name in whole.groups])
        blocks.groups = dict(whole.groups)
        return blocks

    def _multiply(self, vectors: Tensor) -> Tensor:
        parts = torch.split(vectors, [each.size for each in self.blocks])
        return torch.cat([block @ part for block, part in zip(self.blocks, parts, strict=True)])
