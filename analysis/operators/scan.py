"""Networks differentiated by hand, to second order, without a graph, many vectors at once.

Shapes: T time, B batch, O outputs, P parameters, V vectors, N cells, C steps of a window. In a dictionary of tensors by
the names of parameters, each has the shape of its parameter, for several vectors with a leading axis of V.

One pass goes forwards through time and upwards through the populations and carries tangents, how everything changes
along the vectors; one goes backwards and downwards and carries signals, or their tangents for products with the
Hessian. Both take the trial in windows that stay in the cache, and in each window the populations one after the other.
Populations below the first that has a chosen parameter do not move, and are left out. With the recurrent weights as
parameters a product takes six matrix products of the size of the run, the gradient three.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from analysis.operators.level import Backwards, Forwards, Sent
from analysis.operators.matrices import synapses_of
from analysis.operators.network import levels_of
from analysis.operators.pullback import Metric
from tca.nets.network import Network
from tca.nets.recurrent import filtered
from tca.utils.numerics import Workspace

__all__ = ["Scan", "Spaces", "Tensors", "spaces"]

Tensors = dict[str, Tensor]
Spaces = Mapping[str, Workspace]
"""Memory for every population, by its name, and for the network, by the name ``""``."""

WINDOW_BYTES, LEAST_STEPS = 2**20, 4  # a window of a pass that stays in the cache of one core


def spaces(make: Callable[[], Workspace] = Workspace) -> Spaces:
    """Return memory, made when it is asked for.

    Args:
        make: What makes that of a population, default a workspace.
    """
    return defaultdict(make)


class _Moved(NamedTuple):
    """What a pass forwards leaves to a pass backwards of the second order.

    Attributes:
        passes: The populations that move, from the first of them to the last.
        w_out: Changes of the weights of the readout, as synapses take them; ``None`` if they do not move.
    """

    passes: list[Forwards]
    w_out: Any


class Scan:
    """A network on some trials at a point, with all that does not depend on a vector computed once.

    Args:
        net: The network.
        names: The chosen parameters.
        inputs: Inputs of the trials, shape ``(T, B, I)``.
        kept: Memory for what does not depend on a vector; no one else may use it as long as the scan is used.
        scratch: Memory for one pass, which other scans may use in turn.

    Attributes:
        outputs: Outputs, shape ``(T, B, O)``.
    """

    def __init__(self, net: Network, names: Sequence[str], inputs: Tensor, kept: Spaces, scratch: Spaces) -> None:
        """Run the network."""
        tape = net.run(inputs.contiguous(), workspace=kept["the run"])
        self.outputs = tape.outputs
        self._names, self._scratch, self._leak = frozenset(names), scratch, tape.readout_leak
        weights, bias = tape.readout_links
        self._readout = synapses_of(weights, self.outputs)
        self._bias = synapses_of(bias, self.outputs)
        everyone = levels_of(net, tape, lambda name: kept[f"population {name}"])
        chosen = [index for index, level in enumerate(everyone) if level.parameters & self._names]
        self._levels = everyone[chosen[0] :] if chosen else []
        self._titles = [f"population {index}" for index in range(len(self._levels))]
        self._score = self.outputs.new_empty(0)
        self._all = slice(1, len(self.outputs) + 1)

    def push(self, moves: Mapping[str, Tensor]) -> Tensor:
        """Return ``J v``, how outputs change when parameters move, shape ``(V, T, B, O)``.

        Args:
            moves: The vectors; parameters that are not named do not move.
        """
        return self._pushed(moves)[0].movedim(2, 0)

    def pull(self, signals: Tensor) -> Tensors:
        """Return ``J^T u`` for the chosen parameters.

        Args:
            signals: The u, shape ``(V, T, B, O)``.
        """
        raw = signals.movedim(0, 2).contiguous()
        return self._pulled(raw, self._delivered(raw), None)

    def expand(self, score: Tensor) -> Tensors:
        """Return the gradient for the chosen parameters, without an axis of vectors, and remember the adjoint.

        It may be called once.

        Args:
            score: Derivative of the loss by the outputs, shape ``(T, B, O)``.
        """
        for level in self._levels:
            level.expect()
        raw = score.unsqueeze(2).contiguous()
        delivered = self._delivered(raw)
        gradient = self._pulled(raw, delivered, None, expand=True)
        self._score = delivered.squeeze(2)
        for level in self._levels:
            level.settle()
        return {name: each[0] for name, each in gradient.items()}

    def second(self, moves: Mapping[str, Tensor], metric: Metric) -> Tensors:
        """Return products of the Hessian for the chosen parameters; the loss must have been expanded.

        Args:
            moves: The vectors, of the chosen parameters.
            metric: The second derivative of the loss by the outputs.
        """
        pushed, moved = self._pushed(moves)
        raw = metric(pushed.movedim(2, 0)).movedim(0, 2).contiguous()
        return self._pulled(raw, self._delivered(raw), moved)

    def _pushed(self, moves: Mapping[str, Tensor]) -> tuple[Tensor, _Moved]:
        """Return how outputs change, shape ``(T, B, V, O)``, and what the populations did on the way."""
        count = len(next(iter(moves.values())))
        passes = [
            Forwards(level, moves, count, self._scratch[title])
            for level, title in zip(self._levels, self._titles, strict=True)
        ]
        pushed = self.outputs.new_zeros(*self.outputs.shape[:2], count, self.outputs.shape[2])
        moved = moves.get(self._readout.name)
        w_out = None if moved is None else self._readout.laid(moved)
        for window in self._windows(count):
            heard, delivered = None, pushed[window.start - 1 : window.stop - 1]
            for each in passes:
                heard = each.through(window, heard)
            if heard is not None:
                self._readout.carry_(delivered, heard)
            if w_out is not None:
                self._readout.move_(delivered, w_out, window)
        pushed = filtered(pushed, self._leak)
        if self._bias.name in moves:
            self._bias.move_(pushed, self._bias.laid(moves[self._bias.name]), self._all)
        return pushed, _Moved(passes, w_out)

    def _pulled(self, raw: Tensor, delivered: Tensor, moved: _Moved | None, *, expand: bool = False) -> Tensors:
        """Return what chosen parameters gather from signals to the outputs and to what the readout delivers.

        Args:
            raw: The signals to the outputs, shape ``(T, B, V, O)``.
            delivered: The same, back through the filter of the readout.
            moved: What makes the signals changes of others; ``None`` for signals by themselves.
            expand: Whether to remember what the cells are told.
        """
        count, windows = raw.shape[2], list(self._windows(raw.shape[2]))
        passes = self._passes_back(count, windows[0].stop - windows[0].start, moved, expand=expand)
        readouts = {each.name: (each, each.sums(count)) for each in (self._readout, self._bias)}
        learns, last = self._readout.name in self._names, moved.passes[-1] if moved and moved.passes else None
        sums = readouts[self._readout.name][1]
        for window in reversed(windows):
            before = slice(window.start - 1, window.stop - 1)
            told = self._score[before] if moved else delivered[before]
            if learns:
                self._readout.gather_(sums, delivered[before], window)
            if learns and last:
                self._readout.gather_moved_(sums, told, last.passed[window])
            sent = Sent(self._readout, delivered[before], moved.w_out if moved else None, told)
            for each in reversed(passes):
                sent = each.through(window, each.reach(window, sent))
        found = {name: value for each in passes for name, value in each.finish().items()}
        if self._bias.name in self._names:
            self._bias.gather_(readouts[self._bias.name][1], raw, self._all)
        for name, (synapses, gathered) in readouts.items():
            if name in self._names:
                found[name] = synapses.finish(gathered)
        return found

    def _passes_back(self, count: int, longest: int, moved: _Moved | None, *, expand: bool) -> list[Backwards]:
        """Begin the pass backwards of every population that moves."""
        ahead: list[Forwards | None] = [*moved.passes] if moved else [None] * len(self._levels)
        return [
            Backwards(level, self._names, count, longest, self._scratch[title], own, below, expand=expand)
            for level, title, own, below in zip(self._levels, self._titles, ahead, [None, *ahead[:-1]], strict=False)
        ]

    def _delivered(self, raw: Tensor) -> Tensor:
        """Return signals to the outputs back through the filter of the readout."""
        return filtered(raw.flip(0), self._leak).flip(0) if self._leak else raw

    def _windows(self, count: int) -> Iterator[slice]:
        """Yield runs of steps from the first to the last, each small enough to stay in the cache of a CPU core."""
        steps, trials, n_out = self.outputs.shape
        widest = max((level.rate.shape[2] for level in self._levels), default=n_out)
        entry = count * trials * widest * self.outputs.element_size()
        size = max(LEAST_STEPS, WINDOW_BYTES // entry) if self.outputs.device.type == "cpu" else steps
        for start in range(1, steps + 1, size):
            yield slice(start, min(start + size, steps + 1))
