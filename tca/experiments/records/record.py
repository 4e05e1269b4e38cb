"""A record: the folder of one run, which outlives the process that writes it.

    run.json             the run, the sizes of its task, facts of its data, versions, threads and commit; written first
    metrics.jsonl        one line a measurement
    checkpoint           everything needed to go on from the last measurement; gone once the run has ended
    weights.safetensors  the trained network
    learner.safetensors  the state of its rule, such as feedback weights; only for rules that have one
    at_loss_*.safetensors  both, where the training loss crossed a loss that the run names
    result.json          how the run ended; written last

Files other than ``metrics.jsonl`` are replaced as a whole, so a process may be killed at any moment. A folder without
``result.json`` is unfinished; lines of ``metrics.jsonl`` that are later than the checkpoint are dropped on resuming.

Checkpoint and result name the run and hold the size and the SHA-256 of every other file
(`tca.experiments.records.sealed_json`), so that a file that was lost, edited or taken from another run is refused on
resuming and reported on reading. `tca.experiments.records.reader` reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import safetensors.torch
from torch import Tensor

from tca.experiments.config.run import Run
from tca.experiments.records.files import RecordError, append, explained, locked, make_folder, tidy, write_whole
from tca.experiments.records.reader import LARGEST_METRICS, Checkpoint, check_run, finished, require_same
from tca.experiments.records.recorded_networks import crossings as crossings_of
from tca.experiments.records.recorded_networks import kept_at, path_at, read
from tca.experiments.records.result import Crossing, Metrics, Result, first_at
from tca.experiments.records.sealed_json import LARGEST_TENSORS, Companions, companions, sealed, write_json
from tca.experiments.records.tensor_files import pack
from tca.experiments.records.versions import differences, environment
from tca.utils.text import in_a_line

__all__ = ["Record", "RecordError", "ResumedElsewhereWarning", "reread", "tidy_up", "title_of"]

Sizes = dict[str, Any]


class ResumedElsewhereWarning(UserWarning):
    """A run goes on under other versions, another commit or other threads than before; last bits may differ."""


class Record:
    """The record of a run while it is trained; a context manager that holds the folder for one process.

    Args:
        folder: The record's folder, made if need be; ``None`` keeps everything in memory.
        run: The run.
        sizes: ``n_in``, ``n_out`` and ``dt`` of its task, with which its network can be built again.
        measure: The name of what the task measures, such as accuracy, default ``"score"``.
        data: Facts of the task's data (``Task.provenance``), default none.

    Attributes:
        ended: Whether the folder already holds the run's finished record, for example by another process.
        metrics: What has been measured so far.
        checkpoint: Where to go on from, ``None`` at the start.
        kept: States of network and learner at the losses that the run names, by loss, as far as they were reached.

    Raises:
        RecordError: The folder cannot be written, is in use by another process, is damaged, or holds another run.

    Warns:
        ResumedElsewhereWarning: The run was begun under other versions, another commit or other threads.
    """

    def __init__(
        self, folder: Path | None, run: Run, sizes: Sizes, measure: str = "score", data: Mapping[str, Any] | None = None
    ) -> None:
        """Remember what to do; nothing is written before the record is entered."""
        self.folder, self.run, self.sizes, self.measure, self.data = folder, run, sizes, measure, dict(data or {})
        self.ended = False
        self.metrics: list[Metrics] = []
        self.checkpoint: Any = None
        self.kept: dict[float, dict[str, Tensor]] = {}
        self._made_with = [environment()]
        self._companions: Companions = {}
        self._lines, self._written = hashlib.sha256(), 0
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Record:
        """Take hold of the folder and find where to go on."""
        if self.folder is not None:
            with explained(self.folder):
                make_folder(self.folder)
                self._lock = locked(self.folder)
                try:
                    self._begin(self.folder)
                except BaseException:
                    self._lock.close()
                    raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            self._lock.close()

    def _begin(self, folder: Path) -> None:
        self.ended = finished(folder)  # by another process, since this one last looked
        if self.ended:
            return
        tidy(folder)
        if os.path.lexists(folder / "run.json"):
            require_same(folder, self.run)
        found = Checkpoint.of(folder, self.run)
        if found is None:
            self._describe(folder)  # anew, as what trains the run is this process
        check_run(folder, self.sizes)
        self.witness("run.json")
        lines = b""
        if found is not None:
            self.checkpoint, self.metrics, lines = found.state, list(found.metrics), found.lines
            self._go_on(found.made_with)
        write_whole(folder / "metrics.jsonl", lines)
        self._count(lines)
        self.kept = kept_at(folder, self.run, self.metrics)
        for loss in self.kept:
            self.witness(path_at(folder, loss).name)
        for loss in set(self.run.measure_at_losses) - set(self.kept):
            path_at(folder, loss).unlink(missing_ok=True)  # of a measurement later than the checkpoint

    def _describe(self, folder: Path) -> None:
        """Write what the run is, and what trains it."""
        values = {"run": self.run.to_json(), **self.sizes, "title": title_of(self.run), "measure": self.measure}
        values |= {"data": self.data} if self.data else {}
        write_json(folder / "run.json", sealed(self.run.name, {**values, **self._made_with[-1]}))

    def _go_on(self, made_with: list[dict[str, Any]]) -> None:
        """Remember what has trained the run before, and warn if this is another."""
        now = self._made_with[-1]
        if changed := differences(made_with[-1], now):
            warnings.warn(
                f"the run in {in_a_line(self.folder)} goes on under others than before, so that last bits may differ: "
                f"{in_a_line(changed)}",
                ResumedElsewhereWarning,
                stacklevel=5,
            )
        self._made_with = [*made_with, now] if changed else made_with

    def witness(self, name: str) -> None:
        """Count a file among the companions of checkpoint and result.

        Args:
            name: Its name in the folder.

        Raises:
            RecordError: It cannot be read, or is not what the checkpoint was written with.
        """
        if self.folder is not None:
            self._companions |= companions(self.folder, [name])

    def _count(self, lines: bytes) -> None:
        self._lines.update(lines)
        self._written += len(lines)

    @property
    def _measured(self) -> dict[str, int | str]:
        """Size and checksum of the lines that have been written."""
        return {"bytes": self._written, "sha256": self._lines.hexdigest()}

    def add(self, metrics: Metrics) -> None:
        """Append a measurement.

        Args:
            metrics: What was measured.

        Raises:
            RecordError: The folder cannot be written; then nothing of the line is left in it.
        """
        self.metrics.append(metrics)
        if self.folder is None:
            return
        line = (json.dumps(metrics.to_json(), allow_nan=False) + "\n").encode()
        if self._written + len(line) > LARGEST_METRICS:
            raise RecordError(f"{self.folder / 'metrics.jsonl'} would be too large: measure less often")
        with explained(self.folder):
            append(self.folder / "metrics.jsonl", line)
        self._count(line)

    def reached(self) -> list[float]:
        """Return the losses of the run at or below which the last measurement is the first."""
        return [loss for loss in self.run.measure_at_losses if first_at(loss, self.metrics) is self.metrics[-1]]

    def keep(self, loss: float, at: Metrics, net: Mapping[str, Tensor], learner: Mapping[str, Tensor]) -> None:
        """Keep network and learner at a loss that the run names.

        Args:
            loss: The loss.
            at: What was measured there.
            net: The network's state.
            learner: The learner's state.

        Raises:
            RecordError: The folder cannot be written.
        """
        named = {"metrics.numbers": at.numbers()}
        named |= {f"net.{name}": each for name, each in net.items()}
        named |= {f"learner.{name}": each for name, each in learner.items()}
        self.kept[loss] = {name: each.detach().to("cpu", copy=True) for name, each in named.items()}
        if self.folder is not None:
            path = path_at(self.folder, loss)
            with explained(self.folder):
                write_whole(path, _plain_tensors(self.kept[loss]))
            self.witness(path.name)

    def crossings(self) -> tuple[Crossing, ...]:
        """Return what was kept, from the first loss named to the last."""
        return crossings_of(self.run, self.sizes, self.metrics, self.kept, self.run.device)

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint.

        Args:
            state: Everything needed to go on; ``state["step"]`` is the number of updates made.

        Raises:
            RecordError: The folder cannot be written; then the checkpoint before is still there.
        """
        if self.folder is None:
            return
        about = {"companions": self._companions, "lines": self._measured, "made_with": self._made_with}
        packed = pack({"sealed": sealed(self.run.name, about), "state": dict(state)})
        if len(packed) > LARGEST_TENSORS:
            raise RecordError(f"{self.folder / 'checkpoint'} would hold more than {LARGEST_TENSORS} bytes")
        with explained(self.folder):
            write_whole(self.folder / "checkpoint", packed)

    @contextlib.contextmanager
    def restoring(self) -> Iterator[None]:
        """Turn what goes wrong within, as the checkpoint is taken over, into `RecordError`."""
        try:
            yield
        except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            where = "memory" if self.folder is None else self.folder / "checkpoint"
            raise RecordError(f"cannot resume from {in_a_line(where)}: {in_a_line(error)}") from error

    def finish(self, result: Result) -> None:
        """Write what the run has led to and drop the checkpoint.

        Args:
            result: What it has led to.

        Raises:
            RecordError: The folder cannot be written; then the record is unfinished and can be resumed.
        """
        if self.folder is None:
            return
        states = {"weights.safetensors": result.net.state_dict(), "learner.safetensors": result.learner.state_dict()}
        with explained(self.folder):
            for name, state in states.items():
                if state:
                    write_whole(self.folder / name, _plain_tensors(state))
                    self.witness(name)
            values = {
                "outcome": result.outcome,
                "step": result.step,
                "reason": result.reason,
                "last": result.last.to_json(),
                "made_with": self._made_with,
                "companions": {**self._companions, "metrics.jsonl": self._measured},
            }
            write_json(self.folder / "result.json", sealed(self.run.name, values))
            _drop_remnants(self.folder)


def title_of(run: Run) -> str:
    """Return what a run trains in a few words, as reports say it.

    Args:
        run: The run.
    """
    net = run.net
    return f"{run.task}, {run.rule}, {f'form {net.form}, ' if net.form else ''}{net.title}"


def reread(folder: str | Path, run: Run) -> Result:
    """Return the result of a run that has ended, and remove what processes that were killed have left in its record.

    Args:
        folder: The record.
        run: The run.

    Raises:
        RecordError: It holds another run, or is damaged.
    """
    result = read(folder, run.device, run)
    tidy_up(Path(folder))
    return result


def tidy_up(folder: Path) -> None:
    """Remove what processes that were killed have left in a finished record, unless one holds it or it is read-only.

    Args:
        folder: The record.
    """
    with contextlib.suppress(OSError, RecordError):
        if any(map(_is_remnant, os.listdir(folder))):
            with locked(folder):
                _drop_remnants(folder)


def _drop_remnants(folder: Path) -> None:
    for name in filter(_is_remnant, os.listdir(folder)):
        (folder / name).unlink(missing_ok=True)


def _is_remnant(name: str) -> bool:
    """Return whether a file is of no use once a run has ended: checkpoint, half a file, counted attempts."""
    return name == "checkpoint" or name.startswith(".begun-") or (name.startswith(".") and name.endswith(".tmp"))


def _plain_tensors(state: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save(
        {name: each.detach().to("cpu", copy=True).contiguous() for name, each in state.items()}
    )
