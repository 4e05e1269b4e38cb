"""What activity is to be uncorrelated with: the score, a longer score, or the error of the outputs.

Shapes: T time, B batch, O outputs, K channels.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from tca.batch import Batch
from tca.expansions import Expansion, Plain, Seen
from tca.losses import MSE, Bregman, Brier, CrossEntropy, Logistic, Loss, Poisson
from tca.losses.links import Exponential, Identity, Link, Sigmoid, Softmax
from tca.place import Place
from tca.signals.base import Buffers
from tca.tape import Tape

__all__ = ["OutputError", "Score", "Source"]


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
    def buffers(self, place: Place, generator: torch.Generator) -> Buffers:
        """Return what is drawn once and for all.

        Args:
            place: Where the population stands.
            generator: Source of whatever is drawn.
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


@dataclass(frozen=True)
class Score(Source):
    """The score ``s``, the derivative of the loss by the unconstrained outputs, with or without further channels.

    The readout learns from ``s`` whatever is appended to it.

    Args:
        expansion: What is appended, one of `tca.expansions`; default nothing.
    """

    expansion: Expansion = field(default_factory=Plain)

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

    def buffers(self, place: Place, generator: torch.Generator) -> Buffers:
        """Return what the expansion draws."""
        drawn = self.expansion.buffers(place.cells, place.n_in, generator)
        return {name: each.to(place.like) for name, each in drawn.items()}

    def weighted(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the longer score of single steps and trials, weighted afterwards."""
        batch = tape.trials_shown
        if self.plain:
            return tape.raw_score
        seen = Seen(tape.outputs, batch.loss, tape.rate[1:], batch.inputs)
        longer = self.expansion.expand(batch.loss.score(tape.outputs, batch.targets), seen, buffers)
        return _from_zero(longer, batch)


PREDICTIONS: dict[type[Loss], Link] = {
    MSE: Identity(),
    CrossEntropy: Softmax(),
    Brier: Softmax(),
    Logistic: Sigmoid(),
    Poisson: Exponential(),
}
"""How a loss reads the outputs: what it compares with the targets."""


@dataclass(frozen=True)
class OutputError(Source):
    """``prediction - target``, the error of outputs that have passed a non-linearity, whatever the loss.

    For the squared error, cross-entropy, the logistic loss and matched Bregman divergences it is the score; for others
    it is not, and its mean is zero at the best predictor as well. Predictions are the means of the targets: those of
    the squared error, cross-entropy, the logistic loss, the Brier score, the Poisson loss and Bregman divergences.

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

    def buffers(self, place: Place, generator: torch.Generator) -> Buffers:
        """Draw nothing."""
        return {}

    def weighted(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the errors, weighted."""
        batch = tape.trials_shown
        loss = batch.loss
        link = loss.link if isinstance(loss, Bregman) else PREDICTIONS.get(type(loss))
        if link is None:
            known = ", ".join(each.__name__ for each in PREDICTIONS)
            raise ValueError(
                f"OutputError needs a loss whose predictions are means of targets ({known}, Bregman), got {loss!r}"
            )
        targets = batch.targets
        if not targets.is_floating_point():
            targets = functional.one_hot(targets, tape.outputs.shape[-1]).to(tape.outputs)
        return _from_zero(link(tape.outputs) - targets, batch)


def _from_zero(channels: Tensor, batch: Batch) -> Tensor:
    """Return channels times the weights of their steps and trials, with zeros at time zero in front."""
    weighted = channels * (batch.weights / batch.trials).unsqueeze(-1)
    return torch.cat([torch.zeros_like(weighted[:1]), weighted])
