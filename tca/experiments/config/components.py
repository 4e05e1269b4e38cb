"""The optimizer and the seeds of a run as values.

They print, compare and hash, can be written as JSON, and build the parts that they describe.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import nn

from tca.experiments.config.light_optimizers import light
from tca.experiments.config.schedules import Schedule, schedule_of
from tca.experiments.config.step_controls import SAM, MatchedStepSize
from tca.utils.checks import Made, NotNegative, Positive, Seed, checked, settle, whole
from tca.utils.class_paths import canonical_path, is_import_path, resolved
from tca.utils.names import lookup, shorten

__all__ = ["Optimizer", "Seeds", "plain"]

UNUSABLE = {"LBFGS": "it evaluates the loss several times a step", "SparseAdam": "it takes sparse gradients only"}


def plain(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of JSON types, tuples as lists, or raise a `TypeError` that names the culprit."""
    try:
        copied = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold finite numbers, strings, lists and dictionaries only: {error}") from error
    return dict(copied)


WAYS = {"fused", "foreach", "capturable", "differentiable"}  # ways of taking an update that exclude one another
FUSED_ON = ("cpu", "cuda")


@functools.cache
def _optimizers() -> dict[str, type[torch.optim.Optimizer]]:
    base = torch.optim.Optimizer
    found = {
        name: each for name, each in vars(torch.optim).items() if isinstance(each, type) and issubclass(each, base)
    }
    return {name: each for name, each in found.items() if each is not base and name not in UNUSABLE}


def _class_of(name: str) -> type[torch.optim.Optimizer]:
    """Return an optimizer of torch by name, or of the user by import path.

    Raises:
        ValueError: There is none, or it cannot be used here.
        TypeError: It is no optimizer.
    """
    if not is_import_path(name):
        if name in UNUSABLE:
            raise ValueError(f"optimizer {name} cannot be used here: {UNUSABLE[name]}")
        return lookup(_optimizers(), name, "optimizer")
    found = resolved(name, "optimizer", trusted=True)
    if not isinstance(found, type) or not issubclass(found, torch.optim.Optimizer):
        raise TypeError(f"optimizer {name!r} must be a class of torch.optim.Optimizer, got {shorten(found)}")
    step = inspect.signature(found.step).parameters.get("closure")
    if step is not None and step.default is step.empty:
        raise ValueError(f"optimizer {name} cannot be used here: its step needs a closure")
    accepted = inspect.signature(found).parameters
    if "lr" not in accepted and not any(each.kind is each.VAR_KEYWORD for each in accepted.values()):
        raise ValueError(f"optimizer {name} must take the learning rate as lr")
    return found


def _name_of(given: str | type) -> str:
    """Return the name of an optimizer of torch, or the import path of another."""
    if isinstance(given, type):
        return given.__name__ if _optimizers().get(given.__name__) is given else canonical_path(given)
    name = given.removeprefix("torch.optim.")
    return canonical_path(name) if is_import_path(name) else name


@checked
@dataclass(frozen=True)
class Optimizer:
    """An optimizer and how gradients are clipped before it.

    Args:
        name: Its name in `torch.optim`, default Adam; or a class of `torch.optim.Optimizer` or its import path,
            ``"my_module:MyOptimizer"``. To resume, it keeps what changes in its ``state_dict``.
        lr: Learning rate, default 1e-3.
        clip: Largest norm of the whole gradient, default 1; none leaves gradients alone.
        options: Its further arguments, default none.
        schedule: How the learning rate changes, default not at all.
        matched: Scale of the recurrent step by the rho of a rule, default none.
        sam: Sharpness-aware minimisation (gradients taken uphill), default none.
        reset_momentum_on_projection: Whether momentum is forgotten where a constraint puts a weight back, see
            `tca.nets.constraints`; default no.
        lr_multipliers: Factors on the learning rate by name of the parameter, for example ``{"w_out": 100.0}``; 0 keeps
            a parameter as it is, and weight decay grows and falls with the rate. Default 1 for every parameter.

    Raises:
        ValueError: There is no such optimizer, it has no such argument, or a number is not positive.

    >>> Optimizer("SGD", lr=0.1, options={"momentum": 0.9}).build(nn.Linear(2, 1)).defaults["momentum"]
    0.9
    >>> result = Optimizer(lr=0.5, lr_multipliers={"bias": 4.0}).build(nn.Linear(2, 1))
    >>> [(group["lr"], [tuple(each.shape) for each in group["params"]]) for group in result.param_groups]
    [(0.5, [(1, 2)]), (2.0, [(1,)])]
    """

    name: Annotated[str, Made(_name_of, type)] = "Adam"
    lr: Positive = 1e-3
    clip: Positive | None = 1.0
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    schedule: Annotated[Schedule, Made(schedule_of)] | None = None
    matched: Annotated[MatchedStepSize, Made(MatchedStepSize, spread=True)] | None = None
    sam: Annotated[SAM, Made(SAM, spread=True)] | None = None
    reset_momentum_on_projection: bool = False
    lr_multipliers: Mapping[str, NotNegative] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the names; `build` checks the values."""
        settle(self, name=_name_of(self.name), options=plain("optimizer options", self.options))
        accepted = inspect.signature(_class_of(self.name)).parameters
        if not any(each.kind is each.VAR_KEYWORD for each in accepted.values()):
            for option in self.options:
                lookup(accepted, option, f"option of {self.name}")

    @checked
    def build(self, net: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of a network's parameters, one group of them for each factor on the learning rate.

        Where PyTorch has a form of it that takes all of an update in one pass, that form is used, unless the options
        choose another: the same numbers but for rounding, in a third to a half of the time. The class is a subclass of
        PyTorch's, see `tca.experiments.config.light_optimizers.light`.

        Raises:
            ValueError: It refuses its arguments, or the network has no parameter that a factor is for.
        """
        known = dict(net.named_parameters())
        for name in self.lr_multipliers:
            lookup(known, name, "parameter with a factor on its learning rate")
        groups: dict[float, list[nn.Parameter]] = {}
        for name, each in known.items():
            groups.setdefault(self.lr_multipliers.get(name, 1.0), []).append(each)
        rates = [{"params": its, "lr": self.lr * factor} for factor, its in groups.items()]
        options = {**self._one_pass(known.values()), **self.options}
        try:
            kind = _class_of(self.name)
            made = light(kind) if kind in _optimizers().values() else kind
            return made(rates, lr=self.lr, **options)  # type: ignore[call-arg]
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"optimizer {self.name} refuses its arguments: {error}") from error

    def _one_pass(self, parameters: Collection[nn.Parameter]) -> dict[str, Any]:
        """Return the option that chooses PyTorch's fused form, empty where there is none or another is given."""
        if is_import_path(self.name):
            return {}
        accepted = inspect.signature(_class_of(self.name)).parameters
        asked = WAYS & self.options.keys()
        flat = all(each.is_contiguous() and each.device.type in FUSED_ON for each in parameters)  # it takes flat memory
        return {"fused": True} if "fused" in accepted and flat and not asked else {}


@checked
@dataclass(frozen=True)
class Seeds:
    """A seed for everything that is drawn, each default 0.

    Args:
        data: Of the trials.
        net: Of the initial weights and the private noise.
        rule: Of the rule's random numbers, for example feedback weights.
        batches: Of the order of the trials.

    Raises:
        ValueError: A seed is negative.
    """

    data: Seed = 0
    net: Seed = 0
    rule: Seed = 0
    batches: Seed = 0

    def __post_init__(self) -> None:
        """Check that they are whole numbers."""
        for name, value in dataclasses.asdict(self).items():
            whole(f"seed of {name}", value, 0)
