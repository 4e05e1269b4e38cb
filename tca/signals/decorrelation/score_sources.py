"""Broadcast channels of decorrelation: score, expanded score or output error.

Shapes: T time, B batch, O outputs, K channels.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

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
        """The equation of the channels."""

    @abc.abstractmethod
    def channels(self, n_out: int) -> int:
        """Return the number of channels K."""

    @abc.abstractmethod
    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Return fixed random buffers."""

    @abc.abstractmethod
    def weighted(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the weighted channels, shape ``(T + 1, B, K)``; do not change.

        Args:
            tape: The forward pass of the population with its output errors.

        Raises:
            ValueError: The loss has no such channels.
        """

    @property
    @abc.abstractmethod
    def plain(self) -> bool:
        """Whether the channels are the unmodified score."""


@checked
@dataclass(frozen=True)
class Score(Source):
    """The score ``s``: the derivative of the loss by the outputs, optionally expanded.

    The readout learns from ``s`` without its expansion.

    Args:
        expansion: Additional channels, one of `tca.expansions`; default none.

    Raises:
        ValueError: ``expansion`` does not declare channels with zero mean.
    """

    expansion: Expansion = field(default_factory=Plain)

    def __post_init__(self) -> None:
        self.expansion.require_admissible()

    @property
    def equation(self) -> str:
        return f"s = {self.expansion.equation}"

    @property
    def plain(self) -> bool:
        return self.expansion == Plain()

    def channels(self, n_out: int) -> int:
        return self.expansion.channels(n_out)

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Return the buffers of the expansion."""
        drawn = self.expansion.buffers(population.cells, population.n_in, generator)
        return {name: each.to(population.like) for name, each in drawn.items()}

    def weighted(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the expanded score, weighted after the expansion."""
        batch = tape.trials_shown
        if self.plain:
            return tape.output_error
        seen = Seen(tape.outputs, batch.loss, tape.rate[1:], batch.inputs)
        longer = self.expansion.expand(batch.loss.output_error(tape.outputs, batch.targets), seen, buffers)
        return _from_zero(longer, batch)


PREDICTIONS: dict[type[Loss], Link] = {
    MSE: IdentityLink(),
    CrossEntropy: SoftmaxLink(),
    SmoothedCrossEntropy: SoftmaxLink(),
    Brier: SoftmaxLink(),
    Logistic: SigmoidLink(),
    Poisson: ExponentialLink(),
}
"""Functions from outputs to predictions, by loss."""


@checked
def output_error(outputs: Tensor, batch: Batch, needed_by: str) -> Tensor:
    """Return ``prediction - target`` of every step and trial, ``(T, B, O)``.

    A class is a one-hot vector, smoothed for smoothed cross-entropy.

    Args:
        outputs: Unconstrained outputs, shape ``(T, B, O)``.
        needed_by: Name of the caller, for the message.

    Raises:
        ValueError: The loss has no prediction of the mean target.
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
    """Return the function from outputs to predictions; ``None`` without one."""
    if isinstance(loss, Bregman):
        return loss.link
    if isinstance(loss, ExponentialFamily):
        return loss.family.expected if isinstance(loss.family, CanonicalFamily) else None
    return PREDICTIONS.get(type(loss))


@dataclass(frozen=True)
class OutputError(Source):
    """``prediction - target``, the error after the output nonlinearity, for every loss.

    For the squared error, cross-entropy, also smoothed, the logistic and the Poisson loss, exponential families whose
    natural parameter is the output and matched Bregman divergences it is the score; for the Brier score and other
    Bregman divergences it is not, but its mean is also zero at the best predictor. Predictions are the means of the
    targets, of smoothed ones where the loss smooths them. Other losses are refused.

    Paper: Erdogan et al. (2025), arXiv:2504.11558.
    """

    equation: ClassVar[str] = "s = prediction - target"
    plain: ClassVar[bool] = False

    def channels(self, n_out: int) -> int:
        return n_out

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        return {}

    def weighted(self, tape: Tape, buffers: Buffers) -> Tensor:
        batch = tape.trials_shown
        return _from_zero(output_error(tape.outputs, batch, "OutputError"), batch)


def _from_zero(channels: Tensor, batch: Batch) -> Tensor:
    """Return weighted channels with zeros at time zero."""
    weighted = channels * (batch.weights / batch.trials).unsqueeze(-1)
    return torch.cat([torch.zeros_like(weighted[:1]), weighted])
