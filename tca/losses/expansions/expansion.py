"""The interface of score expansions.

Shapes: O outputs, E further channels, N cells of a hidden layer, I inputs. Leading axes, such as time and batch, are
arbitrary and shared by all tensors.
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
    "its admissibility is not declared: whether its further channels have zero mean wherever the score has; if so, set "
    "admissibility = tca.losses.Admissibility(True, 'why') in the class",
)


@dataclass(frozen=True, eq=False)
class Seen:
    """Inputs of an expansion other than the score; ``Expansion.needs`` lists the required ones.

    Args:
        outputs: Unconstrained outputs of the network, shape ``(..., O)``.
        loss: The loss whose score is expanded.
        hidden: Activity of a hidden layer, shape ``(..., N)``; optional.
        inputs: Inputs of the network, shape ``(..., I)``; optional.
    """

    outputs: Tensor
    loss: Loss
    hidden: Tensor | None = None
    inputs: Tensor | None = None


@dataclass(frozen=True)
class Expansion(abc.ABC):
    """An expanded score ``[s; further(s)]`` with ``E[further(s) | x] = 0`` wherever ``E[s | x] = 0``.

    Each further channel adds a column to the covariance of activity and score that decorrelation reduces. Hidden layers
    receive the expanded score, outputs the score itself. The score is that of single steps and trials, not weighted,
    divided by the number of trials or filtered, since powers of it would include these factors.

    A class that defines ``further`` must declare ``admissibility``; otherwise decorrelation rejects it.

    The paper on broadcast decorrelation mentions such channels without specifying them; those here were derived for
    this library. No difference from the plain score in training has been established.
    """

    admissibility: ClassVar[Admissibility] = UNKNOWN
    """Whether the further channels have zero mean wherever the score has, with the reason."""

    needs: ClassVar[tuple[str, ...]]
    """Required fields of `Seen`."""

    def __init_subclass__(cls, **options: object) -> None:
        """Reset the admissibility of a class that defines its own channels."""
        super().__init_subclass__(**options)
        if "further" in vars(cls) and "admissibility" not in vars(cls):
            cls.admissibility = UNKNOWN

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The expanded score in one line."""

    @abc.abstractmethod
    def further_channels(self, n_out: int) -> int:
        """Return the number E of channels appended to a score of ``n_out``."""

    @abc.abstractmethod
    def further(self, score: Tensor, seen: Seen, buffers: Buffers) -> Tensor:
        """Return the further channels, a new tensor of shape ``(..., E)``.

        Args:
            buffers: Constants returned by ``buffers``.
        """

    def buffers(self, n_hidden: int, n_in: int, generator: torch.Generator) -> Buffers:
        """Draw random constants, in float64 on the CPU; none by default.

        Args:
            n_hidden: Number N of cells of the hidden layer.
        """
        return {}

    def require_admissible(self) -> None:
        """Check that activity and the expanded score may be decorrelated.

        Raises:
            ValueError: They may not; the message gives the reason.
        """
        self.admissibility.require(self)

    def channels(self, n_out: int) -> int:
        """Return the number of channels of the expanded score."""
        return n_out + self.further_channels(n_out)

    def expand(self, score: Tensor, seen: Seen, buffers: Buffers | None = None) -> Tensor:
        """Return the expanded score ``[s; further(s)]``, a new tensor of shape ``(..., O + E)``.

        Args:
            buffers: Constants returned by ``buffers``, of any device and dtype; default none.

        Raises:
            ValueError: A required input is missing, or the expansion does not support the loss.
        """
        missing = [name for name in self.needs if getattr(seen, name) is None]
        if missing:
            raise ValueError(f"{self!r} requires {' and '.join(missing)}, got None")
        if score.shape != seen.outputs.shape:
            raise ValueError(
                f"score must have the shape {tuple(seen.outputs.shape)} of the outputs, got {tuple(score.shape)}"
            )
        return torch.cat([score, self.further(score, seen, buffers or {})], -1)


@dataclass(frozen=True)
class Plain(Expansion):
    """The score without further channels.

    >>> from tca.losses import MSE
    >>> Plain().expand(torch.ones(1, 2), Seen(torch.zeros(1, 2), MSE())).tolist(), Plain().channels(2)
    ([[1.0, 1.0]], 2)
    """

    admissibility: ClassVar[Admissibility] = Admissibility(True, "no channels are appended")
    needs: ClassVar[tuple[str, ...]] = ()
    equation: ClassVar[str] = "s"

    def further_channels(self, n_out: int) -> int:
        return 0

    def further(self, score: Tensor, seen: Seen, buffers: Buffers) -> Tensor:
        return score[..., :0].clone()
