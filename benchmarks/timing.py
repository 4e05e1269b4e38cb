"""One core, one thread, process time, the least of several rounds in which all contestants take turns."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Mapping

import torch

__all__ = ["Clock", "one_core", "process_seconds", "race"]

TURN = 0.1  # seconds
Clock = Callable[[], float]


def one_core() -> None:
    """Keep this process, and all threads it starts from now on, to one thread on one core.

    XLA starts a pool of threads with any setting, hence the core; the setting precedes the import.
    """
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"


def process_seconds(work: Callable[[], object], clock: Clock = time.process_time) -> float:
    """Return the time of one run, process time unless another clock is given."""
    start = clock()
    work()
    return clock() - start


def race(
    works: Mapping[str, Callable[[], object]], rounds: int, most_seconds: float, clock: Clock = time.process_time
) -> dict[str, float]:
    """Return the least time of each, over rounds in which all take turns, so that a noisy spell hits all.

    A turn is one run, and for short runs as many as fit into it: the first of them finds the caches cold. The garbage
    collector rests meanwhile.

    Args:
        works: What to time; compiled and warm.
        rounds: Number of rounds.
        most_seconds: What one contestant may spend in all; it sits out the rest.
        clock: The clock, by default that of the process.
    """
    least, spent = dict.fromkeys(works, math.inf), dict.fromkeys(works, 0.0)
    for _ in range(rounds):
        gc.collect()
        gc.disable()
        for name, work in works.items():
            turn = 0.0
            while turn < TURN and spent[name] + turn < most_seconds:
                taken = process_seconds(work, clock)
                least[name], turn = min(least[name], taken), turn + taken
            spent[name] += turn
        gc.enable()
    return least
