"""The recurrent network whose cells carry vectors.

Shapes: T time, B batch, J inputs, K components and outputs, I cells, N = K I.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor, nn

from tca.cells.time_constants import Constant
from tca.connections.connection import Bias, Connection, ConnectionInput
from tca.connections.vector_weights import InputVectors, VectorBias, Vectors
from tca.nets.network import Network
from tca.nets.vector.vector_gates import Gates
from tca.nets.vector.vector_start import SIGNS
from tca.tape.population import Population
from tca.tape.projections import Readout
from tca.tape.tape import Tape
from tca.tape.vector_tape import VectorTape
from tca.tape.weight_estimates import Recurrence
from tca.utils.checks import Count, Device, DType, Seed, Size, checked, finite, positive, quick_counts, whole
from tca.utils.names import lookup
from tca.utils.numerics import Workspace

__all__ = ["VectorRNN", "perron_root"]

LIFT = 1e-3  # added to the diagonal, of the mean row sum, so that power iteration settles on cyclic weights as well


def perron_root(weights: Tensor, sweeps: int = 200, tolerance: float = 1e-9) -> tuple[float, float]:
    """Return lower and upper bounds of the Perron root of a nonnegative matrix.

    For every positive vector x the smallest and the largest of ``(W x)_i / x_i`` enclose it (Collatz and Wielandt).
    Power iteration tightens them; the bounds hold without convergence.

    Args:
        weights: Nonnegative matrix, shape ``(I, I)``.
        sweeps: Most steps of the iteration, default 200.
        tolerance: Relative distance of the bounds at which it stops, default 1e-9.

    >>> low, high = perron_root(torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64))
    >>> abs(low - 3) < 1e-6, abs(high - 3) < 1e-6
    (True, True)
    """
    low, high = perron_bounds(weights, sweeps, tolerance).tolist()
    return low, high


def perron_bounds(weights: Tensor, sweeps: int, tolerance: float, enough: float = -math.inf) -> Tensor:
    """Return both bounds of ``perron_root`` as a tensor; on other devices than the CPU the host does not wait for it.

    Args:
        weights: Nonnegative matrix, shape ``(I, I)``.
        sweeps: Most steps of the iteration.
        tolerance: Relative distance of the bounds at which they stay as they are.
        enough: Upper bound at which they stay as well, since it only falls; default none.
    """
    matrix = weights.detach().double()
    lift = LIFT * matrix.sum(1).mean()
    vector, bounds, settled = torch.ones_like(matrix[0]), matrix.new_zeros(2), lift == 0
    for _ in range(sweeps):
        if settled.is_cpu and settled:
            break
        product = matrix @ vector + lift * vector
        ratios = product / vector
        found = torch.stack([ratios.min(), ratios.max()])
        bounds = torch.where(settled, bounds, found)
        settled = settled | (found[1] - found[0] <= tolerance * found[1]) | (found[1] - lift <= enough)
        vector = (product / product.max()).clamp(min=1e-250)
    return (bounds - lift).clamp(min=0)


@checked
class VectorRNN(Network):
    """A leaky recurrent network of cells that carry vectors, connected by nonnegative scalars.

        u_i,t = leak u_i,t-1 + alpha (sum_j R_ij r_j,t-1 + W_i x_t + b_i),   leak = 1 - alpha
        G_i,t = 1[t_i . u_i,t >= 0],   r_i,t = G_i,t u_i,t,   z_t = sum_i w_i r_i,t + b_o

    u and r are vectors with a component for each output; a cell passes its whole vector or zero. R and w are not
    negative, so that the exact error of a cell at any earlier step is a nonnegative number times a score of the
    outputs. All cells of R feed back positively: their common mode has the gain of its Perron root, half of which
    counts on average, since half of the cells are open. ``project_`` scales R so that this gated root stays at or
    below ``perron_root_bound``; above one the common mode explodes in time.

    Weights begin in pairs as in `VectorNet`, R scaled to the gated root. Parameters: ``w_in (K, I, J)``, ``w_rec (I,
    I)``, ``b (K, I)``, ``w_out (1, I)``, ``b_out (K,)``.

    Args:
        n_in: Number of inputs J.
        n_rec: Number of cells I, even.
        n_out: Number of outputs and components K.
        integration_rate: Integration rate alpha of the drive, in (0, 1], default 0.2.
        perron_root_bound: Bound of the gated Perron root of R, default 0.9, positive.
        signs: ``"nonnegative"`` (default) or ``"mixed"``: R and w begin as ``N(0, 2 / I)``, R times the bound, and
            they are unbounded.
        seed: Seed of the weights and gating vectors, default 0.
        device: Device of the network, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.

    Raises:
        ValueError: A size, number or name is not allowed.

    Derived here, after Clark, Abbott and Chung (2021), NeurIPS, arXiv:2106.04089.

    >>> VectorRNN(3, 6, 2)(torch.zeros(4, 1, 3)).shape
    torch.Size([4, 1, 2])
    """

    def __init__(
        self,
        n_in: Size,
        n_rec: Size,
        n_out: Size,
        *,
        integration_rate: float = 0.2,
        perron_root_bound: float = 0.9,
        signs: str = "nonnegative",
        seed: Seed = 0,
        device: Device | None = None,
        dtype: DType = torch.float32,
    ) -> None:
        super().__init__()
        self.n_in, self.n_rec, self.n_out = (
            whole(name, size, 1) for name, size in (("n_in", n_in), ("n_rec", n_rec), ("n_out", n_out))
        )
        if n_rec % 2:
            raise ValueError(f"n_rec must be even, since cells come in pairs, got {n_rec}")
        if not 0 < finite("integration_rate", integration_rate) <= 1:
            raise ValueError(f"integration_rate must lie in (0, 1], got {integration_rate}")
        self.gain, self.leak = float(integration_rate), 1 - float(integration_rate)
        self.perron_root_bound = positive("perron_root_bound", perron_root_bound)
        self.constants = (Constant("integration_rate", self.leak, self.gain),)
        start = lookup(SIGNS, signs, "signs")
        self.nonnegative = start.nonnegative
        generator = torch.Generator().manual_seed(seed)

        def drawn(fan_in: int) -> Callable[[tuple[int, ...]], Tensor]:
            return lambda shape: (
                torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu") / math.sqrt(fan_in)
            )

        cells: tuple[int, ...] = (n_rec, n_rec)
        self.w_in = nn.Parameter(start.first((n_rec, n_out, n_in), drawn(n_in)).movedim(1, 0).contiguous())
        recurrent = start.between(cells, drawn(n_rec))
        scale = 2 * self.perron_root_bound / perron_root(recurrent)[1] if self.nonnegative else self.perron_root_bound
        self.w_rec = nn.Parameter(recurrent * scale)
        self.b = nn.Parameter(torch.zeros(n_out, n_rec, dtype=torch.float64, device="cpu"))
        self.w_out = nn.Parameter(start.out((1, n_rec), drawn(n_rec)))
        self.b_out = nn.Parameter(torch.zeros(n_out, dtype=torch.float64, device="cpu"))
        self.gates = Gates(n_out, n_rec, generator=generator)
        self._convert(device, dtype)

    def hidden_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the cells: input, recurrent, bias."""
        return (
            InputVectors("w_in", self.w_in),
            Vectors("w_rec", self.w_rec, components=self.n_out),
            VectorBias("b", self.b),
        )

    def readout_connections(self) -> tuple[Connection, ...]:
        return Vectors("w_out", self.w_out, components=self.n_out), Bias("b_out", self.b_out)

    def populations(self) -> tuple[Population, ...]:
        return (
            Population(
                "",
                (self.n_out, self.n_rec),
                self.n_out,
                self.w_out.detach(),
                onwards=self.readout_connections()[0],
                recurrent=True,
                alone=True,
                n_in=self.n_in,
                perron_root_bound=self.perron_root_bound if self.nonnegative else None,
                form="A",
            ),
        )

    @property
    def n_noise(self) -> int:
        """Noise channels: none."""
        return 0

    def outputs(self, use: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None) -> Tensor:
        """Return the outputs, shape ``(T, B, K)``, differentiable but for the gates."""
        w_in, w_rec, b = self.hidden_connections()
        external = w_in.apply(use["w_in"], inputs) + b.apply(use["b"], inputs)
        state = rate = torch.zeros_like(external[0])
        rates = []
        for each in external.unbind(0):
            state = self.leak * state + self.gain * (each + w_rec.apply(use["w_rec"], rate))
            rate = self.gates(state)
            rates.append(rate)
        return self.readout_connections()[0].apply(use["w_out"], torch.stack(rates)) + use["b_out"]

    def record(self, inputs: Tensor, noise: Tensor | None, space: Workspace) -> Tape:
        """Return the tape of the only population."""
        steps, trials, _ = inputs.shape
        components, cells = self.n_out, self.n_rec
        rate = space.empty("rate", (steps + 1, trials, components * cells), self.w_rec)
        gates = space.empty("gates", (steps + 1, trials, cells), self.w_rec)
        w_in, w_rec, b = self.hidden_connections()
        one = inputs.new_ones(1, 1, 1)
        external, bias = w_in.drive(inputs), b.drive(one)
        shared = self.w_rec.detach()
        weights = shared.t() * self.gain
        state = torch.zeros_like(external[0])
        rate[0].zero_()
        gates[0].fill_(1.0)  # a state of zero meets the condition of every gate
        apart = rate.view(steps + 1, trials, components, cells)
        for t, drive in enumerate(external.unbind(0), 1):
            state.lerp_(drive.add_(bias), self.gain)  # leak state + gain drive, as the two sum to one
            state.view(-1, cells).addmm_(apart[t - 1].view(-1, cells), weights)
            gates[t].copy_(self.gates.open(state))
            torch.mul(state.view(trials, components, cells), gates[t].unsqueeze(-2), out=apart[t])
        w_out, b_out = self.readout_connections()
        return VectorTape(
            population=self.populations()[0],
            rate=rate,
            gates=gates,
            components=components,
            shared=shared,
            leak=self.leak,
            gain=self.gain,
            links=(ConnectionInput(w_in, inputs), ConnectionInput(w_rec, rate[:-1]), ConnectionInput(b, one)),
            recurrence=Recurrence(self._repeated(space), None, _one_type(components * cells, rate.device)),
            readout=Readout((ConnectionInput(w_out, rate[1:]), ConnectionInput(b_out, one))),
            outputs=w_out.drive(rate[1:]) + b_out.drive(one),
        )

    def _repeated(self, space: Workspace) -> Tensor:
        """Return the recurrent weights between all components, a block for each, shape ``(N, N)``."""
        size = self.n_out * self.n_rec
        blocks = space.empty("recurrent", (size, size), self.w_rec).zero_()
        apart = blocks.view(self.n_out, self.n_rec, self.n_out, self.n_rec)
        apart.diagonal(dim1=0, dim2=2).copy_(self.w_rec.unsqueeze(-1))
        return blocks

    def draw_noise(self, steps: Count, trials: Count) -> None:
        """Return ``None``: the network has no private noise."""
        quick_counts(steps=steps, trials=trials)

    @torch.no_grad()
    def project_(self) -> None:
        """Set negative weights of a nonnegative network to zero, and keep the Perron root of R within its bound."""
        if not self.nonnegative:
            return
        self.w_out.clamp_(min=0)
        self.w_rec.clamp_(min=0)
        most = 2 * self.perron_root_bound
        high = perron_bounds(self.w_rec, sweeps=50, tolerance=1e-4, enough=most)[1]
        self.w_rec.mul_(torch.where(high > most, most / high, 1.0))

    def extra_repr(self) -> str:
        """Return the sizes in one line."""
        sizes = f"{self.n_in}, {self.n_rec}, {self.n_out}"
        return f"{sizes}, integration_rate={self.gain:g}, perron_root_bound={self.perron_root_bound:g}"


@cache
def _one_type(cells: int, device: torch.device) -> Tensor:
    """Return the types of cells that have none, the same tensor for all passes, so that it is read once."""
    with torch.inference_mode(False):
        return torch.zeros(cells, dtype=torch.int64, device=device)
