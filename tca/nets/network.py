"""What every network promises to a learner.

Shapes: T time, B batch, I inputs, N cells, O outputs.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping

from torch import Tensor, nn

from tca.connections import Connection
from tca.place import Place
from tca.tape import Tape
from tca.workspace import Workspace

__all__ = ["Network"]


class Network(nn.Module, abc.ABC):
    """Populations of cells, the connections into them, and a readout; it knows nothing of learning.

    Attributes:
        n_in: Number of input channels I.
        n_out: Number of outputs O.
    """

    n_in: int
    n_out: int

    def connections(self) -> tuple[Connection, ...]:
        """Return every connection of the network; each parameter belongs to one."""
        return (*self.hidden_connections(), *self.readout_connections())

    @abc.abstractmethod
    def hidden_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the populations."""

    @abc.abstractmethod
    def readout_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the outputs: weights and bias."""

    @abc.abstractmethod
    def places(self) -> tuple[Place, ...]:
        """Return where the populations stand, from the last to the first.

        A place shows the readout's own weights, so that a signal may follow them or make them decay.
        """

    @abc.abstractmethod
    def run(self, inputs: Tensor, noise: Tensor | None = None, workspace: Workspace | None = None) -> Tape:
        """Run the network without a graph and return the tape of its last population.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: Private noise, as ``draw_noise`` returns it; ``None`` (default) for none.
            workspace: Memory to use again; the tape is then overwritten by the next run with the same workspace.
        """

    @abc.abstractmethod
    def functional(self, parameters: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the outputs with other parameters, shape ``(T, B, O)``, differentiable any number of times.

        No path is cut: this is the network whose curvature is meant, whatever rule trains it.

        Args:
            parameters: Tensors that stand in for the parameters of these names; the others are the network's own.
            inputs: Inputs, shape ``(T, B, I)``.
            noise: Private noise, as ``draw_noise`` returns it; ``None`` (default) for none.
        """

    @abc.abstractmethod
    def draw_noise(self, steps: int, trials: int) -> Tensor | None:
        """Return fresh private noise for a trial, ``None`` if the network has none.

        Args:
            steps: Number of steps T.
            trials: Number of trials B.
        """

    @abc.abstractmethod
    def project_(self) -> None:
        """Put the parameters back where they are allowed to be; called after every step of an optimizer."""
