"""The tape of a population of gated vector cells.

Shapes: T time, B batch, K components, I cells, N = K I, C consecutive steps.

The state of cell i is a vector ``u_i`` of K components, its rate ``r_i = G_i u_i`` with one gate for all of them, which
is a constant to every derivative. Components are laid out one after another: ``(..., K, I)`` flattened.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tca.connections.vector_products import Products
from tca.tape.local_step import LeakyStep
from tca.tape.tape import Tape

__all__ = ["VectorTape"]


@dataclass(frozen=True, eq=False, kw_only=True)
class VectorTape(Tape):
    """One forward pass of a population of vectors; see `tca.tape.Tape` for the other attributes.

    Attributes:
        gates: One where a cell passes its vector, zero elsewhere, shape ``(T + 1, B, I)``.
        components: Number of components K.
        shared: Recurrent weights, one for all components, shape ``(I, I)``; empty if there are none.
        leak: Leak per step, a number.
        gain: Constant part of the gain, a number.
    """

    gates: Tensor
    components: int
    shared: Tensor
    leak: float
    gain: float

    @cached_property
    def _products(self) -> dict[str, Products]:
        return {}

    @property
    def products(self) -> Products | None:
        """Factors of the present signal, gates times output errors; ``None`` if it has none."""
        return self._products.get("factors")

    def explain(self, products: Products | None) -> None:
        """Store the factors of the next signal.

        Args:
            products: The factors; ``None`` if the signal is no product.
        """
        self._products.clear()
        if products is not None:
            self._products["factors"] = products

    def lift(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a rate signal as a state signal, zero where gates are closed; overwrites the signal."""
        self._apart(signal).mul_(self.gates[steps].unsqueeze(-2))
        return signal

    def drive(self, signal: Tensor, steps: slice) -> Tensor:
        """Return a state signal as a drive signal, without the constant gain: the same."""
        return signal

    def leak_(self, t: int, into: Tensor, later: Tensor) -> None:
        into.add_(later, alpha=self.leak)

    def transmit_(self, t: int, into: Tensor, later: Tensor) -> None:
        self.transmit_all_(into, later, t)

    def transmit_all_(self, into: Tensor, later: Tensor, first: int = 1) -> None:
        """Add ``(J_t - leak)^T later_t`` to ``into_{t-1}`` in place, for one step or for many at once."""
        if self.population.recurrent:
            self._return_(into, self._apart(later) @ self.shared, first)

    def transmit_own_(self, t: int, into: Tensor, later: Tensor) -> None:
        if self.population.recurrent:
            self._return_(into, self._apart(later) * self.shared.diagonal(), t)

    def derivative(self, t: int) -> Tensor:
        """Return the gate of every component at a step, shape ``(B, N)``."""
        return self.gates[t].repeat(1, self.components)

    def local_step(self, t: int) -> LeakyStep:
        leak, gain = self.rate.new_full((1,), self.leak), self.rate.new_full((1,), self.gain)
        return LeakyStep(
            pres=tuple(link.at(slice(t, t + 1))[0] for link in self.links),
            cells=self.rate.shape[-1],
            leak=leak,
            gain=gain,
            slope=self.derivative(t),
            slope_before=self.derivative(t - 1),
            constant_gain=gain,
            recurrence=self.recurrence,
            to_go=self.to_go(t),
            constant_leak=leak,
            perron_root_bound=self.population.perron_root_bound,
        )

    @property
    def synapses(self) -> Tensor:
        """Recurrent weights between the components, shape ``(N, N)``."""
        return self.recurrent

    def _return_(self, into: Tensor, returned: Tensor, first: int) -> None:
        before = self.gates[first - 1] if into.ndim == 2 else self.gates[first - 1 : first - 1 + len(into)]
        into.add_((returned * before.unsqueeze(-2)).flatten(-2), alpha=self.gain)

    def _apart(self, values: Tensor) -> Tensor:
        return torch.unflatten(values, -1, (self.components, -1))
