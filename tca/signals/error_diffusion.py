"""Error diffusion: the learning signal is one output error with the stream's sign.

Shapes: T time, B batch, N cells of both streams, H cells of a stream, O outputs, C consecutive steps.

In a network of two streams every path from a cell to an output has the sign of the cell's stream, so that the signal
needs no other property of the weights in between.
"""

from __future__ import annotations

import abc
import warnings
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import ConnectionInput
from tca.connections.signed import Signed
from tca.eligibilities.eligibility import Eligibility
from tca.losses import Logistic
from tca.signals.decorrelation.score_sources import output_error
from tca.signals.error_centres import BatchCentre, Centring, NoCentre, RunningCentre
from tca.signals.signal import Buffers, CustomSignal, WindowFunction
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import Count, Positive, checked
from tca.utils.deferred_checks import act_if

__all__ = [
    "BatchCentre",
    "Centring",
    "ErrorDiffusion",
    "ModuloRouting",
    "NoCentre",
    "PolicyRouting",
    "RandomRouting",
    "Routing",
    "RunningCentre",
    "SingleClassWarning",
]


class SingleClassWarning(UserWarning):
    """A batch with centred errors holds a single class."""


@dataclass(frozen=True)
class Routing(abc.ABC):
    """The assignment of output errors to cells."""

    @abc.abstractmethod
    def matrix(self, cells: int, outputs: int, generator: torch.Generator) -> Tensor:
        """Return weights of errors in each cell's signal, ``(H, O)``, float64.

        Args:
            cells: Number of cells or maps of a stream H.
        """


@dataclass(frozen=True)
class ModuloRouting(Routing):
    """``M_ic = 1`` where ``i mod O = c``: one error a cell; with fewer cells than errors ``c mod H = i``.

    >>> ModuloRouting().matrix(3, 2, torch.Generator()).tolist()
    [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    """

    def matrix(self, cells: int, outputs: int, generator: torch.Generator) -> Tensor:
        """Return zeros and ones."""
        i, c, shorter = (
            torch.arange(cells, device="cpu").unsqueeze(1),
            torch.arange(outputs, device="cpu"),
            min(cells, outputs),
        )
        return (i % shorter == c % shorter).double()


@checked
@dataclass(frozen=True)
class PolicyRouting(Routing):
    """The error of a component of the action by the cell's number modulo A, and that of the value to every cell.

    For networks that act: the last output is the value, those before are parameters of the policy, one or more for each
    of A components, with the component running fastest.

    Args:
        components: Number A of actions or components of an action.

    Raises:
        ValueError: The outputs are not a multiple of A and a value.

    Paper: Yamada et al. (2026), arXiv:2606.31700.

    >>> PolicyRouting(2).matrix(3, 3, torch.Generator()).tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]
    """

    components: Count

    def matrix(self, cells: int, outputs: int, generator: torch.Generator) -> Tensor:
        """Return zeros and ones."""
        if (outputs - 1) % self.components:
            raise ValueError(
                f"a network of {outputs} outputs has {outputs - 1} beside the value, which is no multiple of "
                f"components = {self.components}"
            )
        one = ModuloRouting().matrix(cells, self.components, generator)
        return torch.cat([one.repeat(1, (outputs - 1) // self.components), torch.ones_like(one[:, :1])], 1)


@dataclass(frozen=True)
class RandomRouting(Routing):
    """One random error with a random sign per cell: a control as sparse as `ModuloRouting`.

    >>> RandomRouting().matrix(50, 4, torch.Generator().manual_seed(0)).abs().sum(1).unique().tolist()
    [1.0]
    """

    def matrix(self, cells: int, outputs: int, generator: torch.Generator) -> Tensor:
        """Return a matrix with one entry of +1 or -1 per row."""
        chosen = torch.randint(outputs, (cells, 1), generator=generator, device="cpu")
        sign = 2.0 * torch.randint(2, (cells, 1), generator=generator, device="cpu").double() - 1
        return torch.zeros(cells, outputs, dtype=torch.float64, device="cpu").scatter_(1, chosen, sign)


@checked
@dataclass(frozen=True)
class ErrorDiffusion(CustomSignal):
    """``L_k,t = t_k D_r(k),t``: the centred error of the cell's output, times the sign of its stream.

    Learning signals are descended, so here ``G_k = -t_k (M D)_k``. The error is target minus prediction for every loss.
    It is minus ``dL/dy`` of a matched loss (softmax and cross-entropy, sigmoid and logistic loss, linear and squared
    error, rates and Poisson loss), also of smoothed cross-entropy, whose target is the smoothed class. It is not that
    of the Brier score, which includes the slopes of the softmax. Losses without a prediction of the mean target, such
    as hinge, absolute error and focal loss, are refused; for losses of rewards the error is minus the score. The
    readout learns from the same centred error, times the slope ``y (1 - y)`` of logistic outputs. In maps all positions
    of a channel share a signal, and the sum over positions is divided by their number. The mean is over the trials with
    a weight at that step.

    Args:
        routing: Assignment of errors to cells, default by the cell's number modulo O.
        centring: Centring of the errors, default by their mean over the batch.
        gain: Factor of the learning signal of hidden cells, default 1, positive.
        gate_outputs: Whether the slope of logistic outputs multiplies the readout's signal, default ``True``.
        grow_only: Whether magnitudes may only grow, ``dm_ij = eta a_j f'(u_i) max(t_j R_i, 0)`` trial by trial with the
            routed error R: synapses from + cells where the error is positive, from - cells where it is negative. The
            original rule, which needs a network for each output; default ``False``.

    Raises:
        ValueError: ``gain`` is not positive. When bound: the network has one stream only. When it learns: the loss has
            no prediction of the mean target.

    Papers: Kaneko (1999), error diffusion learning algorithm; Yamada et al. (2026), arXiv:2606.31700.
    """

    routing: Routing = field(default_factory=ModuloRouting)
    centring: Centring = field(default_factory=BatchCentre)
    gain: Positive = 1.0
    gate_outputs: bool = True
    grow_only: bool = False
    local: ClassVar[bool] = True
    horizon: ClassVar[int] = 0

    @property
    def equation(self) -> str:
        return f"G_k = -t_k D_r(k), {self.centring.equation}, d = target - prediction"

    @property
    def couples_trials(self) -> bool:
        return not isinstance(self.centring, NoCentre)

    @property
    def executions(self) -> tuple[str, ...]:
        """Reverse only if magnitudes only grow: traces do not separate steps."""
        return ("reverse",) if self.grow_only else ("reverse", "forward")

    def check(self, population: Population) -> None:
        """Refuse a network of one stream."""
        _streams(population)

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw the routing and start the running mean at zero."""
        matrix = self.routing.matrix(population.shape[0] // 2, population.n_out, generator)
        nothing = population.like.new_zeros(population.n_out)
        return {"routing": matrix.to(population.like), "mean": nothing, "before": nothing.clone()}

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:
        """Update the running mean and warn of a batch with one class."""
        batch = tape.trials_shown
        if isinstance(self.centring, RunningCentre):
            mean = _mean(_errors(tape), batch.weights)
            buffers["before"].copy_(buffers["mean"])
            buffers["mean"].copy_(self.centring.followed(mean, (batch.weights > 0).any(1), buffers["before"])[-1])
        elif isinstance(self.centring, BatchCentre) and batch.trials > 1 and tape.upper is None:
            act_if(_one_class(tape), _warn_of_one_class)

    def output_signal(self, tape: Tape, buffers: Buffers) -> tuple[Tensor, Tensor]:
        """Return minus the centred error, gated for logistic outputs, twice."""
        output_signal = -self.diffused(tape, buffers)
        if self.gate_outputs and isinstance(tape.trials_shown.loss, Logistic):
            share = torch.sigmoid(tape.outputs)
            output_signal[1:] *= share * (1 - share)
        return output_signal, output_signal

    def gather_(self, tape: Tape, link: ConnectionInput, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Add the gradient of the magnitudes, only its growing part if ``grow_only``."""
        if self.grow_only and isinstance(link.connection, Signed):
            link.connection.grow_(gradient, driven, link.at(steps))
        else:
            link.connection.outer_(gradient, driven, link.at(steps))

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from a window of steps to ``-slope_t t_k (M D)_k``."""
        diffused = self.diffused(tape, buffers)
        streams, positions = _streams(tape.population), tape.population.cells // tape.population.shape[0]

        def read(steps: slice) -> Tensor:
            routed = diffused[steps] @ buffers["routing"].t() * (-self.gain / positions)
            both = torch.cat([routed, routed], -1).repeat_interleave(positions, -1)
            return tape.lift(both * streams, steps)

        return read

    def diffused(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the centred and weighted errors, shape ``(T + 1, B, O)``.

        Args:
            tape: The forward pass with its output errors.
        """
        batch = tape.trials_shown
        if batch.loss.rewarded and isinstance(self.centring, NoCentre):
            return -tape.output_error
        errors = _errors(tape)
        counts = (batch.weights > 0).any(1)
        centred = errors - self.centring.centre(_mean(errors, batch.weights), counts, buffers)
        centred *= batch.weights.unsqueeze(-1) / batch.trials
        return torch.cat([torch.zeros_like(centred[:1]), centred])


def _streams(population: Population) -> Tensor:
    if population.signs is None:
        raise ValueError(
            f"error diffusion needs the two streams of a dual-stream network, and {population.title} has one stream"
        )
    return population.signs


def _errors(tape: Tape) -> Tensor:
    """Return target minus prediction, ``d = Y - y``, or minus the score of a loss of rewards, ``(T, B, O)``."""
    batch = tape.trials_shown
    if batch.loss.rewarded:
        return batch.loss.output_error(tape.outputs, batch.targets).neg_()
    return output_error(tape.outputs, batch, "ErrorDiffusion").neg_()


def _mean(errors: Tensor, weights: Tensor) -> Tensor:
    """Return the mean error over weighted trials, shape ``(T, 1, O)``."""
    counts = (weights > 0).to(errors).unsqueeze(-1)
    return (errors * counts).sum(1, keepdim=True) / counts.sum(1, keepdim=True).clamp(min=1)


def _warn_of_one_class() -> None:
    warnings.warn(
        "a batch holds a single class, so that centred errors teach differences within it only",
        SingleClassWarning,
        stacklevel=2,
    )


def _one_class(tape: Tape) -> Tensor:
    """Return whether all weighted targets of each step are the same class."""
    batch = tape.trials_shown
    if not batch.targets.is_floating_point():
        classes = batch.targets
    elif isinstance(batch.loss, Logistic) and batch.targets.shape[-1] > 1:
        classes = batch.targets.argmax(-1)
    else:
        return torch.zeros((), dtype=torch.bool, device="cpu")  # there are no classes
    counts = batch.weights > 0
    several = counts.sum(1) > 1
    lowest = torch.where(counts, classes, classes.max()).amin(1)
    highest = torch.where(counts, classes, classes.min()).amax(1)
    return several.any() & ~(several & (lowest != highest)).any()
