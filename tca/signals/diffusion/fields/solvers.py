"""Solvers of a field in time: in modes or at sites, the cheaper.

Shapes: T time, B batch, S sites, M coordinates of a run.

A run holds the field in its own coordinates. Releases are transformed once, as the weights by which errors are
released, and only values that are read are transformed back.
"""

from __future__ import annotations

import abc
from collections.abc import Callable

import torch
from torch import Tensor

from tca.signals.diffusion.fields.laplacian_modes import AxisModes, FourierModes, Modes
from tca.signals.diffusion.fields.physical_propagators import Explicit
from tca.signals.diffusion.fields.propagators import Box, Stepping
from tca.signals.diffusion.fields.spaces import Grid, Space

__all__ = ["AtSites", "FieldRun", "InModes", "Shuffled", "cheapest", "modes_of"]

# Nanoseconds per site, step and trial on one core of a CPU, in float32. A stencil is called at every step; modes are
# left for many steps at once, so that their calls cost no time.
AXIS_NS = 0.033  # and per site of the length of an axis
FOURIER_NS = 3.0
STENCIL_NS = 0.35  # and per axis
STENCIL_CALL_NS = 500.0  # a step and axis


class FieldRun(abc.ABC):
    """A field in time, ``C_t = Prop[C_{t-1}] + s_t``."""

    @abc.abstractmethod
    def enter(self, at_sites: Tensor) -> Tensor:
        """Transform values at the sites ``(..., S)`` to coordinates ``(..., M)``."""

    @abc.abstractmethod
    def leave(self, inside: Tensor) -> Tensor:
        """Transform coordinates ``(..., M)`` to values at the sites ``(..., S)``."""

    @abc.abstractmethod
    def advance_(self, now: Tensor, before: Tensor) -> None:
        """Add ``Prop before`` to ``now`` in place.

        The release of a step becomes the field of that step.

        Args:
            now: The release of the step, shape ``(B, ..., M)``.
            before: The field of the step before, same shape; not changed.
        """


class InModes(FieldRun):
    """A field in modes: a step is one product per mode.

    Args:
        modes: Modes of the space.
        propagator: The propagator.
    """

    def __init__(self, modes: Modes, propagator: Stepping) -> None:
        self.modes = modes
        self.factors = modes.numbers(propagator.multiplier(modes.eigenvalues))

    def enter(self, at_sites: Tensor) -> Tensor:
        return self.modes.to(at_sites)

    def leave(self, inside: Tensor) -> Tensor:
        return self.modes.back(inside)

    def advance_(self, now: Tensor, before: Tensor) -> None:
        """Add every mode times its multiplier."""
        now.addcmul_(before, self.factors)


class AtSites(FieldRun):
    """A field at sites: ``Prop C = scale step(C)``.

    Args:
        step: A function of the field; its result is not changed.
        scale: Factor of its result, default 1.
    """

    def __init__(self, step: Callable[[Tensor], Tensor], scale: float = 1.0) -> None:
        self.step, self.scale = step, scale

    def enter(self, at_sites: Tensor) -> Tensor:
        return at_sites

    def leave(self, inside: Tensor) -> Tensor:
        return inside

    def advance_(self, now: Tensor, before: Tensor) -> None:
        """Add one step of the field."""
        now.add_(self.step(before), alpha=self.scale)


class Shuffled(FieldRun):
    """A control in which every step of every trial permutes the sites.

    ``C_t = P^-1 Prop P C_{t-1} + s_t`` with a fresh permutation P for every step and trial.

    Args:
        run: The field without permutations, at its sites.
        seed: Seed of the permutations.
    """

    def __init__(self, run: FieldRun, seed: int) -> None:
        self.ordered = run
        self.generator = torch.Generator().manual_seed(seed)

    def enter(self, at_sites: Tensor) -> Tensor:
        return at_sites

    def leave(self, inside: Tensor) -> Tensor:
        return inside

    def advance_(self, now: Tensor, before: Tensor) -> None:
        """Add one step in a random order shared by a trial's channels."""
        trials, sites = now.shape[0], now.shape[-1]
        drawn = torch.rand(trials, sites, generator=self.generator, dtype=torch.float64, device="cpu")
        order = drawn.argsort(-1).to(now.device).view(trials, *[1] * (now.ndim - 2), sites).expand_as(now)
        spread = torch.zeros_like(now)
        self.ordered.advance_(spread, before.gather(-1, order))
        now.scatter_add_(-1, order, spread)


def cheapest(space: Space, propagator: Stepping, like: Tensor, at_sites: bool = False) -> FieldRun:
    """Return the run with the least expected cost.

    A stencil costs the same per site in any large grid, the modes of the axes in proportion to their lengths, Fourier
    modes hardly more in a larger grid. At the sites a dense matrix is the last resort. A GPU, where calls cost more
    than arithmetic, runs in modes.

    Args:
        like: A tensor with the wanted type and device.
        at_sites: Whether the run must be at the sites, default ``False``.
    """
    stencil = _stencil(space, propagator)
    if at_sites:
        return stencil or _dense(space, propagator, like)
    of_stencil = len(space.axes) * (STENCIL_NS + STENCIL_CALL_NS / space.sites)
    in_modes = min(_axis_cost(space), _fourier_cost(space))
    if stencil is not None and like.device.type == "cpu" and of_stencil < in_modes:
        return stencil
    return InModes(modes_of(space, like), propagator)


def modes_of(space: Space, like: Tensor) -> Modes:
    """Return the modes of a space with the cheapest expected transforms.

    Args:
        like: A tensor with the wanted type and device.
    """
    if isinstance(space, Grid) and _fourier_cost(space) < _axis_cost(space):
        return FourierModes(space, like)
    return AxisModes(space, like)


def _axis_cost(space: Space) -> float:
    return AXIS_NS * sum(space.axes)


def _fourier_cost(space: Space) -> float:
    return FOURIER_NS if isinstance(space, Grid) and space.boundary == "periodic" else float("inf")


def _dense(space: Space, propagator: Stepping, like: Tensor) -> FieldRun:
    matrix = propagator.matrix(space).to(like)
    return AtSites(lambda field: field @ matrix)  # symmetric


def _stencil(space: Space, propagator: Stepping) -> FieldRun | None:
    """Return the field by a stencil, ``None`` where there is none."""
    if not isinstance(space, Grid):
        return None
    if isinstance(propagator, Box):
        return AtSites(lambda field: _sum_of_box(field, space), propagator.k / 3 ** len(space.axes))
    if isinstance(propagator, Explicit):
        return AtSites(lambda field: _euler(field, space, propagator))
    return None


def _sum_of_box(field: Tensor, space: Grid) -> Tensor:
    lines = field.reshape(*field.shape[:-1], *space.axes)
    for axis in range(-len(space.axes), 0):
        lines = _neighbours(lines, axis, space).add_(lines)
    return lines.flatten(-len(space.axes))


def _euler(field: Tensor, space: Grid, propagator: Explicit) -> Tensor:
    lines = field.reshape(*field.shape[:-1], *space.axes)
    exchanged = propagator.dt * propagator.diffusion
    result = lines * (1 - propagator.dt * propagator.decay - 2 * len(space.axes) * exchanged)
    for axis in range(-len(space.axes), 0):
        result.add_(_neighbours(lines, axis, space), alpha=exchanged)
    return result.flatten(-len(space.axes))


def _neighbours(lines: Tensor, axis: int, space: Grid) -> Tensor:
    """Return the sum of every site's two neighbours along an axis."""
    count = lines.shape[axis]
    result = torch.empty_like(lines)
    if count > 2:
        before, after = lines.narrow(axis, 0, count - 2), lines.narrow(axis, 2, count - 2)
        torch.add(before, after, out=result.narrow(axis, 1, count - 2))
    first, last = space.beyond(count)
    rims = {0: (first, 1), count - 1: (count - 2, last)} if count > 1 else {0: (first, last)}
    for site, beside in rims.items():
        seen = [lines.select(axis, each) for each in beside if each is not None]
        rim = result.select(axis, site)
        if len(seen) == 2:
            torch.add(seen[0], seen[1], out=rim)
        else:
            rim.copy_(seen[0] if seen else rim.new_zeros(()))
    return result
