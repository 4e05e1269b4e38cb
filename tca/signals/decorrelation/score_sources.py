"""What activity is to be uncorrelated with: the score, a longer score, or the error of the outputs.

Shapes: T time, B batch, O outputs, K channels.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tca.batch import Batch
from tca.losses import (
    MSE,
    Bregman,
    Brier,
    CrossEntropy,
    ExponentialFamily,
    Logistic,
    Loss,
    Poisson,
    SmoothedCrossEntropy,
)
from tca.losses.classes import take_from_target_
from tca.losses.expansions import Expansion, Plain, Seen
from tca.losses.families import CanonicalFamily
from tca.losses.links import ExponentialLink, IdentityLink, Link, SigmoidLink, SoftmaxLink
from tca.signals.signal import Buffers
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import checked

__all__ = ["OutputError", "Score", "Source", "output_error"]


@dataclass(frozen=True)
class Source(abc.ABC):
    """Channels whose mean given the input is zero at the best predictor."""

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The channels in a few words."""

    @abc.abstractmethod
    def channels(self, n_out: int) -> int:
        """Return the number of channels K.

        Args:
            n_out: Number of outputs O.
        """

    @abc.abstractmethod
    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Return what is drawn once and for all.

        Args:
            population: The population.
            generator: Source of random numbers.
        """

    @abc.abstractmethod
    def weighted(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the channels times the weight of their step in the loss, shape ``(T + 1, B, K)``; not to be changed.

        Args:
            tape: The forward pass of the population, scored.
            buffers: What was drawn.

        Raises:
            ValueError: The loss has no such channels.
        """

    @property
    @abc.abstractmethod
    def plain(self) -> bool:
        """Whether the channels are the score as it is."""


@checked
@dataclass(frozen=True)
class Score(Source):
    """The score ``s``, the derivative of the loss by the unconstrained outputs, with or without further channels.

    The readout learns from ``s`` whatever is appended to it.

    Args:
        expansion: What is appended, one of `tca.expansions`; default nothing.

    Raises:
        TypeError: ``expansion`` is none.
        ValueError: It does not say that its channels keep the mean at zero; the message has the reason.
    """

    expansion: Expansion = field(default_factory=Plain)

    def __post_init__(self) -> None:
        """Check that what is appended has zero mean where the score has."""
        self.expansion.require_admissible()

    @property
    def equation(self) -> str:
        """The channels in a few words."""
        return f"s = {self.expansion.equation}"

    @property
    def plain(self) -> bool:
        """Whether nothing is appended."""
        return self.expansion == Plain()

    def channels(self, n_out: int) -> int:
        """Return the number of channels of the longer score."""
        return self.expansion.channels(n_out)

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Return what the expansion draws."""
        drawn = self.expansion.buffers(population.cells, population.n_in, generator)
        return {name: each.to(population.like) for name, each in drawn.items()}

    def weighted(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the longer score of single steps and trials, weighted afterwards."""
        batch = tape.trials_shown
        if self.plain:
            return tape.raw_score
        seen = Seen(tape.outputs, batch.loss, tape.rate[1:], batch.inputs)
        longer = self.expansion.expand(batch.loss.score(tape.outputs, batch.targets), seen, buffers)
        return _from_zero(longer, batch)


PREDICTIONS: dict[type[Loss], Link] = {
    MSE: IdentityLink(),
    CrossEntropy: SoftmaxLink(),
    SmoothedCrossEntropy: SoftmaxLink(),
    Brier: SoftmaxLink(),
    Logistic: SigmoidLink(),
    Poisson: ExponentialLink(),
}
"""How a loss reads the outputs: what it compares with the targets."""


@checked
def output_error(outputs: Tensor, batch: Batch, needed_by: str) -> Tensor:
    """Return ``prediction - target`` of every step and trial, whatever the score of the loss, shape ``(T, B, O)``.

    A class is one at its place and zero elsewhere, or what smoothed cross-entropy makes of that.

    Args:
        outputs: Unconstrained outputs, shape ``(T, B, O)``.
        batch: The targets and the loss.
        needed_by: What asks for the error, for the message.

    Raises:
        ValueError: What the loss compares with the targets is no prediction of their mean, or not known.
    """
    loss, targets = batch.loss, batch.targets
    predict = _prediction(loss)
    if predict is None:
        known = ", ".join(each.__name__ for each in PREDICTIONS)
        raise ValueError(
            f"{needed_by} needs a loss whose predictions are means of targets, and known: {known}, Bregman, or "
            f"ExponentialFamily with a natural parameter that is the output; got {loss!r}"
        )
    error = predict(outputs)
    if targets.is_floating_point():
        return error.sub_(targets)
    spread = loss.smoothing if isinstance(loss, SmoothedCrossEntropy) else 0.0
    return take_from_target_(error.sub_(spread / outputs.shape[-1]), targets, 1 - spread)


def _prediction(loss: Loss) -> Callable[[Tensor], Tensor] | None:
    """Return what makes predictions of outputs, new tensors; ``None`` if it is not known."""
    if isinstance(loss, Bregman):
        return loss.link
    if isinstance(loss, ExponentialFamily):
        return loss.family.expected if isinstance(loss.family, CanonicalFamily) else None
    return PREDICTIONS.get(type(loss))


@dataclass(frozen=True)
class OutputError(Source):
    """``prediction - target``, the error of outputs that have passed a non-linearity, whatever the loss.

    For the squared error, cross-entropy, also smoothed, the logistic and the Poisson loss, exponential families whose
    natural parameter is the output and matched Bregman divergences it is the score; for the Brier score and other
    Bregman divergences it is not, and its mean is zero at the best predictor as well. Predictions are the means of the
    targets, of smoothed ones where the loss smooths them. Other losses are refused.

    Paper: Erdogan et al. (2025), arXiv:2504.11558.
    """

    @property
    def equation(self) -> str:
        """The channels in a few words."""
        return "s = prediction - target"

    @property
    def plain(self) -> bool:
        """Not in general."""
        return False

    def channels(self, n_out: int) -> int:
        """Return the number of outputs."""
        return n_out

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw nothing."""
        return {}

    def weighted(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the errors, weighted."""
        batch = tape.trials_shown
        return _from_zero(output_error(tape.outputs, batch, "OutputError"), batch)


def _from_zero(channels: Tensor, batch: Batch) -> Tensor:
    """Return channels times the weights of their steps and trials, with zeros at time zero in front."""
    weighted = channels * (batch.weights / batch.trials).unsqueeze(-1)
    return torch.cat([torch.zeros_like(weighted[:1]), weighted])
