"""The tape of a cell module: dense Jacobians of any function by autograd.

Shapes: T time, B batch, I inputs, N cells that the readout reads, M numbers in the state of a trial, O outputs, C
consecutive steps, P numbers in a parameter.

A *cell* is a function ``s_t = F(x_t, s_{t-1}; theta)`` of all M numbers of the state at once. Its Jacobian ``J_t =
dF/ds`` is dense and has no part of its own for the leak (the leak is zero here); a synapse has no gain and presynaptic
activity but a direct derivative ``G_t = dF/dtheta``, (M, P). With these the two executions of a rule read

    sum_t L_t e_t = sum_t G_t^T nu_t,     e_t = D_t e_{t-1} + G_t,     nu_t = L_t + D_{t+1}^T nu_{t+1}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from tca.connections.module_parameter import InitialPart
from tca.tape.module_tape import ModuleTape
from tca.tape.step_derivatives import Propagate

__all__ = ["TRACE_BYTES", "DenseTape", "StepFunction", "trace_bytes"]

TRACE_BYTES = 2**30  # largest size of traces or Jacobians of a step, 1 GiB

StepFunction = Callable[[Mapping[str, Tensor] | None, Tensor, Tensor], Tensor]


def trace_bytes(trials: int, states: int, parameters: int, element: int) -> int:
    """Return the memory of real-time recurrent learning in bytes, ``B M (M + 2 P)`` numbers.

    They are the Jacobian of a step, its direct derivatives, and the traces.

    Args:
        trials: Number of trials B.
        states: Numbers M in the state of a trial.
        parameters: Number of parameters P.
        element: Bytes of a number.

    >>> trace_bytes(2, 10, 100, 8)
    33600
    """
    return trials * states * (states + 2 * parameters) * element


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseTape(ModuleTape):
    """One forward pass of a cell module.

    Attributes:
        states: States of all steps, shape ``(T + 1, B, M)``; the readout reads the first N numbers.
        inputs: Inputs, shape ``(T, B, I)``.
        step: The function ``F(theta, x, s)`` of parameters by name (``None`` for the module's own), inputs ``(B, I)``
            and states ``(B, M)``.
        parameters: The parameters by name.
    """

    states: Tensor
    inputs: Tensor
    step: StepFunction
    parameters: Mapping[str, Tensor]

    def lift(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a rate signal as a state signal: zero for numbers that the readout does not read."""
        rest = self.states.shape[-1] - signal.shape[-1]
        return torch.nn.functional.pad(signal, (0, rest)) if rest else signal

    def transmit_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``J_t^T later`` to ``into`` in place; of shape ``(B, M)`` or ``(B, K, M)``, K signals a trial."""
        if later.ndim == 2:
            into.add_(self._pull_state(self.inputs[t - 1], self.states[t - 1], later))
        else:
            into.add_(later @ self.jacobian(t))

    def transmit_all_(self, into: Tensor, later: Tensor, first: int = 1) -> None:
        x, s = self._before(slice(first, first + len(later)))
        into.add_(self._pull_state(x, s, later.flatten(0, 1)).view_as(later))

    def transmit_own_(self, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``diag(J_t) later`` to ``into`` in place."""
        own = self.jacobian(t).diagonal(dim1=-2, dim2=-1)
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

    def jacobian(self, t: int) -> Tensor:
        """Return ``J_t = ds_t / ds_{t-1}``, shape ``(B, M, M)``.

        Args:
            t: The step, 1 to T.

        Raises:
            ValueError: It would need more than 1 GiB, or the cell cannot be differentiated trial by trial.
        """
        trials, states = self.states.shape[1:]
        self._check_size("the Jacobian of a step", trace_bytes(trials, states, 0, self.states.element_size()))
        x, s = self.inputs[t - 1], self.states[t - 1]
        jacobian: Tensor = self._each_trial(jacrev(lambda s, x: self._one(self.parameters, x, s)), s, x)
        return jacobian

    def direct(self, t: int) -> dict[str, Tensor]:
        """Return ``G_t = ds_t / dtheta`` of every parameter, shape ``(B, M, P)`` each.

        Args:
            t: The step, 1 to T.
        """
        x, s = self.inputs[t - 1], self.states[t - 1]
        use = {name: each.detach() for name, each in self.parameters.items()}
        derivative = jacrev(self._one)
        found = self._each_trial(lambda s, x: derivative(use, x, s), s, x)
        return {name: each.flatten(2) if use[name].ndim else each.unsqueeze(2) for name, each in found.items()}

    def propagator(self, propagate_back_: Propagate, t: int) -> Tensor:
        """Return ``D_t`` of an eligibility, shape ``(B, M, M)``: its reverse filter applied to unit signals.

        Args:
            propagate_back_: Adds ``D_t^T later`` to a signal in place, from t, the signal and ``later``.
            t: The step, 1 to T.
        """
        trials, states = self.states.shape[1:]
        unit = torch.eye(states, dtype=self.states.dtype, device=self.states.device).expand(trials, -1, -1)
        rows = torch.zeros_like(unit, memory_format=torch.contiguous_format)
        propagate_back_(t, rows, unit)
        return rows

    def carry_(self, propagate_back_: Propagate, signal: Tensor, gradients: dict[str, Tensor]) -> bool:
        """Add ``sum_t L_t e_t`` with ``e_t = D_t e_{t-1} + G_t``: real-time recurrent learning if ``D = J``.

        Raises:
            ValueError: The traces would need more than 1 GiB, or the cell cannot be differentiated trial by trial.
        """
        trials, states = self.states.shape[1:]
        numbers = sum(link.connection.weight.numel() for link in self.links)
        size = trace_bytes(trials, states, numbers, self.states.element_size())
        self._check_size(f"the traces of {trials} trials, {states} states and {numbers} parameters", size)
        traces = {}
        for link in self.links:
            trace = self.states.new_zeros(trials, states, link.connection.weight.numel())
            if isinstance(link.connection, InitialPart):
                link.connection.part(trace.mT).diagonal(dim1=-2, dim2=-1).fill_(1.0)
            traces[link.connection.name] = trace
        for t in range(self.steps + 1):
            if t:
                propagator, direct = self.propagator(propagate_back_, t), self.direct(t)
                for name, trace in traces.items():
                    traces[name] = propagator @ trace
                    if name in direct:
                        traces[name] += direct[name]
            for name, trace in traces.items():
                gradients[name].add_(torch.einsum("bm,bmp->p", signal[t], trace).view_as(gradients[name]))
        return True

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

    def _one(self, use: Mapping[str, Tensor], x: Tensor, s: Tensor) -> Tensor:
        """Return the step of one trial, shape ``(M,)``."""
        return self.step(use, x.unsqueeze(0), s.unsqueeze(0))[0]

    def _each_trial(self, function: Callable[..., Any], s: Tensor, x: Tensor) -> Any:
        try:
            return vmap(function)(s, x)
        except RuntimeError as error:
            raise ValueError(
                f"the cell cannot be differentiated trial by trial with torch.func ({str(error).splitlines()[0]}): use "
                "a rule that needs no Jacobian matrix, such as bptt or tbptt in reverse execution"
            ) from error

    def _check_size(self, owner: str, size: int) -> None:
        if size > TRACE_BYTES:
            raise ValueError(
                f"{owner} would take {size / 2**30:.3g} GiB, and at most {TRACE_BYTES / 2**30:.3g} GiB are allowed: "
                "use fewer trials, a smaller cell, or bptt, tbptt or rtrl in reverse execution, without matrices"
            )
