"""Descriptions, measurements and checkpoints of records, checked against one another without building them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tca.experiments.config.run import Run
from tca.experiments.config.run_name import name_of
from tca.experiments.records.files import RecordError, read_bytes
from tca.experiments.records.result import OUTCOMES, Metrics
from tca.experiments.records.sealed_json import LARGEST_TENSORS, check_companions, parsed, read_json, unsealed
from tca.experiments.records.tensor_files import read_packed
from tca.utils.text import in_a_line

__all__ = [
    "LARGEST_METRICS", "Checkpoint", "RecordText", "check_data", "check_run", "finished", "look", "read_description",
    "require_same",
]  # fmt: skip


LARGEST_METRICS = 1 << 28  # bytes


def finished(folder: str | Path) -> bool:
    """Return whether a folder holds a finished record."""
    return os.path.lexists(Path(folder) / "result.json")


@dataclass(frozen=True)
class RecordText:
    """The checked text of a record, without its networks.

    Args:
        folder: The record.
        description: Content of ``run.json``.
        ending: Content of ``result.json``, ``None`` for an unfinished run.
        metrics: Measurements, first to last; of an unfinished run, up to its checkpoint.
        made_with: Versions, commit and threads of the training, in order.
    """

    folder: Path
    description: Mapping[str, Any]
    ending: Mapping[str, Any] | None
    metrics: tuple[Metrics, ...]
    made_with: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The checkpoint of an unfinished run.

    Args:
        state: State of the training loop, see `tca.experiments.records.record.Record.save`.
        metrics: Measurements before the checkpoint.
        lines: Their lines in ``metrics.jsonl``.
        made_with: Versions, commit and threads of the training so far, in order.
    """

    state: dict[str, Any]
    metrics: tuple[Metrics, ...]
    lines: bytes
    made_with: list[dict[str, Any]]

    @classmethod
    def of(cls, folder: Path, run: Run | None = None) -> Checkpoint | None:
        """Return the checkpoint of a record, ``None`` if there is none yet.

        Args:
            run: Run expected in the record; ``None`` (default) for the one in ``run.json``.

        Raises:
            RecordError: It is damaged or of another run, or the other files have changed since.
        """
        path = folder / "checkpoint"
        written = read_bytes(folder / "metrics.jsonl", LARGEST_METRICS) if _there(folder / "metrics.jsonl") else b""
        if not _there(path):
            if written.count(b"\n") > 1:  # the first line precedes the first checkpoint
                raise RecordError(
                    f"the record in {in_a_line(folder)} is damaged: it has measurements and no checkpoint; remove it "
                    "to train the run anew"
                )
            return None
        name = run.name if run is not None else read_description(folder)["name"]
        try:
            packed = read_packed(path, LARGEST_TENSORS)
            about, state = unsealed(packed["sealed"], name), packed["state"]
            lines = _lines_of(written, about["lines"])
            metrics = measured(lines)
            if not metrics or metrics[-1].step != state["step"]:
                raise ValueError(f"it was made after {in_a_line(state['step'], 40)} updates, which were not measured")
            made_with = [dict(each) for each in about["made_with"]]
            made_with[-1]["versions"].items()
            _ = about["companions"].items()
        except (ValueError, LookupError, TypeError, AttributeError, MemoryError) as error:
            reason = in_a_line(error) or type(error).__name__
            raise RecordError(f"cannot resume from {in_a_line(path)}: {reason}") from error
        check_companions(folder, about["companions"])
        return cls(state, metrics, lines, made_with)


def look(folder: str | Path) -> RecordText:
    """Return the text of a record, each file checked against the others.

    Raises:
        RecordError: There is no record, or it is damaged.
    """
    folder = Path(folder)
    for _ in range(9):
        ended = finished(folder)
        try:
            return _ended(folder) if ended else _unfinished(folder)
        except RecordError:
            if finished(folder) == ended:
                raise  # else it was finished meanwhile
    raise RecordError(f"the record in {in_a_line(folder)} does not stay as it is")


def _ended(folder: Path) -> RecordText:
    description = read_description(folder)
    path = folder / "result.json"
    try:
        ending = unsealed(read_json(path), description["name"])
        if not isinstance(ending["reason"], str) or ending["outcome"] not in OUTCOMES:
            raise ValueError("it does not say how the run ended")
        for name in ("run.json", "metrics.jsonl", "weights.safetensors"):
            ending["companions"][name]["sha256"].lower()
        if type(ending["step"]) is not int:
            raise TypeError("its step is no integer")
        _ = [each["versions"].items() for each in ending["made_with"]]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error)}") from error
    check_companions(folder, ending["companions"])
    metrics = _measured_in(folder / "metrics.jsonl")
    if not metrics or not metrics[-1].step <= ending["step"] <= description["run"]["steps"]:
        raise RecordError(f"the record in {in_a_line(folder)} is damaged: it ends after updates that it has not made")
    if ending["last"] != metrics[-1].to_json():
        raise RecordError(f"the record in {in_a_line(folder)} is damaged: its result differs from the last measurement")
    return RecordText(folder, description, ending, metrics, ending["made_with"])


def _unfinished(folder: Path) -> RecordText:
    description = read_description(folder)
    found = Checkpoint.of(folder)
    if found is None:
        return RecordText(folder, description, None, (), [description])
    return RecordText(folder, description, None, found.metrics, found.made_with)


def read_description(folder: str | Path) -> dict[str, Any]:
    """Return the content of ``run.json``, without building the run.

    Raises:
        RecordError: It is missing, edited or damaged.
    """
    path = Path(folder) / "run.json"
    if not _there(path):
        raise RecordError(f"{in_a_line(folder)} holds no record: there is no run.json")
    try:
        values = unsealed(read_json(path))
        run = values["run"]
        if name_of(run) != values["name"]:
            raise ValueError("its name is not that of its run")
        if type(run["steps"]) is not int:
            raise TypeError("steps is no integer")
        for name in ("title", "measure"):
            values[name].lower()
        _ = (values["versions"].items(), run.items(), values["commit"], values["threads"])
        values.setdefault("data", {}).items()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {in_a_line(error)}" if isinstance(error, LookupError) else in_a_line(error)
        raise RecordError(f"{in_a_line(path)} cannot be read: {reason}") from error
    return values


def require_same(folder: str | Path, run: Run) -> None:
    """Raise unless a folder holds the record of a run.

    Raises:
        RecordError: It holds another run; the message names the differences.
    """
    there, asked = read_description(folder)["run"], run.to_json()
    different = [
        f"{name} is {there.get(name)!r} there, {asked.get(name)!r} here"
        for name in dict.fromkeys([*asked, *there])
        if there.get(name) != asked.get(name)
    ]
    if different:
        raise RecordError(f"{in_a_line(folder)} holds the record of another run: {in_a_line('; '.join(different))}")


def check_run(folder: Path, sizes: Mapping[str, Any]) -> None:
    """Raise unless a record is of a task with these sizes.

    Raises:
        RecordError: Its sizes are others.
    """
    there = read_description(folder)
    for name, size in sizes.items():
        if there.get(name) != size:
            raise RecordError(
                f"{in_a_line(folder)} is of another task: {name} is {there.get(name)!r} there, {size!r} here"
            )


def check_data(folder: Path, data: Mapping[str, Any]) -> None:
    """Raise unless the trials of a record have the checksums of these data.

    Raises:
        RecordError: They have others.
    """
    there = read_description(folder).get("data", {})
    for name, facts in data.items():
        known = there.get(name)
        if isinstance(facts, Mapping) and "sha256" in facts and isinstance(known, Mapping) and known != facts:
            raise RecordError(
                f"{in_a_line(folder)} is of other data: {name} had SHA-256 {known.get('sha256')!r} when the run began, "
                f"{facts['sha256']!r} now; put the data back, or train in another folder"
            )


def measured(content: bytes) -> tuple[Metrics, ...]:
    """Return the measurements of lines.

    Raises:
        ValueError: A line is not a measurement, or steps do not increase.
    """
    found = tuple(Metrics.from_json(parsed(line)) for line in content.splitlines())
    if any(one.step >= other.step for one, other in pairwise(found)):
        raise ValueError("steps of measurements must grow")
    return found


def _measured_in(path: Path) -> tuple[Metrics, ...]:
    content = read_bytes(path, LARGEST_METRICS)
    try:
        return measured(content)
    except (ValueError, TypeError, MemoryError) as error:
        raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error) or 'out of memory'}") from error


def _lines_of(written: bytes, known: Mapping[str, Any]) -> bytes:
    """Return the lines before a checkpoint, or raise if they have changed."""
    lines = written[: known["bytes"]]
    if len(lines) < known["bytes"]:
        raise ValueError("metrics.jsonl does not reach it: lines have been lost")
    if hashlib.sha256(lines).hexdigest() != known["sha256"]:
        raise ValueError("metrics.jsonl was edited or comes from another run")
    return lines


def _there(path: Path) -> bool:
    return os.path.lexists(path)
