"""Operators: matrices of P parameters by P, known by what they do to a vector."""

from __future__ import annotations

from analysis.operators.base import Operator
from analysis.operators.block import Block, BlockDiagonal
from analysis.operators.build import OPERATORS, operator, update_jacobian
from analysis.operators.hessian import Hessian
from analysis.operators.pullback import Pullback
from analysis.operators.update import UpdateJacobian

__all__ = [
    "OPERATORS",
    "Block",
    "BlockDiagonal",
    "Hessian",
    "Operator",
    "Pullback",
    "UpdateJacobian",
    "operator",
    "update_jacobian",
]
