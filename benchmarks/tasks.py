"""Trials a second: native tasks against neurogym's own trial loop for the same paradigm, on one thread.

Run ``python -m benchmarks.tasks`` from the root. Times are process time, the least of several repeats. The neurogym
loop is ``new_trial`` and a copy of the observations and the ground truth, without the padding, masks and weights that
the native draw includes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

import tasks
from tasks.neurogym.neurogym_environment import SupervisedEnvironment
from tasks.seeds import generator
from tasks.task import DrawnTask


@dataclass(frozen=True)
class Pair:
    """A native task and the neurogym environment with the same periods."""

    native: str
    native_options: Mapping[str, Any]
    neurogym: str
    neurogym_options: Mapping[str, Any] = field(default_factory=dict)


PAIRS = (
    Pair("perceptual_decision", {}, "PerceptualDecisionMaking-v0"),
    Pair("delayed_match", {}, "DelayMatchSample-v0"),
    Pair("context_decision", {}, "ContextDecisionMaking-v0", {"use_expl_context": True}),
    Pair("evidence_accumulation", {"dt": 10.0, "noise": 0.0}, "PulseDecisionMaking-v0"),
)

DRAWS = 40


@dataclass(frozen=True)
class Row:
    """Trials a second of one pair."""

    pair: Pair
    native: float
    neurogym: float

    @property
    def ratio(self) -> float:
        """How many times faster the native task is."""
        return self.native / self.neurogym


def trials_per_second(draw: Callable[[int], object], trials: int, repeats: int) -> float:
    """Return the best rate of several repeats, by process time."""
    draw(max(1, trials // 10))
    least = math.inf
    for _ in range(repeats):
        start = time.process_time()
        draw(trials)
        least = min(least, time.process_time() - start)
    return trials / least


def measure(pair: Pair, trials: int, repeats: int) -> Row:
    """Return the rates of a pair, in draws of the same size; the native task repeats its own to be timed as well."""
    task = tasks.make(pair.native, **pair.native_options)
    assert isinstance(task, DrawnTask)
    source = generator(0)
    environment = SupervisedEnvironment(pair.neurogym, pair.neurogym_options)
    native = trials_per_second(lambda count: [task.draw(count, source) for _ in range(DRAWS)], trials, repeats)
    return Row(pair, DRAWS * native, trials_per_second(lambda count: environment.draw(count, source), trials, repeats))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Trials a second: native tasks against neurogym, one thread.")
    parser.add_argument("--trials", type=int, default=700, help="trials a draw")
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print("| native | trials/s | neurogym | trials/s | ratio |")
    print("| --- | ---: | --- | ---: | ---: |")
    for pair in PAIRS:
        row = measure(pair, chosen.trials, chosen.repeats)
        print(f"| {pair.native} | {row.native:,.0f} | {pair.neurogym} | {row.neurogym:,.0f} | {row.ratio:.0f}x |")


if __name__ == "__main__":
    main()
