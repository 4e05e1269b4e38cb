"""Reward-modulated Hebbian traces: fluctuations of the potential times presynaptic activity.

Shapes: T time, B batch, N cells.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tca.connections.connection import ConnectionInput, Initial
from tca.eligibilities.draws import draws_of
from tca.eligibilities.perturbations import Coincidence
from tca.tape.perturbed_pass import PerturbedPass, Replay
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import Positive, checked, whole
from tca.utils.noise import NoiseDistribution, Rare, Uniform

__all__ = ["Fluctuations"]


@checked
@dataclass(frozen=True)
class Fluctuations(Coincidence):
    """``e_ij,t = e_ij,t-1 + (pre_j,t (x_i,t - xbar_i,t-1))^p``: reward-modulated Hebbian learning.

    ``x`` is the potential, or the drive where the leak is on the rate. ``xbar`` is its running mean,
    ``xbar_t = keep xbar_{t-1} + (1 - keep) x_t``, from the first value on. An odd power above one weighs the few large
    fluctuations, which are the perturbations, more than the many small ones of the network, so that the noise itself is
    not needed.

    The network is run once without perturbations, whose outputs are reported, and once with them. As published only
    recurrent synapses learn, and the readout does not; see `tca.signals.RewardPredictionError`.

    Args:
        noise: Perturbation of the drive, default uniform between -16 and 16 with probability 0.003 a cell and step.
        power: The power p, default 3, odd.
        keep: Decay factor of the running mean per step, default 0.05, in [0, 1).
        limit: Largest gradient of a weight, default 0.003; the paper limits the weight change, this limit times its
            learning rate of 0.1. ``None`` for none.
        recurrent_only: Whether synapses from inputs and biases do not learn, default ``True``.

    Paper: Miconi (2017), eLife 6:e20899.
    """

    noise: NoiseDistribution = field(default_factory=lambda: Rare(0.003, Uniform(16.0)))
    power: int = 3
    keep: float = 0.05
    limit: Positive | None = 3e-3
    recurrent_only: bool = True

    def __post_init__(self) -> None:
        if whole("power of the fluctuations", self.power, 1) % 2 == 0:
            raise ValueError(f"power of the fluctuations must be odd, so that their sign counts, got {self.power}")
        if not 0 <= self.keep < 1:
            raise ValueError(f"keep must lie in [0, 1), got {self.keep}")

    @property
    def equation(self) -> str:
        return f"e_t = e_t-1 + (pre_t (x_t - xbar_t))^{self.power}"

    def check(self, population: Population) -> None:
        """Refuse populations without a fluctuating potential."""
        if not (population.alone and population.recurrent and len(population.shape) == 1):
            raise ValueError(
                f"{type(self).__name__} goes by the potentials of one recurrent population, which "
                f"{population.title} is not"
            )
        if population.general:
            raise ValueError(
                f"{type(self).__name__} goes by the potential of a cell with one drive, and {population.title} has "
                + ("constants that are learned" if population.learned else "cells of its own")
            )
        if population.spiking:
            raise ValueError(f"{type(self).__name__} goes by potentials without resets, and {population.title} spikes")

    def perturbed_pass(self, tape: Tape, replay: Replay, buffers: dict[str, Tensor]) -> PerturbedPass:
        """Return the pass with a perturbed drive."""
        name, shape = tape.population.name, (tape.rate.shape[1], tape.population.cells)
        extra = self.noise.steps(tape.steps, shape, draws_of(tape.population, buffers)).to(tape.rate)
        noisy = replay.with_drive({name: extra})
        added = extra if replay.noise is None else replay.noise + extra
        post = self.fluctuations(potentials(noisy, added)).pow_(self.power)
        learning = noisy.links[1:2] if self.recurrent_only else noisy.links  # inputs come first, recurrent ones next
        links = tuple(ConnectionInput(each.connection, each.pre.pow(self.power)) for each in learning)
        return PerturbedPass(noisy.outputs, tape.outputs, 1.0, {name: post}, {name: links})

    def fluctuations(self, values: Tensor) -> Tensor:
        """Return each value minus the running mean before it, ``(T, B, N)``.

        Args:
            values: Values from time zero on, shape ``(T + 1, B, N)``.
        """
        mean = values[0]
        found = torch.empty_like(values[1:])
        for t, value in enumerate(values[1:].unbind(0)):
            torch.sub(value, mean, out=found[t])
            mean = torch.lerp(value, mean, self.keep)
        return found

    def finish_(self, tape: Tape, gradients: dict[str, Tensor]) -> None:
        """Limit the gradients."""
        if self.limit is not None:
            for link in tape.links:
                gradients[link.connection.name].clamp_(-self.limit, self.limit)


def potentials(tape: Tape, added: Tensor) -> Tensor:
    """Return the potentials of a leaky population from time zero.

    The shape is ``(T + 1, B, N)``. With the leak on the rate the drive is returned, its first value also at time zero.

    Args:
        added: Perturbation of the drive, shape ``(T, B, N)``.
    """
    drive = added.clone()
    start = torch.zeros_like(drive[0])
    for link in tape.links:
        if isinstance(link.connection, Initial):
            start += link.connection.effective()
        else:
            drive += link.connection.drive(link.pre)
    if not tape.slope_at_emission:
        return torch.cat([drive[:1], drive])
    values = [start]
    for each in drive.unbind(0):
        values.append(tape.leak * values[-1] + tape.gain * each)
    return torch.stack(values)
