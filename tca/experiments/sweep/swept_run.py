"""The outcome of a run of a sweep, small enough to send from worker to client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.records.result import OUTCOMES, Metrics, Result
from tca.utils.checks import Device, checked

__all__ = ["DIED", "ENDED", "FAILED", "IN_USE", "Swept"]

FAILED, DIED, IN_USE = "failed", "died", "in_use"
ENDED = OUTCOMES  # of finished records, which are not trained again


@dataclass(frozen=True)
class Swept:
    """A run of a sweep and its outcome.

    Args:
        run: The run.
        folder: Its record.
        outcome: ``"completed"``, ``"reached_loss"`` or ``"diverged"`` as in `tca.experiments.records.result.Result`;
            ``"failed"``: training raised an error; ``"died"``: its worker died, also after all restarts;
            ``"in_use"``: another process is training it, and the sweep does not wait.
        reason: Reason of another outcome than success.
        step: Updates made, 0 without a finished record.
        last: Last measurement, ``None`` without a finished record.
    """

    run: Run
    folder: Path
    outcome: str
    reason: str = ""
    step: int = 0
    last: Metrics | None = None

    @property
    def ended(self) -> bool:
        """Whether there is a finished record, so that another sweep skips the run."""
        return self.outcome in ENDED

    @checked
    def result(self, device: Device = "cpu") -> Result:
        """Return the trained network with its measurements, from the record.

        Args:
            device: Device of the network, default the CPU.

        Raises:
            RecordError: There is no finished record.
        """
        return records.read(self.folder, str(device), self.run)

    @classmethod
    def of(cls, result: Result, folder: Path) -> Swept:
        """Return the outcome of a result."""
        return cls(result.run, folder, result.outcome, result.reason, result.step, result.last)

    def to_json(self) -> dict[str, Any]:
        """Return the outcome without run and folder, which the client has."""
        last = None if self.last is None else self.last.to_json()
        return {"outcome": self.outcome, "reason": self.reason, "step": self.step, "last": last}

    @classmethod
    def from_json(cls, run: Run, folder: Path, values: Mapping[str, Any]) -> Swept:
        """Return the outcome of a value of ``to_json``.

        Args:
            values: Value of ``to_json``.
        """
        last = None if values["last"] is None else Metrics.from_json(values["last"])
        return cls(run, folder, **{**values, "last": last})
