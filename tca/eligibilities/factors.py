"""Low-rank influence matrices: products of factors, random or not.

Shapes: B batch, I = N postsynaptic cells, J presynaptic, S components of a cell's state, M = S N.

The influence ``P_m,ij`` of every synapse of a population on every state is the sum ``J_t P + gain_t (x) pre_t`` of a
propagated and an immediate term. A sum of two products is no product; with random signs in front of both factors the
product of the sums has it as its mean.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.draws import DRAWS, fresh, move_on_
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import Trace
from tca.tape.local_step import LocalStep
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.noise import NoiseDistribution, source

__all__ = [
    "FactorTrace",
    "Factored",
    "Factors",
    "ForwardEligibility",
    "RandomFactors",
    "StochasticEligibility",
    "balance",
    "check_alone",
    "length",
]

GUARD = 1e-12  # keeps the quotient of two lengths finite where one of them is zero


class Factors(abc.ABC):
    """The factors of a population at one step, shared by its connections.

    Args:
        connections: The connections into the population.
        step: The first step.
        trials: Number of trials B.
    """

    def __init__(self, connections: Sequence[Connection], step: LocalStep, trials: int) -> None:
        self.trials, self.cells, self.components, self.drives = trials, step.cells, step.components, step.drives
        self.connections = connections
        self.like = connections[0].weight.detach()
        self.impulses = [each.impulse for each in connections]
        self.widths = [each.n_pre for each in connections]
        self.step: LocalStep | None = None
        self.start()

    def catch_up(self, step: LocalStep) -> None:
        """Advance by a step, once for all connections.

        Args:
            step: The local quantities of the step.
        """
        if step is not self.step:
            self.step = step
            self.advance(step, [pre.expand(self.trials, -1) for pre in step.pres])

    def rows(self, index: int) -> Tensor | slice:
        """Return the rows of a connection among those of all drives.

        Args:
            index: Index of the connection.
        """
        drives = self.connections[index].drives
        if drives is None:
            return slice(None)
        every = torch.arange(self.drives * self.cells, device=self.like.device)
        return every.view(self.drives, self.cells)[list(drives)].flatten()

    def initial_drives(self) -> Iterator[tuple[int, int]]:
        """Yield the components of learned initial states and the drives of their rows."""
        for each in self.connections:
            if each.impulse:
                yield from enumerate(each.drives or (0,))

    def jacobian(self, step: LocalStep) -> Tensor:
        """Return ``J_t``, broadcastable to ``(B, M, M)``."""
        return step.leak_matrix() + step.transmission()

    @abc.abstractmethod
    def start(self) -> None:
        """Set the factors of time zero."""

    @abc.abstractmethod
    def advance(self, step: LocalStep, pres: list[Tensor]) -> None:
        """Advance the factors by one step.

        Args:
            step: The local quantities of the step.
            pres: Presynaptic activity of every connection, each ``(B, J)``.
        """

    @abc.abstractmethod
    def influence(self, index: int) -> Tensor:
        """Return the influence of a connection, shape ``(B, M, I, J)``."""

    @abc.abstractmethod
    def gradient(self, index: int, signal: Tensor) -> Tensor:
        """Return ``sum_b sum_m L_bm P_bm,ij``, shape ``(I, J)``, from the factors.

        Args:
            signal: State signal, shape ``(B, M)``.
        """


class RandomFactors(Factors):
    """Factors that draw numbers at every step.

    Args:
        connections: The connections into the population.
        step: The first step.
        trials: Number of trials B.
        noise: Distribution of the numbers.
        generator: Source of random numbers.
    """

    def __init__(
        self,
        connections: Sequence[Connection],
        step: LocalStep,
        trials: int,
        noise: NoiseDistribution,
        generator: torch.Generator,
    ) -> None:
        self.noise, self.generator = noise, generator
        super().__init__(connections, step, trials)

    def draw(self, *shape: int) -> Tensor:
        """Return fresh noise.

        Args:
            shape: Shape of the noise, trials first.
        """
        return self.noise.draw(shape, self.generator).to(self.like)


class FactorTrace(Trace):
    """The eligibility trace of one connection, from its population's factors."""

    def __init__(self, factors: Factors, index: int) -> None:
        self.factors, self.index = factors, index

    def advance(self, step: LocalStep, pre: Tensor) -> None:
        """Advance the factors, unless another connection has."""
        self.factors.catch_up(step)

    def dense(self) -> Tensor:
        """Return the influence, shape ``(B, S, L, I, J)``."""
        influence, cells = self.factors.influence(self.index), self.factors.cells
        if self.factors.components == 1:
            return influence
        return influence.view(len(influence), -1, cells, *influence.shape[2:])

    def gradient(self, signal: Tensor) -> Tensor:
        return self.factors.gradient(self.index, signal.flatten(1))


@dataclass(frozen=True)
class ForwardEligibility(Eligibility, abc.ABC):
    """Traces that are carried forwards only, without a propagator, and that share their factors."""

    shared: ClassVar[bool] = False
    executions: ClassVar[tuple[str, ...]] = ("forward",)
    why_not: ClassVar[str] = "no propagator gives its traces, so that no signal can be filtered backwards"

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        """Refuse."""
        raise ValueError(f"{type(self).__name__} cannot filter a signal: {self.why_not}")

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        """Refuse."""
        raise ValueError(f"the connections of {type(self).__name__} share their factors: use traces()")


@dataclass(frozen=True)
class StochasticEligibility(ForwardEligibility, abc.ABC):
    """Random traces; the seed of a batch is in the buffer ``draws`` and advances with every batch."""

    couples_trials: ClassVar[bool] = True  # one generator draws for all trials of a batch
    capturable: ClassVar[bool] = False  # it draws on the host

    def buffers(self, population: Population, generator: torch.Generator) -> dict[str, Tensor]:
        return fresh(generator)

    def follow_weights_(self, population: Population, buffers: dict[str, Tensor]) -> None:
        """Advance to fresh noise."""
        move_on_(buffers)


@dataclass(frozen=True)
class Factored(StochasticEligibility, abc.ABC):
    """Random traces as products of factors, unbiased estimates of RTRL."""

    local: ClassVar[bool] = False

    def check(self, population: Population) -> None:
        """Refuse populations whose influence passes through other populations."""
        check_alone(type(self).__name__, population)

    @abc.abstractmethod
    def factors(
        self, connections: Sequence[Connection], step: LocalStep, trials: int, generator: torch.Generator
    ) -> Factors:
        """Return the factors before the first step."""

    def traces(
        self, connections: Sequence[Connection], step: LocalStep, trials: int, buffers: dict[str, Tensor]
    ) -> list[Trace]:
        """Return the traces of all connections, which share the factors."""
        factors = self.factors(connections, step, trials, source(buffers[DRAWS]))
        return [FactorTrace(factors, index) for index in range(len(connections))]


def check_alone(owner: str, population: Population) -> None:
    """Raise unless a population is recurrent and the only one.

    Args:
        owner: Name of the eligibility, for the message.
        population: The population.

    Raises:
        ValueError: It is not.
    """
    if not (population.alone and population.recurrent):
        raise ValueError(
            f"{owner} keeps the influence of one recurrent population on itself, which {population.title} "
            "is not: paths that lead through another population would be missing, and the mean no gradient"
        )


def length(*parts: Tensor) -> Tensor:
    """Return the joint Euclidean norm of tensors per trial, shape ``(B,)``.

    Args:
        parts: Tensors whose first axis is the trials.
    """
    return torch.stack([each.flatten(1).square().sum(1) for each in parts]).sum(0).sqrt()


def balance(one: Tensor, other: Tensor) -> Tensor:
    """Return ``sqrt(one / other)``, guarded against zeros, which balances two norms.

    Args:
        one: Norms, shape ``(B,)``.
        other: Norms, shape ``(B,)``.
    """
    return ((one + GUARD) / (other + GUARD)).sqrt()
