"""A population of a network at a point, and the passes of derivatives through it, forwards and back.

Shapes: T time, B batch, V vectors, C steps of a window, N cells, I cells that hear them, J what is heard. What belongs
to the cells has T + 1 entries, index t is step t and index 0 the initial state. Windows count from there. The equations
are in ``cells`` and ``synapses``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from analysis.operators.bridge import Bridge
from analysis.operators.cells import Ahead, Back, Cells
from analysis.operators.synapses import Synapses
from tca.utils.numerics import Workspace

__all__ = ["Backwards", "Forwards", "Level", "Sent"]


@dataclass(eq=False)
class Level:
    """A population at a point.

    Attributes:
        cells: Its cells.
        rate: Its rates, shape ``(T + 1, B, N)``.
        heard: The connection from the population below, or from the inputs.
        loop: The recurrent connection; ``None`` without one.
        biases: Connections from nowhere.
        initial: Name of the parameter that is the initial state; ``None`` if that is fixed.
        bridge: What its rates pass; ``None`` if they are heard as they are.
        width: Size J of what is heard of it.
        kept: Memory for what does not depend on a vector.
        told: What the cells are told, shape ``(T + 1, B, N)``; empty before ``expecting``.
        bent: What bends signals, same shape; ``None`` if nothing does.
    """

    cells: Cells
    rate: Tensor
    heard: Synapses
    loop: Synapses | None
    biases: tuple[Synapses, ...]
    initial: str | None
    bridge: Bridge | None
    width: int
    kept: Workspace
    told: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float32, device="cpu"))
    bent: Tensor | None = None

    @property
    def synapses(self) -> tuple[Synapses, ...]:
        """All connections into the cells."""
        return (self.heard, *(() if self.loop is None else (self.loop,)), *self.biases)

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters of the population."""
        return frozenset({each.name for each in self.synapses} | ({self.initial} if self.initial else set()))

    def expect(self) -> None:
        """Make room for what the cells are told, and write what is to be multiplied by it."""
        shape = tuple(self.rate.shape)
        if self.cells.bend is not None:
            self.bent = self.kept.empty("bent", shape, self.rate)
            self.cells.bend(self.bent)
        self.told = self.kept.empty("told", shape, self.rate) if self.cells.spare is None else self.cells.spare

    def settle(self) -> None:
        """Forget what bends nothing."""
        if self.bent is not None and not self.bent.any():
            self.bent = None


class Forwards:
    """A pass forwards: how a population moves when parameters do.

    Args:
        level: The population.
        moves: Changes of parameters by name, each with a leading axis of V.
        count: Number of vectors V.
        scratch: Memory for the pass.

    Attributes:
        level: The population.
        tangent: Changes of the rates, shape ``(T + 1, B, V, N)``.
        inner: What is bent on the way back, same shape.
        passed: Changes of what is heard of the population, shape ``(T + 1, B, V, J)``; those of the rates themselves
            without a bridge.
        laid: Changes of weights by name, as synapses take them.
    """

    def __init__(self, level: Level, moves: Mapping[str, Tensor], count: int, scratch: Workspace) -> None:
        """Begin the pass."""
        self.level = level
        entries, trials, cells = level.rate.shape
        shape = (entries, trials, count, cells)
        self.tangent = self.passed = scratch.empty("tangent", shape, level.rate)
        if level.bridge is not None:
            self.passed = scratch.empty("passed", (entries, trials, count, level.width), level.rate)
        self.inner = level.cells.inner(self.tangent, lambda: scratch.empty("inner", shape, level.rate))
        self.laid: dict[str, Any] = {
            each.name: each.laid(moves[each.name]) for each in level.synapses if each.name in moves
        }
        moved = moves.get(level.initial) if level.initial else None
        initial = level.rate.new_zeros(1, 1) if moved is None else moved
        self._through = level.cells.ahead(Ahead(self.inner, self.tangent, initial))

    def through(self, steps: slice, heard: Tensor | None) -> Tensor:
        """Take a window, and return how what is heard of the population changes, shape ``(C, B, V, J)``.

        Args:
            steps: The window.
            heard: Changes of what the population hears; ``None`` if that is fixed.
        """
        drive = self.inner[steps].zero_()
        if heard is not None:
            self.level.heard.carry_(drive, heard)
        for each in self.level.synapses:
            if each.name in self.laid:
                each.move_(drive, self.laid[each.name], steps)
        self._through(steps)
        if self.level.bridge is not None:
            self.passed[steps] = self.level.bridge.push(self.level.rate[steps], self.tangent[steps])
        return self.passed[steps]


class Sent(NamedTuple):
    """A signal on its way down from cells, or outputs, that hear a population.

    Attributes:
        synapses: The connection on which they hear it.
        signal: The signal to them, shape ``(C, B, V, I)``.
        laid: Changes of the weights of the connection; ``None`` if they do not move.
        told: The signal of the first order to them, shape ``(C, B, I)``.
    """

    synapses: Synapses
    signal: Tensor
    laid: Any
    told: Tensor


class Backwards:
    """A pass backwards: what a population is told, and what its parameters gather.

    Args:
        level: The population.
        names: The chosen parameters.
        count: Number of vectors V.
        longest: Steps of the longest window.
        scratch: Memory for the pass.
        ahead: The pass forwards, for a pass of the second order; ``None`` for one of the first.
        below: That of the population below; ``None`` if nothing moves there.
        expand: Whether to leave what the cells are told in ``level.told``, and multiply ``level.bent`` by it.
    """

    def __init__(
        self,
        level: Level,
        names: Iterable[str],
        count: int,
        longest: int,
        scratch: Workspace,
        ahead: Forwards | None = None,
        below: Forwards | None = None,
        *,
        expand: bool = False,
    ) -> None:
        """Begin the pass."""
        self.level, self._ahead, self._below, self._expand = level, ahead, below, expand
        _, trials, cells = level.rate.shape
        self._room = scratch.empty("signal", (longest, trials, count, cells), level.rate)
        self._through = level.cells.back(
            Back(
                count,
                inner=ahead.inner if ahead else None,
                bent=level.bent if ahead else None,
                bending=level.bent if expand else None,
            )
        )
        chosen = frozenset(names)
        self._sums = {each.name: (each, each.sums(count)) for each in level.synapses if each.name in chosen}
        self._initial = level.initial if level.initial in chosen else None
        self._count = count

    def reach(self, steps: slice, sent: Sent) -> Tensor:
        """Return what is sent as a signal to the rates, shape ``(C, B, V, N)``.

        Args:
            steps: The window.
            sent: What is sent.
        """
        level, room, second = self.level, self._empty(steps), self._ahead is not None
        into = room if level.bridge is None else room.new_empty(*room.shape[:-1], level.width)
        sent.synapses.return_(into, sent.signal)
        if second and sent.laid is not None:
            sent.synapses.move_back_(into, sent.laid, sent.told)
        if level.bridge is None:
            return room
        room.copy_(level.bridge.pull(level.rate[steps], into))
        if self._ahead is not None and level.bridge.curved:
            told = into.new_empty(*into.shape[:2], 1, level.width)
            sent.synapses.return_(told, sent.told.unsqueeze(2))
            room += level.bridge.bend(level.rate[steps], told.squeeze(2), self._ahead.tangent[steps])
        return room

    def through(self, steps: slice, signal: Tensor) -> Sent:
        """Turn the signal to the rates of a window into what the cells are told, gather it, and send it down.

        Args:
            steps: The window.
            signal: The signal, from ``reach``; overwritten.
        """
        level, ahead, before = self.level, self._ahead, slice(steps.start - 1, steps.stop - 1)
        self._loop_(steps, signal)
        self._through(steps, signal)
        for each, sums in self._sums.values():
            each.gather_(sums, signal, steps)
        told = level.told[steps] if ahead or self._expand else signal
        if ahead is not None and level.loop is not None and level.loop.name in self._sums:
            level.loop.gather_moved_(self._sums[level.loop.name][1], told, ahead.tangent[before])
        if self._below is not None and level.heard.name in self._sums:
            level.heard.gather_moved_(self._sums[level.heard.name][1], told, self._below.passed[steps])
        return Sent(level.heard, signal, ahead.laid.get(level.heard.name) if ahead else None, told)

    def finish(self) -> dict[str, Tensor]:
        """Take time zero, and return what chosen parameters have gathered, each with a leading axis of V."""
        found = {name: each.finish(sums) for name, (each, sums) in self._sums.items()}
        if self._initial:
            start = slice(0, 1)
            signal = self._empty(start).zero_()
            self._loop_(start, signal)
            self._through(start, signal)
            found[self._initial] = signal.sum((0, 1))
        return found

    def _empty(self, steps: slice) -> Tensor:
        """Return where the signal of a window goes."""
        if self._expand:
            return self.level.told[steps].unsqueeze(2)
        return self._room[: steps.stop - steps.start]

    def _loop_(self, steps: slice, signal: Tensor) -> None:
        """Add what comes back through changes of recurrent weights."""
        loop = self.level.loop
        if self._ahead is None or loop is None or loop.name not in self._ahead.laid:
            return
        after = self.level.told[steps.start + 1 : steps.stop + 1]
        if len(after):
            loop.move_back_(signal[: len(after)], self._ahead.laid[loop.name], after)
