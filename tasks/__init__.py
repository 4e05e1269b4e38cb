"""Tasks: seeded, trial-aligned, masked batches of trials.

>>> import tasks
>>> task = tasks.make("delayed_match", delay=500)
>>> train, test = task.split(n_train=100, n_test=50, seed=0)
>>> train
TrialSet(trials=100, steps=27, inputs=3, loss=CrossEntropy())
"""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import re
from typing import Any

from tasks.context_decision import ContextDecision
from tasks.delayed_match import DelayedMatch
from tasks.delayed_xor import DelayedXor
from tasks.evidence_accumulation import EvidenceAccumulation
from tasks.flip_flop import FlipFlop
from tasks.neurogym_ids import SUPERVISED
from tasks.neurogym_task import NeurogymTask
from tasks.pattern_generation import PatternGeneration
from tasks.perceptual_decision import PerceptualDecision
from tasks.sequential_digits import SequentialDigits
from tasks.task import Task
from tasks.trials import TrialSet
from tca.names import lookup, unknown

__all__ = ["NATIVE", "Task", "TrialSet", "describe", "list", "make"]

NATIVE: dict[str, type[Task]] = {
    "context_decision": ContextDecision,
    "delayed_match": DelayedMatch,
    "delayed_xor": DelayedXor,
    "evidence_accumulation": EvidenceAccumulation,
    "flip_flop": FlipFlop,
    "pattern_generation": PatternGeneration,
    "perceptual_decision": PerceptualDecision,
    "sequential_digits": SequentialDigits,
}


def list() -> builtins.list[str]:
    """Return the names that `make` knows: native tasks first, then the neurogym ids that can be supervised.

    >>> "flip_flop" in list(), "DelayMatchSample-v0" in list()
    (True, True)
    """
    return [*sorted(NATIVE), *sorted(SUPERVISED)]


def describe(name: str) -> str:
    """Return what a task is in one line.

    Args:
        name: A name from `list`.

    Raises:
        ValueError: There is no task of this name; the message offers the nearest.

    >>> describe("flip_flop")
    'Flip-flop memory: each output holds the sign of the last pulse on its own channel, whatever the others do.'
    """
    natives = {native: (inspect.getdoc(task) or "").partition("\n")[0] for native, task in NATIVE.items()}
    return lookup(natives | SUPERVISED, name, "task")


def make(name: str, **options: Any) -> Task:
    """Return a task.

    Args:
        name: A name from `list`, or any neurogym id; one that can not be supervised is refused with the reason.
        options: Of a native task, the fields of its class; of a neurogym task, the arguments of the environment.
            ``dt``, the time step in ms, is one of both.

    Raises:
        ValueError: There is no such task or option (the message offers the nearest), or an option is not allowed.
        TypeError: An option is of a wrong kind.

    >>> make("delayed_xor", delay=1000, noise=0.0)
    DelayedXor(dt=50.0, pulse=250.0, delay=1000.0, wait=250.0, decision=150.0, noise=0.0)
    """
    if not isinstance(name, str):
        raise unknown(name, list(), "task")
    if name in NATIVE:
        allowed = [option.name for option in dataclasses.fields(NATIVE[name])]  # type: ignore[arg-type]
        for option in options:
            if option not in allowed:
                raise unknown(option, allowed, f"option of {name}")
        return NATIVE[name](**options)
    if name in SUPERVISED or (re.search(r"-v\d+$", name) and _is_registered(name)):
        return NeurogymTask(name, tuple(sorted(options.items())))
    raise unknown(name, list(), "task")


def _is_registered(name: str) -> bool:
    from tasks.neurogym_env import registered

    return name in registered()
