"""The tape of a cell module: dense Jacobians of any function by autograd.

Shapes: T time, B batch, I inputs, N cells that the readout reads, M numbers in the state of a trial, O outputs, C
consecutive steps, P numbers in a parameter.

A *cell* is a function ``s_t = F(x_t, s_{t-1}; theta)`` of all M numbers of the state at once. Its Jacobian ``J_t =
dF/ds`` is dense and has no part of its own for the leak (the leak is zero here); a synapse has no gain and presynaptic
activity but a direct derivative ``G_t = dF/dtheta``, (M, P). With these the two executions of a rule read

    sum_t L_t e_t = sum_t G_t^T nu_t,     e_t = D_t e_{t-1} + G_t,     nu_t = L_t + D_{t+1}^T nu_{t+1}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tca.connections.module_parameter import InitialPart
from tca.tape.dense_step import DenseStep, StepFunction, read_back
from tca.tape.module_tape import ModuleTape

__all__ = ["DenseTape"]


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseTape(ModuleTape):
    """One forward pass of a cell module.

    Attributes:
        states: States of all steps, shape ``(T + 1, B, M)``; the readout reads the first N numbers.
        inputs: Inputs, shape ``(T, B, I)``.
        step: The function ``F(theta, x, s)`` of parameters by name (``None`` for the module's own), inputs ``(B, I)``
            and states ``(B, M)``.
        parameters: The parameters by name.
        to_follow: Steps of the trial after those of the tape, one number or one for each trial; ``None`` if unknown.
    """

    states: Tensor
    inputs: Tensor
    step: StepFunction
    parameters: Mapping[str, Tensor]
    to_follow: int | Tensor | None = 0

    def to_go(self, t: int) -> int | Tensor:
        """Return the number of later steps, one for each trial, ``(B,)``, if they end at different steps.

        Args:
            t: The step, 1 to T; the number is negative after the end of a trial.

        Raises:
            ValueError: The end of the trial is not known.
        """
        if self.to_follow is None:
            raise ValueError("windows are counted from the end of the trial: give the number of steps to stream()")
        return super().to_go(t) + self.to_follow

    def lift(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a rate signal as a state signal: zero for numbers that the readout does not read."""
        return read_back(signal, self.states.shape[-1])

    def transmit_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``J_t^T later`` to ``into`` in place; of shape ``(B, M)`` or ``(B, K, M)``, K signals a trial."""
        if later.ndim == 2:
            into.add_(self._pull_state(self.inputs[t - 1], self.states[t - 1], later))
        else:
            into.add_(later @ self.local_step(t).jacobian)

    def transmit_all_(self, into: Tensor, later: Tensor, first: int = 1) -> None:
        x, s = self._before(slice(first, first + len(later)))
        into.add_(self._pull_state(x, s, later.flatten(0, 1)).view_as(later))

    def transmit_own_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``diag(J_t) later`` to ``into`` in place."""
        own = self.local_step(t).diagonal()
        into.addcmul_(later, own if later.ndim == 2 else own.unsqueeze(1))

    def pull(self, signal: Tensor, steps: slice) -> dict[str, Tensor]:
        """Return ``sum_t G_t^T signal_t`` by one pass over all steps and trials."""
        x, s = self._before(steps)
        with torch.enable_grad():
            use = {name: each.detach().requires_grad_() for name, each in self.parameters.items()}
            states = self.step(use, x, s)
            found = torch.autograd.grad(
                states, list(use.values()), signal.flatten(0, 1), allow_unused=True, materialize_grads=True
            )
        return dict(zip(use, found, strict=True))

    def local_step(self, t: int) -> DenseStep:
        one = self.states.new_ones(1, 1)
        return DenseStep(
            pres=tuple(one * (not isinstance(link.connection, InitialPart)) for link in self.links),
            cells=self.rate.shape[-1],
            leak=0 * one,
            gain=one,
            slope=one,
            slope_before=one,
            constant_gain=one,
            recurrence=self.recurrence,
            to_go=None if self.to_follow is None else self.to_go(t),
            tape=self,
            t=t,
            x=self.inputs[t - 1],
            s=self.states[t - 1],
            function=self.step,
            parameters=self.parameters,
        )

    def _before(self, steps: slice) -> tuple[Tensor, Tensor]:
        """Return inputs and previous states of some steps, all trials of all steps along one axis."""
        at = slice(steps.start - 1, steps.stop - 1)
        return self.inputs[at].flatten(0, 1), self.states[at].flatten(0, 1)

    def _pull_state(self, x: Tensor, s: Tensor, later: Tensor) -> Tensor:
        with torch.enable_grad():
            s = s.detach().requires_grad_()
            states = self.step(None, x, s)
            (found,) = torch.autograd.grad(states, s, later, allow_unused=True, materialize_grads=True)
        return found
