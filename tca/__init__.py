"""Temporal credit assignment: networks that learn by alternatives to backpropagation, and what those rules find."""

from tca import eligibilities, losses, nets, signals
from tca.batch import Batch
from tca.rule import Info, Learner, Rule
from tca.rules import RULES

__all__ = ["RULES", "Batch", "Info", "Learner", "Rule", "eligibilities", "losses", "nets", "signals"]
