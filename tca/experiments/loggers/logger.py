"""The interface of loggers: one method, which opens the log of a run and writes its measurements."""

from __future__ import annotations

import abc
import contextlib
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tca.experiments.config.run import Run
from tca.experiments.records.result import Metrics
from tca.utils.checks import checked
from tca.utils.class_paths import is_import_path, resolved
from tca.utils.names import Table, lookup, shorten

__all__ = ["LOGGERS", "Logger", "Writer", "library", "logged", "loggers_of", "numbers"]

Writer = Callable[[Metrics], None]
# Module and class of each logger, imported when it is used.
LOGGERS = Table(
    "logger",
    {
        "tensorboard": "tca.experiments.loggers.tensorboard_logger:TensorBoard",
        "wandb": "tca.experiments.loggers.wandb_logger:WandB",
    },
)


class Logger(abc.ABC):
    """A tool that receives the measurements of runs in training.

    It is passed to processes, so it can be pickled. Errors that it raises end the run, which can be resumed.
    """

    @abc.abstractmethod
    def writing(self, run: Run, folder: Path | None) -> AbstractContextManager[Writer]:
        """Open the log of a run and return a function that writes a measurement; leaving the context closes the log.

        A run that resumes writes its earlier measurements again, from the first.

        Args:
            folder: Record of the run, ``None`` without one.
        """


@checked
def loggers_of(loggers: str | Sequence[str | Logger]) -> tuple[Logger, ...]:
    """Return loggers from their names in `LOGGERS` or import paths.

    Args:
        loggers: Names separated by commas, or a sequence of names and loggers.

    Raises:
        ValueError: A name is unknown, or no module or name is at an import path.
        TypeError: An entry is neither a name nor a logger.
        ImportError: The package of a logger is not installed; the message gives the remedy.

    >>> loggers_of(())
    ()
    """
    names = [each.strip() for each in loggers.split(",")] if isinstance(loggers, str) else loggers
    return tuple(_logger_of(each) for each in names)


def _logger_of(value: Any) -> Logger:
    if isinstance(value, str):
        path = value if is_import_path(value) else lookup(LOGGERS, value, "logger")
        found = resolved(path, "logger", trusted=True)
        value = found() if isinstance(found, type) else found
    if not isinstance(value, Logger):
        raise TypeError(f"logger must be a name or a Logger, got {shorten(value)}")
    return value


@checked
@contextlib.contextmanager
def logged(loggers: Sequence[Logger], run: Run, folder: Path | None, before: Sequence[Metrics]) -> Iterator[Writer]:
    """Open the logs of a run; yield a function that writes a measurement to all of them.

    Args:
        folder: Record of the run, ``None`` without one.
        before: Measurements so far, which are written first.
    """
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(each.writing(run, folder)) for each in loggers]

        def write(metrics: Metrics) -> None:
            for each in writers:
                each(metrics)

        for each in before:
            write(each)
        yield write


def numbers(metrics: Metrics) -> dict[str, float]:
    """Return the numbers of a measurement by name, without those that are missing.

    >>> numbers(Metrics(5, 0.5, math.nan, 0.6, 0.9, 2.0, {"cosine": 1.0}))
    {'train_loss': 0.5, 'test_loss': 0.6, 'test_accuracy': 0.9, 'elapsed': 2.0, 'cosine': 1.0}
    """
    values = vars(metrics) | dict(metrics.observed)
    return {name: each for name, each in values.items() if name not in ("step", "observed") and math.isfinite(each)}


def library(module: str, extra: str) -> Any:
    """Return a module of a logger's package.

    Args:
        extra: Extra of this package that installs it.

    Raises:
        ImportError: It is not installed; the message gives the remedy.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        remedy = f"pip install 'temporal-credit-assignment[{extra}]'"
        raise ImportError(f"logger {extra!r} needs the extra `{extra}`: {remedy}", name=extra) from error
