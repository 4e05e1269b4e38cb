"""The map that a recurrent network applies to its state at every step, and its Jacobian.

Shapes: T time, B batch, I inputs, N numbers of a state, M states.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.models import run, separate_copy
from tca.cells.activations import Activation
from tca.cells.leaky_cell import Form
from tca.cells.local_derivatives import emitted, moved
from tca.connections.connection import Initial
from tca.nets.cell_rnn.block_population import BlockPopulation
from tca.nets.cell_rnn.cell_population import CellPopulation
from tca.nets.leaky.leaky_population import LeakyPopulation
from tca.nets.modules.cell_network import CellNetwork
from tca.nets.network import Network
from tca.utils.numerics import Workspace

__all__ = ["SIZED", "FunctionMap", "LeakyMap", "StateMap", "state_map"]


class StateMap(abc.ABC):
    """One step of a recurrent network without private noise, ``F(h, x)``, in float64.

    Attributes:
        start: State at time zero, shape ``(N,)``.
        n_in: Number of inputs I; ``None`` where it is not known.
    """

    start: Tensor
    n_in: int | None

    @abc.abstractmethod
    def step(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return the states one step later.

        Args:
            states: States, shape ``(..., N)``.
            inputs: Inputs of the step, shape ``(..., I)``.
        """

    @property
    def cells(self) -> int:
        """Numbers of a state N."""
        return len(self.start)

    def jacobian(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return ``dF / dh``, ``[i, j]`` the effect of number j on number i, shape ``(..., N, N)``, by autograd.

        Args:
            states: States, shape ``(..., N)``.
            inputs: Inputs of the step, shape ``(..., I)``.
        """
        with torch.enable_grad():
            here = states.detach().clone().requires_grad_()
            there = self.step(here, inputs)
            rows = [
                torch.autograd.grad(each.sum(), here, retain_graph=True, materialize_grads=True)[0]
                for each in there.unbind(-1)
            ]
        return torch.stack(rows, -2)

    @torch.no_grad()
    def trajectory(self, inputs: Tensor) -> Tensor:
        """Return the states of a trial, that of time zero first, shape ``(T + 1, B, N)``.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.

        Raises:
            ValueError: The shape does not fit.
        """
        if inputs.ndim != 3 or self.n_in not in (None, inputs.shape[2]):
            expected = "I" if self.n_in is None else self.n_in
            raise ValueError(f"inputs must have shape (T, B, {expected}), got {tuple(inputs.shape)}")
        states = [self.start.expand(inputs.shape[1], -1)]
        for given in inputs.to(self.start).unbind(0):
            states.append(self.step(states[-1], given))
        return torch.stack(states)


@dataclass(frozen=True, eq=False)
class FunctionMap(StateMap):
    """One step of any cell, whose Jacobian comes from autograd.

    Attributes:
        function: From inputs ``(M, I)`` and states ``(M, N)`` to states.
        start: State at time zero, shape ``(N,)``.
        n_in: Number of inputs I; ``None`` where it is not known.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    start: Tensor
    n_in: int | None = None

    def step(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return the states one step later, each row by itself.

        Raises:
            TypeError: The cell returns no state of this shape.
        """
        rows = states.reshape(-1, self.cells)
        given = inputs.to(self.start).expand(*states.shape[:-1], -1).reshape(len(rows), -1)
        found = self.function(given, rows)
        if not isinstance(found, Tensor) or found.shape != rows.shape:
            came = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise TypeError(f"a cell must return the next state, of shape {tuple(rows.shape)}, got {came}")
        return found.view(states.shape)


@dataclass(frozen=True, eq=False)
class LeakyMap(StateMap):
    """One step of a leaky recurrent population without private noise, in float64.

    Form A: ``F(v) = k v + (1 - k)(W f(v) + U x + b)``. Form B: ``F(z) = k z + (1 - k) f(W z + U x + b)``.

    Attributes:
        form: Where the leak acts.
        activation: The activation function f.
        leak: Leak per step k, a number or ``(N,)``.
        gain: One minus the leak.
        w_in: Input weights U, shape ``(N, I)``.
        w_rec: Recurrent weights W, shape ``(N, N)``.
        b: Bias, shape ``(N,)``.
        start: State at time zero, shape ``(N,)``.
    """

    form: Form
    activation: Activation
    leak: Tensor | float
    gain: Tensor | float
    w_in: Tensor
    w_rec: Tensor
    b: Tensor
    start: Tensor

    @property
    def n_in(self) -> int:  # type: ignore[override]
        """Number of inputs I."""
        return self.w_in.shape[1]

    def rates(self, states: Tensor) -> Tensor:
        """Return the rates of states, same shape.

        Args:
            states: States, shape ``(..., N)``.
        """
        return self.form.start(self.activation, states)

    def step(self, states: Tensor, inputs: Tensor) -> Tensor:
        drive = self._drive(states, inputs)
        return self.form.advance(self.activation, self.leak, self.gain, states, drive)[0]

    def jacobian(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return ``dF / d state``, ``[i, j]`` from cell j to cell i, shape ``(..., N, N)``.

        ``k + (1 - k) W diag f'(v)`` in form A, ``k + (1 - k) diag f'(u) W`` in form B; at the kink of a rectifier the
        slope is 0.
        """
        gain = torch.as_tensor(self.gain, dtype=self.b.dtype, device=self.b.device).expand_as(self.b)[:, None]
        leak = torch.diag(torch.as_tensor(self.leak, dtype=self.b.dtype, device=self.b.device).expand_as(self.b))
        if self.form.slope_at_emission:
            slope = self.activation.slope(self.rates(states).contiguous())
            return leak + gain * self.w_rec * slope[..., None, :]
        slope = self.activation.slope(self.activation(self._drive(states, inputs)))
        return leak + gain * slope[..., :, None] * self.w_rec

    def _drive(self, states: Tensor, inputs: Tensor) -> Tensor:
        return self.rates(states) @ self.w_rec.mT + inputs.to(self.b) @ self.w_in.mT + self.b


@torch.no_grad()
def state_map(net: nn.Module | Callable[[Tensor, Tensor], Tensor], start: Tensor | None = None) -> StateMap:
    """Return the map that a recurrent network applies to its state at every step, a copy in float64.

    The state of ``nn.LSTM`` is ``[h, c]``, of several layers all ``h`` and then all ``c``; that of general cells all
    components one after the other.

    Args:
        net: A `LeakyRNN`, `DualStreamRNN`, `CellRNN` or `CellNetwork`; a population of a `StackedRNN`, such as
            ``net.layers[1]``, whose inputs are the rates of the population below; ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``
            of any number of layers, or one of their cells; or any function or module from inputs ``(M, I)`` and states
            ``(M, N)`` to states.
        start: State at time zero, shape ``(N,)``; ``None`` (default) for the network's own, zero in PyTorch.

    Raises:
        TypeError: The network is not recurrent, so that there is no state to map, or has several populations.
        ValueError: A layer is bidirectional, so that the state depends on later inputs, or a function has no start.

    >>> from tca.nets import LeakyRNN, StackedRNN
    >>> one = state_map(LeakyRNN(1, 3, 1))
    >>> one.trajectory(torch.ones(5, 2, 1)).shape, one.jacobian(torch.zeros(3), torch.zeros(1)).shape
    (torch.Size([6, 2, 3]), torch.Size([3, 3]))
    >>> state_map(StackedRNN(1, [3, 4], 1).layers[1]).jacobian(torch.zeros(4), torch.zeros(3)).shape
    torch.Size([4, 4])
    >>> state_map(nn.LSTM(2, 3, num_layers=2)).cells
    12
    """
    if isinstance(net, type):
        raise TypeError(f"net must be a network or a function, got the class {net.__name__}: give one of its objects")
    made: Any = next((make(net) for kind, make in MAPS.items() if isinstance(net, kind)), None)
    if made is None and (isinstance(net, Network) or not callable(net)):
        raise TypeError(
            f"net must be a recurrent network of one population, or such a population, got {type(net).__name__}: "
            "there is no state, or not one alone, to map"
        )
    if made is None:
        if start is None:
            raise ValueError(f"start must be given for a cell whose size is not known, got {type(net).__name__}")
        cell = separate_copy(net, torch.float64) if isinstance(net, nn.Module) else net
        made = FunctionMap(cell, start.to(torch.float64, copy=True))
    found: StateMap = made if start is None else dataclasses.replace(made, start=start.to(made.start, copy=True))
    return found


def _leaky(net: LeakyPopulation) -> StateMap:
    if net.cell is not None:
        return _cells(net)
    first, second, third, *initial = net.into_cells()
    w_in, w_rec, b = (
        each.to(torch.float64, copy=True) for each in (first.matrix(), second.matrix(), third.effective())
    )
    start = initial[0].effective().to(torch.float64, copy=True) if initial else torch.zeros_like(b)
    leak, gain = (
        each.detach().to(torch.float64) if isinstance(each, Tensor) else each for each in (net.leak, net.gain)
    )
    return LeakyMap(net.form, net.activation, leak, gain, w_in, w_rec, b, start)


def _cells(net: BlockPopulation) -> StateMap:
    net = separate_copy(net, torch.float64)
    cell, into = net.bound_cell(), net.into_cells()
    weights, size = [each.effective() for each in into], net.n_rec

    def advance(inputs: Tensor, states: Tensor) -> Tensor:
        parts = torch.split(states, size, -1)
        drives = list(torch.split(net.external_drive(weights, into, inputs), size, -1))
        if net.reached:
            arriving = torch.split(torch.cat(emitted(cell, parts), -1) @ weights[1].t(), size, -1)
            for place, part in zip(net.reached, arriving, strict=True):
                drives[place] = drives[place] + part
        return torch.cat(moved(cell, parts, tuple(drives)), -1)

    zero = weights[0].new_zeros(size * len(cell.components))
    return FunctionMap(advance, weights[-1] if isinstance(into[-1], Initial) else zero, weights[0].shape[1])


def _module(net: CellNetwork) -> StateMap:
    net = separate_copy(net, torch.float64)
    inputs = next(net.parameters()).new_zeros(1, 1, net.n_in)
    return FunctionMap(net.advance, net.record(inputs, None, Workspace()).states[0, 0].clone(), net.n_in)


def _of_torch(net: nn.RNNBase | nn.RNNCellBase) -> StateMap:
    """Return the map of a layer or cell of PyTorch; its state is ``h``, and of an LSTM ``c`` behind it."""
    if getattr(net, "bidirectional", False):
        raise ValueError("net must run in one direction to have a state to map, got a bidirectional layer")
    net = separate_copy(net, torch.float64)
    layered = isinstance(net, nn.RNNBase)
    layers: int = net.num_layers if isinstance(net, nn.RNNBase) else 1
    sizes: list[int] = [getattr(net, "proj_size", 0) or net.hidden_size]
    if isinstance(net, nn.LSTM | nn.LSTMCell):
        sizes.append(net.hidden_size)
    own = dict(net.named_parameters())

    def advance(inputs: Tensor, states: Tensor) -> Tensor:
        parts: list[Any] = list(torch.split(states, [layers * size for size in sizes], -1))
        if layered:
            parts = [each.unflatten(-1, (layers, -1)).transpose(0, 1).contiguous() for each in parts]
            inputs = inputs.unsqueeze(int(getattr(net, "batch_first", False)))
        found = run(net, own, (inputs, tuple(parts) if len(parts) > 1 else parts[0]))
        found = found[1] if layered else found
        after = found if isinstance(found, tuple) else (found,)
        return torch.cat([each.transpose(0, 1).flatten(1) if layered else each for each in after], -1)

    return FunctionMap(advance, next(iter(own.values())).new_zeros(layers * sum(sizes)), net.input_size)


MAPS: dict[type[nn.Module], Callable[[Any], StateMap]] = {
    LeakyPopulation: _leaky,
    CellPopulation: _cells,
    CellNetwork: _module,
    nn.RNNBase: _of_torch,
    nn.RNNCellBase: _of_torch,
}
SIZED: tuple[type[nn.Module], ...] = (*MAPS, Network)  # of which the size of a state is known, if there is one
