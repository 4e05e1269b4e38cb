"""The Jacobian of one population as propagator: the traces of OSTL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tca.eligibilities.full import Full

__all__ = ["PopulationJacobian"]


@dataclass(frozen=True)
class PopulationJacobian(Full):
    """``D_t = J_t`` within each population: every path in time, none through another population's memory.

    With the errors of the step, through the layers above within the step, this is online spatio-temporal learning: the
    gradient is split into a temporal part, the trace of each layer, and a spatial part, the learning signal. It is
    the true gradient of a network of one population (``Full``); in a stack it drops the paths that rise to a layer
    above, stay there for some steps and reach the outputs later.

    Paper: Bohnstingl, Wozniak, Pantazi and Eleftheriou (2022), Online spatio-temporal learning in deep neural networks,
    IEEE Transactions on Neural Networks and Learning Systems, arXiv:2007.12723.
    """

    joint: ClassVar[bool] = False
    equation: ClassVar[str] = "D_t = J_t of the population"
