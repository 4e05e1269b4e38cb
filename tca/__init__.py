"""Learning rules other than backpropagation for recurrent and feedforward networks, and experiments that compare them.

Public names are imported at their first use, so that ``import tca`` is instant and experiments, which import the
tasks, only cost those who run them.
"""

from tca.utils import interruption as _interruption  # noqa: I001 - before all that takes seconds

import importlib
import importlib.util
import pkgutil
import sys
from typing import TYPE_CHECKING, Any

from tca.utils.name_conflicts import conflict

if TYPE_CHECKING:
    from tasks.task_check import check_task
    from tca import eligibilities, losses, nets, signals
    from tca.batch import Batch
    from tca.cells.cell_check import check_cell
    from tca.conformance.rule_check import check_rule
    from tca.experiments import records
    from tca.experiments.config.agent import Agent
    from tca.experiments.config.callbacks import Callback
    from tca.experiments.config.components import Optimizer, Seeds
    from tca.experiments.config.network_config import NetworkConfig
    from tca.experiments.config.run import Run
    from tca.experiments.records.result import Result
    from tca.experiments.together.train_together import train_together
    from tca.experiments.training.train import train
    from tca.info import Info
    from tca.learner import Learner
    from tca.losses import expansions
    from tca.losses.loss_check import check_loss
    from tca.rule import Rule
    from tca.rules import RULES, register_rule
    from tca.signals import regularisers

__version__ = "0.1.0"

__all__ = [
    "RULES",
    "Agent",
    "Batch",
    "Callback",
    "Info",
    "Learner",
    "NetworkConfig",
    "Optimizer",
    "Result",
    "Rule",
    "Run",
    "Seeds",
    "__version__",
    "check_cell",
    "check_loss",
    "check_rule",
    "check_task",
    "eligibilities",
    "expansions",
    "losses",
    "nets",
    "records",
    "register_rule",
    "regularisers",
    "signals",
    "train",
    "train_together",
]

_HOMES = {
    "RULES": "tca.rules:RULES",
    "Agent": "tca.experiments.config.agent:Agent",
    "Batch": "tca.batch:Batch",
    "Info": "tca.info:Info",
    "Learner": "tca.learner:Learner",
    "NetworkConfig": "tca.experiments.config.network_config:NetworkConfig",
    "Optimizer": "tca.experiments.config.components:Optimizer",
    "Result": "tca.experiments.records.result:Result",
    "Rule": "tca.rule:Rule",
    "Run": "tca.experiments.config.run:Run",
    "Seeds": "tca.experiments.config.components:Seeds",
    "Callback": "tca.experiments.config.callbacks:Callback",
    "check_cell": "tca.cells.cell_check:check_cell",
    "check_task": "tasks.task_check:check_task",
    "check_rule": "tca.conformance.rule_check:check_rule",
    "check_loss": "tca.losses.loss_check:check_loss",
    "expansions": "tca.losses.expansions",
    "records": "tca.experiments.records",
    "register_rule": "tca.rules:register_rule",
    "regularisers": "tca.signals.regularisers",
    "train": "tca.experiments.training.train:train",
    "train_together": "tca.experiments.together.train_together:train_together",
}


if (_error := conflict()) is not None:
    if _interruption.is_command():
        sys.stderr.write(f"tca: {_error}\n")
        sys.exit(2)
    raise _error


def __getattr__(name: str) -> Any:
    """Import a public name or a module of the package."""
    if name in _HOMES:
        value = globals()[name] = pkgutil.resolve_name(_HOMES[name])
        return value
    if not name.startswith("_") and importlib.util.find_spec(f"tca.{name}"):
        return importlib.import_module(f"tca.{name}")
    raise AttributeError(f"module 'tca' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, imported or not."""
    return sorted(__all__)
