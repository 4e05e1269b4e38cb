"""Networks and problems on which every rule is tried, built twice: for the library and for the oracle.

Shapes: T time, B batch, N recurrent units, O outputs. Everything is float64 unless a test converts it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tests.support.oracle import Model, Problem, Weights

DT = 10.0


TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "mse": lambda drawn: drawn,
    "cross_entropy": lambda drawn: drawn.argmax(-1),
    "logistic": torch.sigmoid,
    "smoothed_cross_entropy": lambda drawn: drawn.argmax(-1),
    "focal": lambda drawn: drawn.argmax(-1),
    "brier": lambda drawn: drawn.argmax(-1),
    "kullback_leibler": lambda drawn: drawn.softmax(-1),
    "itakura_saito": torch.exp,
    "poisson": lambda drawn: drawn.exp().round(),
    "gamma": torch.exp,
    "gaussian_nll": lambda drawn: drawn[..., : drawn.shape[-1] // 2],
    "hinge": lambda drawn: drawn.argmax(-1),
    "absolute_error": lambda drawn: drawn,
}
"""Targets that a loss takes, made of normal numbers ``(T, B, O)``."""


def tau(leak: float) -> float:
    """Time constant in ms of a leak per step of ``exp(-DT / tau)``; infinitely fast for zero."""
    return -DT / math.log(leak) if leak else 1e-3


def mask(seed: int, *shape: int) -> Tensor:
    """Zeros and ones, two thirds of them ones."""
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < 2 / 3).double()


@dataclass(frozen=True, eq=False)
class Case:
    """A network and a problem.

    ``leak`` is per step, one number or one for every cell; ``options`` go to the network as they are.
    """

    name: str
    form: str = "A"
    activation: str = "tanh"
    leak: float | tuple[float, ...] = 0.6
    readout_leak: float = 0.0
    loss: str = "mse"
    sizes: tuple[int, int, int] = (3, 6, 2)
    steps: int = 12
    trials: int = 3
    seed: int = 0
    convention: str = "exponential"
    options: Mapping[str, Any] = field(default_factory=dict)
    plain: bool = False

    def __str__(self) -> str:
        """Return the name, which pytest shows."""
        return self.name

    def _normal(self, salt: int, *shape: int) -> Tensor:
        return torch.randn(
            *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1000 * self.seed + salt)
        )

    def leaks(self) -> Tensor:
        """Leak of every cell per step, float64."""
        return torch.as_tensor(self.leak, dtype=torch.float64).expand(self.sizes[1]).clone()

    def net(self, dtype: torch.dtype = torch.float64, **changes: Any) -> Any:
        """Return the library's network with the weights of the case."""
        n_in, n_rec, n_out = self.sizes
        each = [self.leak] if isinstance(self.leak, float) else list(self.leak)
        time_constants = [tau(leak) if self.convention == "exponential" else DT / (1 - leak) for leak in each]
        settings: dict[str, Any] = {
            "form": self.form,
            "activation": self.activation,
            "leak": self.convention,
            "dt": DT,
            "tau": time_constants[0] if isinstance(self.leak, float) else time_constants,
            "readout_tau": tau(self.readout_leak) if self.readout_leak else None,
            "dtype": dtype,
        }
        net = tca.nets.LeakyRNN(n_in, n_rec, n_out, **settings | dict(self.options) | changes)
        values = self.values()
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.copy_(values[name])
        net.project_()
        return net

    def values(self) -> Weights:
        """Return random weights of the usual sizes, for every parameter a network of the case may have."""
        n_in, n_rec, n_out = self.sizes
        return {
            "w_in": self._normal(1, n_rec, n_in) / math.sqrt(n_in),
            "w_rec": self._normal(2, n_rec, n_rec) * 1.2 / math.sqrt(n_rec),
            "b": self._normal(3, n_rec) * 0.1,
            "w_out": self._normal(4, n_out, n_rec) / math.sqrt(n_rec),
            "b_out": self._normal(5, n_out) * 0.1,
            "s_0": self._normal(6, n_rec) * 0.3,
        }

    def batch(self) -> tca.Batch:
        """Return the trials of the case; unless ``plain``, weights differ and some steps weigh nothing."""
        n_in, _, n_out = self.sizes
        targets = TARGETS[self.loss](self._normal(8, self.steps, self.trials, n_out))
        weights = torch.full((self.steps, self.trials), float(self.trials), dtype=torch.float64)
        if not self.plain:
            weights = self._normal(9, self.steps, self.trials).relu() + 0.1 * mask(self.seed, self.steps, self.trials)
            weights[-1] += 0.5
        return tca.Batch(self._normal(7, self.steps, self.trials, n_in), targets, weights, tca.losses.LOSSES[self.loss])

    def model(self) -> Model:
        """Return the oracle's network, of which the library knows nothing."""
        names = {"mask_in": "w_in", "mask_rec": "w_rec", "mask_out": "w_out"}
        masks = {
            name: torch.as_tensor(self.options[key]).double() for key, name in names.items() if key in self.options
        }
        if not self.options.get("autapses", True):
            n_rec = self.sizes[1]
            masks["w_rec"] = masks.get("w_rec", torch.ones(n_rec, n_rec).double()) * (1 - torch.eye(n_rec).double())
        types = self.options.get("cell_types", torch.zeros(self.sizes[1]))
        return Model(self.form, self.activation, self.leaks(), self.readout_leak, masks, tuple(types.int().tolist()))

    def problem(self) -> Problem:
        """Return the trials in the words of the oracle."""
        batch = self.batch()
        return Problem(batch.inputs, batch.targets, batch.weights, self.loss)


def weights_of(net: Any) -> Weights:
    """Return copies of a network's parameters."""
    return {name: parameter.detach().clone() for name, parameter in net.named_parameters()}


F1 = Case("F1", plain=True, options={"learn_initial": True}, trials=2)
F2 = Case("F2", form="B", sizes=(2, 4, 2), steps=4, trials=2, plain=True)
SLOW_AND_FAST = (0.2, 0.9, 0.5, 0.5, 0.2, 0.8)
TYPES = torch.tensor([0, 2, 1, 0, 1, 0])

CASES = [
    F1,
    Case("A-relu-filtered", activation="relu", leak=SLOW_AND_FAST, readout_leak=0.7, loss="cross_entropy", seed=1,
         options={"cell_types": TYPES}),
    Case("A-softplus-initial", activation="softplus", loss="logistic", seed=2, convention="euler",
         options={"learn_initial": True, "autapses": False}),
    Case("A-rectified-masked", activation="rectified_tanh", loss="cross_entropy", seed=3, leak=0.3, sizes=(3, 6, 3),
         options={"mask_in": mask(1, 6, 3), "mask_rec": mask(2, 6, 6), "mask_out": mask(3, 3, 6), "cell_types": TYPES}),
    Case("A-linear", activation="linear", seed=4, leak=0.8, readout_leak=0.5, options={"learn_initial": True}),
    Case("B-tanh", form="B", leak=0.7, loss="cross_entropy", seed=5, sizes=(2, 5, 3)),
    Case("B-relu-masked", form="B", activation="relu", leak=SLOW_AND_FAST, loss="logistic", seed=6,
         options={"mask_in": mask(4, 6, 3), "mask_rec": mask(5, 6, 6), "mask_out": mask(6, 2, 6), "autapses": False,
                  "cell_types": TYPES, "dale": (1, -1, 0)}),
    Case("B-softplus-filtered", form="B", activation="softplus", readout_leak=0.6, seed=7,
         options={"learn_initial": True, "cell_types": TYPES}),
    Case("B-rectified", form="B", activation="rectified_tanh", leak=SLOW_AND_FAST, seed=8, convention="euler",
         options={"learn_initial": True}),
    Case("B-linear", form="B", activation="linear", leak=0.5, loss="logistic", seed=9),
    Case("A-tiny", sizes=(1, 1, 1), steps=1, trials=1, seed=10, options={"learn_initial": True}),
    Case("B-tiny", form="B", sizes=(1, 1, 1), steps=1, trials=1, seed=11, readout_leak=0.5),
]  # fmt: skip


def some_cases(parts: Iterable[Any], count: int) -> pytest.MarkDecorator:
    """Give each part ``count`` cases apart from one another, and the next part those beside them: each case in turn."""
    apart = len(CASES) // count
    places = [(part, (place + step * apart) % len(CASES)) for place, part in enumerate(parts) for step in range(count)]
    pairs = [pytest.param(CASES[place], part, id=f"{part}-{CASES[place]}") for part, place in places]
    return pytest.mark.parametrize(("case", "part"), pairs)


LOSS_CASES = [
    Case(f"{name}-{form}", form=form, loss=name, sizes=(2, 4, 4), steps=5, trials=2, seed=20 + seed,
         readout_leak=0.5 * (seed % 2))
    for seed, (name, form) in enumerate(zip(TARGETS, "AB" * len(TARGETS), strict=False))
]  # fmt: skip
"""One network for every loss; a rule meets a loss in its score alone, so these are not tried with all of them."""
