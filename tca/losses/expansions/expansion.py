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

from tca.losses import Admissibility, Loss

__all__ = ["Expansion", "Plain", "Seen"]

Buffers = dict[str, Tensor]

UNKNOWN = Admissibility(
    False,
    "it does not say whether the mean of its further channels is zero wherever that of the score is; a class whose "
    "channels keep it says so with admissibility = tca.losses.Admissibility(True, 'why')",
)


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

    Whether that is so a class must say itself, in ``admissibility``, anew wherever it defines ``further``; one that
    does not is refused where activity and score are decorrelated.

    That broadcast decorrelation may be enriched by such channels is said in the literature; which channels its authors
    append is not known here. The expansions offered were derived for this library. On distorted digits each was tried
    in training, and none was above the plain score.
    """

    admissibility: ClassVar[Admissibility] = UNKNOWN
    """Whether the mean of the further channels is zero wherever that of the score is, and why or why not."""

    needs: ClassVar[tuple[str, ...]]
    """The fields of `Seen` that are read."""

    def __init_subclass__(cls, **options: object) -> None:
        """Take what was said of other channels back where a class defines its own."""
        super().__init_subclass__(**options)
        if "further" in vars(cls) and "admissibility" not in vars(cls):
            cls.admissibility = UNKNOWN

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

    def require_admissible(self) -> None:
        """Raise unless decorrelating activity and the longer score is justified.

        Raises:
            ValueError: It is not; the message has the reason.
        """
        self.admissibility.require(self)

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
    """The score as it is; its mean is its own.

    >>> from tca.losses import MSE
    >>> Plain().expand(torch.ones(1, 2), Seen(torch.zeros(1, 2), MSE())).tolist(), Plain().channels(2)
    ([[1.0, 1.0]], 2)
    """

    admissibility: ClassVar[Admissibility] = Admissibility(True, "nothing is appended")
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
