"""What lies between the rates of a population and the synapses that hear them, differentiated twice.

Shapes: B batch, V vectors, C steps of a window, N cells, J what is heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.operators.expansion import Graph
from analysis.operators.pullback import Linearization
from tca.nets.feedforward.interlayer import AvgPool, Dropout, MaxPool, Passage, Shape
from tca.nets.vector.vector_start import ChannelsLast, Componentwise

__all__ = ["Bridge"]

LINEAR = (AvgPool, Dropout, ChannelsLast, Componentwise)  # dropout is off, and only means are taken by component
STRAIGHT = (*LINEAR, MaxPool)  # no second derivative


@dataclass(frozen=True, eq=False)
class Bridge:
    """Fixed functions of rates, one behind the other, as autograd differentiates them.

    Attributes:
        passages: The functions.
        shape: How the cells are laid out before the first.

    >>> from tca.nets.feedforward.interlayer import RMSNorm
    >>> bridge, rate = Bridge((RMSNorm(),), (1,)), torch.tensor([[[3.0]]])
    >>> bridge.curved, bridge.push(rate, torch.ones(1, 1, 2, 1)).flatten().abs().max().item() < 1e-6
    (True, True)
    """

    passages: tuple[Passage, ...]
    shape: Shape

    @property
    def curved(self) -> bool:
        """Whether there may be a second derivative."""
        return not all(isinstance(each, STRAIGHT) for each in self.passages)

    def push(self, rate: Tensor, tangent: Tensor) -> Tensor:
        """Return how what is heard changes with the rates, shape ``(C, B, V, J)``.

        Args:
            rate: The rates, shape ``(C, B, N)``.
            tangent: Their changes, shape ``(C, B, V, N)``.
        """
        if all(isinstance(each, LINEAR) for each in self.passages):
            return self._through(tangent)
        line = Linearization.of(self._through, rate)
        return torch.stack([line.push(each) for each in tangent.unbind(2)], 2)

    def pull(self, rate: Tensor, signal: Tensor) -> Tensor:
        """Return a signal to what is heard as one to the rates, shape ``(C, B, V, N)``.

        Args:
            rate: The rates, shape ``(C, B, N)``.
            signal: The signal, shape ``(C, B, V, J)``.
        """
        with torch.enable_grad():
            before = rate.unsqueeze(2).expand(-1, -1, signal.shape[2], -1).detach().requires_grad_()
            (returned,) = torch.autograd.grad(self._through(before), before, signal)
        return returned

    def bend(self, rate: Tensor, told: Tensor, tangent: Tensor) -> Tensor:
        """Return how the way back of a signal changes with the rates, a signal to these, shape ``(C, B, V, N)``.

        Args:
            rate: The rates, shape ``(C, B, N)``.
            told: The signal to what is heard, shape ``(C, B, J)``.
            tangent: Changes of the rates, shape ``(C, B, V, N)``.
        """
        graph = Graph.of(lambda flat: (self._through(flat.view(rate.shape)) * told).sum(), rate.reshape(-1))
        return graph.second(tangent.movedim(2, 3).flatten(0, 2)).view(*rate.shape, -1).movedim(3, 2)

    def _through(self, rate: Tensor) -> Tensor:
        shape = self.shape
        for passage in self.passages:
            rate = passage.through(rate, shape, None)
            shape = passage.shape(shape)
        return rate
