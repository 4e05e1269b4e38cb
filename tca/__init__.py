"""Temporal credit assignment: networks that learn by alternatives to backpropagation, and what those rules find."""

from tca import eligibilities, expansions, losses, nets, records, regularisers, signals
from tca.batch import Batch
from tca.described import Net
from tca.ingredients import Leaky, Optimizer, Seeds
from tca.result import Result
from tca.rule import Info, Learner, Rule
from tca.rules import RULES
from tca.run import Run
from tca.train import train

__all__ = [
    "RULES",
    "Batch",
    "Info",
    "Leaky",
    "Learner",
    "Net",
    "Optimizer",
    "Result",
    "Rule",
    "Run",
    "Seeds",
    "eligibilities",
    "expansions",
    "losses",
    "nets",
    "records",
    "regularisers",
    "signals",
    "train",
]
