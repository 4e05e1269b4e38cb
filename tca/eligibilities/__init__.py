"""Eligibilities: a propagator and the trace it implies, one file each."""

from tca.eligibilities.base import Eligibility
from tca.eligibilities.diagonal import Diagonal
from tca.eligibilities.full import Full, Windowed
from tca.eligibilities.instant import Instant
from tca.eligibilities.leak import Leak

__all__ = ["Diagonal", "Eligibility", "Full", "Instant", "Leak", "Windowed"]
