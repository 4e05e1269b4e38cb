"""Results of finished runs, with networks rebuilt from the states in their records."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from tca.experiments.config.run import Run
from tca.experiments.records.files import RecordError, opened
from tca.experiments.records.reader import RecordText, look, require_same
from tca.experiments.records.remnants import tidy_up
from tca.experiments.records.result import Metrics, Result, Snapshot, first_at
from tca.experiments.records.sealed_json import LARGEST_TENSORS
from tca.experiments.records.tensor_files import read_packed
from tca.learner import Learner
from tca.nets import Network
from tca.utils.allocation import AtMost
from tca.utils.text import in_a_line

__all__ = ["crossings", "kept_at", "path_at", "read", "reread"]

SIZES = ("n_in", "n_out", "dt")
# A network may make larger tensors than those it keeps while it is built, but not many times larger.
SPARE, TIMES = 1 << 16, 16


def read(folder: str | Path, device: str = "cpu", run: Run | None = None, *, trusted: bool = False) -> Result:
    """Return the result of a finished run; its networks are built on first access.

    Args:
        device: Device of the networks, default the CPU.
        run: Run expected in the record; ``None`` (default) for any.
        trusted: Whether modules outside of the library that the record names may be imported, default no; see
            `tca.Run.from_json`.

    Raises:
        RecordError: There is no record, it is unfinished, damaged or of another run, or names a module that may not be
            imported.
    """
    folder = Path(folder)
    if run is not None:
        require_same(folder, run)
    found = look(folder)
    if found.ending is None:
        raise RecordError(f"the run in {in_a_line(folder)} is unfinished: tca resume trains it to its end")
    try:
        its = Run.from_json(found.description["run"], trusted=trusted) if run is None else run
    except Exception as error:  # a file may describe anything
        raise RecordError(f"the record in {in_a_line(folder)} cannot be read: {in_a_line(error)}") from error
    loader = _Loader(found, its, device)
    ending = {name: found.ending[name] for name in ("outcome", "step")} | {"reason": in_a_line(found.ending["reason"])}
    return Result.later(loader, run=its, metrics=found.metrics, **ending)


def reread(folder: str | Path, run: Run) -> Result:
    """Return the result of a finished run, and remove remnants of killed processes from its record.

    Raises:
        RecordError: The record is of another run, or damaged.
    """
    result = read(folder, run.device, run)
    tidy_up(Path(folder))
    return result


@dataclass
class _Loader:
    """Builds the networks of a record on access."""

    found: RecordText
    run: Run
    device: str

    def __call__(self, name: str) -> dict[str, Any]:
        """Return network and learner, or those stored at losses, by the names of fields of `Result`."""
        folder, run = self.found.folder, self.run
        try:
            sizes = {each: self.found.description[each] for each in SIZES}
            if name == "crossings":
                kept = kept_at(folder, run, self.found.metrics)
                return {name: crossings(run, sizes, kept, self.device)}
            if name == "normalisation":
                return {name: _tensors(folder / "normalisation.safetensors")}
            states = {each: _tensors(folder / f"{each}.safetensors") for each in ("weights", "learner")}
            net, learner = _rebuilt(run, sizes, self.device, states["weights"], states["learner"])
            return {"net": net, "learner": learner}
        except RecordError:
            raise
        except Exception as error:  # a file may describe anything
            raise RecordError(f"the record in {in_a_line(folder)} cannot be read: {in_a_line(error)}") from error


def _rebuilt(
    run: Run,
    sizes: Mapping[str, Any],
    device: str,
    net_state: Mapping[str, Tensor],
    learner_state: Mapping[str, Tensor],
) -> tuple[Network, Learner]:
    """Return network and learner with these states, if their sizes agree."""
    elements = sum(each.numel() for state in (net_state, learner_state) for each in state.values())
    with AtMost(SPARE + TIMES * elements):
        net = run.net.build(**sizes, seed=run.seeds.net, device=device, dtype=run.torch_dtype)
        net.load_state_dict(net_state)
        learner = Learner(net, run.the_rule, seed=run.seeds.rule)
        if learner_state:
            learner.load_state_dict(learner_state)
    return net, learner


def crossings(
    run: Run, sizes: Mapping[str, Any], kept: Mapping[float, Mapping[str, Any]], device: str
) -> tuple[Snapshot, ...]:
    """Return network and learner at each loss that a run reached."""
    return tuple(
        Snapshot(loss, Metrics.from_json(at["metrics"]), *_rebuilt(run, sizes, device, at["net"], at["learner"]))
        for loss in run.snapshot_losses
        if (at := kept.get(loss))
    )


def kept_at(folder: Path, run: Run, metrics: Sequence[Metrics]) -> dict[float, Any]:
    """Return measurements and states stored in a record, by the losses that were reached.

    Raises:
        RecordError: A file is missing or damaged.
    """
    kept = {}
    for loss in run.snapshot_losses:
        if first_at(loss, metrics) is not None:
            path = path_at(folder, loss)
            try:
                kept[loss] = read_packed(path, LARGEST_TENSORS)
            except ValueError as error:
                raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error)}") from error
    return kept


def path_at(folder: Path, loss: float) -> Path:
    """Return the file of network and learner at a loss."""
    return folder / f"at_loss_{loss!r}.safetensors"


def _tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, none if there is no file."""
    if not os.path.lexists(path):
        return {}
    with opened(path):  # no pipe, no device
        pass
    try:
        return safetensors.torch.load_file(path)
    except (OSError, ValueError, RuntimeError, MemoryError, safetensors.SafetensorError) as error:
        raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error)}") from error
