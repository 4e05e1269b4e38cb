"""The map that a recurrent network applies to its state at every step, and its Jacobian.

Shapes: T time, B batch, I inputs, N numbers of a state, M states.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from analysis.dynamics.recurrent_part import maps_inputs_alone, recurrent_part
from analysis.dynamics.spiking import SPIKES, spikes
from analysis.dynamics.step_map import FunctionMap, LeakyMap, StateMap
from analysis.models import run, separate_copy
from tca.cells.local_derivatives import emitted, moved
from tca.connections.connection import Initial
from tca.nets.cell_rnn.block_population import BlockPopulation
from tca.nets.cell_rnn.cell_population import CellPopulation
from tca.nets.leaky.leaky_population import LeakyPopulation
from tca.nets.modules.cell_network import CellNetwork
from tca.nets.modules.wrapped_model import WrappedModel
from tca.nets.network import Network
from tca.nets.spiking.spiking_population import SpikingPopulation
from tca.nets.stacked_rnn import StackedRNN
from tca.nets.vector.vector_rnn import VectorRNN
from tca.utils.numerics import Workspace

__all__ = ["SIZED", "state_map"]


@torch.no_grad()
def state_map(net: nn.Module | Callable[[Tensor, Tensor], Tensor], start: Tensor | None = None) -> StateMap:
    """Return the map that a recurrent network applies to its state at every step, a copy in float64.

    The state of ``nn.LSTM`` is ``[h, c]``, of several layers all ``h`` and then all ``c``; that of general cells all
    components one after the other; that of a stack the states of its populations, from the first to the last.

    Args:
        net: A recurrent network of the library that does not spike; a population of a `StackedRNN`, such as
            ``net.layers[1]``, whose inputs are the rates of the population below; ``nn.RNN``, ``nn.GRU`` or ``nn.LSTM``
            of any number of layers, or one of their cells; a model, wrapped or not, with one such layer, which
            receives the inputs; or any function or module from inputs ``(M, I)`` and states ``(M, N)`` to states.
        start: State at time zero, shape ``(N,)``; ``None`` (default) for the network's own, zero in PyTorch.

    Raises:
        TypeError: The network is not recurrent, so that there is no state to map.
        ValueError: It spikes, a layer is bidirectional, so that the state depends on later inputs, or receives
            something else than the inputs, or a function has no start.

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
    if isinstance(net, WrappedModel) or (
        isinstance(net, nn.Module) and not isinstance(net, SIZED) and maps_inputs_alone(net)
    ):
        net = recurrent_part(net.model if isinstance(net, WrappedModel) else net)
    made: Any = next((make(net) for kind, make in MAPS.items() if isinstance(net, kind)), None)
    if made is None and (isinstance(net, Network) or not callable(net)):
        raise TypeError(
            f"net must be a recurrent network or population, got {type(net).__name__}: there is no state to map"
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
    if spikes(cell, size):
        raise ValueError(SPIKES)

    def emit(states: Tensor) -> Tensor:
        return torch.cat(emitted(cell, torch.split(states, size, -1)), -1)

    def advance(inputs: Tensor, states: Tensor) -> Tensor:
        parts = torch.split(states, size, -1)
        drives = list(torch.split(net.external_drive(weights, into, inputs), size, -1))
        if net.reached:
            arriving = torch.split(emit(states) @ weights[1].t(), size, -1)
            for place, part in zip(net.reached, arriving, strict=True):
                drives[place] = drives[place] + part
        return torch.cat(moved(cell, parts, tuple(drives)), -1)

    zero = weights[0].new_zeros(size * len(cell.components))
    return FunctionMap(advance, weights[-1] if isinstance(into[-1], Initial) else zero, weights[0].shape[1], emit)


def _stack(net: StackedRNN) -> StateMap:
    maps: list[Any] = [state_map(cells) for _, cells in net.hidden_layers]
    sizes = [each.cells for each in maps]

    def advance(inputs: Tensor, states: Tensor) -> Tensor:
        after = []
        for each, part in zip(maps, torch.split(states, sizes, -1), strict=True):
            after.append(each.step(part, inputs))
            inputs = each.rates(after[-1])
        return torch.cat(after, -1)

    return FunctionMap(advance, torch.cat([each.start for each in maps]), net.n_in)


def _vectors(net: VectorRNN) -> StateMap:
    """Return the map of vectors, whose gates have no derivative but where they open."""
    net = separate_copy(net, torch.float64)
    (w_in, w_rec, b), size = net.hidden_connections(), net.n_out * net.n_rec

    def advance(inputs: Tensor, states: Tensor) -> Tensor:
        drive = w_in.drive(inputs) + b.drive(inputs) + w_rec.drive(net.gates(states))
        return net.leak * states + net.gain * drive

    return FunctionMap(advance, net.b.new_zeros(size), net.n_in)


def _spiking(net: SpikingPopulation) -> StateMap:
    raise ValueError(SPIKES)


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
    StackedRNN: _stack,
    VectorRNN: _vectors,
    SpikingPopulation: _spiking,
    nn.RNNBase: _of_torch,
    nn.RNNCellBase: _of_torch,
}
SIZED: tuple[type[nn.Module], ...] = (*MAPS, Network)  # of which the size of a state is known, if there is one
