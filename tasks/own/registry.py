"""Tasks of the user by name, by import path, or as objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch.utils.data import Dataset

from tasks.checksums import first_trials
from tasks.neurogym.neurogym_task import NeurogymTask
from tasks.own.array_trials import from_dataset
from tasks.own.fixed_task import FixedTask
from tasks.own.other_loss import OtherLoss
from tasks.task import Task
from tasks.trials import FixedTrials
from tca.utils.class_paths import check_concrete, import_path
from tca.utils.names import shorten, unknown

__all__ = ["REGISTERED", "as_task", "data_of", "is_trial_source", "path_of", "registered_as"]

Factory = Callable[..., Any]
REGISTERED: dict[str, str | Factory] = {}
"""Import paths or factories of registered tasks by name."""


def path_of(name: Any) -> Any:
    """Return the import path by which another process can build a registered task; other names as they are.

    Args:
        name: Name of a task, or an object.

    Raises:
        ValueError: It is an object, or a factory that cannot be imported; the message gives the remedy.
    """
    if not isinstance(name, str):
        raise ValueError(
            f"a record must name its task, got an object of type {type(name).__name__}: define it in a module and give "
            "its import path, task='my_module:name', or train without a folder"
        )
    factory = REGISTERED.get(name, name)
    if isinstance(factory, str):
        return factory
    path = _importable(factory)
    if not path:
        raise ValueError(
            f"a record must name its task, but the factory of {name!r} cannot be imported: define it at the top of a "
            "module and register that, or its import path"
        )
    return path


def registered_as(path: str) -> str:
    """Return the name under which the factory of an import path is registered, else the path.

    Args:
        path: The import path.
    """
    names = [name for name, factory in REGISTERED.items() if _importable(factory) == path]
    return names[0] if names else path


def as_task(source: Any, options: Mapping[str, Any], what: str) -> Task:
    """Return a source of trials as a task.

    Args:
        source: A `Task` or a class of it, a set of trials, two of them (to train and to test on), a dataset of torch,
            an environment with ground truth or its class, or a function that returns one of these.
        options: Options of the task; of a set of trials those of `FixedTask`.
        what: Name of the source, for the message.

    Raises:
        ValueError: An option is unknown or missing, or a class lacks methods.
        TypeError: The source yields no trials.
    """
    if isinstance(source, Task):
        if options:
            raise ValueError(f"task_options must be empty for {what}, a task that has its options, got {dict(options)}")
        return source
    if _is_environment(source):
        return NeurogymTask(source, tuple(sorted(options.items())))
    if isinstance(source, Dataset) and not isinstance(source, FixedTrials):
        source = from_dataset(source)
    sets = source if isinstance(source, tuple) else (source,)
    if all(isinstance(each, FixedTrials) for each in sets) and len(sets) in (1, 2):
        for option in options:
            if option not in ("dt", "classes"):
                raise unknown(option, ("dt", "classes"), f"option of {what}")
        return FixedTask(*sets, **options)
    if issubclass(source, (Task, Dataset, tuple)) if isinstance(source, type) else callable(source):
        if isinstance(source, type):
            check_concrete(source, "task")
        allowed = inspect.signature(source).parameters
        if not any(each.kind is each.VAR_KEYWORD for each in allowed.values()):
            for option in options:
                if option not in allowed:
                    raise unknown(option, allowed, f"option of {what}")
        for name, each in allowed.items():
            required = each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
            if required and name not in options:
                raise ValueError(f"{what} needs the option {name!r}, got {sorted(options)}")
        return as_task(source(**options), {}, what)
    raise TypeError(
        "task must be a name, an import path, a Task, a set of trials, a dataset or an environment, "
        f"got {shorten(source)}"
    )


def is_trial_source(value: Any) -> bool:
    """Return whether a value may be a task instead of a name."""
    return isinstance(value, (Task, FixedTrials, Dataset, tuple)) or callable(value) or _is_environment(value)


def data_of(task: Task) -> dict[str, Any]:
    """Return the provenance of the data of a task for a record; of a user's class a checksum of its first trials."""
    if isinstance(task, OtherLoss):
        return data_of(task.task)
    return task.provenance or ({} if type(task).__module__.startswith("tasks.") else first_trials(task))


def _is_environment(source: Any) -> bool:
    """Return whether this is an environment of gymnasium, or its class."""
    kind = source if isinstance(source, type) else type(source)
    return any(each.__module__.partition(".")[0] == "gymnasium" and each.__name__ == "Env" for each in kind.__mro__)


def _importable(factory: Any) -> str:
    """Return the import path of a class or function, ``""`` if it has none."""
    if isinstance(factory, str):
        return factory
    name = getattr(factory, "__qualname__", "<>")
    return "" if "<" in name else import_path(factory)
