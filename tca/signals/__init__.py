"""Learning signals, one per file."""

from tca.signals.backward import FeedbackAlignment, SignSymmetric
from tca.signals.broadcast import Broadcast, Sparse
from tca.signals.causal_hop import CausalHop
from tca.signals.decorrelation.averages import CollapseWarning, Decay, NormalStart, Share, TimeConstant, UniformStart
from tca.signals.decorrelation.decorrelation import Decorrelation
from tca.signals.decorrelation.score_sources import OutputError, Score
from tca.signals.decorrelation.time_lags import Filtered, Lagged, SameStep
from tca.signals.diffusion.neuromodulator import Diffusion, StationaryDiffusion
from tca.signals.direct import Direct
from tca.signals.error_diffusion import ErrorDiffusion
from tca.signals.exact import Exact, Horizon
from tca.signals.feedback import Adaptive, Random
from tca.signals.filtered_error import FilteredError
from tca.signals.global_vector import GlobalVector
from tca.signals.hops import Hops
from tca.signals.local_readout import LocalReadout
from tca.signals.modprop import TypeReturn
from tca.signals.perturbation.reward_difference import RewardDifference
from tca.signals.perturbation.reward_prediction_error import RewardPredictionError
from tca.signals.recursive_least_squares import RecursiveLeastSquares
from tca.signals.regularisers.regularised import Regularised
from tca.signals.shared_random import SharedRandom
from tca.signals.signal import CausalSignal, InstantSignal, Signal
from tca.signals.synthetic_gradient import SyntheticGradient
from tca.signals.weight_mirror import WeightMirror

__all__ = [
    "Adaptive",
    "Broadcast",
    "CausalHop",
    "CausalSignal",
    "CollapseWarning",
    "Decay",
    "Decorrelation",
    "Diffusion",
    "Direct",
    "ErrorDiffusion",
    "Exact",
    "FeedbackAlignment",
    "Filtered",
    "FilteredError",
    "GlobalVector",
    "Hops",
    "Horizon",
    "InstantSignal",
    "Lagged",
    "LocalReadout",
    "NormalStart",
    "OutputError",
    "Random",
    "RecursiveLeastSquares",
    "Regularised",
    "RewardDifference",
    "RewardPredictionError",
    "SameStep",
    "Score",
    "Share",
    "SharedRandom",
    "SignSymmetric",
    "Signal",
    "Sparse",
    "StationaryDiffusion",
    "SyntheticGradient",
    "TimeConstant",
    "TypeReturn",
    "UniformStart",
    "WeightMirror",
]
