"""One pass of a field and the cells in it: release, spread and reception of every step.

Shapes: T time, B batch, N cells, O outputs, S sites, C consecutive steps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tca.signals.diffusion.fields.solvers import AtSites, FieldRun, Shuffled
from tca.signals.signal import Buffers
from tca.tape.tape import Tape

if TYPE_CHECKING:
    from tca.signals.diffusion.neuromodulator import Diffusion

__all__ = ["FieldPass", "put"]


class FieldPass:
    """The field of a trial and the cells in it.

    A field that does not spread needs no space: every cell is a site of its own. One that decays within a step needs no
    memory: every step is computed on demand.
    """

    def __init__(self, signal: Diffusion, readout: Tensor, buffers: Buffers) -> None:
        """Choose the solver of the field.

        Args:
            signal: The signal with the field's constants.
            readout: Readout weights, shape ``(O, N)``; read at every emission.
        """
        self.signal, self.readout, self.buffers = signal, readout, buffers
        n_cells = readout.shape[1]
        self.medium = signal.medium(n_cells)
        self.spreads, self.remembers = self.medium.propagator.spreads, self.medium.stepping().kept > 0
        self.positions, self.sites = signal.positions(buffers), self.medium.space.sites
        self.run = self._run()

    def _run(self) -> FieldRun:
        if not self.spreads:
            return AtSites(lambda concentration: concentration, self.medium.stepping().kept)
        if "shuffle_seed" in self.buffers:
            return Shuffled(self.medium.run(self.readout, at_sites=True), int(self.buffers["shuffle_seed"]))
        return self.medium.run(self.readout)

    def emit(self, error: Tensor) -> Tensor:
        """Return the release of steps in the coordinates of the run."""
        weights = self.signal.weights.now(self.readout, self.buffers["feedback"])
        return self.signal.release.emit(error, weights, self.buffers.get("sites"), self._enter)

    def received_by_step(self, tape: Tape) -> Tensor:
        """Return the rate signal of all steps, ``(T + 1, B, N)``.

        The trial is processed in windows that fit the cache. The readout filter acts on the received signal, not on the
        release: at the ends of a trial the two do not commute.

        Args:
            tape: The forward pass with its output errors.
        """
        window = next(tape.windows())
        length = window.stop - window.start
        received = torch.empty_like(tape.rate)
        before: Tensor | None = None
        for start in range(0, tape.steps + 1, length):
            steps = slice(start, start + length)
            inside = self.emit(tape.output_error[steps])
            entries = inside.unbind(0)
            for earlier, now in pairwise(entries if before is None else (before, *entries)):
                self.run.advance_(now, earlier)
            received[steps] = self.receive(inside)
            before = entries[-1]
        if tape.readout.leak:
            if tape.over is not None:  # the field after the end of a trial is not backpropagated
                received.masked_fill_(tape.over.unsqueeze(-1), 0.0)
            _filter_back_(received.unbind(0), tape.readout.leak)
        return received

    def receive(self, inside: Tensor) -> Tensor:
        """Return the rate signal of the cells, a new tensor."""
        at_cells = self._at_cells(self.run.leave(inside)) if self.spreads else inside.clone()
        return self.signal.release.receive(at_cells, self.signal.weights.now(self.readout, self.buffers["feedback"]))

    def _at_cells(self, at_sites: Tensor) -> Tensor:
        """Return concentrations at the cells, by rows, six times as fast."""
        rows = at_sites.reshape(-1, at_sites.shape[-1])
        return rows.index_select(1, self.positions).view(*at_sites.shape[:-1], -1)

    def _enter(self, release: Tensor) -> Tensor:
        taken_up = release * self.medium.uptake
        return self.run.enter(put(taken_up, self.positions, self.sites)) if self.spreads else taken_up


def put(release: Tensor, positions: Tensor, n_sites: int) -> Tensor:
    """Scatter a release from cells ``(..., N)`` to sites ``(..., S)``."""
    at_sites = release.new_zeros(*release.shape[:-1], n_sites)
    return at_sites.index_add_(-1, positions, release)


def _filter_back_(entries: tuple[Tensor, ...], leak: float) -> None:
    """Backpropagate the signal through the leaky readout filter in place."""
    for entry in entries:
        entry.mul_(1 - leak)
    for now, later in zip(entries[-2:0:-1], entries[:1:-1], strict=True):
        now.add_(later, alpha=leak)
