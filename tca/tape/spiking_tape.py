"""The tape of a spiking population, with potential and adaptation as state of a cell.

Shapes: T time, B batch, N cells, C consecutive steps. State signals have the shape ``(C, B, 2, N)``. The equations are
in ``tca.cells.spiking_cell``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from tca.cells.spiking_cell import SpikingCells
from tca.connections.connection import ConnectionInput, Dense
from tca.connections.spike_products import gather_few_
from tca.tape.spiking_step import SpikingStep
from tca.tape.tape import Tape

__all__ = ["SpikingTape"]


@dataclass(frozen=True, eq=False, kw_only=True)
class SpikingTape(Tape):
    """One forward pass of a spiking population; see `tca.tape.Tape` for the other attributes.

    Attributes:
        slope: Surrogate gradient ``psi`` of a spike with respect to the potential, shape ``(T + 1, B, N)``.
        cells: The constants of the cells.
    """

    slope: Tensor
    cells: SpikingCells

    def lift(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a rate signal as a state signal, ``psi (1, -beta) G``; overwrites the signal."""
        return signal.mul_(self.slope[steps]).unsqueeze(-2) * self.cells.emission

    def drive(self, signal: Tensor, steps: slice) -> Tensor:
        """Return the potentials' part of a state signal, a view."""
        return signal[..., 0, :]

    def gather_(self, link: ConnectionInput, gradient: Tensor, driven: Tensor, steps: slice) -> None:
        """Add ``sum_t driven_t (x) pre_t``, over active presynaptic cells only if these are few."""
        pre = link.at(steps)
        if type(link.connection) is Dense and gather_few_(gradient, driven.flatten(0, -2), pre.flatten(0, -2)):
            return
        link.connection.outer_(gradient, driven, pre)

    def leak_(self, t: int, into: Tensor, later: Tensor) -> None:
        cells = self.cells
        into.addcmul_(later, cells.decay)
        if cells.reset_in_trace:
            self._emit_back_(t, into, (later * cells.echo).sum(-2))
        elif not cells.idle:
            returned = later.select(-2, 1) * self._slopes_before(t, into)
            into.addcmul_(returned.unsqueeze(-2), cells.adapted_emission)

    def transmit_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``(J_t - leak)^T later``, through recurrent weights and reset, to ``into`` in place."""
        self._emit_back_(t, into, later[..., 0, :] @ self.transmission)

    def transmit_all_(self, into: Tensor, later: Tensor, first: int = 1) -> None:
        self._emit_back_(first, into, later[..., 0, :] @ self.transmission)

    def transmit_own_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add the part of ``(J_t - leak)^T later`` within each cell, autapses and reset, to ``into``."""
        self._emit_back_(t, into, later[..., 0, :] * self.transmission.diagonal())

    def derivative(self, t: int) -> Tensor:
        """Return the surrogate gradient at a step, shape ``(B, N)``."""
        return self.slope[t]

    def local_step(self, t: int) -> SpikingStep:
        pres = tuple(link.at(slice(t, t + 1))[0] for link in self.links)
        slopes = self.slope[t - 1], self.slope[t]
        synapses = self.recurrence._replace(weights=self.synapses)
        return SpikingStep.of(self.cells, pres, slopes, synapses, self.to_go(t))

    @cached_property
    def synapses(self) -> Tensor:
        """Recurrent weights, with the reset as an autapse of each cell unless it is a part of the leak."""
        return self.cells.synapses(self.recurrent)

    def _emit_back_(self, t: int, into: Tensor, returned: Tensor) -> None:
        """Add signals to the spikes one step earlier, from step t on, to ``into`` in place."""
        into.addcmul_(returned.mul_(self._slopes_before(t, into)).unsqueeze(-2), self.cells.emission)

    def _slopes_before(self, t: int, into: Tensor) -> Tensor:
        """Return the slopes of step t - 1, or from it on as many as there are signals."""
        return self._slopes[t - 1] if into.ndim == 3 else self.slope[t - 1 : t - 1 + len(into)]

    @cached_property
    def _slopes(self) -> tuple[Tensor, ...]:
        return self.slope.unbind(0)
