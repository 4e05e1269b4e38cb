"""Memory that a rule needs beyond weights, gradients and the batch: growth of the resident set in a process of its own.

``python -m benchmarks.memory RULE CELLS STEPS`` prints bytes. Everything counts that the run makes resident: tensors,
scratch memory of the matrix library, Python objects. Linux only: elsewhere a peak cannot be reset.
"""

from __future__ import annotations

import ctypes
import gc
import re
import subprocess
import sys
from pathlib import Path

import torch

import tca
from benchmarks.problem import make_problem
from benchmarks.timing import one_core

__all__ = ["RESET", "extra_bytes", "measurable", "resident", "run"]

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
ONLINE = "online "


def measurable() -> bool:
    """Return whether this system reports it."""
    return RESET.exists()


def extra_bytes(rule: str, cells: int, steps: int) -> int:
    """Return what a rule needs beyond weights, gradients and batch, measured in a fresh process.

    Args:
        rule: Name of a rule, ``"online "`` before it for step after step.
        cells: Number of cells N.
        steps: Number of steps T.
    """
    command = [sys.executable, "-m", "benchmarks.memory", rule, str(cells), str(steps)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _measure(rule: str, cells: int, steps: int) -> int:
    run(rule, 8, 3)  # code and libraries are loaded
    problem = make_problem(cells, steps)
    net = problem.nets["A"]
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 1.0)  # written, so that it is resident
    learner = tca.Learner(net, tca.RULES[rule.removeprefix(ONLINE)])
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    RESET.write_text("5")  # the peak starts again from here
    before = resident("VmRSS")
    _learn(learner, problem.batch, rule.startswith(ONLINE))
    return resident("VmHWM") - before


def run(rule: str, cells: int, steps: int) -> None:
    """Compute a gradient of a fresh network.

    Args:
        rule: Name of a rule, ``"online "`` before it for step after step.
        cells: Number of cells N.
        steps: Number of steps T.
    """
    problem = make_problem(cells, steps)
    learner = tca.Learner(problem.nets["A"], tca.RULES[rule.removeprefix(ONLINE)])
    _learn(learner, problem.batch, rule.startswith(ONLINE))


def _learn(learner: tca.Learner, batch: tca.Batch, online: bool) -> None:
    if not online:
        learner.backward(batch)
        return
    stream = learner.stream(batch.trials)
    for inputs, targets, weights in zip(batch.inputs, batch.targets, batch.weights, strict=True):
        stream.step(inputs, targets, weights, batch.loss)


def resident(what: str) -> int:
    """Return the resident set of this process in bytes: ``VmRSS`` now, ``VmHWM`` at its peak."""
    found = re.search(rf"{what}:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return 1024 * int(found[1])


if __name__ == "__main__":
    one_core()
    print(_measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
