"""Spiking networks and problems on which every rule is tried, built twice: for the library and for the oracle.

Shapes: T time, B batch, N cells, O outputs. Everything is float64 unless a test converts it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import tca
from tests.support.cases import mask
from tests.support.oracle import Problem, Weights
from tests.support.oracle_spiking import Model


@dataclass(frozen=True, eq=False)
class SpikingCase:
    """A network and a problem; ``options`` go to the network as they are, all times in steps of one ms."""

    name: str
    sizes: tuple[int, int, int] = (4, 6, 2)
    steps: int = 24
    trials: int = 2
    seed: int = 0
    loss: str = "mse"
    tau: float | tuple[float, ...] = 20.0
    tau_adaptation: float | tuple[float, ...] = 200.0
    threshold: float = 0.5
    beta: float | tuple[float, ...] = (0.0, 0.0, 0.0, 1.7, 1.7, 1.7)
    refractory: int = 3
    surrogate_gradient: str = "triangular"
    readout_leak: float = 0.0
    scaled: tuple[bool, bool] = (True, True)
    reset_in_trace: bool = False
    strength: float = 6.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name, which pytest shows."""
        return self.name

    def _normal(self, salt: int, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * self.seed + salt)
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    def _per_cell(self, value: float | tuple[float, ...]) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float64).expand(self.sizes[1]).clone()

    def net(self, dtype: torch.dtype = torch.float64, **changes: Any) -> Any:
        """Return the library's network with the weights of the case."""
        settings: dict[str, Any] = {
            "tau": self.tau,
            "tau_adaptation": self.tau_adaptation,
            "threshold": self.threshold,
            "beta": self.beta,
            "adaptive": 1.0,
            "refractory": float(self.refractory),
            "surrogate_gradient": self.surrogate_gradient,
            "readout_tau": -1 / math.log(self.readout_leak) if self.readout_leak else None,
            "scaled_drive": self.scaled[0],
            "scaled_adaptation": self.scaled[1],
            "reset_in_trace": self.reset_in_trace,
            "dtype": dtype,
        }
        net = tca.nets.SpikingRNN(*self.sizes, **settings | dict(self.options) | changes)
        values = self.values()
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter.copy_(values[name])
        net.project_()
        return net

    def values(self) -> Weights:
        """Return random weights that make cells spike now and then."""
        n_in, n_rec, n_out = self.sizes
        scale = self.strength if self.scaled[0] else self.strength / 20
        return {
            "w_in": self._normal(1, n_rec, n_in) * scale / math.sqrt(n_in),
            "w_rec": self._normal(2, n_rec, n_rec) * scale / math.sqrt(n_rec),
            "b": self._normal(3, n_rec) * 0.1 * scale,
            "w_out": self._normal(4, n_out, n_rec) / math.sqrt(n_rec),
            "b_out": self._normal(5, n_out) * 0.1,
        }

    def batch(self) -> tca.Batch:
        """Return the trials of the case; weights differ and some steps weigh nothing."""
        n_in, _, n_out = self.sizes
        scores = self._normal(8, self.steps, self.trials, n_out)
        targets = {"mse": scores, "cross_entropy": scores.argmax(-1)}[self.loss]
        weights = self._normal(9, self.steps, self.trials).relu() + 0.1 * mask(self.seed, self.steps, self.trials)
        weights[-1] += 0.5
        return tca.Batch(self._normal(7, self.steps, self.trials, n_in), targets, weights, tca.losses.LOSSES[self.loss])

    def model(self) -> Model:
        """Return the oracle's network, of which the library knows nothing."""
        names = {"mask_in": "w_in", "mask_rec": "w_rec", "mask_out": "w_out"}
        masks = {name: self.options[key].double() for key, name in names.items() if key in self.options}
        n_rec = self.sizes[1]
        if not self.options.get("autapses", False):
            masks["w_rec"] = masks.get("w_rec", torch.ones(n_rec, n_rec).double()) * (1 - torch.eye(n_rec).double())
        kappa, rho = (torch.exp(-1 / self._per_cell(each)) for each in (self.tau, self.tau_adaptation))
        return Model(
            kappa,
            1 - kappa if self.scaled[0] else torch.ones_like(kappa),
            rho,
            1 - rho if self.scaled[1] else torch.ones_like(rho),
            self._per_cell(self.beta),
            self.threshold,
            self.refractory,
            self.surrogate_gradient,
            reset_in_trace=self.reset_in_trace,
            readout_leak=self.readout_leak,
            masks=masks,
            types=tuple(self.options.get("cell_types", torch.zeros(n_rec)).int().tolist()),
        )

    def problem(self) -> Problem:
        """Return the trials in the words of the oracle."""
        batch = self.batch()
        return Problem(batch.inputs, batch.targets, batch.weights, self.loss)


TYPES = torch.tensor([0, 2, 1, 0, 1, 0])
SLOW_AND_FAST = (5.0, 20.0, 10.0, 20.0, 5.0, 30.0)

LSNN = SpikingCase("half-adaptive", trials=1, steps=40, seed=22, strength=8.0)
SPIKING = [
    LSNN,
    SpikingCase("reset-in-trace", seed=1, reset_in_trace=True, loss="cross_entropy", options={"cell_types": TYPES}),
    SpikingCase("filtered-times", seed=2, tau=SLOW_AND_FAST, tau_adaptation=(50.0, 80.0, 30.0, 200.0, 100.0, 40.0),
                readout_leak=0.8, beta=1.2, surrogate_gradient="fast_sigmoid",
                options={"cell_types": TYPES, "bias": True}),
    SpikingCase("masked-autapses", seed=3, surrogate_gradient="gaussian", refractory=1,
                options={"mask_in": mask(1, 6, 4), "mask_rec": mask(2, 6, 6), "mask_out": mask(3, 2, 6),
                         "cell_types": TYPES, "autapses": True, "dale": (1, -1, 0)}),
    SpikingCase("filtered-reset-in-trace", seed=4,
        readout_leak=0.6, reset_in_trace=True, surrogate_gradient="exponential",
                tau=SLOW_AND_FAST, options={"mask_rec": mask(5, 6, 6)}),
    SpikingCase("unscaled", seed=5, scaled=(False, False), beta=0.3, refractory=0, tau_adaptation=30.0),
    SpikingCase("lif", seed=6, beta=0.0, surrogate_gradient="boxcar"),
]  # fmt: skip
