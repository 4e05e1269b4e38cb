"""Maps from the state of a recurrent network to that of the next step, and their Jacobians.

Shapes: T time, B batch, I inputs, N numbers of a state, M states.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.cells.activations import Activation
from tca.cells.leaky_cell import Form

__all__ = ["FunctionMap", "LeakyMap", "StateMap"]


class StateMap(abc.ABC):
    """One step of a recurrent network without private noise, ``F(h, x)``, in float64.

    Attributes:
        start: State at time zero, shape ``(N,)``.
        n_in: Number of inputs I; ``None`` where it is not known.
    """

    start: Tensor
    n_in: int | None

    @abc.abstractmethod
    def step(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return the states one step later.

        Args:
            states: States, shape ``(..., N)``.
            inputs: Inputs of the step, shape ``(..., I)``.
        """

    @property
    def cells(self) -> int:
        """Numbers of a state N."""
        return len(self.start)

    def jacobian(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return ``dF / dh``, ``[i, j]`` the effect of number j on number i, shape ``(..., N, N)``, by autograd.

        Args:
            states: States, shape ``(..., N)``.
            inputs: Inputs of the step, shape ``(..., I)``.
        """
        with torch.enable_grad():
            here = states.detach().clone().requires_grad_()
            there = self.step(here, inputs)
            rows = [
                torch.autograd.grad(each.sum(), here, retain_graph=True, materialize_grads=True)[0]
                for each in there.unbind(-1)
            ]
        return torch.stack(rows, -2)

    @torch.no_grad()
    def trajectory(self, inputs: Tensor) -> Tensor:
        """Return the states of a trial, that of time zero first, shape ``(T + 1, B, N)``.

        Args:
            inputs: Inputs, shape ``(T, B, I)``.

        Raises:
            ValueError: The shape does not fit.
        """
        if inputs.ndim != 3 or self.n_in not in (None, inputs.shape[2]):
            expected = "I" if self.n_in is None else self.n_in
            raise ValueError(f"inputs must have shape (T, B, {expected}), got {tuple(inputs.shape)}")
        states = [self.start.expand(inputs.shape[1], -1)]
        for given in inputs.to(self.start).unbind(0):
            states.append(self.step(states[-1], given))
        return torch.stack(states)


@dataclass(frozen=True, eq=False)
class FunctionMap(StateMap):
    """One step of any cell, whose Jacobian comes from autograd.

    Attributes:
        function: From inputs ``(M, I)`` and states ``(M, N)`` to states.
        start: State at time zero, shape ``(N,)``.
        n_in: Number of inputs I; ``None`` where it is not known.
        emit: From states to rates, for the maps of populations; ``None`` (default) where they are not known.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    start: Tensor
    n_in: int | None = None
    emit: Callable[[Tensor], Tensor] | None = None

    def rates(self, states: Tensor) -> Tensor:
        """Return the rates of states of a population, shape ``(..., Q)``.

        Args:
            states: States, shape ``(..., N)``.
        """
        assert self.emit is not None
        return self.emit(states)

    def step(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return the states one step later, each row by itself.

        Raises:
            TypeError: The cell returns no state of this shape.
        """
        rows = states.reshape(-1, self.cells)
        given = inputs.to(self.start).expand(*states.shape[:-1], -1).reshape(len(rows), -1)
        found = self.function(given, rows)
        if not isinstance(found, Tensor) or found.shape != rows.shape:
            came = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise TypeError(f"a cell must return the next state, of shape {tuple(rows.shape)}, got {came}")
        return found.view(states.shape)


@dataclass(frozen=True, eq=False)
class LeakyMap(StateMap):
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
    def n_in(self) -> int:  # type: ignore[override]
        """Number of inputs I."""
        return self.w_in.shape[1]

    def rates(self, states: Tensor) -> Tensor:
        """Return the rates of states, same shape.

        Args:
            states: States, shape ``(..., N)``.
        """
        return self.form.start(self.activation, states)

    def step(self, states: Tensor, inputs: Tensor) -> Tensor:
        drive = self._drive(states, inputs)
        return self.form.advance(self.activation, self.leak, self.gain, states, drive)[0]

    def jacobian(self, states: Tensor, inputs: Tensor) -> Tensor:
        """Return ``dF / d state``, ``[i, j]`` from cell j to cell i, shape ``(..., N, N)``.

        ``k + (1 - k) W diag f'(v)`` in form A, ``k + (1 - k) diag f'(u) W`` in form B; at the kink of a rectifier the
        slope is 0.
        """
        gain = torch.as_tensor(self.gain, dtype=self.b.dtype, device=self.b.device).expand_as(self.b)[:, None]
        leak = torch.diag(torch.as_tensor(self.leak, dtype=self.b.dtype, device=self.b.device).expand_as(self.b))
        if self.form.slope_at_emission:
            slope = self.activation.slope(self.rates(states).contiguous())
            return leak + gain * self.w_rec * slope[..., None, :]
        slope = self.activation.slope(self.activation(self._drive(states, inputs)))
        return leak + gain * slope[..., :, None] * self.w_rec

    def _drive(self, states: Tensor, inputs: Tensor) -> Tensor:
        return self.rates(states) @ self.w_rec.mT + inputs.to(self.b) @ self.w_in.mT + self.b
