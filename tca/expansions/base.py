"""What every expansion of a score promises: further channels whose conditional mean is zero where the score's is.

Shapes: O outputs, E further channels, N cells of a hidden layer, I inputs. Leading axes, such as time and batch, are
free but the same for all.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.losses import Loss

__all__ = ["Expansion", "Plain", "Seen"]

Buffers = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Seen:
    """What an expansion may look at besides the score; it says itself what of this it needs.

    Args:
        outputs: Unconstrained outputs of the network, shape ``(..., O)``.
        loss: The loss whose score is expanded.
        hidden: Activity of a hidden layer, shape ``(..., N)``; needed by few.
        inputs: What the network sees, shape ``(..., I)``; needed by few.
    """

    outputs: Tensor
    loss: Loss
    hidden: Tensor | None = None
    inputs: Tensor | None = None


@dataclass(frozen=True)
class Expansion(abc.ABC):
    """A score made longer: ``[s; further(s)]``, where ``E[further(s) | x] = 0`` wherever ``E[s | x] = 0``.

    A longer score has more correlations with the activity to be taken away, one column of the covariance a channel.
    Only hidden layers are told the longer score; outputs learn from the score itself. The score must be that of single
    steps and trials, before weights of steps, division by the number of trials or a filter: what is squared here would
    square these as well.

    That broadcast decorrelation may be enriched by such channels is said in the literature; which channels its authors
    append is not known here. The expansions offered were derived for this library. In trials on small data sets no gain
    over the plain score was seen, with those that were tried: gates by the prediction and Bartlett channels.
    """

    needs: ClassVar[tuple[str, ...]]
    """The fields of `Seen` that are read."""

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The longer score in one line."""

    @abc.abstractmethod
    def further_channels(self, n_out: int) -> int:
        """Return how many channels are appended to a score of ``n_out``.

        Args:
            n_out: Number of outputs O.
        """

    @abc.abstractmethod
    def further(self, score: Tensor, seen: Seen, buffers: Buffers) -> Tensor:
        """Return what is appended, a new tensor of shape ``(..., E)``.

        Args:
            score: Score of single steps and trials, unweighted, shape ``(..., O)``.
            seen: What else there is to look at; what is needed is there.
            buffers: What was drawn once and for all.
        """

    def buffers(self, n_hidden: int, n_in: int, generator: torch.Generator) -> Buffers:
        """Return what is drawn once and for all, in float64 on the CPU; most expansions draw nothing.

        Args:
            n_hidden: Number N of cells of the hidden layer.
            n_in: Number I of inputs.
            generator: Source of whatever is drawn.
        """
        return {}

    def channels(self, n_out: int) -> int:
        """Return the number of channels of the longer score.

        Args:
            n_out: Number of outputs O.
        """
        return n_out + self.further_channels(n_out)

    def expand(self, score: Tensor, seen: Seen, buffers: Buffers | None = None) -> Tensor:
        """Return the longer score, a new tensor of shape ``(..., O + E)`` that begins with the score.

        Args:
            score: Score of single steps and trials, unweighted, shape ``(..., O)``.
            seen: What else there is to look at.
            buffers: What ``buffers`` has returned, on any device and in any type; none by default.

        Raises:
            ValueError: Something that is needed is missing, or the loss is none that this expansion knows.
        """
        missing = [name for name in self.needs if getattr(seen, name) is None]
        if missing:
            raise ValueError(f"{self!r} needs {' and '.join(missing)}, which must be given")
        if score.shape != seen.outputs.shape:
            raise ValueError(
                f"score must have the shape {tuple(seen.outputs.shape)} of the outputs, got {tuple(score.shape)}"
            )
        return torch.cat([score, self.further(score, seen, buffers or {})], -1)


@dataclass(frozen=True)
class Plain(Expansion):
    """The score as it is.

    >>> from tca.losses import MSE
    >>> Plain().expand(torch.ones(1, 2), Seen(torch.zeros(1, 2), MSE())).tolist(), Plain().channels(2)
    ([[1.0, 1.0]], 2)
    """

    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def equation(self) -> str:
        """The longer score in one line."""
        return "s"

    def further_channels(self, n_out: int) -> int:
        """Return zero."""
        return 0

    def further(self, score: Tensor, seen: Seen, buffers: Buffers) -> Tensor:
        """Return no channels."""
        return score[..., :0].clone()
