"""Leaky recurrent networks differentiated by hand: tangents forwards, signals and their tangents backwards.

Shapes: T time, B batch, V vectors, I inputs, N cells, J presynaptic, O outputs, C steps of a window. What belongs to
the cells has T + 1 entries, index t is step t and index 0 the initial state.

A dot stands for the derivative along a vector of parameters. With ``a_t`` the value of the activation function f,
``f'' = bend(a) f'`` (see ``tca.activations``), and the gain g of form A folded into the weights, both forms of the leak
come down to the same three numbers for each cell and step, which do not depend on the vector: a *slope*, what the cell
is *told*, and the *bend* of what it is told.

    form A    v_t = k v_{t-1} + u_t,  z_t = f(v_t)        slope = f'(v_t)        told_t = dL/dv_t    bent = bend dL/dz_t
    form B    z_t = k z_{t-1} + g f(u_t)                  slope = g f'(u_t)      told_t = dL/du_t    bent = bend dL/dz_t

    forwards     u'_t = W z'_{t-1} + W' z_{t-1} + U' x_t + b'
        form A      v'_t = k v'_{t-1} + u'_t,  z'_t = slope_t v'_t
        form B      a'_t = slope_t u'_t,       z'_t = k z'_{t-1} + a'_t
    backwards    p'_t = W_o^T s'_t + W_o'^T s_t + W^T told'_{t+1} + W'^T told_{t+1}
        form A      told'_t = slope_t p'_t + bent_t z'_t + k told'_{t+1}
        form B      q'_t = p'_t + k q'_{t+1},  told'_t = slope_t q'_t + bent_t a'_t
    product      sum_t told'_t z_{t-1}^T + told_t z'_{t-1}^T,   sum_t told'_t x_t^T,   and so on

Without the terms of the second order the pass backwards is that of a gradient. A product with the recurrent weights as
parameters takes six matrix products of the size of the run, the gradient three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from analysis.operators.leaky_steps import STEPS, Ahead, Back, Entries, adder
from analysis.operators.pullback import Metric
from analysis.operators.scan import Scan, Tensors
from tca.nets import LeakyRNN
from tca.nets.readout import filtered
from tca.workspace import Workspace

__all__ = ["LeakyScan"]

WINDOW_BYTES, LEAST_STEPS = 2**20, 4  # a window of a pass that stays in the cache of one core
HIDDEN = frozenset({"w_in", "w_rec", "b", "s_0"})


class _Second(NamedTuple):
    """What a pass forwards leaves to a pass backwards of the second order.

    Attributes:
        tangent: Changes of the rates, shape ``(T + 1, B, V, N)``.
        inner: What else ``Steps.back_`` needs, same shape.
        w_rec: Changes of the recurrent weights, folded, from postsynaptic cells to ``V * N``, if they move.
        w_out: Changes of the readout weights, from outputs to ``V * N``, if they move.
    """

    tangent: Tensor
    inner: Tensor
    w_rec: Tensor | None
    w_out: Tensor | None


class LeakyScan(Scan):
    """A leaky recurrent network on some trials; the equations are those of the module."""

    parameters: ClassVar[frozenset[str]] = HIDDEN | {"w_out", "b_out"}

    def __init__(
        self,
        net: LeakyRNN,
        weights: Mapping[str, Tensor],
        names: Sequence[str],
        inputs: Tensor,
        kept: Workspace,
        scratch: Workspace,
    ) -> None:
        """Run the network."""
        form, leak, fold = net.form, net.leak, partial(net.form.fold, net.gain)
        self._names, self._kept, self._scratch = frozenset(names), kept, scratch
        self._form, self._activation, self._readout_leak = STEPS[type(form)], net.activation, net.readout_leak
        self._add_leak = adder(leak)
        self._w_rec, self._w_out = fold(weights["w_rec"]), weights["w_out"]
        self._fold = fold(torch.ones_like(weights["b"])).unsqueeze(-1)
        (steps, trials, _), cells = inputs.shape, len(weights["b"])

        self._rate = kept.empty("rate", (steps + 1, trials, cells), inputs)
        self._pre = {"w_in": inputs.contiguous(), "w_rec": self._rate[:-1], "b": inputs.new_ones(steps, trials, 1)}
        drive = self._rate if form.slope_at_emission else kept.empty("activity", tuple(self._rate.shape), inputs)
        flat = drive[1:].view(-1, cells)
        torch.addmm(fold(weights["b"]), inputs.reshape(-1, inputs.shape[2]), fold(weights["w_in"]).t(), out=flat)
        start = weights.get("s_0", inputs.new_zeros(()))
        self._activity = form.run_(net.activation, leak, drive, self._w_rec, start, self._rate)
        self._slope = kept.empty("slope", tuple(self._rate.shape), inputs).fill_(1.0)
        self._activation.times_slope_(self._slope, self._activity)
        self._form.finish_slope_(self._slope, net.gain)
        self._outputs = filtered(self._rate[1:] @ self._w_out.t(), self._readout_leak) + weights["b_out"]

    @property
    def outputs(self) -> Tensor:
        """Outputs, shape ``(T, B, O)``."""
        return self._outputs

    def push(self, moves: Mapping[str, Tensor]) -> Tensor:
        """Return ``J v``."""
        return self._pushed(moves)[0]

    def pull(self, signals: Tensor) -> Tensors:
        """Return ``J^T u``."""
        raw = signals.movedim(0, 2).contiguous()
        return self._pulled(raw, self._delivered(raw), None)

    def expand(self, score: Tensor) -> Tensors:
        """Return the gradient; keep what the cells are told, and its bend in the place of what has made it."""
        shape = tuple(self._rate.shape)
        self._bent = self._kept.empty("bent", shape, self._rate).fill_(1.0)
        self._activation.times_bend_(self._bent, self._activity)
        self._form.finish_bend_(self._bent)
        own = self._activity is not self._rate  # activities have had their use
        self._told = self._activity if own else self._kept.empty("told", shape, self._rate)
        raw = score.unsqueeze(2)
        self._score = self._delivered(raw)
        gradient = self._pulled(raw, self._score, None, self._told)
        self._bends = bool(self._bent.any())
        return {name: each[0] for name, each in gradient.items()}

    def second(self, moves: Mapping[str, Tensor], metric: Metric) -> Tensors:
        """Return products of the Hessian: the tangents forwards, then their signals backwards."""
        pushed, second = self._pushed(moves)
        raw = metric(pushed).movedim(0, 2).contiguous()
        return self._pulled(raw, self._delivered(raw), second)

    def _pushed(self, moves: Mapping[str, Tensor]) -> tuple[Tensor, _Second | None]:
        """Return what ``push`` does, and what the cells did on the way, ``None`` if they did not move."""
        count, (n_out, cells) = len(next(iter(moves.values()))), self._w_out.shape
        steps, trials, _ = self._outputs.shape
        pushed = self._rate.new_zeros(steps, trials, count, n_out)
        second = self._ahead(moves, count) if moves.keys() & HIDDEN else None
        if second:
            torch.mm(second.tangent[1:].view(-1, cells), self._w_out.t(), out=pushed.view(-1, n_out))
        if "w_out" in moves:
            weights = moves["w_out"].reshape(-1, cells).t()
            pushed.view(-1, count * n_out).addmm_(self._rate[1:].view(-1, cells), weights)
        pushed = filtered(pushed, self._readout_leak)
        return (pushed + moves["b_out"] if "b_out" in moves else pushed).movedim(2, 0), second

    def _ahead(self, moves: Mapping[str, Tensor], count: int) -> _Second:
        """Take the tangents through the trials."""
        steps, trials, cells = self._rate.shape
        tangent = self._scratch.empty("tangent", (steps, trials, count, cells), self._rate)
        inner = self._form.inner(tangent, self._scratch)
        state = self._scratch.empty("state", (1, trials, count, cells), self._rate)
        parts = Entries.of(inner), Entries.of(tangent), Entries.of(state)
        run = Ahead(*parts, _each(self._slope), self._w_rec.t(), self._add_leak)
        ways = {name: self._as_columns(moves[name]) for name in self._pre if name in moves}
        self._form.start_(run, moves.get("s_0", self._rate.new_zeros(1, 1)))
        for window in self._windows(count):
            before = slice(window.start - 1, window.stop - 1)
            drive = _rows(inner[window])
            drive.zero_()
            for name, weights in ways.items():
                drive.addmm_(self._pre[name][before].flatten(0, 1), weights)
            for t in range(window.start, window.stop):
                self._form.ahead_(run, t)
        w_rec, w_out = moves.get("w_rec"), moves.get("w_out")
        return _Second(
            tangent,
            inner,
            None if w_rec is None else (w_rec * self._fold).movedim(0, 1).flatten(1),
            None if w_out is None else w_out.movedim(0, 1).flatten(1),
        )

    def _pulled(self, raw: Tensor, delivered: Tensor, second: _Second | None, told: Tensor | None = None) -> Tensors:
        """Return what parameters gather from signals to the outputs and to what the readout weights deliver.

        Args:
            raw: The signals to the outputs, shape ``(T, B, V, O)``.
            delivered: The same, back through the filter of the readout.
            second: What makes the signals changes of others; ``None`` for signals by themselves.
            told: Where to leave what the cells are told, shape ``(T + 1, B, N)``; ``None`` for nowhere.
        """
        count, (n_out, cells) = raw.shape[2], self._w_out.shape
        gathered = self._back(delivered, second, told) if self._names & HIDDEN else {}
        if "w_out" in self._names:
            by_rate = delivered.view(-1, count * n_out).t() @ self._rate[1:].view(-1, cells)
            gathered["w_out"] = by_rate.view(count, n_out, cells)
            if second:
                moved = self._score.view(-1, n_out).t() @ second.tangent[1:].view(-1, count * cells)
                gathered["w_out"] += moved.view(n_out, count, cells).movedim(1, 0)
        if "b_out" in self._names:
            gathered["b_out"] = raw.sum((0, 1))
        return gathered

    def _back(self, delivered: Tensor, second: _Second | None, told: Tensor | None) -> Tensors:
        """Take signals back through the trials, window by window, and gather them before they leave the cache."""
        (_, trials, cells), count = self._rate.shape, delivered.shape[2]
        windows = list(self._windows(count))
        space = partial(self._scratch.empty, like=self._rate)
        buffer = space("signal", (windows[0].stop - 1, trials, count, cells))
        state, held = (space(name, (trials, count, cells)).zero_() for name in ("later state", "later"))
        run = Back(
            slope=_each(self._slope),
            state=state,
            add_leak=self._add_leak,
            inner=second.inner.unbind(0) if second else None,
            bent=_each(self._bent) if second and self._bends else None,
            bending=None if told is None else _each(self._bent),
        )

        def through(window: slice) -> Tensor:
            signal = buffer[: window.stop - window.start] if told is None else told[window].unsqueeze(2)
            self._begin_(signal, window, delivered, second)
            flat, cube = Entries.of(signal)
            later = held
            for t in reversed(range(window.start, window.stop)):
                here = t - window.start
                flat[here].addmm_(later.view(-1, cells), self._w_rec)
                self._form.back_(run, t, cube[here], later)
                later = cube[here]
            held.copy_(later)
            return signal

        chosen = {name: pre for name, pre in self._pre.items() if name in self._names}
        sums = {name: self._rate.new_zeros(pre.shape[2], count * cells) for name, pre in chosen.items()}
        moved = self._rate.new_zeros(cells, count * cells)
        for window in reversed(windows):
            before, rows = slice(window.start - 1, window.stop - 1), _rows(through(window))
            for name, pre in chosen.items():
                sums[name].addmm_(pre[before].flatten(0, 1).t(), rows)
            if second and second.w_rec is not None:
                moved.addmm_(self._told[window].flatten(0, 1).t(), _rows(second.tangent[before]))
        found = {name: self._from_columns(each, count) for name, each in sums.items()}
        if second and second.w_rec is not None:
            found["w_rec"] += moved.view(cells, count, cells).movedim(1, 0) * self._fold
        if "b" in chosen:
            found["b"] = found["b"].squeeze(-1)
        if "s_0" in self._names:
            found["s_0"] = through(slice(0, 1)).sum((0, 1))
        return found

    def _begin_(self, signal: Tensor, window: slice, delivered: Tensor, second: _Second | None) -> None:
        """Write what reaches the rates of a window but for what comes back from later steps to first order."""
        n_out, cells = self._w_out.shape
        outside = slice(window.start - 1, window.stop - 1)
        if window.start == 0:
            signal.zero_()
        else:
            torch.mm(delivered[outside].view(-1, n_out), self._w_out, out=signal.view(-1, cells))
            if second and second.w_out is not None:
                _rows(signal).addmm_(self._score[outside].view(-1, n_out), second.w_out)
        if second and second.w_rec is not None:
            after = self._told[window.start + 1 : window.stop + 1]
            _rows(signal[: len(after)]).addmm_(after.flatten(0, 1), second.w_rec)

    def _delivered(self, raw: Tensor) -> Tensor:
        """Return signals to the outputs back through the filter of the readout."""
        return filtered(raw.flip(0), self._readout_leak).flip(0) if self._readout_leak else raw

    def _as_columns(self, move: Tensor) -> Tensor:
        """Return changes of weights, ``(V, N, J)`` or ``(V, N)``, folded, as a matrix from presynaptic activity."""
        weights = move.view(len(move), len(self._fold), -1) * self._fold
        return weights.flatten(0, 1).t()

    def _from_columns(self, gathered: Tensor, count: int) -> Tensor:
        """Return the reverse, shape ``(V, N, J)``."""
        return gathered.view(-1, count, len(self._fold)).permute(1, 2, 0) * self._fold

    def _windows(self, count: int) -> Iterator[slice]:
        """Yield runs of steps from the first to the last, each small enough to stay in the cache of a CPU core."""
        steps, (_, trials, cells) = len(self._rate), self._rate.shape
        on_cpu = self._rate.device.type == "cpu"
        entry = count * trials * cells * self._rate.element_size()
        size = max(LEAST_STEPS, WINDOW_BYTES // entry) if on_cpu else steps
        for start in range(1, steps, size):
            yield slice(start, min(start + size, steps))


def _rows(steps: Tensor) -> Tensor:
    """Return ``(C, B, V, N)`` as ``(C * B, V * N)``, the same memory."""
    return steps.flatten(0, 1).flatten(1)


def _each(steps: Tensor) -> Sequence[Tensor]:
    """Return the entries of ``(T + 1, B, N)`` with an axis for vectors, each ``(B, 1, N)``."""
    return steps.unsqueeze(2).unbind(0)
