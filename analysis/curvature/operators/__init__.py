"""Linear operators on the parameters of a network, defined by their products."""

from __future__ import annotations

from analysis.curvature.operators.block import Block, BlockDiagonal
from analysis.curvature.operators.hessian import Hessian
from analysis.curvature.operators.operator import Operator
from analysis.curvature.operators.pullback import Pullback
from analysis.curvature.operators.update_derivative import UpdateJacobian

__all__ = [
    "Block",
    "BlockDiagonal",
    "Hessian",
    "Operator",
    "Pullback",
    "UpdateJacobian",
]
