"""What a run is made of: descriptions of a network, an optimizer and the seeds, as values.

They print, compare and hash, can be written as JSON, and build what they describe.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
from torch import nn

from tca.cells.leaky_cell import FORMS
from tca.experiments.config.schedules import Schedule, schedule_of
from tca.experiments.config.step_controls import SAM, MatchedStepSize
from tca.nets.leaky.leaky_rnn import LeakyRNN
from tca.nets.options import check_types
from tca.utils.arrays import tensor_of
from tca.utils.checks import Made, Named, NotNegative, Positive, Seed, Size, checked, whole
from tca.utils.names import lookup

__all__ = ["Leaky", "Optimizer", "Seeds", "plain", "smallest"]

UNUSABLE = {"LBFGS": "it evaluates the loss several times a step", "SparseAdam": "it takes sparse gradients only"}


def plain(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy made of what JSON knows, tuples as lists, or raise a `TypeError` that names the culprit."""
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


def smallest(*, size: int, types: Sequence[float] | None, **options: Any) -> dict[str, Any]:
    """Return options of a network with as few cells as there are types, so that checking them costs nothing.

    Args:
        size: Number of cells.
        types: Fractions of the cell types, or the type of every cell.
        options: The other options, which do not depend on how many cells there are.

    Raises:
        ValueError: The types are not those of so many cells.

    >>> smallest(size=10**9, types=None, tau=50.0)
    {'n_rec': 1, 'types': None, 'tau': 50.0}
    """
    if types is None:
        return {"n_rec": 1, "types": None, **options}
    given = tensor_of(types)
    if given.is_floating_point():
        check_types(types, 1)
        ends = (given.double().cumsum(0) * size).round()
        kinds = int((ends.diff(prepend=ends.new_zeros(1)) > 0).nonzero().max()) + 1
    else:
        kinds = int(check_types(types, size).max()) + 1
    return {"n_rec": kinds, "types": tuple(range(kinds)), **options}


@checked
@dataclass(frozen=True)
class Leaky:
    """A leaky recurrent network, described; see `tca.nets.LeakyRNN` for the equations.

    Args:
        size: Number of recurrent cells, default 128.
        form: Where the leak acts: ``"A"`` on the potential, ``"B"`` on the rate; ``None`` (default) as the rule of the
            run has it, on the potential if it has neither.
        activation: tanh (default), relu, softplus, rectified_tanh or linear.
        tau: Time constant of the cells in ms, default 100.
        leak: How a time constant becomes a factor per step: exponential (default) or euler.
        noise: Standard deviation of the private noise of a cell's potential while it is trained, default 0.
        readout_tau: Time constant of the readout in ms, default none.
        learn_initial: Whether the initial state is learned, default no.
        autapses: Whether cells may have synapses onto themselves, default yes.
        gain_rec: Standard deviation of the initial recurrent weights times the square root of the in-degree, default 1.
        types: Fractions of the cell types, which add up to one, or the type of every cell; default one type.
        dale: Sign of the recurrent synapses that each type makes, -1, 0 (both) or 1; default both for all.

    Raises:
        ValueError: A value is not allowed.

    >>> Leaky(size=8).build(3, 2, dt=10.0, seed=0).w_rec.shape
    torch.Size([8, 8])
    """

    size: Size = 128
    form: Annotated[str, Named(FORMS)] | None = None
    activation: str = "tanh"
    tau: float = 100.0
    leak: str = "exponential"
    noise: NotNegative = 0.0
    readout_tau: Positive | None = None
    learn_initial: bool = False
    autapses: bool = True
    gain_rec: NotNegative = 1.0
    types: tuple[float, ...] | None = None
    dale: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check what the network itself checks, with one input, one output and one cell of each type."""
        tiny = smallest(**self._options(), size=self.size)
        LeakyRNN(1, n_out=1, **tiny, dt=1e-6, seed=0, dtype=torch.float64)

    @property
    def title(self) -> str:
        """What the network is, in a few words."""
        return f"{self.size} {self.activation} cells with a time constant of {self.tau:g} ms"

    def build(
        self, n_in: int, n_out: int, *, dt: float, seed: int, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> LeakyRNN:
        """Return the network.

        Args:
            n_in: Number of input channels.
            n_out: Number of outputs.
            dt: Duration of a step in ms.
            seed: Seed of the weights and the noise.
            device: Where it lives, default the CPU.
            dtype: Its floating-point type, default ``torch.float32``.
        """
        return LeakyRNN(n_in, self.size, n_out, **self._options(), dt=dt, seed=seed, device=device, dtype=dtype)

    def _options(self) -> dict[str, Any]:
        own = {each.name: getattr(self, each.name) for each in dataclasses.fields(self) if each.name != "size"}
        return own | {"form": self.form or "A"}


@checked
@dataclass(frozen=True)
class Optimizer:
    """An optimizer of `torch.optim` and how gradients are clipped before it.

    Args:
        name: Its name there, default Adam.
        lr: Learning rate, default 1e-3.
        clip: Largest norm of the whole gradient, default 1; none leaves gradients alone.
        options: Its further arguments, default none.
        schedule: How the learning rate changes, default not at all.
        matched: Whether the steps of the recurrent population are scaled by a rule's rho, default not.
        ascent: Whether gradients are taken uphill, so that flat places are preferred, default not.
        reset_momentum_on_projection: Whether momentum is forgotten where a constraint puts a weight back, see
            `tca.nets.constraints`; default no.
        lr_multipliers: Factors on the learning rate by name of the parameter, for example ``{"w_out": 100.0}``; 0 keeps
            a parameter as it is, and weight decay grows and falls with the rate. Default 1 for every parameter.

    Raises:
        ValueError: There is no such optimizer, it has no such argument, or a number is not positive.

    >>> Optimizer("SGD", lr=0.1, options={"momentum": 0.9}).build(nn.Linear(2, 1)).defaults["momentum"]
    0.9
    >>> found = Optimizer(lr=0.5, lr_multipliers={"bias": 4.0}).build(nn.Linear(2, 1))
    >>> [(group["lr"], [tuple(each.shape) for each in group["params"]]) for group in found.param_groups]
    [(0.5, [(1, 2)]), (2.0, [(1,)])]
    """

    name: str = "Adam"
    lr: Positive = 1e-3
    clip: Positive | None = 1.0
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    schedule: Annotated[Schedule, Made(schedule_of)] | None = None
    matched: Annotated[MatchedStepSize, Made(MatchedStepSize, spread=True)] | None = None
    ascent: Annotated[SAM, Made(SAM, spread=True)] | None = None
    reset_momentum_on_projection: bool = False
    lr_multipliers: Mapping[str, NotNegative] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the names; what the optimizer thinks of the values it says when it is built."""
        object.__setattr__(self, "options", plain("optimizer options", self.options))
        if self.name in UNUSABLE:
            raise ValueError(f"optimizer {self.name} cannot be used here: {UNUSABLE[self.name]}")
        accepted = inspect.signature(lookup(_optimizers(), self.name, "optimizer")).parameters
        for option in self.options:
            lookup(accepted, option, f"option of {self.name}")

    def build(self, net: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of a network's parameters, one group of them for each factor on the learning rate.

        Where PyTorch has a form of it that takes all of an update in one pass, that form is used, unless the options
        choose another: the same numbers but for rounding, in a third to a half of the time.

        Args:
            net: The network.

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
            return _optimizers()[self.name](rates, lr=self.lr, **options)  # type: ignore[call-arg]
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"optimizer {self.name} refuses its arguments: {error}") from error

    def _one_pass(self, parameters: Collection[nn.Parameter]) -> dict[str, Any]:
        """Return the option that chooses PyTorch's fused form, nothing where there is none or another is asked for."""
        accepted = inspect.signature(_optimizers()[self.name]).parameters
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
        rule: Of what the rule draws, for example feedback weights.
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
