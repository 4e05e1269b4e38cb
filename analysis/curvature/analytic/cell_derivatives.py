"""Leaky and spiking cells of a recurrent population, differentiated twice.

Shapes: T time, B batch, V vectors, N cells, C steps of a window. Tensors of cells have T + 1 entries, index t is step t
and index 0 the initial state.

A prime stands for the derivative along a vector of parameters. With the drive ``u_t`` without its recurrent part, the
recurrent weights W (the gain and the reset folded in), the leak k and the activation function f:

    leak on the potential    v_t = k v_{t-1} + W z_{t-1} + u_t,   z_t = f(v_t),   slope = f'(v_t),   second = f''(v_t)
        forward     v'_t = k v'_{t-1} + W z'_{t-1} + u'_t,   z'_t = slope_t v'_t
        backward    e_t = slope_t p_t + second_t v'_t + k e_{t+1}
    leak on the rate         z_t = k z_{t-1} + g f(W z_{t-1} + u_t),   slope = g f',   second = g f''
        forward     x'_t = W z'_{t-1} + u'_t,   z'_t = k z'_{t-1} + slope_t x'_t
        backward    q_t = p_t + k q_{t+1},   e_t = slope_t q_t + second_t x'_t
    adaptive spikes          v_t as above,   a_t = r a_{t-1} + h z_{t-1},   d_t = v_t - beta a_t
        forward     v'_t as above,   a'_t = r a'_{t-1} + h z'_{t-1},   d'_t = v'_t - beta a'_t,   z'_t = slope_t d'_t
        backward    q_t = p_t + h b_{t+1},   y_t = slope_t q_t + second_t d'_t,   e_t = y_t + k e_{t+1}
                    b_t = r b_{t+1} - beta y_t

p is the signal to the rates, with ``W^T e_{t+1}`` in it, and e the signal to the drives. Without the terms with
``second``, the pass backward is that of the gradient and e the adjoint; in the pass of the Hessian, ``second`` has been
multiplied by the adjoint of the rates, p or q, and e is the derivative of the adjoint along the vector. The derivative
of a spike is the surrogate gradient, zero while the cell is refractory.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from tca.cells.spiking_cell import SpikingCells
from tca.cells.surrogate_gradients import SurrogateGradient

__all__ = ["Cells", "PotentialCells", "RateCells", "distances", "spike_curvature"]


class CellFactors(NamedTuple):
    """The factors of the second order in a pass backward.

    Attributes:
        inner: The result of the pass forward in ``inner``, shape ``(T + 1, B, V, N)``; ``None`` for a gradient.
        second: Second derivatives times the adjoint, shape ``(T + 1, B, N)``; ``None`` if all are zero.
        expanded: Second derivatives to be multiplied by the adjoint, same shape; ``None`` if there are none.
    """

    inner: Tensor | None = None
    second: Tensor | None = None
    expanded: Tensor | None = None

    def scale_(self, t: int, signal: Tensor) -> None:
        """Multiply the second derivatives of a step by the adjoint of the rates.

        Args:
            t: The step.
            signal: The adjoint, shape ``(B, 1, N)``.
        """
        if self.expanded is not None:
            self.expanded[t].mul_(signal.squeeze(1))

    def add_(self, t: int, signal: Tensor) -> None:
        """Add the term of the second order to the signal of a step.

        Args:
            t: The step.
            signal: The signal, shape ``(B, V, N)``.
        """
        if self.second is not None and self.inner is not None:
            signal.addcmul_(self.second[t].unsqueeze(1), self.inner[t])


@dataclass(frozen=True, eq=False, kw_only=True)
class Cells(abc.ABC):
    """The cells of a population at a point.

    Attributes:
        slope: First derivatives, shape ``(T + 1, B, N)``.
        second: Returns second derivatives, same shape; ``None`` where they are zero.
        weights: Recurrent weights, shape ``(N, N)``, or smaller if groups of cells share them.
        leak: Leak per step, a number or ``(N,)``.
    """

    slope: Tensor
    second: Callable[[], Tensor] | None
    weights: Tensor
    leak: Tensor | float

    @abc.abstractmethod
    def forward(self, inner: Tensor, tangent: Tensor, initial: Tensor) -> Callable[[slice], None]:
        """Begin a pass forward and return the function that takes the next window of steps.

        Args:
            inner: Changes of the drives without their recurrent part, shape ``(T + 1, B, V, N)``; overwritten by the
                factors of ``second``.
            tangent: Receives the changes of the rates, same shape.
            initial: Change of the initial state, broadcastable to ``(B, V, N)``.
        """

    @abc.abstractmethod
    def backward(self, vectors: int, factors: CellFactors) -> Callable[[slice, Tensor], None]:
        """Begin a pass backward and return the function that turns the signals p of a window into e in place.

        It takes the steps of the window and their signals, shape ``(C, B, V, N)``, windows from the last to the first.

        Args:
            vectors: Number of vectors V.
            factors: The factors of the second order.
        """

    def rows(self, values: Tensor) -> Tensor:
        """Return a step, ``(B, V, N)``, as rows of the recurrent product, the same memory."""
        return values.view(-1, len(self.weights))

    def steps(self, values: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Return all steps of a tensor, each as it is and as rows of the recurrent product.

        Args:
            values: The tensor, shape ``(C, B, V, N)``.
        """
        return values.unbind(0), values.view(len(values), -1, len(self.weights)).unbind(0)

    def zeros(self, vectors: int) -> Tensor:
        """Return zeros for a step, shape ``(B, V, N)``.

        Args:
            vectors: Number of vectors V.
        """
        return self.slope.new_zeros(self.slope.shape[1], vectors, self.slope.shape[2])

    def leaking(self) -> Callable[..., Tensor]:
        """Return the function ``(x, y, out)`` that writes ``x + k y``."""
        if isinstance(self.leak, float):
            return partial(torch.add, alpha=self.leak)
        leak = self.leak
        return lambda x, y, out: torch.addcmul(x, y, leak, out=out)


@dataclass(frozen=True, eq=False, kw_only=True)
class PotentialCells(Cells):
    """Cells whose potential leaks; spiking cells may adapt.

    Attributes:
        adaptation: Constants of adaptive cells; ``None`` if no cell adapts.
    """

    adaptation: SpikingCells | None = None

    def forward(self, inner: Tensor, tangent: Tensor, initial: Tensor) -> Callable[[slice], None]:
        """Move potentials and adaptations, then rates."""
        slope, weights, add_leak, adaptive = self.slope.unsqueeze(2), self.weights.t(), self.leaking(), self.adaptation
        (inner_t, inner_rows), (tangent_t, tangent_rows) = self.steps(inner), self.steps(tangent)
        inner[0] = initial
        torch.mul(inner[0], slope[0], out=tangent[0])
        potential, adapted = (torch.zeros_like(inner[0]) for _ in range(2))
        slopes, potential_rows = slope.unbind(0), self.rows(potential)

        def window(steps: slice) -> None:
            for t in range(steps.start, steps.stop):
                if adaptive is None:
                    add_leak(inner_t[t], inner_t[t - 1], out=inner_t[t])
                    inner_rows[t].addmm_(tangent_rows[t - 1], weights)
                else:
                    add_leak(inner_t[t], potential, out=potential)
                    potential_rows.addmm_(tangent_rows[t - 1], weights)
                    adapted.mul_(adaptive.adaptation_leak).addcmul_(tangent_t[t - 1], adaptive.adaptation_gain)
                    torch.addcmul(potential, adapted, adaptive.strength, value=-1, out=inner_t[t])
                torch.mul(inner_t[t], slopes[t], out=tangent_t[t])

        return window

    def backward(self, vectors: int, factors: CellFactors) -> Callable[[slice, Tensor], None]:
        """Turn signals to rates into signals to potentials, and propagate these back through the leaks."""
        slopes, add_leak, adaptive = self.slope.unsqueeze(2).unbind(0), self.leaking(), self.adaptation
        held, adapted = self.zeros(vectors), self.zeros(vectors)

        def window(steps: slice, signal: Tensor) -> None:
            signals, rows = self.steps(signal)
            later, later_rows = held, self.rows(held)
            for t in reversed(range(steps.start, steps.stop)):
                here, here_rows = signals[t - steps.start], rows[t - steps.start]
                here_rows.addmm_(later_rows, self.weights)
                if adaptive is not None:
                    here.addcmul_(adapted, adaptive.adaptation_gain)
                factors.scale_(t, here)
                here.mul_(slopes[t])
                factors.add_(t, here)
                if adaptive is not None:
                    adapted.mul_(adaptive.adaptation_leak).addcmul_(here, adaptive.strength, value=-1)
                add_leak(here, later, out=here)
                later, later_rows = here, here_rows
            held.copy_(later)

        return window


@dataclass(frozen=True, eq=False, kw_only=True)
class RateCells(Cells):
    """Cells whose rate leaks. At time zero the slope is one and the second derivative zero."""

    def forward(self, inner: Tensor, tangent: Tensor, initial: Tensor) -> Callable[[slice], None]:
        """Move drives, then rates."""
        slopes, weights, add_leak = self.slope.unsqueeze(2).unbind(0), self.weights.t(), self.leaking()
        (inner_t, inner_rows), (tangent_t, tangent_rows) = self.steps(inner), self.steps(tangent)
        tangent[0] = initial
        inner[0] = 0.0

        def window(steps: slice) -> None:
            for t in range(steps.start, steps.stop):
                inner_rows[t].addmm_(tangent_rows[t - 1], weights)
                torch.mul(inner_t[t], slopes[t], out=tangent_t[t])
                add_leak(tangent_t[t], tangent_t[t - 1], out=tangent_t[t])

        return window

    def backward(self, vectors: int, factors: CellFactors) -> Callable[[slice, Tensor], None]:
        """Propagate signals back through the leak of the rates and turn them into signals to drives."""
        slopes, add_leak = self.slope.unsqueeze(2).unbind(0), self.leaking()
        held, state = self.zeros(vectors), self.zeros(vectors)

        def window(steps: slice, signal: Tensor) -> None:
            signals, rows = self.steps(signal)
            later_rows = self.rows(held)
            for t in reversed(range(steps.start, steps.stop)):
                here, here_rows = signals[t - steps.start], rows[t - steps.start]
                here_rows.addmm_(later_rows, self.weights)
                add_leak(here, state, out=state)
                factors.scale_(t, state)
                torch.mul(state, slopes[t], out=here)
                factors.add_(t, here)
                later_rows = here_rows
            held.copy_(signals[0])

        return window


def distances(constants: SpikingCells, weights: Tensor, driven: Tensor, rate: Tensor) -> Tensor:
    """Return the distance ``v_t - beta a_t`` of known spikes, which exceeds the threshold at rest when a cell spikes.

    Args:
        weights: Recurrent weights, gain and reset folded in, shape ``(N, N)``.
        driven: Drives without the recurrent part, times the gain, shape ``(T, B, N)``; overwritten.
        rate: The spikes, shape ``(T + 1, B, N)``.
    """
    driven.flatten(0, 1).addmm_(rate[:-1].flatten(0, 1), weights.t())
    potential, adaptation = torch.zeros_like(rate[0]), torch.zeros_like(rate[0])
    for t, each_drive in enumerate(driven.unbind(0)):
        potential.mul_(constants.leak).add_(each_drive)
        adaptation.mul_(constants.adaptation_leak).addcmul_(rate[t], constants.adaptation_gain)
        torch.addcmul(potential, adaptation, constants.strength, value=-1, out=each_drive)
    return driven


def spike_curvature(surrogate_gradient: SurrogateGradient, threshold: float, distance: Tensor, slope: Tensor) -> Tensor:
    """Return the second derivative of spikes, zero where the slope is zero, as in a refractory cell.

    Args:
        threshold: The threshold at rest.
        distance: The distances, shape ``(T, B, N)``.
        slope: The first derivative, same shape.

    >>> from tca.cells.surrogate_gradients import Triangular
    >>> distance = torch.tensor([0.5, 1.25, 1.25])
    >>> (spike_curvature(Triangular(gamma=1.0), 1.0, distance, torch.tensor([0.5, 0.75, 0.0])) + 0.0).tolist()
    [1.0, -1.0, 0.0]
    """
    with torch.enable_grad():
        scaled = ((distance - threshold) / threshold).detach().requires_grad_()
        height = surrogate_gradient(scaled)
        if not height.requires_grad:
            return torch.zeros_like(distance)
        (second,) = torch.autograd.grad(height.sum(), scaled, materialize_grads=True)
    return second.div_(threshold**2).mul_(slope != 0)
