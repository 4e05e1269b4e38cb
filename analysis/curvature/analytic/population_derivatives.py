"""A population of a recurrent network at a point, and the passes of derivatives through it, forward and back.

Shapes: T time, B batch, V vectors, C steps of a window, N cells, I cells of the population above, J cells of the one
below. Tensors of cells have T + 1 entries, index t is step t and index 0 the initial state. Windows count from there.
The equations are in ``cell_derivatives`` and ``synapses``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from analysis.curvature.analytic.cell_derivatives import CellFactors, Cells
from analysis.curvature.analytic.synapses import Synapses, WeightTangents
from tca.utils.numerics import Workspace

__all__ = ["Backward", "Efferent", "Forward", "Level"]


@dataclass(eq=False)
class Level:
    """A population at a point.

    Attributes:
        cells: Its cells.
        rate: Its rates, shape ``(T + 1, B, N)``.
        afferent: The connection from the population below, or from the inputs.
        recurrent: The recurrent connection.
        biases: Connections without a presynaptic population.
        initial: Name of the parameter that is the initial state; ``None`` if that is fixed.
        kept: Memory for the adjoint.
        adjoint: Derivative of the loss by the drives, shape ``(T + 1, B, N)``; empty before ``expect``.
        second: Second derivatives of the cells times the adjoint of their rates, same shape; ``None`` if all are zero.
    """

    cells: Cells
    rate: Tensor
    afferent: Synapses
    recurrent: Synapses
    biases: tuple[Synapses, ...]
    initial: str | None
    kept: Workspace
    adjoint: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float32, device="cpu"))
    second: Tensor | None = None

    @property
    def synapses(self) -> tuple[Synapses, ...]:
        """All connections into the cells."""
        return self.afferent, self.recurrent, *self.biases

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters of the population."""
        return frozenset({each.name for each in self.synapses} | ({self.initial} if self.initial else set()))

    def expect(self) -> None:
        """Make room for the adjoint, and compute second derivatives."""
        self.adjoint = self.kept.empty("adjoint", tuple(self.rate.shape), self.rate)
        self.second = None if self.cells.second is None else self.cells.second()

    def settle(self) -> None:
        """Drop second derivatives that are all zero."""
        if self.second is not None and not self.second.any():
            self.second = None


class Forward:
    """A pass forward: how the rates of a population change with the parameters.

    Args:
        level: The population.
        moves: Changes of parameters by name, each with a leading axis of V.
        count: Number of vectors V.
        scratch: Memory for the pass.

    Attributes:
        level: The population.
        tangent: Changes of the rates, shape ``(T + 1, B, V, N)``.
        inner: The factors of second derivatives, same shape.
        moved: Changes of the weights by name.
    """

    def __init__(self, level: Level, moves: Mapping[str, Tensor], count: int, scratch: Workspace) -> None:
        """Begin the pass."""
        self.level = level
        entries, trials, cells = level.rate.shape
        self.tangent, self.inner = (
            scratch.empty(name, (entries, trials, count, cells), level.rate) for name in ("tangent", "inner")
        )
        self.moved = {each.name: each.tangents(moves[each.name]) for each in level.synapses if each.name in moves}
        initial = moves.get(level.initial) if level.initial else None
        self._window = level.cells.forward(
            self.inner, self.tangent, level.rate.new_zeros(1, 1) if initial is None else initial
        )

    def window(self, steps: slice, lower: Tensor | None) -> Tensor:
        """Return the changes of the rates in a window, shape ``(C, B, V, N)``.

        Args:
            steps: The window.
            lower: Changes of the rates of the population below; ``None`` if these are fixed.
        """
        drive = self.inner[steps].zero_()
        if lower is not None:
            self.level.afferent.push_(drive, lower)
        for each in self.level.synapses:
            if each.name in self.moved:
                each.push_weights_(drive, self.moved[each.name], steps)
        self._window(steps)
        return self.tangent[steps]


class Efferent(NamedTuple):
    """A signal to the cells, or outputs, above a population.

    Attributes:
        synapses: The connection from the population to them.
        signal: The signal, shape ``(C, B, V, I)``.
        moved: Changes of the weights of the connection; ``None`` if they are fixed.
        adjoint: The signal of the first order, shape ``(C, B, I)``.
    """

    synapses: Synapses
    signal: Tensor
    moved: WeightTangents | None
    adjoint: Tensor


class Backward:
    """A pass backward: signals to the drives of a population, and the sums of its parameters.

    Args:
        level: The population.
        names: The chosen parameters.
        count: Number of vectors V.
        longest: Steps of the longest window.
        scratch: Memory for the pass.
        ahead: The pass forward, for a pass of the second order; ``None`` for one of the first.
        lower: That of the population below; ``None`` if it is fixed.
        expand: Whether to leave the signals in ``level.adjoint``, and multiply ``level.second`` by those to the rates.
    """

    def __init__(
        self,
        level: Level,
        names: Iterable[str],
        count: int,
        longest: int,
        scratch: Workspace,
        ahead: Forward | None = None,
        lower: Forward | None = None,
        *,
        expand: bool = False,
    ) -> None:
        """Begin the pass."""
        self.level, self._ahead, self._lower, self._expand = level, ahead, lower, expand
        _, trials, cells = level.rate.shape
        self._room = scratch.empty("signal", (longest, trials, count, cells), level.rate)
        factors = (
            CellFactors(ahead.inner, level.second) if ahead else CellFactors(expanded=level.second if expand else None)
        )
        self._window = level.cells.backward(count, factors)
        chosen = frozenset(names)
        self._sums = {each.name: (each, each.sums(count)) for each in level.synapses if each.name in chosen}
        self._initial = level.initial if level.initial in chosen else None

    def window(self, steps: slice, efferent: Efferent) -> Efferent:
        """Backproject the signal of a window from above, gather it, and return it for the population below.

        Args:
            steps: The window.
            efferent: The signal.
        """
        level, ahead, before = self.level, self._ahead, slice(steps.start - 1, steps.stop - 1)
        signal = self._empty(steps)
        efferent.synapses.pull(signal, efferent.signal)
        if ahead is not None and efferent.moved is not None:
            efferent.synapses.pull_weights_(signal, efferent.moved, efferent.adjoint)
        self._recur_(steps, signal)
        self._window(steps, signal)
        for each, sums in self._sums.values():
            each.gather_(sums, signal, steps)
        adjoint = level.adjoint[steps] if ahead or self._expand else signal
        if ahead is not None and level.recurrent.name in self._sums:
            level.recurrent.gather_tangents_(self._sums[level.recurrent.name][1], adjoint, ahead.tangent[before])
        if self._lower is not None and level.afferent.name in self._sums:
            level.afferent.gather_tangents_(self._sums[level.afferent.name][1], adjoint, self._lower.tangent[steps])
        return Efferent(level.afferent, signal, ahead.moved.get(level.afferent.name) if ahead else None, adjoint)

    def finish(self) -> dict[str, Tensor]:
        """Take time zero, and return the sums of the chosen parameters, each with a leading axis of V."""
        result = {name: each.finish(sums) for name, (each, sums) in self._sums.items()}
        if self._initial:
            start = slice(0, 1)
            signal = self._empty(start).zero_()
            self._recur_(start, signal)
            self._window(start, signal)
            result[self._initial] = signal.sum((0, 1))
        return result

    def _empty(self, steps: slice) -> Tensor:
        """Return memory for the signal of a window."""
        if self._expand:
            return self.level.adjoint[steps].unsqueeze(2)
        return self._room[: steps.stop - steps.start]

    def _recur_(self, steps: slice, signal: Tensor) -> None:
        """Add the adjoint of the next steps through changes of the recurrent weights."""
        recurrent, after = self.level.recurrent, self.level.adjoint[steps.start + 1 : steps.stop + 1]
        if self._ahead is not None and recurrent.name in self._ahead.moved and len(after):
            recurrent.pull_weights_(signal[: len(after)], self._ahead.moved[recurrent.name], after)
