"""Output errors backpropagated through separate feedback weights: feedback alignment.

Shapes: B batch, O outputs; feedback weights have the shape of the forward weights that they replace.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.eligibility import Eligibility
from tca.signals.signal import Buffers, CausalSignal, OnlineFunction, WindowFunction
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import Positive, checked

__all__ = ["BackwardWeights", "FeedbackAlignment", "SignSymmetric"]


@checked
@dataclass(frozen=True)
class BackwardWeights(CausalSignal, abc.ABC):
    """``G_p = B_p^T (gain * L_{p+1})``: backpropagation through separate weights.

    Magnitudes ``A`` are drawn once for each forward connection from a normal distribution of standard deviation
    ``scale`` times the root mean square of its initial weights; they are in the buffer ``backward``.
    """

    scale: Positive = 1.0

    @abc.abstractmethod
    def backward(self, weight: Tensor, drawn: Tensor) -> Tensor:
        """Return the feedback weights.

        Args:
            weight: Forward weights, missing synapses at zero.
            drawn: Random magnitudes drawn at the start, same shape.
        """

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw feedback weights of the forward connection; missing synapses stay missing."""
        onwards = _onwards_of(population)
        weight = onwards.effective()
        drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64, device="cpu").to(weight)
        exists = weight != 0
        size = weight.square().sum() / exists.sum().clamp(min=1)
        return {"backward": onwards.masked(drawn * (self.scale * size.sqrt()))}

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to ``slope_t * G_t``, also backpropagated to lower populations."""
        onwards = _onwards_of(tape.population)

        def read(steps: slice) -> Tensor:
            weight = self.backward(onwards.effective(), buffers["backward"])
            signal = tape.lift(tape.errors(steps, weight), steps)
            tape.send_back(signal)
            return signal

        return read

    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return the output error of the step through the feedback weights."""
        onwards = _onwards_of(population)
        return lambda error: onwards.back(error, self.backward(onwards.effective(), buffers["backward"]))


@checked
@dataclass(frozen=True)
class FeedbackAlignment(BackwardWeights):
    """``G_p = A_p^T (gain * L_{p+1})``: backpropagation through fixed random weights, layer by layer.

    Args:
        scale: Size of the feedback weights in units of the root mean square of the forward weights, default 1.

    Paper: Lillicrap et al. (2016), Nature Communications 7:13276.
    """

    equation: ClassVar[str] = "G_p = A_p^T (gain L)_{p+1}, A random and fixed"

    def backward(self, weight: Tensor, drawn: Tensor) -> Tensor:
        return drawn


@checked
@dataclass(frozen=True)
class SignSymmetric(BackwardWeights):
    """``G_p = (|A_p| * sign W_p)^T (gain * L_{p+1})``: random magnitudes with the signs of the forward weights.

    Args:
        scale: Size of the feedback weights in units of the root mean square of the forward weights, default 1.
        uniform: Whether all magnitudes equal the root mean square, default ``False``.

    Paper: Liao, Leibo and Poggio (2016), AAAI, arXiv:1510.05067.
    """

    uniform: bool = False

    @property
    def equation(self) -> str:
        sizes = "of one size" if self.uniform else "of random sizes"
        return f"G_p = B_p^T (gain L)_{{p+1}}, B {sizes} with the signs of W"

    def backward(self, weight: Tensor, drawn: Tensor) -> Tensor:
        """Return magnitudes with the signs of the forward weights."""
        sizes = drawn.square().mean().sqrt() if self.uniform else drawn.abs()
        return sizes * weight.sign()


def _onwards_of(population: Population) -> Connection:
    if population.onwards is None:
        raise ValueError(f"{population.title} is presynaptic to no connection")
    return population.onwards
