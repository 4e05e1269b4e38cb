"""The leaky recurrent network: one population with all-to-all or masked recurrent weights and a linear readout.

Shapes: T time, B batch, I inputs, N cells, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tca.activations import ACTIVATIONS
from tca.checks import not_negative, positive, whole
from tca.connections import Bias, Connection, Dense, Initial, Link
from tca.names import lookup
from tca.nets.forms import FORMS
from tca.nets.network import Network
from tca.nets.options import check_inputs, check_mask, check_signs, check_types, leak_and_gain, with_signs
from tca.nets.readout import filtered
from tca.place import Place
from tca.tape import Tape
from tca.workspace import Workspace

__all__ = ["LeakyRNN"]


class LeakyRNN(Network):
    """A leaky recurrent network with activation f, in one of two forms, and a linear readout.

    Form A, leak on the potential: ``v_t = k v_{t-1} + (1 - k)(W z_{t-1} + U x_t + b)``, ``z_t = f(v_t)``.
    Form B, leak on the rate: ``z_t = k z_{t-1} + (1 - k) f(W z_{t-1} + U x_t + b)``.
    Readout: ``y_t = W_o zbar_t + b_o`` with ``zbar = z``, or ``zbar_t = k_o zbar_{t-1} + (1 - k_o) z_t`` if it is
        filtered.
    ``k = exp(-dt / tau)``, or ``1 - dt / tau`` with the Euler leak.

    Weights are drawn as ``W ~ N(0, g^2 / in-degree)``, ``U ~ N(0, 1 / I)``, ``W_o ~ N(0, 1 / N)``; biases and initial
    state are zero. Parameters: ``w_in`` (N, I), ``w_rec`` (N, N), ``b`` (N), ``w_out`` (O, N), ``b_out`` (O), and
    ``s_0`` (N) if the initial state is learned; ``w_rec[i, j]`` is the synapse from j to i.

    Args:
        n_in: Number of input channels I.
        n_rec: Number of cells N.
        n_out: Number of outputs O.
        tau: Time constant of the cells in ms, default 100: a number, or one for each cell.
        dt: Duration of a step in ms, default 10.
        form: ``"A"`` (default) or ``"B"``.
        activation: ``"tanh"`` (default), ``"relu"``, ``"softplus"``, ``"rectified_tanh"`` or ``"linear"``.
        leak: ``"exponential"`` (default) or ``"euler"``, which needs ``dt <= tau``.
        noise: Standard deviation of private noise, default 0. White noise is added to the drive such that a potential
            without other input would fluctuate with this standard deviation.
        readout_tau: Time constant of the filtered readout in ms; ``None`` (default) for none.
        learn_initial: Whether the initial state is a parameter, default ``False``.
        autapses: Whether cells may have synapses onto themselves, default ``True``.
        mask_in: Which input synapses exist, (N, I); ``None`` (default) for all.
        mask_rec: Which recurrent synapses exist, (N, N); ``None`` (default) for all.
        mask_out: Which readout synapses exist, (O, N); ``None`` (default) for all.
        types: Type of every cell, for the rules that know cells by their type: N whole numbers, or fractions that add
            up to one such as ``(0.8, 0.2)``, the first cells being of type 0; ``None`` (default) for one type.
        dale: Sign of the recurrent synapses that the cells of each type make, such as ``(1, -1)``, 0 for both; ``None``
            (default) for both everywhere. ``project_`` sets weights of the wrong sign to zero. They are drawn such that
            what excites a cell and what inhibits it cancel in the mean.
        gain_rec: The factor g of the recurrent weights, default 1.
        seed: Seed of the weights and of the private noise, default 0.
        device: Where the network lives, default the CPU.
        dtype: Its floating-point type, default ``torch.float32``.

    Raises:
        ValueError: A size, time constant, mask, type, sign or name is not allowed.

    Papers: form A is the rate version of Bellec et al. (2020), Nature Communications 11:3625; form B that of Murray
        (2019),
    eLife 8:e43299.

    >>> net = LeakyRNN(3, 5, 2, seed=1)
    >>> net(torch.zeros(4, 1, 3)).shape
    torch.Size([4, 1, 2])
    """

    mask_in: Tensor | None
    mask_rec: Tensor | None
    mask_out: Tensor | None
    noise_state: Tensor | None
    types: Tensor
    signs: Tensor | None

    def __init__(
        self,
        n_in: int,
        n_rec: int,
        n_out: int,
        *,
        tau: float | Sequence[float] | Tensor = 100.0,
        dt: float = 10.0,
        form: str = "A",
        activation: str = "tanh",
        leak: str = "exponential",
        noise: float = 0.0,
        readout_tau: float | None = None,
        learn_initial: bool = False,
        autapses: bool = True,
        mask_in: Tensor | None = None,
        mask_rec: Tensor | None = None,
        mask_out: Tensor | None = None,
        types: Sequence[float] | Tensor | None = None,
        dale: Sequence[int] | None = None,
        gain_rec: float = 1.0,
        seed: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Draw the weights; see the class."""
        super().__init__()
        self.n_in, self.n_rec, self.n_out = whole("n_in", n_in, 1), whole("n_rec", n_rec, 1), whole("n_out", n_out, 1)
        if not dtype.is_floating_point:
            raise ValueError(f"dtype must be a floating-point type, got {dtype}")
        self.form, self.activation = lookup(FORMS, form, "form"), lookup(ACTIVATIONS, activation, "activation")
        self.dt, self.noise = positive("dt", dt), not_negative("noise", noise)
        constants = leak_and_gain("tau", tau, dt, leak, n_rec)
        self.leak, self.gain = self._constant("leak", constants[0]), self._constant("gain", constants[1])
        self.readout_leak = (
            0.0 if readout_tau is None else float(leak_and_gain("readout_tau", readout_tau, dt, leak, 1)[0])
        )

        self.register_buffer("types", check_types(types, n_rec))
        self.register_buffer("signs", check_signs(dale, self.types))

        generator = torch.Generator().manual_seed(seed)
        recurrent_mask = check_mask("mask_rec", mask_rec, (n_rec, n_rec))
        if not autapses:
            others = 1 - torch.eye(n_rec, dtype=torch.float64)
            recurrent_mask = others if recurrent_mask is None else recurrent_mask * others
        in_degree = (
            torch.tensor([n_rec]) if recurrent_mask is None else recurrent_mask.sum(1, keepdim=True).clamp(min=1)
        )
        self.w_in = self._draw(
            "in", (n_rec, n_in), 1 / math.sqrt(n_in), check_mask("mask_in", mask_in, (n_rec, n_in)), generator
        )
        scale = not_negative("gain_rec", gain_rec) / in_degree.sqrt()
        self.w_rec = self._draw("rec", (n_rec, n_rec), scale, recurrent_mask, generator)
        self.w_out = self._draw(
            "out", (n_out, n_rec), 1 / math.sqrt(n_rec), check_mask("mask_out", mask_out, (n_out, n_rec)), generator
        )
        if self.signs is not None:
            self.w_rec.data = with_signs(self.w_rec.data, self.signs)
        self.b, self.b_out = nn.Parameter(torch.zeros(n_rec)), nn.Parameter(torch.zeros(n_out))
        self.s_0 = nn.Parameter(torch.zeros(n_rec)) if learn_initial else None
        self.register_buffer("noise_state", torch.Generator().manual_seed(seed + 1).get_state() if noise else None)
        self.to(device=device, dtype=dtype)

    def places(self) -> tuple[Place, ...]:
        """Return where the only population stands."""
        return (self._place(self.w_out),)

    def hidden_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the recurrent population: input, recurrent, bias, and a learned initial state."""
        into = (Dense("w_in", self.w_in, self.mask_in), Dense("w_rec", self.w_rec, self.mask_rec), Bias("b", self.b))
        return into if self.s_0 is None else (*into, Initial("s_0", self.s_0))

    def readout_connections(self) -> tuple[Connection, ...]:
        """Return the connections into the outputs: weights and bias."""
        return Dense("w_out", self.w_out, self.mask_out), Bias("b_out", self.b_out)

    def forward(self, inputs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the outputs, shape ``(T, B, O)``, differentiable by autograd where gradients are enabled.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: What is added to the drive of every step, shape ``(T, B, N)``; ``None`` (default) for none.
        """
        return self.functional({}, inputs, noise) if torch.is_grad_enabled() else self.run(inputs, noise).outputs

    def functional(self, parameters: Mapping[str, Tensor], inputs: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the outputs with other parameters, shape ``(T, B, O)``, differentiable any number of times.

        No path is cut: this is the network whose curvature is meant, whatever rule trains it.

        Args:
            parameters: Tensors that stand in for the parameters of these names; the others are the network's own.
            inputs: Inputs, shape ``(T, B, I)``.
            noise: What is added to the drive of every step, shape ``(T, B, N)``; ``None`` (default) for none.

        Raises:
            ValueError: A name is not that of a parameter, or a shape does not fit.
        """
        check_inputs(inputs, self.n_in, self.w_rec)
        own = dict(self.named_parameters())
        for name in parameters:
            lookup(own, name, "parameter")
        use = {**own, **parameters}
        masked = {name: use[name] if mask is None else use[name] * mask for name, mask in self._masks().items()}
        drive = inputs @ masked["w_in"].t() + use["b"] + (0.0 if noise is None else noise)
        state = use["s_0"].expand_as(drive[0]) if self.s_0 is not None else torch.zeros_like(drive[0])
        rate = self.form.start(self.activation, state)
        weights, rates = masked["w_rec"].t(), []
        for external in drive.unbind(0):
            state, rate, _ = self.form.advance(self.activation, self.leak, self.gain, state, external + rate @ weights)
            rates.append(rate)
        return filtered(torch.stack(rates) @ masked["w_out"].t(), self.readout_leak) + use["b_out"]

    @torch.no_grad()
    def run(self, inputs: Tensor, noise: Tensor | None = None, workspace: Workspace | None = None) -> Tape:
        """Run the network without a graph and return the tape.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.
            noise: What is added to the drive of every step, shape ``(T, B, N)``; ``None`` (default) for none.
            workspace: Memory to use again; the tape is then overwritten by the next run with the same workspace.

        Raises:
            ValueError: A shape does not fit.
        """
        check_inputs(inputs, self.n_in, self.w_rec)
        space = Workspace() if workspace is None else workspace
        steps, trials, _ = inputs.shape
        rate = space.empty("rate", (steps + 1, trials, self.n_rec), self.w_rec)
        drive = rate if self.form.slope_at_emission else space.empty("drive", tuple(rate.shape), self.w_rec)
        w_in, w_rec, b, *initial = self.hidden_connections()
        w_out, b_out = self.readout_connections()

        def fold(weight: Tensor) -> Tensor:
            return self.form.fold(self.gain, weight)

        flat = drive[1:].view(-1, self.n_rec)
        torch.addmm(fold(b.effective()), inputs.reshape(-1, self.n_in), fold(w_in.effective()).t(), out=flat)
        if noise is not None:
            drive[1:].addcmul_(noise, fold(torch.ones_like(self.b)))
        start = initial[0].effective() if initial else rate.new_zeros(())
        recurrent = w_rec.effective()
        activity = self.form.run_(self.activation, self.leak, drive, fold(recurrent), start, rate)
        readout = w_out.effective()
        one, zero = rate.new_ones(1, 1, 1), rate.new_zeros(1, 1, 1)
        return Tape(
            place=self._place(readout),
            rate=rate,
            activity=activity,
            activation=self.activation,
            slope_at_emission=self.form.slope_at_emission,
            leak=self.leak,
            gain=self.gain,
            links=(
                Link(w_in, inputs),
                Link(w_rec, rate[:-1]),
                Link(b, one),
                *(Link(each, zero) for each in initial),
            ),
            recurrent=recurrent,
            recurrent_mask=self.mask_rec,
            types=self.types,
            readout_links=(Link(w_out, rate[1:]), Link(b_out, one)),
            readout_leak=self.readout_leak,
            outputs=filtered(rate[1:] @ readout.t(), self.readout_leak) + b_out.effective(),
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
        generator = torch.Generator()
        generator.set_state(self.noise_state.cpu())
        drawn = torch.randn(steps, trials, self.n_rec, generator=generator)
        self.noise_state.copy_(generator.get_state())
        leak = torch.as_tensor(self.leak)
        return drawn.to(self.w_rec) * (self.noise * ((1 + leak) / (1 - leak)).sqrt()).to(self.w_rec)

    @torch.no_grad()
    def project_(self) -> None:
        """Put the parameters back where they are allowed to be: missing synapses and wrong signs at zero."""
        if self.signs is not None:
            self.w_rec.copy_(torch.where(self.w_rec * self.signs < 0, 0.0, self.w_rec))
        for name, mask in self._masks().items():
            if mask is not None:
                self.get_parameter(name).mul_(mask)

    def extra_repr(self) -> str:
        """Return the sizes and the model in one line."""
        return f"{self.n_in}, {self.n_rec}, {self.n_out}, form={self.form}, activation={self.activation}"

    def _place(self, readout: Tensor) -> Place:
        return Place("", (self.n_rec,), self.n_out, self.w_out.detach(), readout, recurrent=True, alone=True)

    def _masks(self) -> dict[str, Tensor | None]:
        return {"w_in": self.mask_in, "w_rec": self.mask_rec, "w_out": self.mask_out}

    def _constant(self, name: str, value: Tensor | float) -> Tensor | float:
        """Register a constant that differs between cells as a buffer, so that it follows device and dtype."""
        if isinstance(value, Tensor):
            self.register_buffer(name, value)
        return value

    def _draw(
        self, name: str, shape: tuple[int, int], scale: Tensor | float, mask: Tensor | None, generator: torch.Generator
    ) -> nn.Parameter:
        """Draw normal weights in float64, so that every dtype gets the same ones, and register their mask."""
        weight = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale
        self.register_buffer(f"mask_{name}", mask)
        return nn.Parameter(weight if mask is None else weight * mask)
