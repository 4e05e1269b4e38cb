"""Spiking cells differentiated twice through their pseudo-derivative.

Shapes: T time, B batch, V vectors, N cells, C steps of a window. What belongs to the cells has T + 1 entries.

The cells are those of ``tca.cells.spiking_cell``. With ``d_t = v_t - beta a_t`` the potential above the threshold at
rest, a spike has the derivative ``psi_t = p(u_t) / thr`` by it, ``u_t = (d_t - thr) / thr``, zero while the cell is
refractory, and the second derivative ``p'(u_t) / thr^2``: that of the pseudo-derivative, as often as it has one. The
gain and the reset are folded into the recurrent weights W.

    forwards    v'_t = kappa v'_{t-1} + W z'_{t-1} + u'_t,  a'_t = rho a'_{t-1} + gain_a z'_{t-1}
                d'_t = v'_t - beta a'_t,  z'_t = psi_t d'_t
    backwards   q'_t = p'_t + W^T told'_{t+1} + gain_a back'_{t+1},  e'_t = psi_t q'_t + bent_t d'_t
                told'_t = kappa told'_{t+1} + e'_t,  back'_t = rho back'_{t+1} - beta e'_t

``told`` is the signal to potentials, and so to drives, ``back`` that to adaptations, and bent ``p'(u_t) q_t / thr^2``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.operators.cells import Ahead, Back, Cells, Entries, Second, each, flat, nothing
from tca.cells.spiking_cell import SpikingCells
from tca.cells.surrogate_gradients import PseudoDerivative

__all__ = ["Spiking", "distances", "second_of"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Spiking(Cells):
    """Leaky integrate-and-fire cells, some or all of which adapt; the equations are those of the module.

    Attributes:
        constants: The constants of the cells.
    """

    constants: SpikingCells

    def inner(self, tangent: Tensor, own: Callable[[], Tensor]) -> Tensor:
        """Return memory of its own."""
        return own()

    def ahead(self, run: Ahead) -> Callable[[slice], None]:
        """Move potentials and adaptations, then spikes."""
        slope, weights, cells = each(self.slope), self.weights.t(), self.constants
        tangent, inner = Entries.of(run.tangent, self.weights), run.inner.unbind(0)
        tangent.cube[0].zero_(), inner[0].zero_()
        potential, adaptation = torch.zeros_like(inner[0]), torch.zeros_like(inner[0])
        wide, adapts = flat(potential, self.weights), bool(len(cells.adaptive))

        def through(steps: slice) -> None:
            for t in range(steps.start, steps.stop):
                torch.addcmul(inner[t], potential, cells.leak, out=potential)
                wide.addmm_(tangent.flat[t - 1], weights)
                if adapts:
                    adaptation.mul_(cells.adaptation_leak).addcmul_(tangent.cube[t - 1], cells.adaptation_gain)
                    torch.addcmul(potential, adaptation, cells.strength, value=-1, out=inner[t])
                else:
                    inner[t].copy_(potential)
                torch.mul(inner[t], slope[t], out=tangent.cube[t])

        return through

    def back(self, run: Back) -> Callable[[slice, Tensor], None]:
        """Go from spikes to potentials and adaptations, and add what comes back through their leaks."""
        slope, second, cells = each(self.slope), Second.of(run), self.constants
        held, adaptation = nothing(self.slope, run.vectors), nothing(self.slope, run.vectors)
        adapts = bool(len(cells.adaptive))

        def through(steps: slice, signal: Tensor) -> None:
            rows, cube = Entries.of(signal, self.weights)
            later, wide = held, flat(held, self.weights)
            for t in reversed(range(steps.start, steps.stop)):
                here = cube[t - steps.start]
                rows[t - steps.start].addmm_(wide, self.weights)
                if adapts:
                    here.addcmul_(adaptation, cells.adaptation_gain)
                second.meet_(t, here)
                here.mul_(slope[t])
                second.bend_(t, here)
                if adapts:
                    adaptation.mul_(cells.adaptation_leak).addcmul_(here, cells.strength, value=-1)
                here.addcmul_(later, cells.leak)
                later, wide = here, rows[t - steps.start]
            held.copy_(later)

        return through


def distances(constants: SpikingCells, weights: Tensor, driven: Tensor, rate: Tensor) -> Tensor:
    """Return the potentials above the threshold at rest, ``v_t - beta a_t``, of spikes that are known.

    Args:
        constants: The constants of the cells.
        weights: Recurrent weights, gain and reset folded in, shape ``(N, N)``.
        driven: Drives but for the recurrent part, times the gain, shape ``(T, B, N)``; used up.
        rate: The spikes, shape ``(T + 1, B, N)``.
    """
    driven.flatten(0, 1).addmm_(rate[:-1].flatten(0, 1), weights.t())
    potential, adaptation = torch.zeros_like(rate[0]), torch.zeros_like(rate[0])
    for t, each_drive in enumerate(driven.unbind(0)):
        potential.mul_(constants.leak).add_(each_drive)
        adaptation.mul_(constants.adaptation_leak).addcmul_(rate[t], constants.adaptation_gain)
        torch.addcmul(potential, adaptation, constants.strength, value=-1, out=each_drive)
    return driven


def second_of(pseudo: PseudoDerivative, threshold: float, above: Tensor, slope: Tensor) -> Tensor:
    """Return the second derivative of spikes, zero where the slope is, as where a cell is refractory.

    Args:
        pseudo: The pseudo-derivative.
        threshold: The threshold at rest.
        above: Potentials above it, shape ``(T, B, N)``.
        slope: The first derivative, same shape.

    >>> from tca.cells.surrogate_gradients import Triangular
    >>> above = torch.tensor([0.5, 1.25, 1.25])
    >>> (second_of(Triangular(gamma=1.0), 1.0, above, torch.tensor([0.5, 0.75, 0.0])) + 0.0).tolist()
    [1.0, -1.0, 0.0]
    """
    with torch.enable_grad():
        distance = ((above - threshold) / threshold).detach().requires_grad_()
        height = pseudo(distance)
        if not height.requires_grad:
            return torch.zeros_like(above)
        (bend,) = torch.autograd.grad(height.sum(), distance, materialize_grads=True)
    return bend.div_(threshold**2).mul_(slope != 0)
