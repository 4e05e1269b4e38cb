"""One step of a population as its synapses see it, for rules that carry traces forward.

Shapes: B batch, N or I postsynaptic cells, J presynaptic.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tca.estimates import TypeMeans

__all__ = ["Moment"]


@dataclass(frozen=True, eq=False)
class Moment:
    """The local quantities of a single step, for rules that carry traces forward.

    Tensors broadcast to ``(B, N)``.

    Attributes:
        pres: Presynaptic activity of every link into the population, each ``(B, J)``.
        cells: Number of cells N.
        leak: Part of ``ds_t/ds_{t-1}`` that a cell keeps to itself.
        gain: ``ds_t/du_t``.
        slope: ``dz_t/ds_t``.
        slope_before: ``dz_{t-1}/ds_{t-1}``.
        constant_gain: The part of the gain that is the same at every step.
        recurrent: Recurrent weights W, shape ``(N, N)``; empty if there are none.
        recurrent_mask: Which recurrent synapses exist, shape ``(N, N)``; ``None`` if all do.
        types: Type of every cell, shape ``(N,)``.
        to_go: Number of steps that follow this one; ``None`` where the end of the trial is not known.
    """

    pres: tuple[Tensor, ...]
    cells: int
    leak: Tensor
    gain: Tensor
    slope: Tensor
    slope_before: Tensor
    constant_gain: Tensor
    recurrent: Tensor
    recurrent_mask: Tensor | None
    types: Tensor
    to_go: int | None = None

    def diagonal(self) -> Tensor:
        """Return ``diag J_t = leak + gain_t W_ii slope_{t-1}``."""
        if not self.recurrent.numel():
            return self.leak
        return self.leak + self.gain * self.recurrent.diagonal() * self.slope_before

    def type_means(self) -> TypeMeans:
        """Return the mean recurrent weight of every pair of cell types."""
        return TypeMeans.of(self.recurrent, self.types)

    def transmission(self) -> Tensor:
        """Return ``J_t - leak = diag(gain_t) W diag(slope_{t-1})``, broadcastable to ``(B, N, N)``."""
        if not self.recurrent.numel():
            return self.leak.new_zeros(())
        return self.gain.unsqueeze(-1) * self.recurrent * self.slope_before.unsqueeze(-2)
