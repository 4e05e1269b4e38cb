"""Perturbation eligibilities: noise in the drive or in the weights.

Shapes: T time, B batch, N cells, C consecutive steps.

These traces have neither gain nor surrogate gradient. A scalar reward signal at the end of a trial multiplies the
trace: a running sum (``D = 1``) of noise times presynaptic activity, or the noise of the weight.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection, ConnectionInput, Initial
from tca.eligibilities.deviations import Deviation, Injected
from tca.eligibilities.draws import draws_of, fresh, move_on_
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import Trace, over
from tca.tape.local_step import LocalStep
from tca.tape.perturbed_pass import PerturbedPass, Replay
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import Positive, checked
from tca.utils.names import lookup
from tca.utils.noise import NoiseDistribution, Normal

__all__ = ["Coincidence", "Gather", "NodeNoise", "Perturbation", "WeightNoise"]

Gather = Callable[[Tape, ConnectionInput, Tensor, Tensor, slice], None]

RATES = ("clean", "perturbed")


@dataclass(frozen=True)
class Perturbation(Eligibility, abc.ABC):
    """An eligibility that runs trials again with a perturbation.

    The seed of a batch is in the buffer ``draws`` and advances with every batch.
    """

    local: ClassVar[bool] = True
    shared: ClassVar[bool] = False
    perturbs: ClassVar[bool] = True
    capturable: ClassVar[bool] = False  # noise is drawn on the host
    executions: ClassVar[tuple[str, ...]] = ("reverse",)
    why_not: ClassVar[str] = "the reward of a trial is given at its end, when no trace remains to carry forwards"

    def buffers(self, population: Population, generator: torch.Generator) -> dict[str, Tensor]:
        return fresh(generator)

    def follow_weights_(self, population: Population, buffers: dict[str, Tensor]) -> None:
        """Advance to fresh noise."""
        move_on_(buffers)

    @abc.abstractmethod
    def perturbed_pass(self, tape: Tape, replay: Replay, buffers: dict[str, Tensor]) -> PerturbedPass:
        """Return a perturbed pass.

        Args:
            tape: The forward pass of the last population with its output errors.
            buffers: The eligibility's state in all populations, by full name.
        """

    @abc.abstractmethod
    def gather_(self, gather: Gather, tape: Tape, filtered: Tensor, steps: slice, gradients: dict[str, Tensor]) -> None:
        """Add a window's contribution to the gradients.

        Args:
            gather: Adds ``sum_t driven_t (x) pre_t`` of a connection to its gradient.
            filtered: Filtered state signal of these steps, shape ``(C, B, N)``; overwritten.
            steps: The steps, counted from the initial state.
            gradients: Gradients by the names of the connections, changed in place.
        """

    def finish_(self, tape: Tape, gradients: dict[str, Tensor]) -> None:
        """Change the gradients of a population once all windows are gathered; default no change.

        Args:
            gradients: Gradients by the names of the connections, changed in place.
        """

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``later``: ``D_t = 1``."""
        into.add_(later)

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        """Refuse."""
        raise ValueError(f"{type(self).__name__} has no traces to carry: {self.why_not}")


@dataclass(frozen=True)
class Coincidence(Perturbation, abc.ABC):
    """``e_ij,t = e_ij,t-1 + post_i,t pre_j,t``: the summed product of perturbation and presynaptic activity.

    A learned initial state is not perturbed and does not learn.
    """

    couples_trials: ClassVar[bool] = True  # one generator draws for all trials of a batch

    def check(self, population: Population) -> None:
        """Refuse populations whose drive cannot be perturbed."""
        if population.learned:
            raise ValueError(
                f"{type(self).__name__} adds noise to drives, which learned constants such as "
                f"{population.learned[0]!r} are not: WeightNoise() works for them"
            )
        if population.recurrent and len(population.shape) > 1:
            raise ValueError(
                f"{type(self).__name__} adds noise to drives, which "
                f"{population.title} of recurrent vectors does not take: "
                "WeightNoise() works in every network"
            )

    def gather_(self, gather: Gather, tape: Tape, filtered: Tensor, steps: slice, gradients: dict[str, Tensor]) -> None:
        """Add ``sum_t (L_t post_t) (x) pre_t`` of every connection."""
        if steps.start == 0:
            return
        perturbed, name = tape.perturbed, tape.population.name
        post = perturbed.post[name][steps.start - 1 : steps.stop - 1]
        signal = over(filtered, post.shape[-1]) * post if tape.population.drives > 1 else filtered.mul_(post)
        for link in perturbed.links[name]:
            if not isinstance(link.connection, Initial):
                gather(tape, link, gradients[link.connection.name], signal, steps)


@checked
@dataclass(frozen=True)
class NodeNoise(Coincidence):
    """Node perturbation: ``u_t + sigma xi_t``, ``e_ij,t = e_ij,t-1 + xi_i,t pre_j,t``.

    With the change of the loss divided by ``sigma`` the mean over the noise is the true gradient up to an error of
    order ``sigma^2``. In networks of several populations each has its own noise, all in the same run.

    Args:
        sigma: Standard deviation of the noise in the drive, default 0.01, positive. A large one is biased, a small one
            loses digits.
        antithetic: Whether the run is compared with one whose noise has the opposite sign, or with one without noise
            (default); the first is free of errors of even order in every single draw.
        rates: Whether presynaptic activity is that of the run without noise, ``"clean"`` (default), or with it,
            ``"perturbed"``.
        noise: The distribution of xi, of variance one, default normal.
        by: Postsynaptic factor: the noise itself, ``Injected()`` (default), or the displaced drive, ``Displaced()``,
            which is activity-based node perturbation; see `tca.eligibilities.deviations`.

    Raises:
        ValueError: ``sigma`` is not positive, or ``rates`` is unknown.

    Papers: Fiete and Seung (2006), Physical Review Letters 97:048104; Zuge, Klos and Memmesheimer (2023), Physical
    Review X 13:021006.
    """

    sigma: Positive = 0.01
    antithetic: bool = False
    rates: str = "clean"
    noise: NoiseDistribution = field(default_factory=Normal)
    by: Deviation = field(default_factory=Injected)

    def __post_init__(self) -> None:
        lookup(dict.fromkeys(RATES, True), self.rates, "rates")

    @property
    def equation(self) -> str:
        return f"e_t = e_t-1 + {self.by.equation} (x) pre_t, u_t + {self.sigma:g} xi_t"

    def perturbed_pass(self, tape: Tape, replay: Replay, buffers: dict[str, Tensor]) -> PerturbedPass:
        """Return a pass with perturbed drives and its reference."""
        xi = {level.population.name: self._drawn(level, buffers) for level in tape.levels}
        noisy = replay.with_drive({name: self.sigma * each for name, each in xi.items()})
        against = tape
        if self.antithetic:
            against = replay.with_drive({name: -self.sigma * each for name, each in xi.items()})
        post, size = self.by.of(xi, self.sigma * (1 + self.antithetic), noisy, against)
        seen = noisy if self.rates == "perturbed" else tape
        return PerturbedPass(
            noisy.outputs, against.outputs, size, post, {level.population.name: level.links for level in seen.levels}
        )

    def _drawn(self, level: Tape, buffers: dict[str, Tensor]) -> Tensor:
        shape = (level.rate.shape[1], level.population.cells * level.population.drives)
        return self.noise.steps(level.steps, shape, draws_of(level.population, buffers)).to(level.rate)


@checked
@dataclass(frozen=True)
class WeightNoise(Perturbation):
    """Weight perturbation: ``W + sigma xi``, ``e_ij = xi_ij``, one draw a batch.

    All trials of a batch share the noise and are compared by their mean loss.

    Args:
        sigma: Standard deviation of the noise, default 0.01, positive.
        antithetic: Whether the run is compared with one whose noise has the opposite sign, or with one without noise
            (default).
        noise: The distribution of xi, of variance one, default normal.

    Papers: Jabri and Flower (1992), IEEE Transactions on Neural Networks 3:154; Zuge, Klos and Memmesheimer (2023),
    Physical Review X 13:021006.
    """

    sigma: Positive = 0.01
    antithetic: bool = False
    noise: NoiseDistribution = field(default_factory=Normal)
    remembers: ClassVar[bool] = False

    @property
    def equation(self) -> str:
        return f"e = xi, W + {self.sigma:g} xi"

    def perturbed_pass(self, tape: Tape, replay: Replay, buffers: dict[str, Tensor]) -> PerturbedPass:
        """Return a pass with perturbed weights and its reference."""
        xi: dict[str, Tensor] = {}
        for level in tape.levels:
            xi |= self._drawn([link.connection for link in level.links], draws_of(level.population, buffers))
        own = {name: replay.parameter(name).detach() for name in xi}

        def outputs(size: float) -> Tensor:
            return replay.with_parameters({name: own[name] + size * each for name, each in xi.items()})

        against = outputs(-self.sigma) if self.antithetic else tape.outputs
        return PerturbedPass(outputs(self.sigma), against, self.sigma * (1 + self.antithetic), weights=xi)

    def gather_(self, gather: Gather, tape: Tape, filtered: Tensor, steps: slice, gradients: dict[str, Tensor]) -> None:
        """Add noise times the summed reward signal, at each trial's last step."""
        if steps.start > 0 and (tape.lengths is not None or steps.stop == tape.steps + 1):
            worth = filtered[..., 0].sum()
            for link in tape.links:
                gradients[link.connection.name].add_(tape.perturbed.weights[link.connection.name] * worth)

    def _drawn(self, connections: Sequence[Connection], generator: torch.Generator) -> dict[str, Tensor]:
        return {
            each.name: each.masked(self.noise.draw(tuple(each.weight.shape), generator).to(each.weight.detach()))
            for each in connections
        }
