"""Drawing trials: native tasks against neurogym's own trial loop for the same paradigm, on one thread.

Run ``python -m benchmarks.tasks`` from the root. Times are process time, the least of several repeats. The neurogym
loop is ``new_trial`` and a copy of the observations and the ground truth, without the padding, masks and weights that
the native draw includes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import tasks
from benchmarks.results import Result, add_options, finish, measure
from benchmarks.timing import one_core
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

NATIVE, NEUROGYM = "native task", "trial loop of neurogym"


def draws(pair: Pair, trials: int) -> dict[str, Callable[[], object]]:
    """Return draws of the same size of a pair."""
    task, source = tasks.make(pair.native, **pair.native_options), generator(0)
    assert isinstance(task, DrawnTask)
    environment = SupervisedEnvironment(pair.neurogym, pair.neurogym_options)
    return {NATIVE: lambda: task.draw(trials, source), NEUROGYM: lambda: environment.draw(trials, source)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Trials: native tasks against neurogym's own loop, one thread.")
    parser.add_argument("--trials", type=int, default=700, help="trials a draw (default: %(default)s)")
    add_options(parser, rounds=7, longest=5.0)
    options = parser.parse_args()
    one_core()
    columns = {f"{pair.native}, {pair.neurogym}": partial(draws, pair, options.trials) for pair in PAIRS}
    rows = measure(columns, options.rounds, options.longest)
    finish(Result("tasks", f"Draws of {options.trials} trials", NATIVE, rows), options.save)


if __name__ == "__main__":
    main()
