"""`tca.check_task`: tasks of the library pass, and a task with one mistake fails in the line that names it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

import tasks
import tca
from tasks.native.delayed_xor import DelayedXor
from tasks.task_check import CHECKS
from tasks.trials import TrialSet

NAMES = [*sorted(tasks.NATIVE), "images", "sequential_images", "PerceptualDecisionMaking-v0", "DelayMatchSample-v0"]


@pytest.mark.thirds
@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_spikes")])
def test_tasks_of_the_library_pass(name: str) -> None:
    report = tca.check_task(name)
    assert report, str(report)
    assert [each.name for each in report.lines] == list(CHECKS)


@dataclass(frozen=True)
class Wrong(DelayedXor):
    """A task with one mistake."""

    mistake: str = ""

    @property
    def chance(self) -> float:
        return 0.2 if self.mistake == "chance" else super().chance

    def accuracy(self, outputs: Tensor, batch: tca.Batch) -> float:
        return super().accuracy(outputs, batch) * (0.9 if self.mistake == "accuracy" else 1)

    def draw(self, trials: int, generator: torch.Generator) -> tca.Batch:
        if self.mistake == "global":
            generator = torch.Generator().manual_seed(int(torch.randint(1 << 30, ())))
        batch = super().draw(trials, generator)
        if self.mistake == "sizes":
            return replace(batch, inputs=batch.inputs[..., :-1])
        if self.mistake == "weights":
            return replace(batch, weights=2 * batch.weights)
        if self.mistake == "finite":
            batch.inputs[0, 0, 0] = torch.inf
        return batch

    def split(self, n_train: int, n_test: int, seed: int) -> tuple[TrialSet, TrialSet]:
        train, test = super().split(n_train, n_test, seed)
        return (train, train) if self.mistake == "leak" else (train, test)

    def stream(self, batch_size: int, seed: int, start: int = 0) -> Iterator[tca.Batch]:
        return super().stream(batch_size, seed, 0 if self.mistake == "stream" else start)


WRONG = {
    "sizes": ("sizes and targets", "inputs"),
    "finite": ("finite numbers", "inputs must be finite"),
    "weights": ("weights of a trial", "must sum to 1, got 2"),
    "global": ("seeds", "equal seeds must give equal bits"),
    "leak": ("sets share no draw", "training and test trials must differ, and are equal"),
    "stream": ("streams resume", r"stream\(start=2\) must begin with batch 2 of the stream"),
    "accuracy": ("right answers", "must have the accuracy 1, got 0.9"),
    "chance": ("chance", "declared as 0.2, and a constant answer has 0.5"),
}


@pytest.mark.parametrize(("mistake", "line", "words"), [(name, *each) for name, each in WRONG.items()])
def test_a_mistake_fails_in_its_line(mistake: str, line: str, words: str) -> None:
    report = tca.check_task(Wrong(mistake=mistake))
    failed = [each for each in report.failures if each.name == line]
    assert failed, str(report)
    with pytest.raises(ValueError, match=words):
        replace(report, lines=tuple(failed)).require()


def test_every_line_can_fail_and_a_right_task_passes() -> None:
    assert [line for line, _ in WRONG.values()] == list(CHECKS)
    assert tca.check_task(Wrong())


@pytest.mark.parametrize(
    ("task", "error", "words"),
    [
        ("flip_flap", ValueError, "did you mean 'flip_flop'"),
        (3, TypeError, "task must be"),
        ("flip_flop", ValueError, ""),
    ],
)
def test_arguments_are_checked(task: Any, error: type[Exception], words: str) -> None:
    if not words:
        with pytest.raises(ValueError, match="trials must be at least 1"):
            tca.check_task(task, trials=0)
        return
    with pytest.raises(error, match=words):
        tca.check_task(task)
