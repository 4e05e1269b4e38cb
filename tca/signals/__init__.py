"""Signals: what every cell is told, one idea a file."""

from tca.signals.base import CausalSignal, InstantSignal, Signal
from tca.signals.direct import Direct
from tca.signals.exact import Exact, Horizon
from tca.signals.feedback import Adaptive, Random

__all__ = ["Adaptive", "CausalSignal", "Direct", "Exact", "Horizon", "InstantSignal", "Random", "Signal"]
