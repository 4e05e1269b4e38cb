"""Recurrent networks differentiated by hand, to second order, without a graph, several vectors at once.

Shapes: T time, B batch, O outputs, P parameters, V vectors, N cells, C steps of a window. In a dictionary of tensors by
the names of parameters, each has the shape of its parameter, for several vectors with a leading axis of V.

One pass goes forward through time and up through the populations and carries tangents, the changes along the vectors;
one goes back and down and carries signals, or for products with the Hessian the tangents of the adjoint. Both take the
trial in windows that fit into the cache, and in each window one population after the other. Populations below the first
with a chosen parameter are fixed and left out. With the recurrent weights as parameters a product takes six matrix
products of the size of the run, the gradient three.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from analysis.curvature.analytic.network_derivatives import levels_of
from analysis.curvature.analytic.population_derivatives import Backward, Efferent, Forward
from analysis.curvature.analytic.synapses import Synapses, WeightTangents
from analysis.curvature.operators.pullback import Metric
from tca.nets.network import Network
from tca.tape.tape import filtered
from tca.utils.numerics import Workspace

__all__ = ["Scan", "Spaces", "Tensors", "spaces"]

Tensors = dict[str, Tensor]
Spaces = Mapping[str, Workspace]
"""Memory for every population, by its name, and for the network, by the name ``""``."""

WINDOW_BYTES, LEAST_STEPS = 2**20, 4  # a window of a pass that stays in the cache of one core


def spaces(make: Callable[[], Workspace] = Workspace) -> Spaces:
    """Return memory by name, made on first use.

    Args:
        make: Makes the memory of a population, default a workspace.
    """
    return defaultdict(make)


class _Moved(NamedTuple):
    """The results of a pass forward that a pass backward of the second order needs.

    Attributes:
        passes: The passes of the populations that move, from the first to the last.
        w_out: Changes of the weights of the readout; ``None`` if they are fixed.
    """

    passes: list[Forward]
    w_out: WeightTangents | None


class Scan:
    """A recurrent network on some trials at a point, with all that does not depend on a vector computed once.

    Args:
        net: The network.
        names: The chosen parameters.
        inputs: Inputs of the trials, shape ``(T, B, I)``.
        kept: Memory for values that do not depend on a vector, used by this scan alone.
        scratch: Memory for one pass, which other scans may use in turn.

    Attributes:
        outputs: Outputs, shape ``(T, B, O)``.
    """

    def __init__(self, net: Network, names: Sequence[str], inputs: Tensor, kept: Spaces, scratch: Spaces) -> None:
        """Run the network."""
        tape = net.run(inputs.contiguous(), workspace=kept["the run"])
        self.outputs = tape.outputs
        self._names, self._scratch, self._leak = frozenset(names), scratch, tape.readout.leak
        self._readout, self._bias = (Synapses.of(link, self.outputs) for link in tape.readout.links)
        everyone = levels_of(net, tape, lambda name: kept[f"population {name}"])
        chosen = [index for index, level in enumerate(everyone) if level.parameters & self._names]
        self._levels = everyone[chosen[0] :] if chosen else []
        self._titles = [f"population {index}" for index in range(len(self._levels))]
        self._error = self.outputs.new_empty(0)
        self._all = slice(1, len(self.outputs) + 1)

    def push(self, moves: Mapping[str, Tensor]) -> Tensor:
        """Return ``J v``, the change of the outputs with the parameters, shape ``(V, T, B, O)``.

        Args:
            moves: The vectors; parameters that are not named are fixed.
        """
        return self._pushed(moves)[0].movedim(2, 0)

    def pull(self, signals: Tensor) -> Tensors:
        """Return ``J^T u`` for the chosen parameters.

        Args:
            signals: The u, shape ``(V, T, B, O)``.
        """
        raw = signals.movedim(0, 2).contiguous()
        return self._pulled(raw, self._unfiltered(raw), None)

    def expand(self, error: Tensor) -> Tensors:
        """Return the gradient for the chosen parameters, without an axis of vectors, and keep the adjoint.

        It may be called once.

        Args:
            error: Output error, the derivative of the loss by the outputs, shape ``(T, B, O)``.
        """
        for level in self._levels:
            level.expect()
        raw = error.unsqueeze(2).contiguous()
        delivered = self._unfiltered(raw)
        gradient = self._pulled(raw, delivered, None, expand=True)
        self._error = delivered.squeeze(2)
        for level in self._levels:
            level.settle()
        return {name: each[0] for name, each in gradient.items()}

    def second(self, moves: Mapping[str, Tensor], metric: Metric) -> Tensors:
        """Return products of the Hessian for the chosen parameters; ``expand`` must have been called.

        Args:
            moves: The vectors, of the chosen parameters.
            metric: The second derivative of the loss by the outputs.
        """
        pushed, moved = self._pushed(moves)
        raw = metric(pushed.movedim(2, 0)).movedim(0, 2).contiguous()
        return self._pulled(raw, self._unfiltered(raw), moved)

    def _pushed(self, moves: Mapping[str, Tensor]) -> tuple[Tensor, _Moved]:
        """Return the changes of the outputs, shape ``(T, B, V, O)``, and the passes of the populations."""
        count = len(next(iter(moves.values())))
        passes = [
            Forward(level, moves, count, self._scratch[title])
            for level, title in zip(self._levels, self._titles, strict=True)
        ]
        pushed = self.outputs.new_zeros(*self.outputs.shape[:2], count, self.outputs.shape[2])
        change = moves.get(self._readout.name)
        w_out = None if change is None else self._readout.tangents(change)
        for window in self._windows(count):
            tangent, delivered = None, pushed[window.start - 1 : window.stop - 1]
            for each in passes:
                tangent = each.window(window, tangent)
            if tangent is not None:
                self._readout.push_(delivered, tangent)
            if w_out is not None:
                self._readout.push_weights_(delivered, w_out, window)
        pushed = filtered(pushed, self._leak)
        if self._bias.name in moves:
            self._bias.push_weights_(pushed, self._bias.tangents(moves[self._bias.name]), self._all)
        return pushed, _Moved(passes, w_out)

    def _pulled(self, raw: Tensor, delivered: Tensor, moved: _Moved | None, *, expand: bool = False) -> Tensors:
        """Return the sums of the chosen parameters for signals to the outputs.

        Args:
            raw: The signals to the outputs, shape ``(T, B, V, O)``.
            delivered: The same, back through the filter of the readout.
            moved: The pass forward, for a pass of the second order; ``None`` for one of the first.
            expand: Whether to keep the adjoint.
        """
        count, windows = raw.shape[2], list(self._windows(raw.shape[2]))
        passes = self._backward(count, windows[0].stop - windows[0].start, moved, expand=expand)
        readouts = {each.name: (each, each.sums(count)) for each in (self._readout, self._bias)}
        learns, last = self._readout.name in self._names, moved.passes[-1] if moved and moved.passes else None
        sums = readouts[self._readout.name][1]
        for window in reversed(windows):
            before = slice(window.start - 1, window.stop - 1)
            error = self._error[before] if moved else delivered[before]
            if learns:
                self._readout.gather_(sums, delivered[before], window)
            if learns and last:
                self._readout.gather_tangents_(sums, error, last.tangent[window])
            signal = Efferent(self._readout, delivered[before], moved.w_out if moved else None, error)
            for each in reversed(passes):
                signal = each.window(window, signal)
        result = {name: value for each in passes for name, value in each.finish().items()}
        if self._bias.name in self._names:
            self._bias.gather_(readouts[self._bias.name][1], raw, self._all)
        for name, (synapses, gathered) in readouts.items():
            if name in self._names:
                result[name] = synapses.finish(gathered)
        return result

    def _backward(self, count: int, longest: int, moved: _Moved | None, *, expand: bool) -> list[Backward]:
        """Begin the pass backward of every population that moves."""
        ahead: list[Forward | None] = [*moved.passes] if moved else [None] * len(self._levels)
        return [
            Backward(level, self._names, count, longest, self._scratch[title], own, lower, expand=expand)
            for level, title, own, lower in zip(self._levels, self._titles, ahead, [None, *ahead[:-1]], strict=False)
        ]

    def _unfiltered(self, raw: Tensor) -> Tensor:
        """Return signals to the outputs back through the filter of the readout."""
        return filtered(raw.flip(0), self._leak).flip(0) if self._leak else raw

    def _windows(self, count: int) -> Iterator[slice]:
        """Yield runs of steps from the first to the last, each small enough to fit into the cache of a CPU core."""
        steps, trials, n_out = self.outputs.shape
        widest = max((level.rate.shape[2] for level in self._levels), default=n_out)
        entry = count * trials * widest * self.outputs.element_size()
        size = max(LEAST_STEPS, WINDOW_BYTES // entry) if self.outputs.device.type == "cpu" else steps
        for start in range(1, steps + 1, size):
            yield slice(start, min(start + size, steps + 1))
