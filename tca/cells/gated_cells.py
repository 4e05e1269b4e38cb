"""Gated cells: GRU, LSTM, and the minimal gated units.

Shapes: any leading axes, N cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.cells.cell import Cell, Derivatives, State

__all__ = ["GRU", "LSTM", "MGU", "MinGRU"]


@dataclass(frozen=True)
class GRU(Cell):
    """Gated recurrent unit with the equations and the weight layout of `torch.nn.GRU`.

    ``r = sig(u_r)``, ``z = sig(u_z)``, ``n = tanh(u_n + r u_m)``, ``h' = (1 - z) n + z h``. Inputs reach r, z and n,
    recurrent synapses r, z and m; both have biases.

    Paper: Cho et al. (2014), EMNLP, arXiv:1406.1078.

    >>> GRU().step((torch.ones(1),), (torch.zeros(1),) * 4)[0].item()
    0.5
    """

    components: ClassVar[tuple[str, ...]] = ("h",)
    drives: ClassVar[tuple[str, ...]] = ("n", "r", "z", "m")  # those of recurrent synapses are neighbours
    input_drives: ClassVar[tuple[str, ...]] = ("r", "z", "n")
    recurrent_drives: ClassVar[tuple[str, ...]] = ("r", "z", "m")
    recurrent_bias: ClassVar[bool] = True

    def step(self, state: State, drive: State) -> State:
        """Return ``(1 - z) n + z h``."""
        n, r, z, m = drive
        return (torch.lerp(torch.tanh(torch.addcmul(n, torch.sigmoid(r), m)), state[0], torch.sigmoid(z)),)

    def rate(self, state: State) -> Tensor:
        """Return h."""
        return state[0]

    def derivatives(self, state: State, drive: State) -> Derivatives:
        """Return ``dh'/dh = z`` and the derivatives by the drives."""
        n, r, z, m = drive
        r, z = torch.sigmoid(r), torch.sigmoid(z)
        n = torch.tanh(torch.addcmul(n, r, m))
        return self._derivatives(n, r, z, m, state[0])

    def advance_(self, drive: Tensor, before: Tensor, after: Tensor) -> bool:
        """Write the next state; gates r and z and the candidate n take the memory of their drives."""
        n, r, z, m = drive.unbind(-2)
        drive[..., 1:3, :].sigmoid_()
        n.addcmul_(r, m).tanh_()
        torch.lerp(n, before[..., 0, :], z, out=after[..., 0, :])
        return True

    def gate_derivatives(self, gates: State, before: State, after: State) -> Derivatives:
        """Return ``dh'/dh = z`` and the derivatives by the drives."""
        n, r, z, m = gates
        return self._derivatives(n, r, z, m, before[0])

    @staticmethod
    def _derivatives(n: Tensor, r: Tensor, z: Tensor, m: Tensor, h: Tensor) -> Derivatives:
        fresh = 1 - z
        by_n = torch.addcmul(fresh, fresh * n, n, value=-1)
        by_m = by_n * r
        by_r, by_z = by_m * m, (h - n).mul_(z)
        by_r.addcmul_(by_r, r, value=-1)
        return Derivatives(((z,),), ((by_n, by_r, by_z.addcmul_(by_z, z, value=-1), by_m),))


@dataclass(frozen=True)
class LSTM(Cell):
    """Long short-term memory with the equations and the weight layout of `torch.nn.LSTM`.

    ``c' = sig(f) c + sig(i) tanh(g)``, ``h' = sig(o) tanh(c')``; the state is (c, h), the rate h. Inputs and recurrent
    synapses reach all four gates; both have biases.

    Paper: Hochreiter and Schmidhuber (1997), Neural Computation 9:1735.

    >>> LSTM().step((torch.ones(1), torch.ones(1)), (torch.zeros(1),) * 4)[0].item()
    0.5
    """

    components: ClassVar[tuple[str, ...]] = ("c", "h")
    drives: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    recurrent_bias: ClassVar[bool] = True

    def step(self, state: State, drive: State) -> State:
        """Return ``(c', h')``."""
        i, f, g, o = drive
        c = torch.addcmul(torch.sigmoid(f) * state[0], torch.sigmoid(i), torch.tanh(g))
        return c, torch.sigmoid(o) * torch.tanh(c)

    def rate(self, state: State) -> Tensor:
        """Return h."""
        return state[1]

    def derivatives(self, state: State, drive: State) -> Derivatives:
        """Return the derivatives of c', those of h' by the gate o, and ``dh'/dc'`` within the step."""
        i, f, o = (torch.sigmoid(drive[index]) for index in (0, 1, 3))
        gates = i, f, torch.tanh(drive[2]), o
        return self.gate_derivatives(gates, state, self.step(state, drive))

    def advance_(self, drive: Tensor, before: Tensor, after: Tensor) -> bool:
        """Write the next state; gates take the memory of their drives, with ``tanh x = 2 sig(2x) - 1``."""
        i, f, g, o = drive.unbind(-2)
        c, h = after.unbind(-2)
        g.add_(g)
        drive.sigmoid_()
        g.add_(g).sub_(1.0)
        torch.mul(f, before[..., 0, :], out=c)
        c.addcmul_(i, g)
        torch.add(c, c, out=h)
        h.sigmoid_().mul_(o)
        h.add_(h).sub_(o)
        return True

    def gate_derivatives(self, gates: State, before: State, after: State) -> Derivatives:
        """Return the derivatives of c', those of h' by the gate o, and ``dh'/dc' = o (1 - tanh(c')^2)``."""
        (i, f, g, o), h = gates, after[1]
        by_i, by_f = i * g, f * before[0]  # times 1 - i and 1 - f below
        by_g, by_o = torch.addcmul(i, by_i, g, value=-1), torch.addcmul(h, o, h, value=-1)
        by_i.addcmul_(by_i, i, value=-1)
        by_f.addcmul_(by_f, f, value=-1)
        by_c = torch.addcdiv(o, h.square(), o.clamp(min=torch.finfo(o.dtype).tiny), value=-1)  # o tanh(c') is h'
        return Derivatives(
            ((f, 0.0), (0.0, 0.0)), ((by_i, by_f, by_g, 0.0), (0.0, 0.0, 0.0, by_o)), within=((), (by_c,))
        )


@dataclass(frozen=True)
class MGU(Cell):
    """Minimal gated unit: one gate, which also scales the recurrent drive of the candidate.

    ``f = sig(u_f)``, ``n = tanh(u_n + f u_m)``, ``h' = (1 - f) h + f n``. Inputs reach f and n, recurrent synapses f
    and m. The original forgets before the recurrent weights, ``tanh(W (f h) + ...)``, which is not elementwise; here
    the gate acts behind them, as the reset gate of `torch.nn.GRU` does.

    Paper: Zhou et al. (2016), International Journal of Automation and Computing 13:226, arXiv:1603.09420.
    """

    components: ClassVar[tuple[str, ...]] = ("h",)
    drives: ClassVar[tuple[str, ...]] = ("n", "f", "m")
    input_drives: ClassVar[tuple[str, ...]] = ("f", "n")
    recurrent_drives: ClassVar[tuple[str, ...]] = ("f", "m")

    def step(self, state: State, drive: State) -> State:
        """Return ``(1 - f) h + f n``."""
        n, f, m = drive
        f = torch.sigmoid(f)
        return (torch.lerp(state[0], torch.tanh(torch.addcmul(n, f, m)), f),)

    def rate(self, state: State) -> Tensor:
        """Return h."""
        return state[0]


@dataclass(frozen=True)
class MinGRU(Cell):
    """Minimal GRU without recurrent synapses: gate and candidate depend on the input alone.

    ``z = sig(u_z)``, ``h' = (1 - z) h + z u_n``. Its leak is its Jacobian, so that e-prop is exact in one layer.

    Paper: Feng et al. (2024), Were RNNs all we needed?, arXiv:2410.01201.
    """

    components: ClassVar[tuple[str, ...]] = ("h",)
    drives: ClassVar[tuple[str, ...]] = ("z", "n")
    recurrent_drives: ClassVar[tuple[str, ...]] = ()

    def step(self, state: State, drive: State) -> State:
        """Return ``(1 - z) h + z n``."""
        z, n = drive
        return (torch.lerp(state[0], n, torch.sigmoid(z)),)

    def rate(self, state: State) -> Tensor:
        """Return h."""
        return state[0]
