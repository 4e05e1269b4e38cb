"""Signals: what every cell is told, one idea a file."""

from tca.signals.backward import FeedbackAlignment, SignSymmetric
from tca.signals.base import CausalSignal, InstantSignal, Signal
from tca.signals.broadcast import Broadcast, Sparse
from tca.signals.causal_hop import CausalHop
from tca.signals.diffusion import Diffusion, StationaryDiffusion
from tca.signals.direct import Direct
from tca.signals.exact import Exact, Horizon
from tca.signals.feedback import Adaptive, Random
from tca.signals.hops import Hops
from tca.signals.modprop import TypeReturn

__all__ = [
    "Adaptive",
    "Broadcast",
    "CausalHop",
    "CausalSignal",
    "Diffusion",
    "Direct",
    "Exact",
    "FeedbackAlignment",
    "Hops",
    "Horizon",
    "InstantSignal",
    "Random",
    "SignSymmetric",
    "Signal",
    "Sparse",
    "StationaryDiffusion",
    "TypeReturn",
]
