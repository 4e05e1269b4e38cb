"""The record of a run during training: a folder that survives the process at any moment.

    run.json             the run, sizes of its task, data, date, versions, threads, kernels and commit; written first
    metrics.jsonl        one line for each measurement
    checkpoint           the state at the last measurement; removed at the end of the run
    weights.safetensors  the trained network
    learner.safetensors  the state of its rule, such as feedback weights, if any
    normalisation.safetensors  moments of observations and rewards, where a task gives rewards only
    at_loss_*.safetensors  both, where the training loss crossed a loss of the run
    result.json          the outcome of the run; written last

Files other than ``metrics.jsonl`` are replaced as a whole. A folder without ``result.json`` is unfinished; lines of
``metrics.jsonl`` after the checkpoint are dropped on resuming.

Checkpoint and result contain the name of the run and size and SHA-256 of every other file
(`tca.experiments.records.sealed_json`): a file that is lost, edited or from another run is refused on resuming and
reported by `tca.experiments.records.reader`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import json
import math
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
from tca.experiments.records.reader import LARGEST_METRICS, Checkpoint, check_data, check_run, finished, require_same
from tca.experiments.records.recorded_networks import crossings as crossings_of
from tca.experiments.records.recorded_networks import kept_at, path_at
from tca.experiments.records.remnants import drop_remnants
from tca.experiments.records.result import Metrics, Result, Snapshot, first_at
from tca.experiments.records.sealed_json import LARGEST_TENSORS, Companions, companions, sealed, write_json
from tca.experiments.records.tensor_files import pack, unpack
from tca.experiments.records.versions import differences, environment
from tca.utils.text import in_a_line

__all__ = ["Record", "ResumedElsewhereWarning", "title_of"]

Sizes = dict[str, Any]


class ResumedElsewhereWarning(UserWarning):
    """A run resumes with other versions, commit, number of threads or kernels; the last bits may differ."""


class Record:
    """The record of a run during training; a context manager that locks the folder.

    Args:
        folder: Folder of the record; ``None`` keeps everything in memory.
        run: The run.
        sizes: ``n_in``, ``n_out`` and ``dt`` of its task, from which its network can be rebuilt.
        measure: Name of the score of the task, such as accuracy, default ``"score"``.
        data: Provenance of the data (``Task.provenance``), default none.
        passes: A note on passes and updates, such as several networks a pass, default none.

    Attributes:
        ended: Whether the folder already holds a finished record, for example by another process.
        metrics: Measurements so far.
        checkpoint: State to resume from, ``None`` at the start.
        kept: Measurement and states of network and learner, by the losses of the run reached so far.

    Raises:
        RecordError: The folder cannot be written, is in use by another process, is damaged, or holds another run.

    Warns:
        ResumedElsewhereWarning: The run began with other versions, commit, number of threads or kernels.
    """

    def __init__(
        self,
        folder: Path | None,
        run: Run,
        sizes: Sizes,
        measure: str = "score",
        data: Mapping[str, Any] | None = None,
        passes: str = "",
    ) -> None:
        self.folder, self.run, self.sizes, self.measure, self.data = folder, run, sizes, measure, dict(data or {})
        self.ended = False
        self.metrics: list[Metrics] = []
        self.checkpoint: Any = None
        self.kept: dict[float, Any] = {}
        self._made_with = [environment(passes)]
        self._companions: Companions = {}
        self._lines, self._written = hashlib.sha256(), 0
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Record:
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
        if self._lock is not None:
            self._lock.close()

    def _begin(self, folder: Path) -> None:
        self.ended = finished(folder)  # by another process, before the lock
        if self.ended:
            return
        tidy(folder)
        if os.path.lexists(folder / "run.json"):
            require_same(folder, self.run)
        found = Checkpoint.of(folder, self.run)
        if found is None:
            self._describe(folder)  # anew, with the versions of this process
        check_run(folder, self.sizes)
        check_data(folder, self.data)
        self.witness("run.json")
        lines = b""
        if found is not None:
            self.checkpoint, self.metrics, lines = found.state, list(found.metrics), found.lines
            self._resume(found.made_with)
        write_whole(folder / "metrics.jsonl", lines)
        self._count(lines)
        self.kept = kept_at(folder, self.run, self.metrics)
        for loss in self.kept:
            self.witness(path_at(folder, loss).name)
        for loss in set(self.run.snapshot_losses) - set(self.kept):
            path_at(folder, loss).unlink(missing_ok=True)  # of a measurement later than the checkpoint

    def _describe(self, folder: Path) -> None:
        """Write ``run.json``."""
        values = {"run": self.run.to_json(), **self.sizes, "title": title_of(self.run), "measure": self.measure}
        values["date"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        values |= {"data": self.data} if self.data else {}
        write_json(folder / "run.json", sealed(self.run.name, {**values, **self._made_with[-1]}))

    def _resume(self, made_with: list[dict[str, Any]]) -> None:
        """Record the environments of the run, and warn if this one differs from the last."""
        now = self._made_with[-1]
        if changed := differences(made_with[-1], now):
            warnings.warn(
                f"the run in {in_a_line(self.folder)} goes on under others than before, so that last bits may differ: "
                f"{in_a_line(changed)}",
                ResumedElsewhereWarning,
                stacklevel=5,
            )
        self._made_with = [*made_with, now] if changed else made_with

    def went_on(self, passes: str) -> None:
        """Add the environment that a run ends under, if it is another one than that of its start.

        Args:
            passes: A note on passes and updates.
        """
        now = environment(passes)
        self._made_with += [now] if now != self._made_with[-1] else []

    def witness(self, name: str) -> None:
        """Add a file to the companions of checkpoint and result.

        Args:
            name: Name of the file in the folder.

        Raises:
            RecordError: It cannot be read.
        """
        if self.folder is not None:
            self._companions |= companions(self.folder, [name])

    def _count(self, lines: bytes) -> None:
        self._lines.update(lines)
        self._written += len(lines)

    @property
    def _measured(self) -> dict[str, int | str]:
        """Size and checksum of the lines written."""
        return {"bytes": self._written, "sha256": self._lines.hexdigest()}

    def add(self, metrics: Metrics) -> None:
        """Append a measurement.

        Raises:
            RecordError: The folder cannot be written; no part of the line remains in it.
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
        """Return the losses of the run that the last measurement reached first."""
        return [loss for loss in self.run.snapshot_losses if first_at(loss, self.metrics) is self.metrics[-1]]

    def keep(self, loss: float, at: Metrics, net: Mapping[str, Tensor], learner: Mapping[str, Tensor]) -> None:
        """Store network and learner at a loss of the run.

        Args:
            at: Measurement of the network; time and values of observers are not stored.

        Raises:
            RecordError: The folder cannot be written.
        """
        metrics = dataclasses.replace(at, elapsed=math.nan, observed={}).to_json()
        packed = pack({"metrics": metrics, "net": dict(net), "learner": dict(learner)})
        self.kept[loss] = unpack(packed)
        if self.folder is not None:
            path = path_at(self.folder, loss)
            with explained(self.folder):
                write_whole(path, packed)
            self.witness(path.name)

    def crossings(self) -> tuple[Snapshot, ...]:
        """Return the stored networks, in the order of the losses of the run."""
        return crossings_of(self.run, self.sizes, self.kept, self.run.device)

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint.

        Args:
            state: State of the training loop; ``state["step"]`` is the number of updates made.

        Raises:
            RecordError: The folder cannot be written; the previous checkpoint remains.
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
        """Raise errors of restoring the checkpoint as `RecordError`."""
        try:
            yield
        except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            where = "memory" if self.folder is None else self.folder / "checkpoint"
            raise RecordError(f"cannot resume from {in_a_line(where)}: {in_a_line(error)}") from error

    def finish(self, result: Result) -> None:
        """Write the result and remove the checkpoint.

        Raises:
            RecordError: The folder cannot be written; the record is then unfinished and can be resumed.
        """
        if self.folder is None:
            return
        states: dict[str, Mapping[str, Tensor]] = {
            "weights.safetensors": result.net.state_dict(),
            "learner.safetensors": result.learner.state_dict(),
            "normalisation.safetensors": result.normalisation,
        }
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
            drop_remnants(self.folder)


def title_of(run: Run) -> str:
    """Return task, rule and network of a run as a title."""
    net = run.net
    return f"{run.task}, {run.rule_title}, {f'form {net.form}, ' if net.form else ''}{net.title}"


def _plain_tensors(state: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save(
        {name: each.detach().to("cpu", copy=True).contiguous() for name, each in state.items()}
    )
