"""Expansions of a score: further channels that keep its conditional mean at zero."""

from __future__ import annotations

from tca.losses.expansions.expansion import Expansion, Plain, Seen
from tca.losses.expansions.gates import HiddenGates, InputGates, PredictionGates
from tca.losses.expansions.score_moments import Bartlett, ScorePowers

__all__ = ["Bartlett", "Expansion", "HiddenGates", "InputGates", "Plain", "PredictionGates", "ScorePowers", "Seen"]
