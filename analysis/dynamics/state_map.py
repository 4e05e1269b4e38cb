"""The map that a recurrent network applies to its state at every step, and its exact Jacobian.

Shapes: T time, B batch, I inputs, N cells, M states.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tca.cells.activations import Activation
from tca.cells.leaky_cell import Form
from tca.nets import Network
from tca.nets.leaky.leaky_population import LeakyPopulation

__all__ = ["StateMap", "state_map"]


@dataclass(frozen=True, eq=False)
class StateMap:
    """One step of a leaky recurrent population without private noise, in float64.

    Form A: ``F(v) = k v + (1 - k)(W f(v) + U x + b)``. Form B: ``F(z) = k z + (1 - k) f(W z + U x + b)``.

    Attributes:
        form: Where the leak acts.
        activation: The activation function f.
        leak: Leak per step k, a number or ``(N,)``.
        gain: One minus the leak.
        w_in: Input weights U, shape ``(N, I)``.
        w_rec: Recurrent weights W, shape ``(N, N)``.
        b: Bias, shape ``(N,)``.
        start: State at time zero, shape ``(N,)``.
    """

    form: Form
    activation: Activation
    leak: Tensor | float
    gain: Tensor | float
    w_in: Tensor
    w_rec: Tensor
    b: Tensor
    start: Tensor

    @property
    def cells(self) -> int:
        """Number of cells N."""
        return len(self.b)

    def rates(self, states: Tensor) -> Tensor:
        """Return the rates of states, same shape.

        Args:
            states: States, shape ``(..., N)``.
        """
        return self.form.start(self.activation, states)

    def step(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return the states one step later.

        Args:
            states: States, shape ``(..., N)``.
            inputs: Inputs of the step, shape ``(..., I)``.
        """
        drive = self._drive(states, inputs)
        return self.form.advance(self.activation, self.leak, self.gain, states, drive)[0]

    def jacobian(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return ``dF / d state``, ``[i, j]`` what cell j does to cell i, shape ``(..., N, N)``.

        ``k + (1 - k) W diag f'(v)`` in form A, ``k + (1 - k) diag f'(u) W`` in form B; at the kink of a rectifier the
        slope is 0.

        Args:
            states: States, shape ``(..., N)``.
            inputs: Inputs of the step, shape ``(..., I)``.
        """
        gain = torch.as_tensor(self.gain, dtype=self.b.dtype, device=self.b.device).expand_as(self.b)[:, None]
        leak = torch.diag(torch.as_tensor(self.leak, dtype=self.b.dtype, device=self.b.device).expand_as(self.b))
        if self.form.slope_at_emission:
            slope = self.activation.slope(self.rates(states).contiguous())
            return leak + gain * self.w_rec * slope[..., None, :]
        slope = self.activation.slope(self.activation(self._drive(states, inputs)))
        return leak + gain * slope[..., :, None] * self.w_rec

    def trajectory(self, inputs: Tensor) -> Tensor:
        """Return the states of a trial, that of time zero first, shape ``(T + 1, B, N)``.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.

        Raises:
            ValueError: The shape does not fit.
        """
        if inputs.ndim != 3 or inputs.shape[2] != self.w_in.shape[1]:
            raise ValueError(f"inputs must have shape (T, B, {self.w_in.shape[1]}), got {tuple(inputs.shape)}")
        states = [self.start.expand(inputs.shape[1], -1)]
        for given in inputs.to(self.b).unbind(0):
            states.append(self.step(states[-1], given))
        return torch.stack(states)

    def _drive(self, states: Tensor, inputs: Tensor) -> Tensor:
        return self.rates(states) @ self.w_rec.mT + inputs.to(self.b) @ self.w_in.mT + self.b


@torch.no_grad()
def state_map(net: Network | LeakyPopulation) -> StateMap:
    """Return the map that a leaky recurrent population applies to its state at every step, a copy in float64.

    Args:
        net: A network of one such population, `LeakyRNN` or `DualStreamRNN`; or a population of a `StackedRNN`, such as
            ``net.layers[1]``, whose inputs are the rates of the population below.

    Raises:
        TypeError: It is not recurrent, so that there is no state to map, or has several populations.

    >>> from tca.nets import LeakyRNN, StackedRNN
    >>> one = state_map(LeakyRNN(1, 3, 1))
    >>> one.trajectory(torch.ones(5, 2, 1)).shape, one.jacobian(torch.zeros(3), torch.zeros(1)).shape
    (torch.Size([6, 2, 3]), torch.Size([3, 3]))
    >>> state_map(StackedRNN(1, [3, 4], 1).layers[1]).jacobian(torch.zeros(4), torch.zeros(3)).shape
    torch.Size([4, 4])
    """
    if not isinstance(net, LeakyPopulation):
        raise TypeError(
            f"net must be a recurrent network of one leaky population, or such a population, got {type(net).__name__}: "
            "there is no state, or not one alone, to map"
        )
    first, second, third, *initial = net.into_cells()
    w_in, w_rec, b = (
        each.to(torch.float64, copy=True) for each in (first.matrix(), second.matrix(), third.effective())
    )
    start = initial[0].effective().to(torch.float64, copy=True) if initial else torch.zeros_like(b)
    leak, gain = (
        each.detach().to(torch.float64) if isinstance(each, Tensor) else each for each in (net.leak, net.gain)
    )
    return StateMap(net.form, net.activation, leak, gain, w_in, w_rec, b, start)
