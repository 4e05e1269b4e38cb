"""A user's cell module as a recurrent network with a linear readout.

Shapes: T time, B batch, I inputs, N cells that the readout reads, M numbers in the state of a trial, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from tca.connections.connection import Bias, Connection, ConnectionInput, Dense
from tca.connections.module_parameter import InitialPart, ModuleParameter
from tca.nets.modules.cell_state import flat, returned
from tca.nets.modules.probes import check_function, draws, numbers_of
from tca.nets.network import Network
from tca.tape.links import Readout
from tca.tape.module_tape import DenseTape, trace_bytes
from tca.tape.population import Population
from tca.tape.weight_estimates import Recurrence
from tca.utils.checks import Count, Size, checked, quick_counts
from tca.utils.module_contexts import evaluating
from tca.utils.numerics import Workspace

__all__ = ["CellNetwork", "from_module"]

State = Tensor | tuple[Tensor, ...]


class CellNetwork(Network):
    """A user's cell module with a linear readout; see `from_module`.

    Attributes:
        cell: The cell module itself, not a copy.
        readout: The readout itself.
        emits: Whether the cell returns an output beside its state; it then comes first among the M numbers.
        shapes: Shapes of the tensors in the state of a trial.
    """

    def __init__(self, cell: nn.Module, readout: nn.Linear, n_in: int, start: Sequence[Tensor], emits: bool) -> None:
        """Store the modules; `from_module` checks them."""
        super().__init__()
        self.cell, self.readout, self.n_in, self.n_out, self.emits = cell, readout, n_in, readout.out_features, emits
        self.shapes = tuple(each.shape for each in start)
        inside = {id(each): f"cell.{name}" for name, each in cell.named_parameters()}
        self._start = tuple(inside.get(id(each), f"initial_{index}") for index, each in enumerate(start))
        for name, each in zip(self._start, start, strict=True):
            if isinstance(each, nn.Parameter) and "." not in name:
                self.register_parameter(name, each)
            elif "." not in name:
                self.register_buffer(name, each)
        self.check_numbers()

    @property
    def n_states(self) -> int:
        """Numbers M in the state of a trial, the cell's output included."""
        return sum(map(math.prod, self.shapes)) + self.emits * self.readout.in_features

    def trace_bytes(self, trials: int) -> int:
        """Return the memory in bytes of ``rtrl`` in forward execution, at most 1 GiB.

        ``B M (M + 2 P)`` numbers: the Jacobian of a step, its direct derivatives by P parameters, and the traces.

        Args:
            trials: Number of trials B.
        """
        parameters = sum(each.weight.numel() for each in self.hidden_connections())
        return trace_bytes(trials, self.n_states, parameters, self.readout.weight.element_size())

    def hidden_connections(self) -> tuple[Connection, ...]:
        """Return one connection for each parameter of the cell and each learned tensor of the initial state."""
        return (*self._parameters_of_cell(), *self._learned_start())

    def readout_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the outputs: weights and bias if there is one."""
        weights = Dense("readout.weight", self.readout.weight)
        return (weights,) if self.readout.bias is None else (weights, Bias("readout.bias", self.readout.bias))

    def populations(self) -> tuple[Population, ...]:
        """Return the only population: the numbers that the readout reads."""
        weights = self.readout.weight.detach()
        return (
            Population(
                "",
                (self.readout.in_features,),
                self.n_out,
                weights,
                weights,
                self.readout_connections()[0],
                recurrent=True,
                alone=True,
                n_in=self.n_in,
                module="cell",
            ),
        )

    def outputs(self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None) -> Tensor:
        """Return the outputs, shape ``(T, B, O)``, differentiable as often as the cell is."""
        with evaluating(self.cell):
            states, rates = self._initial(use, inputs.shape[1]), []
            for x in inputs.unbind(0):
                states = self._step(use, x, states)
                rates.append(states[:, : self.readout.in_features])
        return functional.linear(torch.stack(rates), use["readout.weight"], use.get("readout.bias"))

    def record(self, inputs: Tensor, noise: Tensor | None, space: Workspace) -> DenseTape:
        """Return the tape with the states of all steps."""
        steps, trials = inputs.shape[:2]
        use = dict(self.named_parameters())
        states = space.empty("states", (steps + 1, trials, self.n_states), inputs)
        with torch.no_grad(), evaluating(self.cell):
            states[0] = self._initial(use, trials)
            for t in range(steps):
                states[t + 1] = self._step(None, inputs[t], states[t])
        rate = states[..., : self.readout.in_features]
        one, zero = inputs.new_ones(1, 1, 1), inputs.new_zeros(1, 1, 1)
        weights = self.readout_connections()
        return DenseTape(
            population=self.populations()[0],
            rate=rate,
            leak=0.0,
            gain=1.0,
            links=(
                *(ConnectionInput(each, one) for each in self._parameters_of_cell()),
                *(ConnectionInput(each, zero) for each in self._learned_start()),
            ),
            recurrence=Recurrence.none(rate),
            readout=Readout(tuple(map(ConnectionInput, weights, (rate[1:], one)))),
            outputs=functional.linear(rate[1:], self.readout.weight.detach(), _detached(self.readout.bias)),
            states=states,
            inputs=inputs,
            step=self._evaluated,
            parameters={each.name: each.weight for each in self._parameters_of_cell()},
        )

    def advance(self, inputs: Tensor, states: Tensor) -> Tensor:
        """Return the states one step later, shape ``(B, M)``, differentiable in the states.

        Args:
            inputs: Inputs of the step, shape ``(B, I)``.
            states: States, shape ``(B, M)``.
        """
        return self._evaluated(None, inputs, states)

    @property
    def n_noise(self) -> int:
        """None: noise is no part of a cell module."""
        return 0

    def draw_noise(self, steps: Count, trials: Count) -> None:
        """Return ``None``: noise is no part of a cell module."""
        quick_counts(steps=steps, trials=trials)

    def project_(self) -> None:
        """Leave the parameters as they are: a cell module has no constraints."""

    def extra_repr(self) -> str:
        return f"{self.n_in}, {self.n_states}, {self.n_out}"

    def _parameters_of_cell(self) -> tuple[ModuleParameter, ...]:
        named = ((f"cell.{name}", each) for name, each in self.cell.named_parameters())
        return tuple(ModuleParameter(name, each) for name, each in named if name not in self._start)

    def _learned_start(self) -> Iterator[InitialPart]:
        own = dict(self.named_parameters())
        offset = self.emits * self.readout.in_features
        offsets = accumulate(map(math.prod, self.shapes), initial=offset)
        for name, at in zip(self._start, offsets, strict=False):
            if name in own:
                yield InitialPart(name, own[name], offset=at)

    def _initial(self, use: Mapping[str, Tensor], trials: int) -> Tensor:
        """Return the state at time zero, shape ``(B, M)``; the output of the cell is zero there."""
        start = [use[name] if name in use else self.get_buffer(name) for name in self._start]
        output = [self.readout.weight.new_zeros(self.readout.in_features)] * self.emits
        return torch.cat([*output, *(each.flatten() for each in start)]).expand(trials, -1)

    def _evaluated(self, use: Mapping[str, Tensor] | None, x: Tensor, s: Tensor) -> Tensor:
        with evaluating(self.cell):
            return self._step(use, x, s)

    def _step(self, use: Mapping[str, Tensor] | None, x: Tensor, s: Tensor) -> Tensor:
        """Return ``F(x, s)``, shape ``(B, M)``, with the cell's own parameters if ``use`` is ``None``."""
        sizes = [math.prod(shape) for shape in self.shapes]
        parts = torch.split(s[:, s.shape[1] - sum(sizes) :], sizes, 1)
        state = tuple(part.reshape(len(s), *shape) for part, shape in zip(parts, self.shapes, strict=True))
        given = (x, state if len(state) > 1 else state[0])
        if use is None:
            found = self.cell(*given)
        else:
            own = {name.removeprefix("cell."): each for name, each in use.items() if name.startswith("cell.")}
            found = functional_call(self.cell, own, given)
        return flat(returned(found, self.shapes, len(s))[0])


@checked
def from_module(
    cell: nn.Module,
    readout: nn.Linear,
    n_in: Size | None = None,
    initial: Tensor | Sequence[Tensor] | None = None,
) -> CellNetwork:
    """Return a recurrent network made of any cell module and a linear readout.

    A cell maps inputs ``(B, I)`` and a state to the next state, or to a pair of an output and the next state. A state
    is one tensor ``(B, ...)`` or a tuple of them. The readout ``y_t = W_o z_t + b_o`` reads the output, or without one
    the first tensor of the state. The inside of a step is free (layers, attention, convolution): its Jacobian ``J_t =
    ds_t / ds_{t-1}`` is dense, taken by autograd, and has no part of its own for a leak. Rules:

    - ``bptt``, ``tbptt``, ``tbptt_future`` and ``rtrl`` in reverse execution, by products with ``J_t^T``;
    - ``rtrl``, ``tbptt`` in forward execution: ``J_t`` and ``ds_t / dtheta`` by `torch.func`, ``trace_bytes``, at most
      1 GiB;
    - ``snap1``, the diagonal of ``J_t``, and ``three_factor``, no memory at all;
    - the same eligibilities with direct, exact, random, adaptive, sparse or broadcast signals.

    Every other rule is refused with the reason, for a leak, synapses or cell types that a module does not have. Cells
    run in evaluation mode and without noise. The network shares the modules' parameters, named ``cell.`` and
    ``readout.`` with their own names.

    Args:
        cell: The cell module.
        readout: The readout.
        n_in: Number of input channels I; by default ``cell.input_size``.
        initial: State of a trial at time zero, without the batch axis, one tensor or several; a `torch.nn.Parameter` is
            learned. By default ``cell.initial_state`` if there is one, else N zeros, N the inputs of the readout.

    Raises:
        TypeError: An argument is of another type.
        ValueError: Sizes do not fit, or the cell is no differentiable function of each trial; the reason is given.

    >>> import tca
    >>> net = from_module(nn.GRUCell(3, 8), nn.Linear(8, 2))
    >>> learner = tca.Learner(net, tca.RULES["bptt"])
    >>> batch = tca.Batch(torch.ones(5, 4, 3), torch.zeros(5, 4, 2), torch.full((5, 4), 0.2), tca.losses.MSE())
    >>> info = learner.backward(batch)
    >>> net.cell.weight_hh.grad.shape, net.trace_bytes(4)
    (torch.Size([24, 8]), 80896)
    """
    like = numbers_of("cell", cell)
    if n_in is None:
        n_in = getattr(cell, "input_size", None)
        if not isinstance(n_in, int):
            raise ValueError(f"n_in must be given, since {type(cell).__name__} has no input_size")
    given = getattr(cell, "initial_state", None) if initial is None else initial
    if given is None:
        given = torch.zeros(readout.in_features, dtype=like.dtype, device=like.device)
    start = tuple(
        each if isinstance(each, nn.Parameter) else each.detach().to(like)
        for each in ([given] if isinstance(given, Tensor) else given)
    )
    source = torch.Generator().manual_seed(0)
    x = torch.randn(3, n_in, generator=source, dtype=torch.float64, device="cpu").to(like)
    shapes = tuple(each.shape for each in start)
    emits: list[bool] = []

    def call(probed: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
        found, emitting = returned(probed(given[0], given[1:] if len(start) > 1 else given[1]), shapes, len(x))
        emits.append(emitting)
        return flat(found)

    trials = (x, *(each.detach().expand(3, *each.shape) for each in start))
    check_function("cell", cell, call, trials, "n_in and initial")
    if draws(cell, call, trials):
        raise ValueError(
            "cell must be deterministic, and it draws random numbers in training mode: set it to evaluation mode with "
            ".eval(), or train the whole network with tca.nets.wrap"
        )
    read = readout.in_features if emits[0] else math.prod(shapes[0])
    if read != readout.in_features:
        raise ValueError(
            f"readout must have {read} inputs, the numbers of the first tensor of the state, got {readout.in_features}"
        )
    net = CellNetwork(cell, readout, n_in, start, emits[0])
    for each in net._learned_start():
        if any(each.weight is other for other in _used(net, x)):
            raise ValueError(f"{each.name} must be read at time zero alone, and the cell also reads it at every step")
    return net


def _used(net: CellNetwork, x: Tensor) -> list[Tensor]:
    """Return the parameters of the cell that a step depends on."""
    with torch.enable_grad():
        use = {name: each.detach() for name, each in net.named_parameters()}
        states = net._evaluated(None, x, net._initial(use, len(x)))
        own = [each for each in net.cell.parameters() if each.requires_grad]
        found = torch.autograd.grad(states.sum(), own, allow_unused=True)
    return [each for each, gradient in zip(own, found, strict=True) if gradient is not None]


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()
