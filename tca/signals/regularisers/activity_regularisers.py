"""Activity regularisers: power, sparsity and entropy.

Shapes: T time, B batch, N cells, M steps and trials together, C consecutive steps.

A regulariser is a loss of the activity of one population; its learning signal is the derivative by the rates, which is
not backpropagated to lower populations. ``tca.signals.Regularised`` adds regularisers to any signal. Means are over all
steps of all trials, padding left out. Weight decay belongs to the optimizer.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import Count, NotNegative, Positive, checked, finite

__all__ = ["ActivityL1", "LayerEntropy", "Power", "Regulariser", "TrackedEntropy"]

FLOOR, FLOOR_OF_MAPS = 1e-8, 1e-5  # of an entropy, published for dense layers and for layers of maps
Buffers = dict[str, Tensor]
WindowFunction = Callable[[slice], Tensor]


@dataclass(frozen=True)
class Regulariser(abc.ABC):
    """A loss of the activity of one population."""

    @property
    @abc.abstractmethod
    def equation(self) -> str:
        """The equation of the loss."""

    @property
    def couples_trials(self) -> bool:
        """Whether the signal depends on other trials of the batch; default ``True``."""
        return True

    def buffers(self, population: Population) -> Buffers:
        """Return the initial state in a population; default none."""
        return {}

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:  # noqa: B027 - optional
        """Update the state from a batch, before the signal is read.

        Args:
            tape: The forward pass of the population.
            buffers: The state, changed in place.
        """

    @abc.abstractmethod
    def windowed_signal(self, tape: Tape, buffers: Buffers) -> WindowFunction:
        """Return a function from windows to derivatives by rates, ``(C, B, N)``.

        Args:
            tape: The forward pass of the population.
        """


@checked
@dataclass(frozen=True)
class Power(Regulariser):
    """``J = weight sum_i (mean z_i^2 - target)^2``: a target power for every cell.

    Args:
        weight: Weight, default 1e-3, at least 0. With 1 the features stay random.
        target: Target of the mean square, default 0.25, positive.

    Paper: Erdogan et al. (2025), arXiv:2504.11558.
    """

    weight: NotNegative = 1e-3
    target: Positive = 0.25

    @property
    def equation(self) -> str:
        return f"{self.weight:g} sum_i (mean z_i^2 - {self.target:g})^2"

    def windowed_signal(self, tape: Tape, buffers: Buffers) -> WindowFunction:
        """Return ``4 weight / M (mean z_i^2 - target) z_i``."""
        rate = tape.samples
        factor = (rate.square().mean(0) - self.target) * (4 * self.weight / _count(rate))
        return lambda steps: tape.rate[steps] * factor


@checked
@dataclass(frozen=True)
class ActivityL1(Regulariser):
    """``J = weight sum_i mean |z_i|``: sparse activity.

    Args:
        weight: Weight, at least 0.
    """

    weight: NotNegative

    @property
    def couples_trials(self) -> bool:
        """False: the loss is a mean over single rates."""
        return False

    @property
    def equation(self) -> str:
        return f"{self.weight:g} sum_i mean |z_i|"

    def windowed_signal(self, tape: Tape, buffers: Buffers) -> WindowFunction:
        """Return ``weight / M sign z_i``."""
        share = self.weight / _count(tape.samples)
        return lambda steps: tape.rate[steps].sign().mul_(share)


@checked
@dataclass(frozen=True)
class _Entropy(Regulariser, abc.ABC):
    """``J = -weight / 2 logdet(C + floor)``, ``C <- lam C + (1 - lam) mean z z^T``: high entropy of activity.

    Not local: cells need the inverse of the matrix. Without a control of power activity diverges.

    Paper: Erdogan et al. (2025), arXiv:2504.11558.
    """

    weight: NotNegative
    kept: float = 0.99999
    floor: Positive | None = None
    most: Count = 4096

    def __post_init__(self) -> None:
        if not 0 <= finite("kept", self.kept) < 1:
            raise ValueError(f"kept must lie in [0, 1), got {self.kept}")

    @abc.abstractmethod
    def start(self, population: Population) -> Buffers:
        """Return the initial state of a regularised population."""

    @abc.abstractmethod
    def average_(self, rate: Tensor, buffers: Buffers) -> None:
        """Update the state by the rates of a batch.

        Args:
            rate: Rates of all steps and trials, shape ``(M, N)``.
            buffers: The state, changed in place.
        """

    @abc.abstractmethod
    def precision(self, population: Population, buffers: Buffers) -> Tensor:
        """Return ``(C + floor)^-1``, shape ``(N, N)``.

        Raises:
            ValueError: The matrix cannot be inverted at its precision.
        """

    def floor_of(self, population: Population) -> float:
        """Return the addition to the diagonal in a population."""
        published = FLOOR_OF_MAPS if len(population.shape) == 3 else FLOOR
        return published if self.floor is None else self.floor

    @property
    def named_floor(self) -> str:
        """Text of the floor in an equation."""
        return "floor" if self.floor is None else f"{self.floor:g}"

    def buffers(self, population: Population) -> Buffers:
        return self.start(population) if population.cells <= self.most else {}

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:
        """Average the second moment of a batch into the matrix."""
        if buffers and len(tape.samples):
            self.average_(tape.samples, buffers)

    def windowed_signal(self, tape: Tape, buffers: Buffers) -> WindowFunction:
        """Return a function to ``-weight (1 - lam) / M (C + floor)^-1 z``, zero without state."""
        if not buffers:
            return lambda steps: torch.zeros_like(tape.rate[steps])
        precision = self.precision(tape.population, buffers) * (-self.weight * (1 - self.kept) / _count(tape.samples))
        return lambda steps: tape.rate[steps] @ precision


@checked
@dataclass(frozen=True)
class LayerEntropy(_Entropy):
    """``J = -weight / 2 logdet(C + floor 1)``, ``C <- lam C + (1 - lam) mean z z^T``, from the unit matrix.

    A matrix of all pairs of cells is inverted for each batch.

    Args:
        weight: Weight, at least 0; small values are sensible, together with a control of power.
        kept: Decay factor lam per update, default 0.99999, in [0, 1).
        floor: Addition to the diagonal, positive; ``None`` (default) for the published 1e-8, and 1e-5 in maps. In
            single precision it must be larger once activity has replaced the initial unit matrix.
        most: Size of the largest regularised population, default 4096 cells, since the matrix has an entry for every
            pair of cells; larger ones, such as maps, receive no signal.

    Paper: Erdogan et al. (2025), arXiv:2504.11558.
    """

    @property
    def equation(self) -> str:
        return (
            f"-{self.weight:g}/2 logdet(C + {self.named_floor}), C <- {self.kept:g} C + {1 - self.kept:.3g} mean z z^T"
        )

    def start(self, population: Population) -> Buffers:
        return {"second_moment": torch.eye(population.cells, dtype=torch.float64, device="cpu").to(population.like)}

    def average_(self, rate: Tensor, buffers: Buffers) -> None:
        """Average the second moment of a batch into C."""
        buffers["second_moment"].addmm_(rate.t(), rate, beta=self.kept, alpha=(1 - self.kept) / len(rate))

    def precision(self, population: Population, buffers: Buffers) -> Tensor:
        """Return the inverse, by Cholesky."""
        matrix, floor = buffers["second_moment"].clone(), self.floor_of(population)
        matrix.diagonal().add_(floor)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if failed:
            raise ValueError(
                "floor must be large enough for the second moment of "
                f"{population.title} to be inverted in {matrix.dtype}, "
                f"got {floor:g}"
            )
        return torch.cholesky_inverse(factor)


@checked
@dataclass(frozen=True)
class TrackedEntropy(_Entropy):
    """Layer entropy with a decaying floor, ``A <- lam A + (1 - lam) mean z z^T`` from ``(1 + floor) 1``.

    The inverse itself is updated from batch to batch (Woodbury): ``A = C + lam^m floor 1`` after m updates. It is
    cheaper than `LayerEntropy` where a batch has fewer steps and trials than the population has cells.

    Args:
        weight: Weight, at least 0; small values are sensible, together with a control of power.
        kept: Decay factor lam per update, default 0.99999, in (0, 1).
        floor: Initial addition to the diagonal, positive; ``None`` (default) for 1e-8, and 1e-5 in maps.
        most: Size of the largest regularised population, default 4096 cells; larger ones receive no signal.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.kept:
            raise ValueError("kept must be greater than 0 where an inverse is carried on")

    @property
    def equation(self) -> str:
        average = f"A <- {self.kept:g} A + {1 - self.kept:.3g} mean z z^T"
        return f"-{self.weight:g}/2 logdet A, {average}, A_0 = 1 + {self.named_floor}"

    def start(self, population: Population) -> Buffers:
        """Return the inverse."""
        start = torch.eye(population.cells, dtype=torch.float64, device="cpu") / (1 + self.floor_of(population))
        return {"precision": start.to(population.like)}

    def average_(self, rate: Tensor, buffers: Buffers) -> None:
        """Update the inverse, ``(P - P Z^T (M lam / (1 - lam) + Z P Z^T)^-1 Z P) / lam``."""
        precision = buffers["precision"]
        seen = rate @ precision
        inner = seen @ rate.t()
        inner.diagonal().add_(len(rate) * self.kept / (1 - self.kept))
        less = torch.linalg.solve_triangular(torch.linalg.cholesky(inner), seen, upper=False)
        precision.sub_(less.t() @ less).div_(self.kept)

    def precision(self, population: Population, buffers: Buffers) -> Tensor:
        return buffers["precision"]


def _count(samples: Tensor) -> int:
    """Return the number of samples M, at least one."""
    return max(1, len(samples))
