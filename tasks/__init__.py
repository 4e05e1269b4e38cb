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

from tasks.images import Images, ImageTask
from tasks.images.sequential_images import SequentialImages
from tasks.native.context_decision import ContextDecision
from tasks.native.delayed_match import DelayedMatch
from tasks.native.delayed_match_spikes import DelayedMatchSpikes
from tasks.native.delayed_xor import DelayedXor
from tasks.native.evidence_accumulation import EvidenceAccumulation
from tasks.native.evidence_accumulation_spikes import EvidenceAccumulationSpikes
from tasks.native.flip_flop import FlipFlop
from tasks.native.pattern_generation import PatternGeneration
from tasks.native.pattern_generation_spikes import PatternGenerationSpikes
from tasks.native.perceptual_decision import PerceptualDecision
from tasks.native.sequential_digits import SequentialDigits
from tasks.neurogym.neurogym_ids import SUPERVISED
from tasks.neurogym.neurogym_task import NeurogymTask
from tasks.task import Task
from tasks.trials import TrialSet
from tca.utils.checks import checked
from tca.utils.names import lookup, unknown

__all__ = ["IMAGES", "NATIVE", "Task", "TrialSet", "describe", "images", "list", "make", "sequential_images"]

NATIVE: dict[str, type[Task]] = {
    "context_decision": ContextDecision,
    "delayed_match": DelayedMatch,
    "delayed_match_spikes": DelayedMatchSpikes,
    "delayed_xor": DelayedXor,
    "evidence_accumulation": EvidenceAccumulation,
    "evidence_accumulation_spikes": EvidenceAccumulationSpikes,
    "flip_flop": FlipFlop,
    "pattern_generation": PatternGeneration,
    "pattern_generation_spikes": PatternGenerationSpikes,
    "perceptual_decision": PerceptualDecision,
    "sequential_digits": SequentialDigits,
}
IMAGES: dict[str, type[ImageTask]] = {"images": Images, "sequential_images": SequentialImages}
"""Tasks of an image set, named by their option ``name``."""

_CLASSES: dict[str, type[Task]] = {**NATIVE, **IMAGES}


def list() -> builtins.list[str]:
    """Return the names of native tasks, image tasks, and neurogym ids that can be supervised.

    >>> "flip_flop" in list(), "images" in list(), "DelayMatchSample-v0" in list()
    (True, True, True)
    """
    return [*sorted(NATIVE), *sorted(IMAGES), *sorted(SUPERVISED)]


@checked
def describe(name: str) -> str:
    """Return the description of a task in one line.

    Raises:
        ValueError: The name is unknown; the message offers the nearest.

    >>> describe("flip_flop")
    'Flip-flop memory: each output holds the sign of the last pulse on its own channel.'
    """
    natives = {native: (inspect.getdoc(task) or "").partition("\n")[0] for native, task in _CLASSES.items()}
    return lookup(natives | SUPERVISED, name, "task")


@checked
def make(name: str, /, **options: Any) -> Task:
    """Return a task.

    Args:
        name: A name from `list`, or any neurogym id that can be supervised.
        options: The fields of the class of a native or image task, or the arguments of a neurogym environment, in each
            case with ``dt``, the time step in ms.

    Raises:
        ValueError: Task or option is unknown (the message offers the nearest), or an option is not allowed.

    >>> make("delayed_xor", delay=1000, noise=0.0)
    DelayedXor(dt=50.0, pulse=250.0, delay=1000.0, wait=250.0, decision=150.0, noise=0.0)
    """
    if not isinstance(name, str):
        raise unknown(name, list(), "task")
    if name in _CLASSES:
        allowed = [option.name for option in dataclasses.fields(_CLASSES[name])]  # type: ignore[arg-type]
        for option in options:
            if option not in allowed:
                raise unknown(option, allowed, f"option of {name}")
        return _CLASSES[name](**options)
    if name in SUPERVISED or (re.search(r"-v\d+$", name) and _is_registered(name)):
        return NeurogymTask(name, tuple(sorted(options.items())))
    raise unknown(name, list(), "task")


@checked
def images(name: str = "digits", /, **options: Any) -> Images:
    """Return a set of images as a task, decoded at the first use.

    Args:
        name: ``"digits"`` (default), ``"mnist"``, ``"fashion_mnist"``, ``"cifar10"``, ``"cifar100"``,
            ``"tiny_imagenet"``, or the name of a folder of parquet files.
        options: Further fields of ``Images``, a class in `tasks.images`.

    Raises:
        ValueError: Set or option is unknown (the message offers the nearest), or an option is not allowed.
        FileNotFoundError: The set is missing; the message names the command that fetches it.
        ImportError: A library is missing; the message names it.

    >>> task = images("digits", normalise="centred")
    >>> task.shape, task.n_out, task.pool_sizes
    ((1, 8, 8), 10, {'train': 1198, 'validation': 0, 'test': 599})
    """
    task = make("images", name=name, **options)
    assert isinstance(task, Images)
    _ = task.data
    return task


@checked
def sequential_images(name: str = "digits", /, **options: Any) -> SequentialImages:
    """Return a set of images as sequences, as a task; see `images`.

    Args:
        name: As of `images`.
        options: Further fields of ``SequentialImages``, a class in `tasks.images.sequential_images`.

    Raises:
        ValueError: Set or option is unknown (the message offers the nearest), or an option is not allowed.
        FileNotFoundError: The set is missing; the message names the command that fetches it.
        ImportError: A library is missing; the message names it.

    >>> sequential_images("digits", by="pixels").split(n_train=100, n_test=50, seed=0)[0]
    ImageTrials(trials=100, steps=64, inputs=1, loss=CrossEntropy())
    """
    task = make("sequential_images", name=name, **options)
    assert isinstance(task, SequentialImages)
    _ = task.data
    return task


def _is_registered(name: str) -> bool:
    from tasks.neurogym.neurogym_environment import registered

    return name in registered()
