"""The linear recurrent unit: a complex number per neuron, rotated and shrunk at every step.

Shapes: any leading axes, N cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tca.cells.cell import Cell, Derivatives, State, constant
from tca.utils.checks import Fraction, Positive, checked

__all__ = ["LRU"]

LARGEST = math.log(2 * math.pi)  # of the logarithm of a phase


@checked
@dataclass(frozen=True)
class LRU(Cell):
    """Linear recurrent unit without recurrent synapses.

    ``z' = lambda z + gamma (u_re + i u_im)`` with ``lambda = exp(-exp(nu) + i exp(theta))`` and
    ``gamma = sqrt(1 - |lambda|^2)``. The rates are the real and the imaginary part, so that a linear readout is
    ``Re(C z)``; with ``CellRNN(..., skip=True)`` it is ``Re(C z) + D x``. The leak is the Jacobian: in one layer e-prop
    is the true gradient, for ``w_in``, ``nu`` and ``theta``.

    Args:
        nu: Logarithm of the decay rate; ``None`` (default) draws ``|lambda|`` uniformly on a ring.
        theta: Logarithm of the phase per step; ``None`` (default) draws the phase uniformly.
        r_min: Inner radius of the ring, default 0.
        r_max: Outer radius of the ring, default 1.
        max_phase: Largest phase that is drawn, default ``2 pi``.

    Raises:
        ValueError: ``r_min`` is not below ``r_max``, or a number is not allowed.

    Papers: Orvieto et al. (2023), ICML, arXiv:2303.06349; learning online: Zucchet et al. (2023), NeurIPS,
    arXiv:2305.15947.

    >>> re, im = LRU(0.0, 0.0).step((torch.ones(1), torch.zeros(1)), (torch.zeros(1), torch.zeros(1)))
    >>> round(re.item(), 4), round(im.item(), 4)  # exp(-1 + i)
    (0.1988, 0.3096)
    """

    components: ClassVar[tuple[str, ...]] = ("re", "im")
    drives: ClassVar[tuple[str, ...]] = ("re", "im")
    recurrent_drives: ClassVar[tuple[str, ...]] = ()
    rates: ClassVar[tuple[str, ...]] = ("re", "im")

    nu: float | Sequence[float] | Tensor | None = constant(None, low=-14.0, high=5.0, learned=True)  # noqa: RUF009
    theta: float | Sequence[float] | Tensor | None = constant(  # noqa: RUF009
        None, low=-14.0, high=LARGEST, learned=True
    )
    r_min: Fraction = 0.0
    r_max: Fraction = 1.0
    max_phase: Positive = 2 * math.pi

    def __post_init__(self) -> None:
        """Check the ring."""
        if not self.r_min < self.r_max:
            raise ValueError(f"r_min must be below r_max = {self.r_max}, got {self.r_min}")
        if self.max_phase > 2 * math.pi:
            raise ValueError(f"max_phase must be at most 2 pi, got {self.max_phase}")

    def step(self, state: State, drive: State) -> State:
        """Return ``lambda z + gamma u``, real and imaginary part."""
        c, s, gamma = self._factors(state[0])
        return (
            c * state[0] - s * state[1] + gamma * drive[0],
            s * state[0] + c * state[1] + gamma * drive[1],
        )

    def rate(self, state: State) -> State:
        """Return real and imaginary part."""
        return state

    def derivatives(self, state: State, drive: State) -> Derivatives:
        """Return ``lambda`` as a rotation, ``gamma``, and the derivatives by nu and theta."""
        c, s, gamma = self._factors(state[0])
        rate, phase = (torch.exp(each) for each in self._logarithms(state[0]))
        (re, im), (by_re, by_im) = state, drive
        turned = c * re - s * im, s * re + c * im
        widened = rate * torch.exp(-2 * rate) / gamma
        by_nu = widened * by_re - rate * turned[0], widened * by_im - rate * turned[1]
        by_theta = -phase * turned[1], phase * turned[0]
        return Derivatives(
            ((c, -s), (s, c)), ((gamma, 0.0), (0.0, gamma)), ((by_nu[0], by_theta[0]), (by_nu[1], by_theta[1]))
        )

    def draw(self, cells: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Draw ``lambda`` uniformly on the ring between the radii, up to the largest phase."""
        uniform = torch.rand(2, cells, generator=generator, dtype=torch.float64, device="cpu")
        square = self.r_min**2 + uniform[0] * (self.r_max**2 - self.r_min**2)
        nu = torch.log(-0.5 * torch.log(square.clamp(min=1e-12, max=1 - 1e-5)))
        theta = torch.log(self.max_phase * uniform[1].clamp(min=1e-6))
        return {name: each for name, each in (("nu", nu), ("theta", theta)) if getattr(self, name) is None}

    def _logarithms(self, like: Tensor) -> tuple[Tensor, Tensor]:
        nu, theta = (torch.as_tensor(each, dtype=like.dtype, device=like.device) for each in (self.nu, self.theta))
        return nu, theta

    def _factors(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return real and imaginary part of lambda, and gamma."""
        nu, theta = self._logarithms(like)
        rate, phase = torch.exp(nu), torch.exp(theta)
        size = torch.exp(-rate)
        return size * torch.cos(phase), size * torch.sin(phase), torch.sqrt(-torch.expm1(-2 * rate))
