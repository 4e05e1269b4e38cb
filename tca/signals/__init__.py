"""Signals: what every cell is told, one idea a file."""

from tca.signals.base import CausalSignal, InstantSignal, Signal
from tca.signals.direct import Direct
from tca.signals.exact import Exact, Horizon
from tca.signals.feedback import Adaptive, Random
from tca.signals.hops import Hops
from tca.signals.modprop import TypeReturn

__all__ = [
    "Adaptive",
    "CausalSignal",
    "Direct",
    "Exact",
    "Hops",
    "Horizon",
    "InstantSignal",
    "Random",
    "Signal",
    "TypeReturn",
]
