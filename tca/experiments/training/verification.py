"""Verification of a record: the run is trained again and compared bit by bit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from tca.experiments import records
from tca.experiments.records.reader import look
from tca.experiments.records.result import Metrics, Result
from tca.experiments.records.versions import differences, environment
from tca.experiments.training.train import train

__all__ = ["Verification", "verify"]

MOST = 5  # differences that are named


@dataclass(frozen=True)
class Verification:
    """The outcome of a verification.

    Args:
        measurements: Number of measurements compared.
        tensors: Number of tensors compared, of network and rule.
        different: What differs, in the order of the training; empty for the same bits.
        environment: How versions, commit and threads differ from those of the record, empty if they do not.
    """

    measurements: int
    tensors: int
    different: tuple[str, ...]
    environment: str

    @property
    def same(self) -> bool:
        """Whether all bits are the same."""
        return not self.different


def verify(folder: str | Path, *, trusted: bool = False, progress: bool = True) -> Verification:
    """Train the run of a finished record again, in memory, and compare measurements, weights and outcome.

    With as many threads as the record names. Times are not compared, nor values of observers that a script gave. On
    the CPU the bits are the same for the same versions; a GPU may round differently.

    Args:
        folder: The record.
        trusted: Whether modules outside of the library that the record names may be imported, default no.
        progress: Whether to show a progress bar, default yes.

    Raises:
        RecordError: There is no finished record, it is damaged, or it names a module that may not be imported.
    """
    found = look(folder)
    there = records.read(folder, trusted=trusted)
    made_with = found.made_with[-1]
    with _threads(made_with.get("threads")):
        changed = differences(made_with, environment())
        here = train(there.run, progress=progress)
    pairs = list(_tensors(there, here))
    different = [*_measurements(there, here), *(name for name, same in pairs if not same)]
    return Verification(len(there.metrics), len(pairs), tuple(different), changed)


@contextlib.contextmanager
def _threads(number: object) -> Iterator[None]:
    before = torch.get_num_threads()
    if isinstance(number, int) and 1 <= number <= 1024:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _measurements(there: Result, here: Result) -> Iterator[str]:
    """Yield what differs in outcome and measurements."""
    for name in ("outcome", "step", "reason"):
        one, other = getattr(there, name), getattr(here, name)
        if one != other:
            yield f"{name} was {one!r} and is {other!r}"
    if len(there.metrics) != len(here.metrics):
        yield f"there were {len(there.metrics)} measurements and are {len(here.metrics)}"
    for one, other in zip(there.metrics, here.metrics, strict=False):
        for name in ("step", "train_loss", "train_accuracy", "test_loss", "test_accuracy"):
            before, now = getattr(one, name), getattr(other, name)
            if before != now and not (before != before and now != now):
                yield f"{name} after {one.step} updates was {before!r} and is {now!r}"
        yield from _observed(one, other)


def _observed(there: Metrics, here: Metrics) -> Iterator[str]:
    """Yield which values of callbacks differ; those of an observer are missing now."""
    for name, now in here.observed.items():
        before = there.observed.get(name)
        if before != now and not (before != before and now != now):
            yield f"{name} after {there.step} updates was {before!r} and is {now!r}"


def _tensors(there: Result, here: Result) -> Iterator[tuple[str, bool]]:
    """Yield the name of every tensor of network and rule, and whether it is the same."""
    for what, one, other in (("network", there.net, here.net), ("rule", there.learner, here.learner)):
        before, now = one.state_dict(), other.state_dict()
        for name in dict.fromkeys([*before, *now]):
            same = name in before and name in now and _same(before[name], now[name])
            yield f"{name} of the {what}", same


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether two tensors have the same bits, NaN included."""
    one, other = one.detach().cpu(), other.detach().cpu()
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(*(each.contiguous().reshape(-1).view(torch.uint8) for each in (one, other)))
