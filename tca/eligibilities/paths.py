"""The Jacobian along a random part of the recurrent synapses: real-time recurrent learning over sparse paths.

Shapes: N cells, R recurrent drives of a cell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tca.connections.connection import Connection
from tca.eligibilities.eligibility import Eligibility
from tca.eligibilities.traces import InfluenceTrace, Trace
from tca.tape.local_step import LocalStep
from tca.tape.population import Population, needs_synapses
from tca.tape.tape import Tape
from tca.utils.checks import Count, Seed, checked

__all__ = ["Paths"]


@checked
@dataclass(frozen=True)
class Paths(Eligibility):
    """``D_t = leak + M o (J_t - leak)``: credit crosses k of N recurrent paths, drawn once.

    The mask M is drawn from ``seed`` alone and stays the same. With ``of="inputs"`` every cell passes on the credit of
    k of its existing inputs; with ``"rows"`` only k cells receive credit, from all; with ``"columns"`` all receive it,
    from k cells. From ``k = N`` on this is ``PopulationJacobian``, real-time recurrent learning within a population;
    with no path it would be e-prop, ``Leak``. Signals that backpropagate within the step are not masked.

    Run backwards it costs as much as ``Full``; run forwards as well, since the traces are stored in full.

    Args:
        paths: The number k, default 4, at least 1; more than there are stands for all.
        of: What is drawn: ``"inputs"`` (default) of each cell, ``"rows"`` or ``"columns"`` of the Jacobian.
        seed: Seed of the mask, default 0.

    Paper: Shalev-Merin (2026), arXiv:2603.15195, k = 4 of n = 64; its abstract leaves open which of the three it takes.

    >>> Paths(1, of="rows", seed=3).kept(torch.ones(2, 2)).sum(1).sort().values.tolist()
    [0.0, 2.0]
    """

    paths: Count = 4
    of: Literal["inputs", "rows", "columns"] = "inputs"
    seed: Seed = 0
    local: ClassVar[bool] = False

    @property
    def equation(self) -> str:
        return f"D_t = leak + M o (J_t - leak), M: {self.paths} {self.of} drawn with seed {self.seed}"

    def check(self, population: Population) -> None:
        """Refuse a population without recurrent synapses."""
        needs_synapses(type(self).__name__, population)

    def kept(self, exists: Tensor) -> Tensor:
        """Return the mask M, one where credit passes from the cell of the column to that of the row, ``(N, N)``.

        Args:
            exists: One where there is a synapse and zero elsewhere, shape ``(N, N)``.
        """
        order = _draw(len(exists), self.seed).to(exists)
        if self.of == "inputs":
            first = _rank(order + exists, 1)
        elif self.of == "rows":
            first = _rank(order[:, :1], 0)
        else:
            first = _rank(order[:1], 1)
        return (first < self.paths) * exists

    def propagate_back_(self, tape: Tape, t: int, into: Tensor, later: Tensor) -> None:
        self._along(tape).return_(t, into, later)

    def filter_(self, tape: Tape, signal: Tensor, steps: slice, later: Tensor | None) -> Tensor:
        """Filter the signal by the Jacobian of the network without the other synapses."""
        return self._along(tape).filter_jacobian_(signal, steps, later)

    def trace(self, connection: Connection, step: LocalStep, trials: int) -> Trace:
        kept = self._kept(step.recurrent, step.recurrence.mask)  # drawn once, not at every step

        def propagator(now: LocalStep) -> Tensor:
            along = replace(now, recurrence=now.recurrence._replace(weights=now.recurrent * kept))
            return now.leak_matrix() + along.transmission()

        return InfluenceTrace(connection, trials, propagator, step.components)

    def _along(self, tape: Tape) -> Tape:
        """Return the tape without the synapses that no credit crosses."""
        synapses = tape.synapses
        return tape.with_recurrent(tape.recurrent - synapses * (1 - self._kept(synapses, tape.recurrence.mask)))

    def _kept(self, synapses: Tensor, mask: Tensor | None) -> Tensor:
        """Return one where credit passes and zero elsewhere, ``(R N, N)``; a reset counts as a synapse."""
        exists = torch.ones_like(synapses) if mask is None else torch.maximum(mask.to(synapses), synapses.ne(0))
        drives = torch.unflatten(exists, 0, (-1, exists.shape[1]))
        return self.kept(drives.amax(0)).repeat(len(drives), 1)


@lru_cache(maxsize=16)
def _draw(cells: int, seed: int) -> Tensor:
    """Return numbers between zero and one, ``(N, N)``, the same on every device and in every dtype."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.rand(cells, cells, generator=generator, dtype=torch.float64, device="cpu")


def _rank(values: Tensor, axis: int) -> Tensor:
    """Return the rank of each value along an axis, zero for the largest."""
    return values.argsort(dim=axis, descending=True, stable=True).argsort(dim=axis, stable=True)
