"""The logger of TensorBoard: event files beside the records."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tca.experiments.config.run import Run
from tca.experiments.loggers.logger import Logger, Writer, library, numbers
from tca.experiments.records.result import Metrics
from tca.experiments.records.run_rows import flat_settings
from tca.utils.checks import Folder, checked

__all__ = ["TensorBoard"]


@checked
@dataclass(frozen=True)
class TensorBoard(Logger):
    """Write measurements and settings to event files of TensorBoard.

    The files of a run are in a folder with the name of its record; ``tensorboard --logdir FOLDER`` shows them.

    Args:
        folder: Folder of the logs; ``None`` (default) for ``tensorboard`` beside the record, in ``runs`` without one.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    folder: Folder | None = None

    def __post_init__(self) -> None:
        """Raise unless TensorBoard is installed."""
        library("torch.utils.tensorboard", "tensorboard")

    @contextlib.contextmanager
    def writing(self, run: Run, folder: Path | None) -> Iterator[Writer]:
        record = run.folder("runs") if folder is None else folder
        root = record.parent / "tensorboard" if self.folder is None else Path(self.folder)
        module = library("torch.utils.tensorboard", "tensorboard")
        with module.SummaryWriter(root / record.name, purge_step=0) as log:  # what a resumed run wrote before is hidden
            rows = [f"| {name} | `{value}` |" for name, value in flat_settings(run.to_json()).items()]
            log.add_text("settings", "\n".join(["| setting | value |", "| --- | --- |", *rows]), 0)

            def write(metrics: Metrics) -> None:
                for name, value in numbers(metrics).items():
                    log.add_scalar(name, value, metrics.step)

            yield write
