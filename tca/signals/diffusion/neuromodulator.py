"""Neuromodulator diffusion: sparse feedback and spatial diffusion of the learning signal.

Shapes: T time, B batch, N cells, O outputs, S sites, C consecutive steps.

    s_t = P^T F err_t,    C_t = Prop[C_{t-1}] + g s_t,    G_t = P C_t

``F`` are sparse feedback weights, ``P`` the placing of the N cells on S sites. The field is not learned. The rule is
linear: ``G_t = sum_q A_q err_{t-q}``, ``A_q = g P Prop^q P^T F``: feedback weights blurred in space and time. A field
that settles within a step is a blurred feedback matrix of rank at most O.

Paper: Barretto-Bittar, Levina, Giannakakis and Zeraati (2026), Diffusion of Neuromodulators for Temporal Credit
Assignment, arXiv:2603.08949.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.signals.diffusion.field_pass import FieldPass, put
from tca.signals.diffusion.fields import Box, Field, Grid, Propagator, Space
from tca.signals.diffusion.release import Release, Shared
from tca.signals.feedback_weights import FeedbackWeights, Frozen
from tca.signals.signal import Buffers, CausalSignal, InstantSignal, OnlineFunction, Signal, WindowFunction
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import checked
from tca.utils.names import unknown

__all__ = ["Diffusion", "StationaryDiffusion"]

SHUFFLES = ("none", "once", "every step")


@dataclass(frozen=True)
class _Diffusing(Signal):
    """A signal through a field in which the cells are placed."""

    propagator: Propagator = field(default_factory=Box)
    space: Space | None = None
    gain: str = "unit"
    weights: FeedbackWeights = field(default_factory=Frozen)
    release: Release = field(default_factory=Shared)
    scattered: bool = True
    shuffle: str = "none"

    def __post_init__(self) -> None:
        if self.shuffle not in SHUFFLES:
            raise unknown(self.shuffle, SHUFFLES, "shuffle")
        Field(self.space or Grid((3, 3)), self.propagator, self.gain)

    def medium(self, n_cells: int) -> Field:
        """Return the field of a number of cells.

        Raises:
            ValueError: The space has fewer sites than there are cells.
        """
        side = math.isqrt(n_cells - 1) + 1
        space = self.space or Grid((side, side))
        if space.sites < n_cells:
            raise ValueError(f"space has {space.sites} sites, too few for {n_cells} cells")
        return Field(space, self.propagator, self.gain)

    def drawn(self, readout: Tensor, generator: torch.Generator) -> tuple[Tensor, Buffers]:
        """Return the feedback weights' buffer, and ``positions``, ``permutation``, ``sites`` as needed.

        Args:
            readout: Readout weights, shape ``(O, N)``.
        """
        n_cells = readout.shape[1]
        n_sites = self.medium(n_cells).space.sites
        kept = self.weights.draw(readout, generator)
        order = torch.arange(n_sites, device="cpu")
        if self.scattered:
            order = torch.randperm(n_sites, generator=generator, device="cpu")
        found = {"positions": order[:n_cells]}
        if self.shuffle == "once":
            found["permutation"] = torch.randperm(n_sites, generator=generator, device="cpu")
        releasing = self.release.sites(n_cells, generator)
        if releasing is not None:
            found["sites"] = releasing.to(readout.dtype)
        return kept, {name: value.to(readout.device) for name, value in found.items()}

    def positions(self, buffers: Buffers) -> Tensor:
        """Return the site of every cell, shape ``(N,)``.

        Spreading in a permuted order of sites equals permuting the cells' sites.
        """
        positions = buffers["positions"]
        return buffers["permutation"][positions] if "permutation" in buffers else positions


@checked
@dataclass(frozen=True)
class StationaryDiffusion(_Diffusing, InstantSignal):
    """``G_t = F_eff err_t``, ``F_eff = P G P^T F``: a field that settles within a time step.

    ``G`` is the stationary kernel of the propagator, ``g (1 - Prop)^-1``, or ``g (kappa - D Lap)^-1``. This is the rule
    for steps of 10 ms and more, where the published decay (a quarter per ms) erases the field between steps; it costs
    as much as the rule without a field. ``F`` is in the buffer ``released``, ``F_eff`` in ``feedback``.

    Args:
        propagator: Propagator of the field, default the published box rule with k = 3/4 per ms.
        space: Space of the cells; ``None`` (default) is the smallest periodic square that has a site for each.
        gain: ``"unit"`` (default), a constant release settles at its own mass, or ``"raw"``, as published.
        weights: Source of the feedback weights, default a tenth of the initial readout weights. Weights that follow the
            readout do so when ``Learner.follow_weights_`` is called, as ``Learner.backward`` does.
        release: One field for all errors (default) or one for each.
        scattered: Whether cells lie on different sites at random (default), or cell j on site j.
        shuffle: ``"none"`` (default), or a control: the field spreads in an order of the sites drawn ``"once"``.

    Raises:
        ValueError: The parts do not fit, or a field without steps is to be shuffled at every step.

    Paper: Barretto-Bittar et al. (2026), arXiv:2603.08949, in the limit of a fast field.

    >>> signal = StationaryDiffusion(Box(k=0.0), weights=Frozen(1.0))
    >>> readout = torch.tensor([[1.0, 2.0, 3.0]])
    >>> buffers = signal.buffers(Population("", (3,), 1, readout, readout), torch.Generator())
    >>> buffers["feedback"].t().tolist()
    [[1.0, 2.0, 3.0]]
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shuffle == "every step":
            raise ValueError("shuffle 'every step' needs a field with steps of time: use Diffusion")
        if math.isinf(self.propagator.mass):
            raise ValueError("a field that does not decay never settles: let it decay")

    @property
    def equation(self) -> str:
        return f"G_t = P C_t, settled {self.propagator.equation}, s_t = P^T F score_t, {self.weights.equation}"

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw feedback weights and positions and compute the effective weights."""
        readout = self.weights.beside(population)
        kept, found = self.drawn(readout, generator)
        found["released"] = kept
        return found | {"feedback": self._folded(readout, found)}

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:
        """Recompute the effective weights if they follow the readout."""
        if self.weights.follows:
            buffers["feedback"].copy_(self._folded(population.readout, buffers))

    def rate_signal(self, error: Tensor, population: Population, buffers: Buffers) -> Tensor:
        """Return ``error F_eff^T``."""
        return error @ buffers["feedback"].t()

    def _folded(self, readout: Tensor, buffers: Buffers) -> Tensor:
        medium, positions = self.medium(readout.shape[1]), self.positions(buffers)

        def spread(release: Tensor) -> Tensor:
            return medium.settle(put(release, positions, medium.space.sites))[..., positions]

        return self.release.folded(self.weights.now(readout, buffers["released"]), buffers.get("sites"), spread)


@checked
@dataclass(frozen=True)
class Diffusion(_Diffusing, CausalSignal):
    """``C_t = Prop[C_{t-1}] + g P^T F err_t``, ``G_t = P C_t``: a field with memory, zero when a trial begins.

    A step spreads, releases, and reads, in this order. Steps of the field are steps of the network: k, or dt of the
    propagator, refers to the network's step. The unfiltered output error is released; where the readout is filtered,
    the concentration at the cells is backpropagated through the filter. ``F`` is in the buffer ``feedback``.

    Args:
        propagator: Propagator of the field, default the published box rule with k = 3/4 per step of 1 ms.
        space: Space of the cells; ``None`` (default) is the smallest periodic square that has a site for each.
        gain: ``"unit"`` (default), a constant release settles at its own mass, or ``"raw"``, as published.
        weights: Source of the feedback weights, default a tenth of the initial readout weights.
        release: One field for all errors (default) or one for each.
        scattered: Whether cells lie on different sites at random (default), or cell j on site j.
        shuffle: ``"none"`` (default), or a control: the field spreads in an order of the sites drawn ``"once"``, or
            drawn for ``"every step"`` and trial, which also destroys consistency in time.

    Raises:
        ValueError: The parts do not fit, or the propagator has no steps.

    Paper: Barretto-Bittar et al. (2026), arXiv:2603.08949.

    >>> Diffusion(Box(k=0.9)).equation
    'G_t = P C_t, C_t = 0.9 Box[C_t-1] + s_t, s_t = P^T F score_t, F 10% of W_o^T at the start'
    """

    capturable: ClassVar[bool] = False  # the solver of the field is made on the host for every batch

    def __post_init__(self) -> None:
        super().__post_init__()
        Field(self.space or Grid((3, 3)), self.propagator, self.gain).stepping()

    @property
    def equation(self) -> str:
        return f"G_t = P C_t, {self.propagator.equation}, s_t = P^T F score_t, {self.weights.equation}"

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw feedback weights, positions and the seed of permutations."""
        kept, found = self.drawn(self.weights.beside(population), generator)
        if self.shuffle == "every step":
            found["shuffle_seed"] = torch.randint(2**62, (1,), generator=generator, device="cpu")
        return {"feedback": kept, **found}

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:
        """Advance the seed of permutations for every step."""
        if "shuffle_seed" in buffers:
            buffers["shuffle_seed"].add_(1)

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to ``slope_t * G_t``; the field runs beforehand."""
        forward = FieldPass(self, self.weights.beside(tape.population), buffers)
        by_step = forward.received_by_step(tape) if forward.remembers else None

        def read(steps: slice) -> Tensor:
            error = tape.filtered_error[steps]
            received = forward.receive(forward.emit(error)) if by_step is None else by_step[steps].clone()
            return tape.lift(received, steps)

        return read

    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return a function to the concentration at the cells, with memory."""
        forward = FieldPass(self, self.weights.beside(population), buffers)
        before: Tensor | None = None

        def read(error: Tensor) -> Tensor:
            nonlocal before
            now = forward.emit(error)
            forward.run.advance_(now, torch.zeros_like(now) if before is None else before)
            before = now
            return forward.receive(now)

        return read
