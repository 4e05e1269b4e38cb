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
from tca.nets.network import Network
from tca.nets.stepper import Stepper
from tca.tape.dense_step import DenseStep, trace_bytes
from tca.tape.dense_tape import DenseTape
from tca.tape.population import Population
from tca.tape.projections import Readout
from tca.tape.weight_estimates import Recurrence
from tca.utils.checks import Count, checked, quick_counts
from tca.utils.module_contexts import evaluating
from tca.utils.numerics import Workspace

__all__ = ["CellNetwork", "ModuleStepper"]


class CellNetwork(Network):
    """A user's cell module with a linear readout; see `tca.nets.from_module`.

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
        return self.record_steps(self.initial_states(inputs.shape[1]), inputs, space)

    def initial_states(self, trials: int) -> Tensor:
        """Return the states at time zero, shape ``(B, M)``, without a graph.

        Args:
            trials: Number of trials B.
        """
        with torch.no_grad():
            return self._initial(dict(self.named_parameters()), trials)

    def record_steps(
        self, start: Tensor, inputs: Tensor, space: Workspace, to_follow: int | Tensor | None = 0
    ) -> DenseTape:
        """Return the tape of some steps of a trial.

        Args:
            start: States before the first of them, shape ``(B, M)``.
            inputs: Inputs, shape ``(T, B, I)``.
            space: Memory to reuse.
            to_follow: Number of steps of the trial after these, or one for each trial; ``None`` if unknown. Default 0.
        """
        steps, trials = inputs.shape[:2]
        states = space.empty("states", (steps + 1, trials, self.n_states), inputs)
        with torch.no_grad(), evaluating(self.cell):
            states[0] = start
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
            to_follow=to_follow,
        )

    @checked
    def stepper(self, trials: Count) -> ModuleStepper:
        """Return the network for online runs, one step at a time, at its initial state.

        Args:
            trials: Number of trials B.
        """
        return ModuleStepper(self, trials)

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


class ModuleStepper(Stepper):
    """A cell module online."""

    def __init__(self, net: CellNetwork, trials: int) -> None:
        self.net = net
        self.start_from(net.initial_states(trials))

    @property
    def memory(self) -> Tensor:
        return self.states

    def start_from(self, memory: Tensor) -> None:
        self.states = memory
        self.rate = memory[:, : self.net.readout.in_features]

    def advance(self, inputs: Tensor, noise: Tensor | None, to_go: int | Tensor | None) -> DenseStep:
        tape = self.net.record_steps(self.states, inputs.unsqueeze(0), Workspace(), to_go)
        self.start_from(tape.states[1])
        return tape.local_step(1)


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()
