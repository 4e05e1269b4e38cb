"""The logger of Weights & Biases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tca.experiments.config.run import Run
from tca.experiments.loggers.logger import Logger, Writer, library, numbers
from tca.experiments.records.result import Metrics
from tca.utils.checks import checked

__all__ = ["WandB"]


@checked
@dataclass(frozen=True)
class WandB(Logger):
    """Send measurements and settings to Weights & Biases.

    A run has the name of its record and ``Run.name`` as its id, so that a resumed run goes on. The environment
    variables of the package apply: ``WANDB_MODE=offline`` writes to a folder, from which ``wandb sync`` sends later.

    Args:
        project: Name of the project, default ``"tca"``.
        mode: ``"online"``, ``"offline"`` or ``"disabled"``; ``None`` (default) for ``WANDB_MODE``, else online.

    Raises:
        ImportError: The package is not installed.
    """

    project: str = "tca"
    mode: Literal["online", "offline", "disabled"] | None = None

    def __post_init__(self) -> None:
        """Raise unless the package is installed."""
        library("wandb", "wandb")

    @contextlib.contextmanager
    def writing(self, run: Run, folder: Path | None) -> Iterator[Writer]:
        record = run.folder("runs") if folder is None else folder
        record.parent.mkdir(parents=True, exist_ok=True)
        begun = library("wandb", "wandb").init(
            project=self.project, id=run.name, name=record.name, config=run.to_json(), dir=record.parent,
            mode=self.mode, resume="allow", reinit="create_new",
        )  # fmt: skip
        with begun as log:

            def write(metrics: Metrics) -> None:
                if metrics.step >= log.step:  # what a resumed run sent before is there
                    log.log(numbers(metrics), step=metrics.step)

            yield write
