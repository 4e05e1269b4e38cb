"""Every public method that takes arguments: what it is tried on and with, or that it is a hook."""

from __future__ import annotations

import importlib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.arguments import MODULES, packages, public
from tests.support.arguments_good import arguments, called
from tests.support.methods_good import METHODS, OBJECTS

# Parts: passes call their methods with what the library made, tapes and tensors of checked trials, often once a step,
# where a check would cost more than the step. Who writes a part defines them, and nobody else calls them.
PARTS = (
    "tca.cells.activations.Activation",
    "tca.cells.cell.Bounds",
    "tca.cells.cell.Cell",
    "tca.eligibilities.eligibility.Eligibility",
    "tca.experiments.config.step_controls.MatchedStepSize",
    "tca.losses.expansions.expansion.Expansion",
    "tca.nets.feedforward.interlayer.InterlayerOperation",
    "tca.nets.feedforward.layers.Layer",
    "tca.nets.recurrent_layer.RecurrentLayer",
    "tca.signals.decorrelation.averages.CorrelationStart",
    "tca.signals.decorrelation.observables.Observable",
    "tca.signals.decorrelation.score_sources.Source",
    "tca.signals.decorrelation.time_lags.Reach",
    "tca.signals.diffusion.fields.propagators.Propagator",
    "tca.signals.diffusion.release.Release",
    "tca.signals.error_centres.Centring",
    "tca.signals.error_diffusion.Routing",
    "tca.signals.feedback_weights.FeedbackWeights",
    "tca.signals.perturbation.trial_reward.Reward",
    "tca.signals.regularisers.activity_regularisers.Regulariser",
    "tca.signals.signal.Signal",
    "tca.tape.weight_estimates.Recurrence",
    "tca.tape.weight_estimates.TypeMeans",
    "tca.tape.weight_estimates.WeightEstimate",
    "tca.utils.noise.NoiseDistribution",
    "tasks.images.augmentation.Augmentation",
    "tasks.images.normalisation.Normalisation",
)
# The same of classes that users call as well, by method.
HOOKS: Mapping[str, tuple[str, ...]] = {
    "tca.experiments.config.callbacks.Watcher": ("restore",),
    "tca.experiments.loggers.logger.Logger": ("writing",),
    "tca.experiments.records.result.Result": ("later",),
    "tca.experiments.sweep.swept_run.Swept": ("of", "from_json"),
    "tca.learner.Learner": ("check_loss",),
    "tca.losses.loss.Likelihood": ("score_covariance", "score_moment"),
    "tca.losses.loss.Loss": ("value", "output_error", "check", "actor", "actor_slope", "critic", "critic_slope"),
    "tca.nets.network.Network": ("record", "record_from", "outputs", "perturbed", "read_out", "replay"),
    "tca.nets.deep_r.RewiredPopulation": ("declare_rewiring",),
    "tca.nets.recurrent.RecurrentPopulation": (
        *("advance", "start", "bound_cell", "cell_noise", "cell_rates", "declare_", "external_drive", "into_cells"),
        *("read_out", "run_cells", "state_of"),
    ),
    "tasks.images.image_task.ImageTask": ("arrange", "targets"),
    "tasks.task.DrawnTask": ("draw",),
    "tasks.trials.FixedTrials": ("part", "lesson", "chosen"),
}
RETURNED = ("tca.online.Stream",)  # classes of what methods return, in no package's list


@dataclass(frozen=True)
class Method:
    """A public method of a public class."""

    owner: str
    """The first public class that has it."""
    name: str
    function: Callable[..., Any]

    def of(self) -> Any:
        """Return it bound to an example of its class, or to the class."""
        kind = OWNERS[self.owner]
        bound = isinstance(inspect.getattr_static(kind, self.name), (classmethod, staticmethod))
        return getattr(kind if bound else example(self.owner), self.name)

    def arguments(self) -> dict[str, Any]:
        """Return arguments that it takes."""
        return {name: make() for name, make in METHODS[self.title].items()}

    @property
    def title(self) -> str:
        return self.function.__qualname__

    def annotations(self) -> dict[str, Any]:
        """Return the arguments that have an annotation, and the annotations."""
        function = inspect.unwrap(self.function)
        own = {name: kind for name, kind in function.__annotations__.items() if name not in ("return", "options")}
        return typing.get_type_hints(
            types.SimpleNamespace(__annotations__=own), function.__globals__, include_extras=True
        )


def example(owner: str) -> Any:
    """Return an object of a public class."""
    if owner in OBJECTS:
        return OBJECTS[owner]()
    return called(OWNERS[owner], arguments(owner, OWNERS[owner]))


def of_path(path: str) -> type:
    """Return the class at an import path."""
    module, _, name = path.rpartition(".")
    found: type = getattr(importlib.import_module(module), name)
    return found


def owners() -> dict[str, type]:
    """Return every public class, results and abstract ones included, by the name under which it is found first."""
    found = {name: kind for name, kind in public().items() if isinstance(kind, type)}
    for module in (*packages(), *MODULES):
        names = importlib.import_module(module)
        for each in getattr(names, "__all__", ()):
            kind = getattr(names, each)
            if isinstance(kind, type) and _own(kind) and kind not in found.values():
                found[f"{module}.{each}"] = kind
    return found | {each: of_path(each) for each in RETURNED}


def _own(value: Any) -> bool:
    return str(value.__module__).partition(".")[0] in ("tca", "tasks", "analysis")


def _functions(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public methods of a class that take arguments."""
    for name in dir(kind):
        each = inspect.getattr_static(kind, name)
        function = each.__func__ if isinstance(each, (classmethod, staticmethod)) else each
        if name.startswith("_") or not inspect.isfunction(function) or not _own(function):
            continue
        alone = inspect.unwrap(function)
        spread = {each.name for each in inspect.signature(alone).parameters.values() if each.kind is each.VAR_KEYWORD}
        if {*alone.__annotations__} - {"return", *spread} and not hasattr(function, "__isabstractmethod__"):
            yield name, function


def hook(kind: type, name: str) -> bool:
    """Return whether a method is called by the library with what it made."""
    bases = {f"{each.__module__}.{each.__qualname__}" for each in kind.__mro__}
    return bool(bases & {*PARTS}) or any(name in HOOKS.get(each, ()) for each in bases)


OWNERS = owners()


def methods() -> dict[str, Method]:
    """Return the methods to be tried, each once, by the class that defines it."""
    found: dict[str, Method] = {}
    for owner, kind in OWNERS.items():
        for name, function in _functions(kind):
            if not hook(kind, name):
                each = Method(owner, name, function)
                found.setdefault(each.title, each)
    return found
