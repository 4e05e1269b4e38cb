"""Expansions of the score by channels with zero conditional mean."""

from __future__ import annotations

from tca.losses.expansions.expansion import Expansion, Plain, Seen
from tca.losses.expansions.gates import HiddenGates, InputGates, PredictionGates
from tca.losses.expansions.score_moments import Bartlett, ScorePowers

__all__ = ["Bartlett", "Expansion", "HiddenGates", "InputGates", "Plain", "PredictionGates", "ScorePowers", "Seen"]
