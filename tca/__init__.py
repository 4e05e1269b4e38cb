"""Temporal credit assignment: networks that learn by alternatives to backpropagation, and what those rules find."""

from tca.utils import interruption as _interruption  # noqa: F401, I001 - before what takes seconds to import
from tca import eligibilities, losses, nets, signals
from tca.experiments import records
from tca.experiments.reinforcement.actor import Agent, train_reward
from tca.batch import Batch
from tca.experiments.config.network_config import Net
from tca.experiments.config.components import Leaky, Optimizer, Seeds
from tca.losses import expansions
from tca.losses.loss_check import check_loss
from tca.experiments.records.result import Result
from tca.learner import Info, Learner
from tca.rule import Rule
from tca.rules import RULES
from tca.experiments.config.callbacks import Watch
from tca.experiments.config.run import Run
from tca.signals import regularisers
from tca.experiments.training.train import train
from tca.experiments.reinforcement.episodes import train_by_reward

__version__ = "0.1.0"

__all__ = [
    "RULES",
    "Agent",
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
    "Watch",
    "__version__",
    "check_loss",
    "eligibilities",
    "expansions",
    "losses",
    "nets",
    "records",
    "regularisers",
    "signals",
    "train",
    "train_by_reward",
    "train_reward",
]
