"""A record: the folder of one run, which outlives the process that writes it.

    run.json             the run, the sizes of its task, versions and commit; written first
    metrics.jsonl        one line a measurement
    checkpoint           everything needed to go on from the last measurement; gone once the run has ended
    weights.safetensors  the trained network
    learner.safetensors  the state of its rule, such as feedback weights; only for rules that have one
    at_loss_*.safetensors  both, when the training loss was first measured to be at most a loss that the run names
    result.json          how the run ended; written last

Files other than ``metrics.jsonl`` are replaced as a whole, so a process may be killed at any moment. A folder without
``result.json`` is unfinished; lines of ``metrics.jsonl`` that are later than the checkpoint are dropped on resuming.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import safetensors.torch
from torch import Tensor

from tca.files import RecordError, append, explained, locked, write_whole
from tca.nets import Network
from tca.packing import pack, unpack
from tca.result import Crossing, Metrics, Result, first_at
from tca.rule import Learner
from tca.run import Run
from tca.versions import commit, versions

__all__ = ["Record", "RecordError", "explained", "finished", "read", "require_same", "write_whole"]

Sizes = dict[str, Any]


class Record:
    """The record of a run while it is trained; a context manager that holds the folder for one process.

    Args:
        folder: The record's folder, made if need be; ``None`` keeps everything in memory.
        run: The run.
        sizes: ``n_in``, ``n_out`` and ``dt`` of its task, with which its network can be built again.

    Attributes:
        metrics: What has been measured so far.
        checkpoint: Where to go on from, ``None`` at the start.
        kept: States of network and learner at the losses that the run names, by loss, as far as they were reached.

    Raises:
        RecordError: The folder cannot be written, is in use by another process, or holds another run.
    """

    def __init__(self, folder: Path | None, run: Run, sizes: Sizes) -> None:
        """Remember what to do; nothing is written before the record is entered."""
        self.folder, self.run, self.sizes = folder, run, sizes
        self.metrics: list[Metrics] = []
        self.checkpoint: Any = None
        self.kept: dict[float, dict[str, Tensor]] = {}
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Record:
        """Take hold of the folder and find where to go on."""
        if self.folder is not None:
            with explained(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
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
        self.kept = _kept(folder, self.run, self.metrics)
        for loss in set(self.run.measure_at_losses) - set(self.kept):
            _path_at(folder, loss).unlink(missing_ok=True)  # of a measurement later than the checkpoint

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
        with explained(self.folder):
            append(self.folder / "metrics.jsonl", _line(metrics))

    def keep(self, net: Mapping[str, Tensor], learner: Mapping[str, Tensor]) -> None:
        """Keep network and learner if the last measurement is the first at one of the losses that the run names.

        Args:
            net: The network's state.
            learner: The learner's state.

        Raises:
            RecordError: The folder cannot be written.
        """
        reached = [loss for loss in self.run.measure_at_losses if first_at(loss, self.metrics) is self.metrics[-1]]
        for loss in reached:
            named = {f"net.{name}": each for name, each in net.items()}
            named |= {f"learner.{name}": each for name, each in learner.items()}
            self.kept[loss] = {name: each.detach().to("cpu", copy=True) for name, each in named.items()}
            if self.folder is not None:
                with explained(self.folder):
                    write_whole(_path_at(self.folder, loss), _plain_tensors(self.kept[loss]))

    def crossings(self) -> tuple[Crossing, ...]:
        """Return what was kept, from the first loss named to the last."""
        return _crossings(self.run, self.sizes, self.metrics, self.kept, self.run.device)

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
        f"{name} is {there.get(name)!r} there, {asked.get(name)!r} here"
        for name in dict.fromkeys([*asked, *there])
        if there.get(name) != asked.get(name)
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
        sizes = {name: description[name] for name in ("n_in", "n_out", "dt")}
        net, learner = _rebuilt(
            run, sizes, device, _tensors(folder / "weights.safetensors"), _tensors(folder / "learner.safetensors", {})
        )
        crossings = _crossings(run, sizes, metrics, _kept(folder, run, metrics), device)
        return Result(run, ending["outcome"], ending["step"], ending["reason"], metrics, net, learner, crossings)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise RecordError(f"the record in {folder} cannot be read: {error}") from error


def _rebuilt(
    run: Run, sizes: Sizes, device: str, net_state: Mapping[str, Tensor], learner_state: Mapping[str, Tensor]
) -> tuple[Network, Learner]:
    net = run.net.build(**sizes, seed=run.seeds.net, device=device, dtype=run.torch_dtype)
    net.load_state_dict(net_state)
    learner = Learner(net, run.the_rule, seed=run.seeds.rule)
    if learner_state:
        learner.load_state_dict(learner_state)
    return net, learner


def _crossings(
    run: Run, sizes: Sizes, metrics: Sequence[Metrics], kept: Mapping[float, Mapping[str, Tensor]], device: str
) -> tuple[Crossing, ...]:
    found = []
    for loss in run.measure_at_losses:
        at = first_at(loss, metrics)
        if at is not None:
            states: dict[str, dict[str, Tensor]] = {"net": {}, "learner": {}}
            for name, each in kept[loss].items():
                part, _, own = name.partition(".")
                states[part][own] = each
            found.append(Crossing(loss, at, *_rebuilt(run, sizes, device, states["net"], states["learner"])))
    return tuple(found)


def _kept(folder: Path, run: Run, metrics: Sequence[Metrics]) -> dict[float, dict[str, Tensor]]:
    reached = [loss for loss in run.measure_at_losses if first_at(loss, metrics) is not None]
    return {loss: _tensors(_path_at(folder, loss)) for loss in reached}


def _path_at(folder: Path, loss: float) -> Path:
    return folder / f"at_loss_{loss!r}.safetensors"


def _tensors(path: Path, missing: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Return what a file holds, or ``missing``, if that is given, where there is no file."""
    return missing if missing is not None and not path.exists() else safetensors.torch.load_file(path)


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
