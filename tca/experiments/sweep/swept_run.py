"""How a run of a sweep ended: a small value, which travels from worker to client; the network stays in the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tca.experiments import records
from tca.experiments.config.run import Run
from tca.experiments.records.result import OUTCOMES, Metrics, Result

__all__ = ["DIED", "ENDED", "FAILED", "IN_USE", "Swept"]

FAILED, DIED, IN_USE = "failed", "died", "in_use"
ENDED = OUTCOMES  # such a run has a finished record and is not trained again


@dataclass(frozen=True)
class Swept:
    """A run of a sweep and how it ended.

    Args:
        run: The run.
        folder: Its record.
        outcome: ``"completed"``, ``"reached_loss"`` or ``"diverged"`` as in `tca.experiments.records.result.Result`;
            ``"failed"``: training raised an error; ``"died"``: the worker that trained it died, and so did those that
            tried again; ``"in_use"``: another process is training it, and the sweep was not to wait.
        reason: What diverged, failed or killed it.
        step: Updates made, 0 where there is no finished record.
        last: What was measured last, ``None`` where there is no finished record.
    """

    run: Run
    folder: Path
    outcome: str
    reason: str = ""
    step: int = 0
    last: Metrics | None = None

    @property
    def ended(self) -> bool:
        """Whether there is a finished record, so that another sweep would skip the run."""
        return self.outcome in ENDED

    def result(self, device: str = "cpu") -> Result:
        """Return the trained network with everything that was measured, from the record.

        Args:
            device: Where to put the network, default the CPU.

        Raises:
            RecordError: There is no finished record.
        """
        return records.read(self.folder, device, self.run)

    @classmethod
    def of(cls, result: Result, folder: Path) -> Swept:
        """Return how a result ended.

        Args:
            result: The result.
            folder: Its record.
        """
        return cls(result.run, folder, result.outcome, result.reason, result.step, result.last)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the run and its folder, which the client knows."""
        last = None if self.last is None else self.last.to_json()
        return {"outcome": self.outcome, "reason": self.reason, "step": self.step, "last": last}

    @classmethod
    def from_json(cls, run: Run, folder: Path, values: Mapping[str, Any]) -> Swept:
        """Return what ``to_json`` described.

        Args:
            run: The run.
            folder: Its record.
            values: What ``to_json`` returned.
        """
        last = None if values["last"] is None else Metrics.from_json(values["last"])
        return cls(run, folder, **{**values, "last": last})
