"""A record: the folder of one run, which outlives the process that writes it.

    run.json             the run, the sizes of its task, versions and commit; written first
    metrics.jsonl        one line a measurement
    checkpoint           everything needed to go on from the last measurement; gone once the run has ended
    weights.safetensors  the trained network
    learner.safetensors  the state of its rule, such as feedback weights; only for rules that have one
    result.json          how the run ended; written last

Files other than ``metrics.jsonl`` are replaced as a whole, so a process may be killed at any moment. A folder without
``result.json`` is unfinished; lines of ``metrics.jsonl`` that are later than the checkpoint are dropped on resuming.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import safetensors.torch
from torch import Tensor

from tca.packing import pack, unpack
from tca.result import Metrics, Result
from tca.rule import Learner
from tca.run import Run
from tca.versions import commit, versions

__all__ = ["Record", "RecordError", "explained", "finished", "read", "require_same", "write_whole"]

Sizes = dict[str, Any]


class RecordError(RuntimeError):
    """A record cannot be written, read or resumed; the message is one line that names the folder and the reason."""


class Record:
    """The record of a run while it is trained; a context manager that holds the folder for one process.

    Args:
        folder: The record's folder, made if need be; ``None`` keeps everything in memory.
        run: The run.
        sizes: ``n_in``, ``n_out`` and ``dt`` of its task, with which its network can be built again.

    Attributes:
        metrics: What has been measured so far.
        checkpoint: Where to go on from, ``None`` at the start.

    Raises:
        RecordError: The folder cannot be written, is in use by another process, or holds another run.
    """

    def __init__(self, folder: Path | None, run: Run, sizes: Sizes) -> None:
        """Remember what to do; nothing is written before the record is entered."""
        self.folder, self.run, self.sizes = folder, run, sizes
        self.metrics: list[Metrics] = []
        self.checkpoint: Any = None
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Record:
        """Take hold of the folder and find where to go on."""
        if self.folder is not None:
            with explained(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                self._lock = _locked(self.folder)
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
        description = folder / "run.json"
        if not description.exists():
            values = {"run": self.run.to_json(), **self.sizes, "versions": versions(), "commit": commit()}
            write_whole(description, json.dumps(values, indent=2).encode())
        require_same(folder, self.run)
        if (folder / "checkpoint").exists():
            try:
                self.checkpoint = unpack((folder / "checkpoint").read_bytes())
            except ValueError as error:
                raise RecordError(f"cannot resume from {folder / 'checkpoint'}: {error}") from error
        reached = -1 if self.checkpoint is None else int(self.checkpoint["step"])
        self.metrics = [each for each in _metrics(folder) if each.step <= reached]
        write_whole(folder / "metrics.jsonl", b"".join(map(_line, self.metrics)))

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
        with explained(self.folder), open(self.folder / "metrics.jsonl", "ab", buffering=0) as file:
            before = os.fstat(file.fileno()).st_size
            try:
                _write_all(file, _line(metrics))
            except OSError:
                file.truncate(before)
                raise

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint.

        Args:
            state: Everything needed to go on; ``state["step"]`` is the number of updates made.

        Raises:
            RecordError: The folder cannot be written; then the checkpoint before is still there.
        """
        if self.folder is not None:
            with explained(self.folder):
                write_whole(self.folder / "checkpoint", pack(state))

    def finish(self, result: Result) -> None:
        """Write what the run has led to and drop the checkpoint.

        Args:
            result: What it has led to.

        Raises:
            RecordError: The folder cannot be written; then the record is unfinished and can be resumed.
        """
        if self.folder is None:
            return
        values = {
            "outcome": result.outcome,
            "step": result.step,
            "reason": result.reason,
            "last": result.last.to_json(),
        }
        with explained(self.folder):
            write_whole(self.folder / "weights.safetensors", _plain_tensors(result.net.state_dict()))
            if state := result.learner.state_dict():
                write_whole(self.folder / "learner.safetensors", _plain_tensors(state))
            write_whole(self.folder / "result.json", json.dumps(values, indent=2).encode())
            (self.folder / "checkpoint").unlink(missing_ok=True)


def finished(folder: str | Path) -> bool:
    """Return whether a folder holds the record of a run that has ended.

    Args:
        folder: The record's folder.
    """
    return (Path(folder) / "result.json").exists()


def require_same(folder: str | Path, run: Run) -> None:
    """Raise unless a folder holds the record of this very run.

    Args:
        folder: The record's folder.
        run: The run.

    Raises:
        RecordError: It holds another run; the message says what differs.
    """
    there, asked = _json(Path(folder) / "run.json").get("run", {}), run.to_json()
    different = [
        f"{name} is {there.get(name)!r} there, {value!r} here"
        for name, value in asked.items()
        if there.get(name) != value
    ]
    if different:
        raise RecordError(f"{folder} holds the record of another run: {'; '.join(different)}")


def read(folder: str | Path, device: str = "cpu") -> Result:
    """Return the result of a finished run from its record.

    Args:
        folder: The record's folder.
        device: Where to put the network, default the CPU.

    Raises:
        RecordError: There is no record, it is unfinished, or a file of it cannot be understood.
    """
    folder = Path(folder)
    if not (folder / "run.json").exists():
        raise RecordError(f"{folder} holds no record: there is no run.json")
    if not finished(folder):
        raise RecordError(f"the run in {folder} is unfinished; train it again with this folder to resume it")
    description, ending = _json(folder / "run.json"), _json(folder / "result.json")
    try:
        run = Run.from_json(description["run"])
        metrics = tuple(_metrics(folder))
        net = run.net.build(
            description["n_in"],
            description["n_out"],
            dt=description["dt"],
            seed=run.seeds.net,
            device=device,
            dtype=run.torch_dtype,
        )
        net.load_state_dict(safetensors.torch.load_file(folder / "weights.safetensors"))
        learner = Learner(net, run.the_rule, seed=run.seeds.rule)
        if (folder / "learner.safetensors").exists():
            learner.load_state_dict(safetensors.torch.load_file(folder / "learner.safetensors"))
        return Result(run, ending["outcome"], ending["step"], ending["reason"], metrics, net, learner)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise RecordError(f"the record in {folder} cannot be read: {error}") from error


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the system's errors within into `RecordError`.

    Args:
        folder: What is written to.
    """
    try:
        yield
    except OSError as error:
        raise RecordError(f"cannot write the record in {folder}: {error.strerror or error}") from error


def _locked(folder: Path) -> IO[bytes]:
    """Return the lock file, locked until it is closed; the system closes it for a process that dies."""
    lock = open(folder / ".lock", "a+b", buffering=0)  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        _write_all(lock, f"{os.getpid()}".encode())
    except BlockingIOError:
        with lock:
            lock.seek(0)
            owner = lock.read().decode() or "unknown"
        raise RecordError(f"the record in {folder} is in use by another process (number {owner})") from None
    except OSError:
        lock.close()
        raise
    return lock


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is either the old or the new one, whole, whatever happens.

    Args:
        path: The file.
        content: What it shall hold.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb", buffering=0) as file:
            _write_all(file, content)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _write_all(file: IO[bytes], content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[file.write(remaining) :]


def _plain_tensors(state: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save(
        {name: each.detach().to("cpu", copy=True).contiguous() for name, each in state.items()}
    )


def _line(metrics: Metrics) -> bytes:
    return (json.dumps(metrics.to_json()) + "\n").encode()


def _metrics(folder: Path) -> Iterator[Metrics]:
    """Yield what was measured; a last line that a killed process left unfinished is passed over."""
    path = folder / "metrics.jsonl"
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
        if line.endswith(b"\n"):
            yield Metrics.from_json(json.loads(line))


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path} cannot be read: {error}") from error
