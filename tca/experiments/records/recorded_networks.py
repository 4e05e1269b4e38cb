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
from tca.experiments.records.reader import Look, look, require_same
from tca.experiments.records.result import Crossing, Metrics, Result, first_at
from tca.learner import Learner
from tca.nets import Network
from tca.utils.allocation import AtMost
from tca.utils.text import in_a_line

__all__ = ["crossings", "kept_at", "path_at", "read"]

SIZES = ("n_in", "n_out", "dt")
# A network may make larger tensors than those it keeps while it is built, but not many times larger.
SPARE, TIMES = 1 << 16, 16


def read(folder: str | Path, device: str = "cpu", run: Run | None = None) -> Result:
    """Return the result of a finished run from its record; its networks are built when they are first asked for.

    Args:
        folder: The record's folder.
        device: Where to put the network, default the CPU.
        run: The run that it must be of; ``None`` (default) for any.

    Raises:
        RecordError: There is no record, it is unfinished or damaged, or a file of it cannot be understood.
    """
    folder = Path(folder)
    if run is not None:
        require_same(folder, run)
    found = look(folder)
    if found.ending is None:
        raise RecordError(f"the run in {in_a_line(folder)} is unfinished; train it again with this folder to resume it")
    try:
        its = Run.from_json(found.description["run"]) if run is None else run
    except Exception as error:  # a file may describe anything
        raise RecordError(f"the record in {in_a_line(folder)} cannot be read: {in_a_line(error)}") from error
    loader = _Loader(found, its, device)
    ending = {name: found.ending[name] for name in ("outcome", "step")} | {"reason": in_a_line(found.ending["reason"])}
    return Result.later(loader, run=its, metrics=found.metrics, **ending)


@dataclass
class _Loader:
    """Builds the networks of a record when they are asked for."""

    found: Look
    run: Run
    device: str

    def __call__(self, name: str) -> dict[str, Any]:
        """Return network and learner, or what was kept at losses, by the names of a result's fields."""
        folder, run = self.found.folder, self.run
        try:
            sizes = {each: self.found.description[each] for each in SIZES}
            if name == "crossings":
                kept = kept_at(folder, run, self.found.metrics)
                return {name: crossings(run, sizes, self.found.metrics, kept, self.device)}
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
    """Return network and learner with these states, unless they would be far larger than that."""
    elements = sum(each.numel() for state in (net_state, learner_state) for each in state.values())
    with AtMost(SPARE + TIMES * elements):
        net = run.net.build(**sizes, seed=run.seeds.net, device=device, dtype=run.torch_dtype)
        net.load_state_dict(net_state)
        learner = Learner(net, run.the_rule, seed=run.seeds.rule)
        if learner_state:
            learner.load_state_dict(learner_state)
    return net, learner


def crossings(
    run: Run,
    sizes: Mapping[str, Any],
    metrics: Sequence[Metrics],
    kept: Mapping[float, Mapping[str, Tensor]],
    device: str,
) -> tuple[Crossing, ...]:
    """Return network and learner at each loss that a run names and has reached, from the first loss to the last.

    Args:
        run: The run.
        sizes: The sizes of its task.
        metrics: What was measured.
        kept: Their states, by loss.
        device: Where to put them.
    """
    found = []
    for loss in run.measure_at_losses:
        if first_at(loss, metrics) is not None:
            states: dict[str, dict[str, Tensor]] = {"metrics": {}, "net": {}, "learner": {}}
            for name, each in kept[loss].items():
                part, _, own = name.partition(".")
                states[part][own] = each
            at = Metrics.from_numbers(states["metrics"]["numbers"])
            found.append(Crossing(loss, at, *_rebuilt(run, sizes, device, states["net"], states["learner"])))
    return tuple(found)


def kept_at(folder: Path, run: Run, metrics: Sequence[Metrics]) -> dict[float, dict[str, Tensor]]:
    """Return the states that a record keeps, by the losses that were reached.

    Args:
        folder: The record.
        run: Its run.
        metrics: What was measured.

    Raises:
        RecordError: A file is missing or cannot be understood.
    """
    reached = [loss for loss in run.measure_at_losses if first_at(loss, metrics) is not None]
    found = {loss: _tensors(path_at(folder, loss)) for loss in reached}
    for loss, each in found.items():
        if not each:
            raise RecordError(f"{in_a_line(path_at(folder, loss))} is missing")
    return found


def path_at(folder: Path, loss: float) -> Path:
    """Return the file that keeps network and learner at a loss.

    Args:
        folder: The record.
        loss: The loss.
    """
    return folder / f"at_loss_{loss!r}.safetensors"


def _tensors(path: Path) -> dict[str, Tensor]:
    """Return what a file holds, nothing where there is no file."""
    if not os.path.lexists(path):
        return {}
    with opened(path):  # no pipe, no device
        pass
    try:
        return safetensors.torch.load_file(path)
    except (OSError, ValueError, RuntimeError, MemoryError, safetensors.SafetensorError) as error:
        raise RecordError(f"{in_a_line(path)} cannot be read: {in_a_line(error)}") from error
