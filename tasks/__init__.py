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

from tasks.control.control_ids import CONTROL
from tasks.images import Images, ImageTask
from tasks.images.sequential_images import SequentialImages
from tasks.native.adding_problem import AddingProblem
from tasks.native.anbn import AnBn
from tasks.native.center_out_reach import CenterOutReach
from tasks.native.context_decision import ContextDecision
from tasks.native.context_integration import ContextIntegration
from tasks.native.copy_memory import CopyMemory
from tasks.native.delayed_match import DelayedMatch
from tasks.native.delayed_match_spikes import DelayedMatchSpikes
from tasks.native.delayed_xor import DelayedXor
from tasks.native.evidence_accumulation import EvidenceAccumulation
from tasks.native.evidence_accumulation_spikes import EvidenceAccumulationSpikes
from tasks.native.flip_flop import FlipFlop
from tasks.native.pattern_generation import PatternGeneration
from tasks.native.pattern_generation_spikes import PatternGenerationSpikes
from tasks.native.perceptual_decision import PerceptualDecision
from tasks.native.rotation import Rotation
from tasks.native.sequential_digits import SequentialDigits
from tasks.neurogym.neurogym_ids import CAVEATS, SUPERVISED
from tasks.neurogym.neurogym_task import NeurogymTask
from tasks.own.array_trials import from_arrays, from_dataset
from tasks.own.fixed_task import FixedTask
from tasks.own.registry import REGISTERED, Factory, as_task, is_trial_source
from tasks.task import Task
from tasks.trials import TrialSet
from tca.utils.checks import checked
from tca.utils.class_paths import is_import_path, resolved
from tca.utils.names import lookup, shorten, unknown

__all__ = [
    "CAVEATS",
    "CONTROL",
    "IMAGES",
    "NATIVE",
    "FixedTask",
    "Task",
    "TrialSet",
    "describe",
    "from_arrays",
    "from_dataset",
    "images",
    "list",
    "make",
    "register",
    "sequential_images",
]

NATIVE: dict[str, type[Task]] = {
    "adding_problem": AddingProblem,
    "anbn": AnBn,
    "center_out_reach": CenterOutReach,
    "context_decision": ContextDecision,
    "context_integration": ContextIntegration,
    "copy_memory": CopyMemory,
    "delayed_match": DelayedMatch,
    "delayed_match_spikes": DelayedMatchSpikes,
    "delayed_xor": DelayedXor,
    "evidence_accumulation": EvidenceAccumulation,
    "evidence_accumulation_spikes": EvidenceAccumulationSpikes,
    "flip_flop": FlipFlop,
    "pattern_generation": PatternGeneration,
    "pattern_generation_spikes": PatternGenerationSpikes,
    "perceptual_decision": PerceptualDecision,
    "rotation": Rotation,
    "sequential_digits": SequentialDigits,
}
IMAGES: dict[str, type[ImageTask]] = {"images": Images, "sequential_images": SequentialImages}
"""Tasks of an image set, named by their option ``name``."""

_CLASSES: dict[str, type[Task]] = {**NATIVE, **IMAGES}


def list() -> builtins.list[str]:
    """Return the names of native, image and registered tasks, neurogym ids with targets, and gymnasium ids of control.

    >>> "flip_flop" in list(), "images" in list(), "DelayMatchSample-v0" in list(), "CartPole-v1" in list()
    (True, True, True, True)
    """
    return [*sorted(NATIVE), *sorted(IMAGES), *sorted(REGISTERED), *sorted(SUPERVISED), *sorted(CONTROL)]


@checked
def register(name: str, factory: str | Factory) -> None:
    """Add a task under a name, for `make`, runs, sweeps and comparisons of this process.

    Records of runs have the import path of the factory in place of the name, so that other processes can read them.

    Args:
        name: The name; letters, digits, ``_`` and ``-``.
        factory: A `Task` class, or a function that returns a source of trials (a `Task`, a set of trials, a dataset
            or an environment), with the options of the task as arguments; or its import path, ``"my_module:MyTask"``.

    Raises:
        ValueError: The name is that of a task of the library, or not allowed, or the factory is no import path.

    >>> register("short_xor", lambda: DelayedXor(delay=100.0))
    >>> make("short_xor").delay, REGISTERED.pop("short_xor") is not None
    (100.0, True)
    """
    if not name.replace("_", "a").replace("-", "a").isalnum():
        raise ValueError(f"name must consist of letters, digits, _ and -, got {name!r}")
    if name in _CLASSES or name in SUPERVISED or name in CONTROL:
        raise ValueError(f"name must not be that of a task of the library, got {name!r}")
    if isinstance(factory, str) and not is_import_path(factory):
        raise ValueError(f"factory must be a class, a function or an import path, got {shorten(factory)}")
    REGISTERED[name] = factory


@checked
def describe(name: str) -> str:
    """Return the description of a task in one line.

    Raises:
        ValueError: The name is unknown; the message offers the nearest.

    >>> describe("flip_flop")
    'Flip-flop memory: each output holds the sign of the last pulse on its own channel.'
    """
    found = lookup({**REGISTERED, **_CLASSES, **SUPERVISED, **CONTROL}, name, "task")
    text = (
        found if name in SUPERVISED or name in CONTROL else inspect.getdoc(found) or f"A task of the user, {found!r}."
    )
    return str(text).partition("\n")[0]


@checked
def make(name: Any, /, **options: Any) -> Task:
    """Return a task.

    Args:
        name: A name from `list`; the id of an environment of neurogym with ground truth, or of gymnasium; an import
            path such as ``"my_module:MyTask"``; or an object: a `Task` or a class of it, a set of trials, a pair of
            them (to train and to test on), a dataset of torch, or an environment with ground truth.
        options: The fields of the class of the task, or the arguments of a factory or environment; of fixed trials
            those of `FixedTask`. All have ``dt``, the time step in ms.

    Raises:
        ValueError: Task or option is unknown (the message offers the nearest), or an option is not allowed.
        TypeError: An option has a wrong type, or an object yields no trials.

    >>> make("delayed_xor", delay=1000, noise=0.0)
    DelayedXor(dt=50.0, pulse=250.0, delay=1000.0, wait=250.0, decision=150.0, noise=0.0)
    """
    if not isinstance(name, str):
        if not is_trial_source(name):
            raise TypeError(f"name must be a string or an object that yields trials, got {shorten(name)}")
        return as_task(name, options, f"a task of type {type(name).__name__}")
    if name in _CLASSES:
        allowed = [option.name for option in dataclasses.fields(_CLASSES[name])]  # type: ignore[arg-type]
        for option in options:
            if option not in allowed:
                raise unknown(option, allowed, f"option of {name}")
        return _CLASSES[name](**options)
    source = REGISTERED.get(name, name)
    if source == name and (name in SUPERVISED or (re.search(r"-v\d+$", name) and _is_registered(name))):
        given = tuple(sorted(options.items()))
        return _control(name, given) if name not in SUPERVISED and _is_control(name) else NeurogymTask(name, given)
    if isinstance(source, str) and is_import_path(source):
        source = resolved(source, "task", trusted=True)
    if isinstance(source, str):
        raise unknown(name, list(), "task")
    return as_task(source, options, f"task {name!r}")


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


def _is_control(name: str) -> bool:
    from tasks.control.control_task import is_control

    return is_control(name)


def _control(name: str, options: tuple[tuple[str, Any], ...]) -> Task:
    from tasks.control.control_task import ControlTask

    return ControlTask(name, options)


def _is_registered(name: str) -> bool:
    from tasks.neurogym.neurogym_environment import entry_points

    return name in entry_points()
