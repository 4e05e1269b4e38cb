"""A network of one recurrent population and a linear readout.

Shapes: T time, B batch, I inputs, N cells, O outputs.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tca.connections.connection import Bias, Connection, Dense, Link
from tca.nets.network import Network
from tca.nets.options import check_mask, drawing, normal_by_steps
from tca.nets.readout import filtered
from tca.nets.recurrent_population import RecurrentPopulation
from tca.tape.population import Place
from tca.tape.tape import Tape
from tca.utils.numerics import Constant, Workspace

__all__ = ["RecurrentNetwork"]


class RecurrentNetwork(RecurrentPopulation, Network, abc.ABC):
    """One recurrent population and the readout ``y_t = W_o zbar_t + b_o``, filtered or not."""

    synapses_out: ClassVar[Callable[..., Any]] = Dense  # what makes the readout's connection

    mask_out: Tensor | None
    noise_state: Tensor | None
    readout_leak: float
    w_out: nn.Parameter
    b_out: nn.Parameter

    @property
    @abc.abstractmethod
    def streams(self) -> Tensor | None:
        """Stream of every cell, +1 or -1, shape ``(N,)``; ``None`` if there is one."""

    def _read_out(
        self,
        n_in: int,
        n_out: int,
        *,
        filter: Constant | None,
        scale: Tensor | float,
        mask: Tensor | None,
        generator: torch.Generator,
        noise_seed: int | None,
    ) -> None:
        """Draw the readout; the last step of making a network.

        Args:
            n_in: Number of input channels I.
            n_out: Number of outputs O.
            filter: Leak per step of the filter of the readout; ``None`` if there is none.
            scale: Standard deviation of its weights.
            mask: Which of them exist, (O, N); ``None`` for all.
            generator: Source of the weights.
            noise_seed: Seed of the private noise; ``None`` if there is none.
        """
        self.n_in, self.n_out, self.readout_leak = n_in, n_out, 0.0 if filter is None else float(filter.value)
        self.constants = self.constants if filter is None else (*self.constants, filter)
        shape = (n_out, self.n_rec)
        self.w_out = self._draw("out", shape, scale, check_mask("mask_out", mask, shape), generator)
        self.b_out = nn.Parameter(torch.zeros(n_out, dtype=torch.float64, device="cpu"))
        state = None if noise_seed is None else torch.Generator().manual_seed(noise_seed).get_state()
        self.register_buffer("noise_state", state)

    def places(self) -> tuple[Place, ...]:
        """Return where the only population stands."""
        return (self._place(self.w_out),)

    def hidden_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the recurrent population: input, recurrent, bias, and a learned initial state."""
        return self.into_cells()

    def readout_connections(self) -> tuple[Any, ...]:
        """Return the connections into the outputs: weights and bias."""
        return self.synapses_out("w_out", self.w_out, self.mask_out), Bias("b_out", self.b_out)

    @property
    def n_noise(self) -> int:
        """One number per cell, added to its drive."""
        return self.n_rec

    def outputs(self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None) -> Tensor:
        """Return the outputs, shape ``(T, B, O)``, differentiable any number of times."""
        w_out, b_out = self.readout_connections()
        delivered = w_out.apply(w_out.masked(use[w_out.name]), self.cell_rates(use, inputs, noise))
        return filtered(delivered, self.readout_leak) + use[b_out.name]

    def record(self, inputs: Tensor, noise: Tensor | None, space: Workspace) -> Tape:
        """Return the tape of the population, with the outputs that the readout makes of it."""
        w_out, b_out = self.readout_connections()
        readout = w_out.matrix()
        tape = self.run_cells(self._place(readout), inputs, noise, space, readout_leak=self.readout_leak)
        rates = tape.rate[1:]
        return replace(
            tape,
            readout_links=(Link(w_out, rates), Link(b_out, rates.new_ones(1, 1, 1))),
            outputs=filtered(rates @ readout.t(), self.readout_leak) + b_out.effective(),
        )

    def draw_noise(self, steps: int, trials: int) -> Tensor | None:
        """Return fresh private noise for a trial, shape ``(T, B, N)``, ``None`` if the network has none.

        It is drawn on the CPU from the network's own generator, whose state is part of ``state_dict``, so that every
        device sees the same numbers.

        Args:
            steps: Number of steps T.
            trials: Number of trials B.
        """
        if self.noise_state is None:
            return None
        with drawing(self.noise_state) as generator:
            return self.cell_noise(normal_by_steps(steps, trials, self.n_rec, generator))

    @torch.no_grad()
    def project_synapses_(self) -> None:
        """Put all weights back where they are allowed to be: missing synapses and wrong signs at zero."""
        self.project_cells_()
        if self.mask_out is not None:
            self.w_out.mul_(self.mask_out)

    def _place(self, readout: Tensor) -> Place:
        return Place(
            "",
            (self.n_rec,),
            self.n_out,
            self.w_out.detach(),
            readout,
            self.readout_connections()[0],
            recurrent=True,
            alone=True,
            signs=self.streams,
            n_in=self.n_in,
            spiking=self.spiking,
            form=self.leak_form,
        )
