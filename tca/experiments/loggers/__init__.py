"""Loggers: measurements of a run in training, sent to other tools."""

from tca.experiments.loggers.logger import LOGGERS, Logger, logged, loggers_of
from tca.experiments.loggers.tensorboard_logger import TensorBoard
from tca.experiments.loggers.wandb_logger import WandB

__all__ = ["LOGGERS", "Logger", "TensorBoard", "WandB", "logged", "loggers_of"]
