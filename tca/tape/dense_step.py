"""One step of a cell module: its dense Jacobian and its derivatives by the parameters.

Shapes: B batch, I inputs, N cells that the readout reads, M numbers in the state of a trial, P numbers in a parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor
from torch.func import jacrev, vmap
from torch.nn import functional

from tca.tape.local_step import LocalStep
from tca.tape.tape import Tape

__all__ = ["TRACE_BYTES", "DenseStep", "StepFunction", "check_size", "read_back", "trace_bytes"]

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


def check_size(owner: str, size: int) -> None:
    """Raise if matrices would take more memory than allowed.

    Args:
        owner: The matrices, for the message.
        size: Their bytes.

    Raises:
        ValueError: They would need more than 1 GiB.
    """
    if size > TRACE_BYTES:
        raise ValueError(
            f"{owner} would take {size / 2**30:.3g} GiB, and at most {TRACE_BYTES / 2**30:.3g} GiB are allowed: "
            "use fewer trials, a smaller cell, or bptt, tbptt or rtrl in reverse execution, without matrices"
        )


def read_back(signal: Tensor, states: int) -> Tensor:
    """Return a rate signal as a state signal: zero for numbers that the readout does not read.

    Args:
        signal: Rate signal, shape ``(..., N)``.
        states: Numbers M in the state of a trial.

    >>> read_back(torch.ones(2), 3).tolist()
    [1.0, 1.0, 0.0]
    """
    rest = states - signal.shape[-1]
    return functional.pad(signal, (0, rest)) if rest else signal


@dataclass(frozen=True, eq=False, kw_only=True)
class DenseStep(LocalStep):
    """A step of a cell module, without leak, gain and synapses; see `tca.tape.local_step.LocalStep`.

    Attributes:
        components: One: the M numbers of the state are those of M cells, of which the readout reads N.
        tape: The tape that the step is on.
        t: The step of the tape, 1 to T.
        x: Inputs of the step, shape ``(B, I)``.
        s: States of the step before, shape ``(B, M)``.
        function: The step ``F(theta, x, s)``.
        parameters: The parameters theta by name.
    """

    components: ClassVar[int] = 1
    tape: Tape
    t: int
    x: Tensor
    s: Tensor
    function: StepFunction
    parameters: Mapping[str, Tensor]

    @cached_property
    def jacobian(self) -> Tensor:
        """``J_t = ds_t / ds_{t-1}``, shape ``(B, M, M)``.

        Raises:
            ValueError: It would need more than 1 GiB, or the cell cannot be differentiated trial by trial.
        """
        trials, states = self.s.shape
        check_size("the Jacobian of a step", trace_bytes(trials, states, 0, self.s.element_size()))
        jacobian: Tensor = self._each_trial(jacrev(lambda s, x: self._one(self.parameters, x, s)))
        return jacobian

    @cached_property
    def direct(self) -> dict[str, Tensor]:
        """``G_t = ds_t / dtheta`` of every parameter by name, shape ``(B, M, P)`` each.

        Raises:
            ValueError: The cell cannot be differentiated trial by trial.
        """
        use = {name: each.detach() for name, each in self.parameters.items()}
        derivative = jacrev(self._one)
        found = self._each_trial(lambda s, x: derivative(use, x, s))
        return {name: each.flatten(2) if use[name].ndim else each.unsqueeze(2) for name, each in found.items()}

    def propagator(self, propagate_back_: Callable[[Tape, int, Tensor, Tensor], None]) -> Tensor:
        """Return ``D_t`` of an eligibility, shape ``(B, M, M)``: its reverse filter applied to unit signals.

        Args:
            propagate_back_: The filter of an eligibility, which adds ``D_t^T later`` to a signal in place.
        """
        trials, states = self.s.shape
        unit = torch.eye(states, dtype=self.s.dtype, device=self.s.device).expand(trials, -1, -1)
        rows = torch.zeros_like(unit, memory_format=torch.contiguous_format)
        propagate_back_(self.tape, self.t, rows, unit)
        return rows

    def diagonal(self) -> Tensor:
        """Return ``diag J_t``, shape ``(B, M)``."""
        return self.jacobian.diagonal(dim1=-2, dim2=-1)

    def leak_matrix(self) -> Tensor:
        """Return zero: a module has no leak of its own."""
        return self.leak

    def transmission(self) -> Tensor:
        """Return ``J_t``, shape ``(B, M, M)``."""
        return self.jacobian

    def kept(self, states: Tensor) -> Tensor:
        """Return zeros: a module has no leak of its own."""
        return torch.zeros_like(states)

    def kept_back(self, states: Tensor) -> Tensor:
        """Return zeros: a module has no leak of its own."""
        return torch.zeros_like(states)

    def emitted(self, states: Tensor) -> Tensor:
        """Return the numbers that the readout reads."""
        return states[..., : self.cells]

    def emitted_back(self, rates: Tensor) -> Tensor:
        """Return the rates with zeros for numbers that the readout does not read."""
        return read_back(rates, self.s.shape[-1])

    def lifted(self, rates: Tensor) -> Tensor:
        """Return the rates with zeros for numbers that the readout does not read."""
        return read_back(rates, self.s.shape[-1])

    def driven(self, drives: Tensor) -> Tensor:
        """Raise: a module has no drives."""
        self._refuse()

    def driven_back(self, states: Tensor) -> Tensor:
        """Raise: a module has no drives."""
        self._refuse()

    def gain_blocks(self) -> Tensor:
        """Raise: a module has no drives."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError(
            f"{self.tape.population.title} is a module, which has no drives: use a network of tca.nets for this"
        )

    def _one(self, use: Mapping[str, Tensor], x: Tensor, s: Tensor) -> Tensor:
        """Return the step of one trial, shape ``(M,)``."""
        return self.function(use, x.unsqueeze(0), s.unsqueeze(0))[0]

    def _each_trial(self, function: Callable[..., Any]) -> Any:
        try:
            return vmap(function)(self.s, self.x)
        except RuntimeError as error:
            raise ValueError(
                f"the cell cannot be differentiated trial by trial with torch.func ({str(error).splitlines()[0]}): use "
                "a rule that needs no Jacobian matrix, such as bptt or tbptt in reverse execution"
            ) from error
