"""Scores gated by the prediction, or by a fixed random projection of a hidden layer or of the input.

Shapes: O outputs, N cells of a hidden layer, I inputs, M gates.

A gate is a function of the input, hence ``E[gate s | x] = gate E[s | x]``.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.losses import Admissibility
from tca.losses.expansions.expansion import Buffers, Expansion, Seen
from tca.losses.links import Link, SoftmaxLink
from tca.utils.checks import Count, checked

__all__ = ["HiddenGates", "InputGates", "PredictionGates"]


def _gated(gates: Tensor, score: Tensor) -> Tensor:
    """Return ``vec(gates s^T)``, ordered by gate, shape ``(..., M * O)``."""
    return (gates.unsqueeze(-1) * score.unsqueeze(-2)).flatten(-2)


@checked
@dataclass(frozen=True)
class PredictionGates(Expansion):
    """``[s; vec(p s^T)]`` with the prediction ``p = r(y)`` as gates.

    There are ``O + O^2`` channels, 40,200 for 200 classes; ``top`` keeps the largest predictions only, sorted.

    Args:
        link: Link from outputs to predictions, one of `tca.losses.links`; default the softmax.
        top: Number of gates, the largest predictions; default all, in the order of the outputs.

    >>> from tca.losses import CrossEntropy
    >>> seen = Seen(torch.zeros(1, 2), CrossEntropy())
    >>> PredictionGates().expand(torch.tensor([[0.5, -0.5]]), seen).tolist()
    [[0.5, -0.5, 0.25, -0.25, 0.25, -0.25]]
    """

    link: Link = field(default_factory=SoftmaxLink)
    top: Count | None = None
    admissibility: ClassVar[Admissibility] = Admissibility(True, "a prediction is a function of the input")
    needs: ClassVar[tuple[str, ...]] = ("outputs",)

    @property
    def equation(self) -> str:
        return "[s; vec(p s^T)]" if self.top is None else f"[s; vec(p s^T)], p the {self.top} largest predictions"

    def further_channels(self, n_out: int) -> int:
        return self._gates(n_out) * n_out

    def further(self, score: Tensor, seen: Seen, buffers: Buffers) -> Tensor:
        """Return ``vec(p s^T)``."""
        p = self.link(seen.outputs)
        return _gated(p if self.top is None else p.topk(self._gates(p.shape[-1]), -1).values, score)

    def _gates(self, n_out: int) -> int:
        return n_out if self.top is None else min(self.top, n_out)


@checked
@dataclass(frozen=True)
class ProjectionGates(Expansion):
    """``[s; vec((W a) s^T)]`` with an activity a and a fixed random matrix W of M rows.

    The elements of W are normal with variance one over the size of a, so that gates have the variance of the
    activity. Gates are functions of `Seen`, which contains no target.

    Args:
        size: Number of gates M, default 8.
    """

    size: Count = 8
    admissibility: ClassVar[Admissibility] = Admissibility(True, "a gate is a function of the input and no target")

    @abc.abstractmethod
    def width(self, n_hidden: int, n_in: int) -> int:
        """Return the size of the projected activity.

        Args:
            n_hidden: Number N of cells of the hidden layer.
        """

    @abc.abstractmethod
    def activity(self, seen: Seen) -> Tensor:
        """Return the projected activity, shape ``(..., N)`` or ``(..., I)``.

        Raises:
            ValueError: It is missing.
        """

    def buffers(self, n_hidden: int, n_in: int, generator: torch.Generator) -> Buffers:
        """Draw W."""
        width = self.width(n_hidden, n_in)
        drawn = torch.randn(self.size, width, generator=generator, dtype=torch.float64, device="cpu")
        return {"gates": drawn / math.sqrt(width)}

    def further_channels(self, n_out: int) -> int:
        return self.size * n_out

    def further(self, score: Tensor, seen: Seen, buffers: Buffers) -> Tensor:
        """Return ``vec((W a) s^T)``."""
        return _gated(self.activity(seen) @ buffers["gates"].to(score).mT, score)


@checked
@dataclass(frozen=True)
class HiddenGates(ProjectionGates):
    """``[s; vec((W h) s^T)]`` with the activity h of a hidden layer and a fixed random matrix W of ``size`` rows.

    Cheaper than `PredictionGates` for many classes.

    >>> from tca.losses import MSE
    >>> seen = Seen(torch.zeros(1, 3), MSE(), hidden=torch.zeros(1, 5))
    >>> drawn = HiddenGates(size=2).buffers(5, 4, torch.Generator().manual_seed(0))
    >>> drawn["gates"].shape, HiddenGates(size=2).expand(torch.zeros(1, 3), seen, drawn).shape
    (torch.Size([2, 5]), torch.Size([1, 9]))
    """

    needs: ClassVar[tuple[str, ...]] = ("hidden",)

    @property
    def equation(self) -> str:
        return f"[s; vec((W h) s^T)], W fixed, {self.size} x N"

    def width(self, n_hidden: int, n_in: int) -> int:
        return n_hidden

    def activity(self, seen: Seen) -> Tensor:
        return _given("hidden", seen.hidden)


@checked
@dataclass(frozen=True)
class InputGates(ProjectionGates):
    """``[s; vec((W x) s^T)]`` with the input x and a fixed random matrix W of ``size`` rows."""

    needs: ClassVar[tuple[str, ...]] = ("inputs",)

    @property
    def equation(self) -> str:
        return f"[s; vec((W x) s^T)], W fixed, {self.size} x I"

    def width(self, n_hidden: int, n_in: int) -> int:
        return n_in

    def activity(self, seen: Seen) -> Tensor:
        return _given("inputs", seen.inputs)


def _given(name: str, activity: Tensor | None) -> Tensor:
    if activity is None:
        raise ValueError(f"{name} must be given")
    return activity
