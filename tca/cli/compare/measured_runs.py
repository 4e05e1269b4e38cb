"""Runs of a comparison trained and measured, with the measurements saved beside their records."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

from tca.cli.compare.comparison import Planned
from tca.cli.compare.measurements import Measured, MeasurementSettings, RunMeasurements, measure, observer
from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.loggers.logger import Logger
from tca.experiments.records.files import RecordError, explained, make_folder
from tca.experiments.records.result import DIVERGED, Result
from tca.experiments.records.sealed_json import companions, read_json, sealed, unsealed, write_json
from tca.experiments.training.train import train
from tca.utils.text import in_a_line

__all__ = ["read_measured", "train_and_measure"]


def train_and_measure(
    planned: Planned,
    folder: Path,
    how: MeasurementSettings,
    progress: bool = False,
    loggers: Sequence[Logger] = (),
) -> RunMeasurements:
    """Train or resume a run and measure it; read finished steps from its record.

    A run with a ``snapshot_losses`` is measured where it crossed the first of them, else at its end.

    Args:
        planned: Run and entry.
        folder: Folder of its record.
        progress: Whether to show a progress bar, default no.
        loggers: Receivers of the measurements during training, default none.
    """
    run = planned.run
    result = train(run, folder, progress=progress, observe=observer(run), loggers=loggers)
    known = _known(run, folder, how)
    if known is None:
        try:
            known = _measured(result, how)
        except (ValueError, TypeError) as error:  # the training is kept
            unmeasured = _measurements_of(planned, result, Measured({}))
            return dataclasses.replace(unmeasured, reason=f"not measured: {in_a_line(error)}")
        said = {"settings": dataclasses.asdict(how), **known.to_json(), **companions(folder, ["result.json"])}
        with explained(folder):
            make_folder(folder)
            write_json(folder / "measured.json", sealed(run.name, said))
    return _measurements_of(planned, result, known)


def read_measured(planned: Planned, folder: Path, how: MeasurementSettings) -> RunMeasurements:
    """Read the measurements of a run from its record.

    Args:
        planned: Run and entry.
        folder: Folder of its record.

    Raises:
        RecordError: There are no measurements with these settings, or the record is damaged.
    """
    result = records.read(folder, planned.run.device, planned.run)
    known = _known(planned.run, folder, how)
    if known is None:
        raise RecordError(f"{in_a_line(folder)} has no measurements with these settings; resume with tca compare")
    return _measurements_of(planned, result, known)


def _known(run: Run, folder: Path, how: MeasurementSettings) -> Measured | None:
    """Return the saved measurements, ``None`` if there are none with these settings."""
    path = folder / "measured.json"
    if not os.path.lexists(path):
        return None
    try:
        known = unsealed(read_json(path), run.name)
        if known.get("result.json") != companions(folder, ["result.json"])["result.json"]:
            raise ValueError("the measurements belong to another training of the run")
        return Measured.from_json(known) if known["settings"] == dataclasses.asdict(how) else None
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise RecordError(f"{in_a_line(path)} cannot be used, remove it: {in_a_line(error)}") from error


def _measured(result: Result, how: MeasurementSettings) -> Measured:
    """Return the measurements of a run at its end, or at the loss of its snapshot."""
    if result.run.make_task().rewards_only:
        return _returns(result)
    if result.run.snapshot_losses:
        return measure(result.run, result.crossings[0].net, how, graded=False) if result.crossings else Measured({})
    return Measured({}) if result.outcome == DIVERGED else measure(result.run, result.net, how)


def _returns(result: Result) -> Measured:
    """Return the returns of a run in an environment that gives rewards only, at its end."""
    last = result.last
    found = {"return": last.test_accuracy, "acting_return": last.train_accuracy}
    found |= {"episode_length": last.observed.get("episode_length", math.nan)}
    return Measured({} if result.outcome == DIVERGED else found)


def _measurements_of(planned: Planned, result: Result, known: Measured) -> RunMeasurements:
    cosines = [
        each.observed["cosine"] for each in result.metrics if math.isfinite(each.observed.get("cosine", math.nan))
    ]
    values = {
        **known.values,
        "cosine": sum(cosines) / len(cosines) if cosines else math.nan,
        "milliseconds": 1e3 * result.seconds_per_step,
    }
    return RunMeasurements(
        planned.entry,
        result.run,
        result.outcome,
        result.reason,
        result.step,
        values,
        known.parameters,
        known.curve,
        result.metrics,
        known.unfitted,
    )
