"""The interface of networks to a learner.

Shapes: T time, B batch, I inputs, N cells, O outputs.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from tca.batch import Batch
from tca.connections.connection import Connection
from tca.nets.deep_r import RewiredPopulation
from tca.nets.recurrent_layer import RecurrentLayer
from tca.nets.stepper import Stepper
from tca.tape.perturbed_pass import ByPopulation, Replay
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import Count, checked
from tca.utils.names import lookup
from tca.utils.numerics import NumericModule, Workspace

__all__ = ["Network"]


class Network(NumericModule, abc.ABC):
    """Populations of cells, the connections into them and a readout, independent of learning rules.

    Attributes:
        n_out: Number of outputs O.
        readout_leak: Leak per step of the filter of the readout, 0 without one.
        skip_connections: Connections from the inputs to the outputs within the step, default none.
    """

    layer: ClassVar[type[RecurrentLayer] | None] = None  # the layer that further options of the constructor describe
    n_out: int
    readout_leak: float = 0.0
    skip_connections: tuple[Connection, ...] = ()

    def connections(self) -> tuple[Connection, ...]:
        """Return every connection of the network; each parameter belongs to one."""
        return (*self.hidden_connections(), *self.readout_connections(), *self.skip_connections)

    @abc.abstractmethod
    def hidden_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the populations."""

    @abc.abstractmethod
    def readout_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the outputs: weights and bias."""

    def default_parameters(self) -> tuple[str, ...]:
        """Return the names of the parameters measured by default: recurrent weights, or all where there are none."""
        names = [each.name for each in self.connections()]
        return tuple(name for name in names if name.rpartition(".")[2] == "w_rec") or tuple(names)

    @abc.abstractmethod
    def populations(self) -> tuple[Population, ...]:
        """Return the populations, from the last to the first.

        They hold the readout weights themselves, so that a signal may follow them or make them decay.
        """

    def typed_weights(self) -> tuple[tuple[Tensor, Tensor | None, Tensor], ...]:
        """Return recurrent weights, mask and cell types of each population with cell types; default none."""
        return ()

    @abc.abstractmethod
    def record(self, inputs: Tensor, noise: Tensor | None, space: Workspace) -> Tape:
        """Return the tape of ``run`` for checked inputs and noise.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: Noise, shape ``(T, B, n_noise)``; ``None`` for none.
        """

    @property
    def starts_anywhere(self) -> bool:
        """Whether trials may start at given states of the cells (`tca.Batch.start`); default no."""
        return False

    def record_from(self, start: Tensor, inputs: Tensor, noise: Tensor | None, space: Workspace) -> Tape:
        """Return the tape of ``record`` for trials that start at given states.

        Args:
            start: State at time zero, ``(B, M)``, see `tca.Batch`.
            inputs: Inputs, shape ``(T, B, I)``.
            noise: Noise, shape ``(T, B, n_noise)``; ``None`` for none.

        Raises:
            ValueError: The network starts at its initial state only, or the shape does not fit.
        """
        raise ValueError(f"start must be None in this {type(self).__name__}, which begins at its initial state")

    @abc.abstractmethod
    def outputs(self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None) -> Tensor:
        """Return the outputs of ``functional`` for checked inputs and noise.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: Noise, shape ``(T, B, n_noise)``; ``None`` for none.
        """

    def forward(self, inputs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the outputs, shape ``(T, B, O)``, differentiable by autograd where gradients are enabled.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: Noise, as ``draw_noise`` returns it; ``None`` (default) for none.
        """
        return self.functional({}, inputs, noise) if torch.is_grad_enabled() else self.run(inputs, noise).outputs

    @checked
    @torch.no_grad()
    def run(self, inputs: Tensor, noise: Tensor | None = None, workspace: Workspace | None = None) -> Tape:
        """Run the network without a graph and return the tape of its last population.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: Noise, as ``draw_noise`` returns it; ``None`` (default) for none.
            workspace: Memory to reuse; the next run with the same workspace overwrites the tape.

        Raises:
            ValueError: The inputs or the noise are not allowed, see ``check``.
        """
        self.check(inputs, noise)
        return self.record(inputs, noise, Workspace() if workspace is None else workspace)

    @checked
    def functional(self, parameters: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the outputs with other parameters, ``(T, B, O)``, differentiable any number of times.

        No path is truncated, whichever rule trains the network: curvature refers to this function.

        Args:
            parameters: Tensors that replace the parameters of these names; the others are the network's own.
            inputs: Inputs, shape ``(T, B, I)``.
            noise: Noise, as ``draw_noise`` returns it; ``None`` (default) for none.

        Raises:
            ValueError: A name is not that of a parameter, or the inputs or the noise are not allowed, see ``check``.
        """
        self.check(inputs, noise)
        own = dict(self.named_parameters())
        for name in parameters:
            lookup(own, name, "parameter")
        return self.outputs({**own, **parameters}, inputs, noise)

    @checked
    def stepper(self, trials: Count) -> Stepper:
        """Return the network for online runs, one step at a time, at its initial state.

        Raises:
            ValueError: The network runs whole trials only.
        """
        raise ValueError(f"{type(self).__name__} runs through whole trials, not step by step; use Learner.backward")

    def read_out(self, read: Tensor, inputs: Tensor) -> Tensor:
        """Return the outputs of a step, shape ``(B, O)``, without a graph.

        Args:
            read: Rates of the step, filtered if the readout is, shape ``(B, N)``.
            inputs: Inputs of the step, shape ``(B, I)``.
        """
        weights, *bias = self.readout_connections()
        outputs = weights.drive(read)
        for each in bias:
            outputs = outputs + each.effective()
        for each in self.skip_connections:
            outputs = outputs + each.drive(inputs)
        return outputs

    @abc.abstractmethod
    def draw_noise(self, steps: Count, trials: Count) -> Tensor | None:
        """Draw private noise for a trial; ``None`` if the network has none."""

    @torch.no_grad()
    def perturbed(self, inputs: Tensor, noise: Tensor | None, extra: ByPopulation) -> Tape:
        """Return the tape of a pass with perturbations added to the drives; private noise by default.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: Private noise, as ``draw_noise`` returns it; ``None`` for none.
            extra: Perturbations of shape ``(T, B, N)`` by population.
        """
        added = torch.cat([extra[population.name] for population in reversed(self.populations())], -1)
        return self.record(inputs, added if noise is None else noise + added, Workspace())

    def replay(self, batch: Batch, noise: Tensor | None) -> Replay:
        """Return functions that rerun the trials of a batch with perturbations.

        Args:
            noise: Private noise of the first pass; ``None`` for none.
        """

        def with_drive(extra: ByPopulation) -> Tape:
            return self.perturbed(batch.inputs, noise, extra).changed(batch=batch)

        @torch.no_grad()
        def with_parameters(parameters: Mapping[str, Tensor]) -> Tensor:
            return self.functional(parameters, batch.inputs, noise)

        return Replay(with_drive, with_parameters, self.get_parameter, noise)

    def walk_weights_(self) -> None:
        """Shrink and move rewired weights at random; called before ``project_``, see `tca.nets.DeepR`."""
        for each in self.modules():
            if isinstance(each, RewiredPopulation):
                each.walk_()

    @abc.abstractmethod
    def project_(self) -> None:
        """Project the parameters onto their constraints; called after every step of an optimizer."""
