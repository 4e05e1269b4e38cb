"""Expansions of a score: further channels that keep its conditional mean at zero."""

from __future__ import annotations

from tca.expansions.base import Expansion, Plain, Seen
from tca.expansions.gates import HiddenGates, InputGates, PredictionGates
from tca.expansions.moments import Bartlett, ScorePowers

__all__ = ["Bartlett", "Expansion", "HiddenGates", "InputGates", "Plain", "PredictionGates", "ScorePowers", "Seen"]
