"""Fixed points of a recurrent network with a constant input, and their stability.

Shapes: N cells, M starts, P points, B batch, T time, I inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.dynamics.state_map import SIZED, state_map
from tca.utils.checks import Count, Positive, checked, positive
from tca.utils.tables import Tabular

__all__ = ["FixedPoints", "fixed_points", "rest"]

Function = Callable[[Tensor], Tensor]

MARGIN = 1e-6  # within this of one, the modulus of an eigenvalue counts as one
STILL = 1e-7  # gradient of the speed relative to the residual at which the speed is at its minimum


@dataclass(frozen=True, eq=False)
class FixedPoints(Tabular):
    """Fixed and slow points, slowest first.

    Attributes:
        states: The points, float64, shape ``(P, N)``.
        residuals: ``|F(h) - h|``, shape ``(P,)``.
        fixed: Whether the residual is at most the tolerance, relative to ``1 + |h|``. Where a point is not fixed but
            slow, the speed is at a minimum above zero: the state lingers there and moves on.
        found: How many starts have led to each, shape ``(P,)``.
        jacobians: ``dF / dh`` at each, shape ``(P, N, N)``.
        eigenvalues: Eigenvalues of these, complex, by falling modulus, shape ``(P, N)``.
        starts: Number of starts.
        unfinished: Number of starts from which no minimum of the speed was reached; they are not among the points.
    """

    states: Tensor
    residuals: Tensor
    fixed: Tensor
    found: Tensor
    jacobians: Tensor
    eigenvalues: Tensor
    starts: int
    unfinished: int

    def _columns(self) -> dict[str, Any]:
        """Return a row for each point."""
        numbers = {"residual": self.residuals, "radius": self.radius, "unstable_directions": self.unstable_directions()}
        return {"kind": self.kinds(), **numbers, "found": self.found}

    def __len__(self) -> int:
        return len(self.states)

    @property
    def radius(self) -> Tensor:
        """Largest modulus of the eigenvalues at each point, shape ``(P,)``."""
        return self.eigenvalues[:, 0].abs()

    @property
    def stable(self) -> Tensor:
        """Whether each is a fixed point at which every eigenvalue has a modulus below one, shape ``(P,)``."""
        return self.fixed & (self.radius < 1 - MARGIN)

    def unstable_directions(self) -> Tensor:
        """Return how many eigenvalues of each point have a modulus above one, shape ``(P,)``."""
        return (self.eigenvalues.abs() > 1 + MARGIN).sum(1)

    def time_constants(self, dt: float) -> Tensor:
        """Return ``dt / |log |lambda||``, in which each mode decays, or grows where ``|lambda| > 1``, shape ``(P, N)``.

        Args:
            dt: Duration of a step in ms.
        """
        return positive("dt", dt) / self.eigenvalues.abs().log().abs()

    def __str__(self) -> str:
        name = "point" if len(self) == 1 else "points"
        lines = [f"{len(self)} {name} from {self.starts} starts, {self.unfinished} of which have not converged"]
        lines += [
            f"  {kind:<14} residual {residual:.1e}  |lambda| {radius:.6f}  unstable {directions}  from {count} starts"
            for kind, residual, radius, directions, count in zip(
                self.kinds(), self.residuals, self.radius, self.unstable_directions().tolist(), self.found, strict=True
            )
        ]
        return "\n".join(lines)

    def kinds(self) -> list[str]:
        """Return the kind of each point.

        ``"stable"``, ``"unstable"``, ``"marginal"`` if the largest modulus is one but for 1e-6, as on a line of fixed
        points, or ``"slow"`` if it is no fixed point.
        """
        return [
            "slow" if not fixed else "stable" if stable else "unstable" if directions else "marginal"
            for fixed, stable, directions in zip(
                self.fixed.tolist(), self.stable.tolist(), self.unstable_directions().tolist(), strict=True
            )
        ]


@checked
def rest(
    step: Function,
    jacobian: Function,
    starts: Tensor,
    *,
    tolerance: Positive = 1e-9,
    iterations: Count = 500,
    apart: Positive = 1e-4,
) -> FixedPoints:
    """Return the fixed and slow points of any differentiable map.

    Minima of the speed ``q(h) = 1/2 |F(h) - h|^2``, from all starts together by Levenberg-Marquardt iteration with the
    exact Jacobian, in float64. Where ``q`` is zero the point is fixed; where only its gradient is, it is slow.

    Args:
        step: The map F, from states ``(M, N)`` to states.
        jacobian: Its derivative, from states ``(M, N)`` to ``(M, N, N)``.
        starts: States to start from, shape ``(M, N)``.
        tolerance: Residual, relative to ``1 + |h|``, up to which a point counts as fixed, default 1e-9.
        iterations: Iterations at most, default 500.
        apart: Distance, relative to ``1 + |h|``, below which two points are one, default 1e-4.

    Raises:
        ValueError: A number is out of range, or the starts have another shape or are not finite.

    Paper: Sussillo and Barak (2013), Neural Computation 25:626, for the speed; Moré (1978), Lecture Notes in
    Mathematics 630:105, for the iteration.

    >>> cube = rest(lambda h: 1.5 * h - 0.5 * h**3, lambda h: torch.diag_embed(1.5 - 1.5 * h**2),
    ...             torch.tensor([[-2.0], [0.1], [0.9]]))
    >>> sorted(zip((cube.states.flatten().round(decimals=6) + 0.0).tolist(), cube.stable.tolist()))
    [(-1.0, True), (0.0, False), (1.0, True)]
    """
    if starts.ndim != 2 or not starts.numel() or not torch.isfinite(starts).all():
        raise ValueError(f"starts must be finite and have shape (starts, cells), got shape {tuple(starts.shape)}")
    states, converged = _descend(step, jacobian, starts.detach().to(torch.float64), tolerance, iterations)
    residuals = (step(states) - states).norm(dim=1)
    order = residuals.argsort()
    order = order[converged[order]]
    kept, counts = _different(states[order], apart)
    chosen = order[kept]
    points = states[chosen]
    slopes = jacobian(points) if len(points) else points.new_zeros(0, states.shape[1], states.shape[1])
    values = torch.linalg.eigvals(slopes)
    values = values.gather(1, values.abs().argsort(dim=1, descending=True))
    fixed = residuals[chosen] <= tolerance * (1 + points.norm(dim=1))
    unfinished = len(states) - int(converged.sum())
    return FixedPoints(points, residuals[chosen], fixed, counts, slopes, values, len(states), unfinished)


@checked
def fixed_points(
    net: nn.Module | Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor | Sequence[float],
    starts: Tensor,
    *,
    tolerance: float = 1e-9,
    iterations: Count = 500,
    apart: Positive = 1e-4,
) -> FixedPoints:
    """Return the fixed and slow points of a recurrent network while its input stays the same.

    Solutions of ``F(h, x) = h`` for the state h, see `state_map`: potentials in form A, rates in form B, ``[h, c]`` of
    ``nn.LSTM``. See ``rest`` for how they are sought and ``sampled_states`` for where to start. Points that no start
    leads to are not found.

    Args:
        net: A recurrent network or population of the library that does not spike; ``nn.RNN``, ``nn.GRU``, ``nn.LSTM``
            or one of their cells, or a model with one of them that receives the inputs; or any ``cell(inputs, states)``
            that returns states.
        inputs: The constant input x, shape ``(I,)``: for a population of a stack the rates below it, held.
        starts: States to start from, shape ``(M, N)``.
        tolerance: Residual, relative to ``1 + |h|``, up to which a point counts as fixed, default 1e-9.
        iterations: Iterations at most, default 500.
        apart: Distance, relative to ``1 + |h|``, below which two points are one, default 1e-4.

    Raises:
        TypeError: The network is not recurrent.
        ValueError: It spikes, a shape does not fit, or a number is out of range.

    Paper: Sussillo and Barak (2013), Neural Computation 25:626.

    >>> from tca.nets import LeakyRNN
    >>> net = LeakyRNN(1, 4, 1, gain_rec=0.1)                   # too weak to hold anything: all starts end at rest
    >>> result = fixed_points(net, [0.0], torch.randn(5, 4, generator=torch.Generator().manual_seed(0)))
    >>> result.kinds(), result.found.tolist(), bool(result.states.abs().max() < 1e-9)
    (['stable'], [5], True)
    """
    if starts.ndim != 2 or not starts.numel():
        raise ValueError(f"starts must have shape (starts, cells), got {tuple(starts.shape)}")
    one = state_map(net) if isinstance(net, SIZED) else state_map(net, starts[0])
    device = one.start.device
    given = torch.as_tensor(inputs, dtype=torch.float64, device="cpu").to(device)
    if given.ndim != 1 or one.n_in not in (None, len(given)):
        raise ValueError(f"inputs must have shape ({'I' if one.n_in is None else one.n_in},), got {tuple(given.shape)}")
    if starts.shape[1] != one.cells:
        raise ValueError(f"starts must have shape (starts, {one.cells}), got {tuple(starts.shape)}")
    return rest(
        lambda states: one.step(states, given),
        lambda states: one.jacobian(states, given),
        starts.to(device),
        tolerance=tolerance,
        iterations=iterations,
        apart=apart,
    )


def _descend(
    step: Function, jacobian: Function, states: Tensor, tolerance: float, iterations: int
) -> tuple[Tensor, Tensor]:
    """Return where each start ends, and whether that is a minimum of the speed.

    Every start has a damping of its own, which follows how well the linear model has predicted its last step (Nielsen
    1999). A start is done when its residual is far below the tolerance, or the gradient of the speed is zero to the
    precision with which it can be known; the others go on without it.
    """
    states = states.clone()
    identity = torch.eye(states.shape[1], dtype=states.dtype, device=states.device)
    active = torch.arange(len(states), device=states.device)
    converged = torch.zeros(len(states), dtype=torch.bool, device=states.device)
    damping, growth = (
        states.new_full((len(states),), 1e-3),
        states.new_full((len(states),), 2.0),
    )
    for _ in range(iterations):
        here = states[active]
        apart = step(here) - here
        slope = jacobian(here) - identity
        gradient = (slope.mT @ apart[..., None])[..., 0]
        size = apart.norm(dim=1)
        scale = 1 + here.norm(dim=1)
        converged[active] = (gradient.norm(dim=1) <= STILL * size) | (size <= 1e-4 * tolerance * scale)
        going = ~converged[active]
        if not going.any():
            break
        active, here, apart, slope, gradient = (each[going] for each in (active, here, apart, slope, gradient))
        shift = damping[active, None]
        move = -torch.linalg.solve(slope.mT @ slope + shift[..., None] * identity, gradient[..., None])[..., 0]
        there = here + move
        speed, faster = apart.square().sum(1), (step(there) - there).square().sum(1)
        promised = (move * (shift * move - gradient)).sum(1)
        gain = (speed - faster) / promised.clamp(min=torch.finfo(here.dtype).tiny)
        better = torch.isfinite(faster) & (gain > 0)
        states[active] = torch.where(better[:, None], there, here)
        eased = damping[active] * (1 - (2 * gain.clamp(max=2) - 1) ** 3).clamp(min=1 / 3)
        damping[active] = torch.where(better, eased, damping[active] * growth[active]).clamp(1e-18, 1e18)
        growth[active] = torch.where(better, 2.0, 2 * growth[active]).clamp(max=1e6)
    residuals = (step(states) - states).norm(dim=1)
    return states, converged | (residuals <= tolerance * (1 + states.norm(dim=1)))


def _different(points: Tensor, apart: float) -> tuple[Tensor, Tensor]:
    """Return the indices of points that are not close to an earlier one, and how many are close to each."""
    kept: list[int] = []
    counts: list[int] = []
    for index, point in enumerate(points):
        gaps = (points[kept] - point).norm(dim=1)
        near = (gaps <= apart * (1 + point.norm())).nonzero().flatten()
        if len(near):
            counts[int(near[gaps[near].argmin()])] += 1
        else:
            kept.append(index)
            counts.append(1)
    return torch.tensor(kept, dtype=torch.long, device=points.device), torch.tensor(
        counts, dtype=torch.long, device="cpu"
    )
