"""The recurrent network of general cells: one population with a linear readout.

Shapes: T time, B batch, I inputs, N cells, O outputs, G drives.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from tca.cells.cell import Cell
from tca.cells.time_constants import readout_filter
from tca.connections.connection import Connection, Dense
from tca.nets.accepted_options import check_options
from tca.nets.cell_rnn.cell_population import CellLayer, CellPopulation, CellWiring
from tca.nets.cell_rnn.cell_stepper import CellStepper
from tca.nets.cell_rnn.torch_weights import cell_of, load_, to_torch
from tca.nets.recurrent import RecurrentNetwork
from tca.utils.checks import Count, Device, DType, Mask, Positive, Seed, Size, checked

__all__ = ["CellRNN"]


@checked
class CellRNN(CellPopulation, RecurrentNetwork):
    """A recurrent network of any elementwise cell, with a linear readout.

    ``s_t = F(s_{t-1}, u_t)``, ``z_t = E(s_t)`` with the step F and the rate E of the cell, and drives
    ``u_g,t = W_g z_{t-1} + U_g x_t + b_g`` for the drives g that a connection reaches. The state is zero at the start.
    Readout: ``y_t = W_o zbar_t + b_o``, optionally filtered.

    Weights are drawn as ``W_g ~ N(0, g^2 / in-degree)``, ``U_g ~ N(0, 1 / I)``, ``W_o ~ N(0, 1 / N)``; biases and
    initial state are zero. Parameters: ``w_in`` (R N, I) and ``w_rec`` (R N, N) with a block of N rows for each drive
    that is reached, in the order that the cell names them (as in torch); ``b``, ``b_rec`` if the cell has biases of
    its recurrent drives, ``w_out`` (O, N), ``b_out`` (O), ``s_0`` (S N) if the initial state is learned, and the
    learned constants under their names, (N).

    Args:
        cell: The cell: `tca.cells.GRU`, `tca.cells.LSTM` and so on, or the user's own.
        n_in: Number of input channels I.
        n_rec: Number of cells N.
        n_out: Number of outputs O.
        wiring: Synapses, noise and learned constants, default `CellWiring()`.
        dt: Duration of a step in ms, default 10, for the filter of the readout; constants of cells are per step.
        readout_tau: Time constant of the filtered readout in ms; ``None`` (default) for none.
        mask_out: Which readout synapses exist, (O, N); ``None`` (default) for all.
        skip: Whether inputs also reach the outputs directly, ``y_t + D x_t``, ``w_skip`` (O, I); default ``False``.
        seed: Seed of the weights and of the private noise, default 0.
        device: Device of the network, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.
        options: Fields of the wiring by name (mask_in, mask_rec, cell_types, dale, autapses, gain_rec, learn_initial,
            bias, gain_in, noise, learn; see `tca.nets.cell_rnn.cell_population.CellWiring`).

    Raises:
        ValueError: A size, constant, mask, type, sign or name is not allowed, or the cell is not valid.
        TypeError: ``cell`` is no `tca.cells.Cell`, or an option is unknown.

    Papers: e-prop for LSTM: Bellec et al. (2020), Nature Communications 11:3625, supplement.

    >>> from tca.cells import GRU
    >>> net = CellRNN(GRU(), 3, 5, 2, seed=1)
    >>> net(torch.zeros(4, 1, 3)).shape, net.w_rec.shape
    (torch.Size([4, 1, 2]), torch.Size([15, 5]))
    """

    layer = CellLayer

    def __init__(
        self,
        cell: Cell,
        n_in: Size,
        n_rec: Size,
        n_out: Size,
        wiring: CellWiring | None = None,
        *,
        dt: Positive = 10.0,
        readout_tau: Positive | None = None,
        mask_out: Mask | None = None,
        skip: bool = False,
        seed: Seed = 0,
        device: Device | None = None,
        dtype: DType = torch.float32,
        **options: Any,
    ) -> None:
        """Draw the weights; see the class."""
        check_options(CellRNN, options, ("cell", "n_in", "n_rec", "n_out"))
        layer, generator = CellLayer(n_rec, cell, wiring, **options), torch.Generator().manual_seed(seed)
        super().__init__(n_in, layer, generator=generator)
        self._read_out(
            n_in,
            n_out,
            filter=None if readout_tau is None else readout_filter(readout_tau, dt, "exponential"),
            scale=1 / math.sqrt(self.n_rates),
            mask=mask_out,
            generator=generator,
            noise_seed=seed + 1 if self.noise else None,
        )
        self.w_skip = self._draw("skip", (n_out, n_in), 1 / math.sqrt(n_in), None, generator) if skip else None
        self._convert(device, dtype)

    @property
    def skip_connections(self) -> tuple[Connection, ...]:  # type: ignore[override]
        """The connection from the inputs to the outputs, if there is one."""
        return () if self.w_skip is None else (Dense("w_skip", self.w_skip),)

    @classmethod
    @checked
    def from_torch(cls, module: nn.Module, readout: nn.Linear, **options: Any) -> CellRNN:
        """Return the network of a `torch.nn.GRU` or `torch.nn.LSTM` and a linear readout, with their weights.

        Inputs have the shape ``(T, B, I)`` for either ``batch_first`` of the module.

        Args:
            module: One layer, in one direction, without dropout and projection.
            readout: The readout of its hidden state.
            options: Further options of the network.

        Raises:
            TypeError: The module is neither of them, or one with another forward, or the readout is not linear.
            ValueError: The module has several layers, directions, a projection or computed weights, or the readout
                another size, type or device.

        >>> net = CellRNN.from_torch(nn.GRU(3, 5), nn.Linear(5, 2))
        >>> net.w_in.shape, net.cell
        (torch.Size([15, 3]), GRU())
        """
        cell = cell_of(module, readout)
        like = readout.weight
        n_out, n_rec = like.shape
        n_in, bias = int(module.get_parameter("weight_ih_l0").shape[1]), bool(module.bias)
        settings = {"bias": bias, "dtype": like.dtype, "device": like.device, **options}
        net = cls(cell, n_in, n_rec, n_out, **settings)
        load_(net, module, readout)
        return net

    def to_torch(self) -> tuple[nn.Module, nn.Linear]:
        """Return a `torch.nn.GRU` or `torch.nn.LSTM` and a linear readout with the weights of the network.

        Raises:
            TypeError: The cell is another one.
            ValueError: The network has a filtered readout, private noise or a learned initial state, which torch's
                modules do not have.
        """
        return to_torch(self)

    @checked
    def stepper(self, trials: Count) -> CellStepper:
        """Return the network for online runs, one step at a time, at its initial state.

        Args:
            trials: Number of trials B.
        """
        return CellStepper(self, trials)

    def extra_repr(self) -> str:
        """Return the cell and the sizes in one line."""
        return f"{self.cell}, {self.n_in}, {self.n_rec}, {self.n_out}"
