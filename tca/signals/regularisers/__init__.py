"""Regularisers of activity, added to a learning signal."""

from tca.signals.regularisers.activity_regularisers import ActivityL1, LayerEntropy, Power, Regulariser, TrackedEntropy
from tca.signals.regularisers.firing_rate import FiringRate

__all__ = ["ActivityL1", "FiringRate", "LayerEntropy", "Power", "Regulariser", "TrackedEntropy"]
