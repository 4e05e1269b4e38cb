"""Errors released by the few cells that receive them, diffusing to all others: neuromodulator diffusion.

Shapes: T time, B batch, N cells, O outputs, S sites, C consecutive steps.

    s_t = P^T F err_t,    C_t = Prop[C_{t-1}] + g s_t,    G_t = P C_t

``F`` the feedback weights, few of which exist, and ``P`` the placing of the N cells on S sites. Nothing of the field is
learned. The rule is linear: ``G_t = sum_q A_q err_{t-q}``, ``A_q = g P Prop^q P^T F``, so it is a feedback matrix
blurred in space and time; a field that settles within a step is a blurred feedback matrix and nothing else, whose rank
is at most O.

Paper: Barretto-Bittar, Levina, Giannakakis and Zeraati (2026), Diffusion of Neuromodulators for Temporal Credit
Assignment, arXiv:2603.08949.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.signals.diffusion.fields import Box, Field, Grid, Propagator, Space
from tca.signals.diffusion.fields.solvers import AtSites, Run, Shuffled
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
    """What both signals share: a field, and cells placed in it.

    Args:
        propagator: How the field spreads and decays.
        space: Where the cells lie; ``None`` (default) is the smallest periodic square that has a site for each.
        gain: ``"unit"`` (default) or ``"raw"``: see ``tca.signals.diffusion.fields.Field``.
        weights: Where the feedback weights come from, default a tenth of the readout's own at the start.
        release: One field for all errors (default) or one for each.
        scattered: Whether cells lie on different sites at random (default), or cell j on site j.
        shuffle: ``"none"`` (default), or a control that destroys what neighbourhood means: the field spreads in an
            order of the sites drawn ``"once"``.
    """

    propagator: Propagator = field(default_factory=Box)
    space: Space | None = None
    gain: str = "unit"
    weights: FeedbackWeights = field(default_factory=Frozen)
    release: Release = field(default_factory=Shared)
    scattered: bool = True
    shuffle: str = "none"

    def __post_init__(self) -> None:
        """Check that the parts fit; without a space, in one that stands for any square."""
        if self.shuffle not in SHUFFLES:
            raise unknown(self.shuffle, SHUFFLES, "shuffle")
        Field(self.space or Grid((3, 3)), self.propagator, self.gain)

    def medium(self, n_cells: int) -> Field:
        """Return the field in which so many cells lie.

        Args:
            n_cells: Number of cells N.

        Raises:
            ValueError: The space has fewer sites than there are cells.
        """
        side = math.isqrt(n_cells - 1) + 1
        space = self.space or Grid((side, side))
        if space.sites < n_cells:
            raise ValueError(f"space has {space.sites} sites, too few for {n_cells} cells")
        return Field(space, self.propagator, self.gain)

    def drawn(self, readout: Tensor, generator: torch.Generator) -> tuple[Tensor, Buffers]:
        """Return what the feedback weights keep, and the buffers ``positions``, ``permutation``, ``sites`` as needed.

        Args:
            readout: Readout weights, shape ``(O, N)``.
            generator: Source of random numbers.
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

        To spread in another order of the sites is to lie on other sites.

        Args:
            buffers: The signal's state.
        """
        positions = buffers["positions"]
        return buffers["permutation"][positions] if "permutation" in buffers else positions


@checked
@dataclass(frozen=True)
class StationaryDiffusion(_Diffusing, InstantSignal):
    """``G_t = F_eff err_t``, ``F_eff = P G P^T F``: a field that settles within a step of time.

    ``G`` is the stationary kernel of the propagator, ``g (1 - Prop)^-1``, or ``g (kappa - D Lap)^-1``. This is the rule
    for steps of 10 ms and more, where the published decay (a quarter per ms) leaves nothing of one step to the next; it
    costs nothing beyond the rule without a field. ``F`` is kept in the buffer ``released``, ``F_eff`` in ``feedback``.

    Args:
        propagator: How the field spreads and decays, default the published box rule with k = 3/4 per ms.
        space: Where the cells lie; ``None`` (default) is the smallest periodic square that has a site for each.
        gain: ``"unit"`` (default), a constant release settles at its own mass, or ``"raw"``, as published.
        weights: Where the feedback weights come from, default a tenth of the readout's own at the start. Weights that
            follow the readout do so when ``Learner.follow_weights_`` is called, as ``Learner.backward`` does.
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
        """Check that the parts fit."""
        super().__post_init__()
        if self.shuffle == "every step":
            raise ValueError("shuffle 'every step' needs a field with steps of time: use Diffusion")
        if math.isinf(self.propagator.mass):
            raise ValueError("a field that does not decay never settles: let it decay")

    @property
    def equation(self) -> str:
        """The equation of the signal."""
        return f"G_t = P C_t, settled {self.propagator.equation}, s_t = P^T F score_t, {self.weights.equation}"

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw the feedback weights and the places of the cells, and fold the settled field into the weights."""
        readout = self.weights.beside(population)
        kept, found = self.drawn(readout, generator)
        found["released"] = kept
        return found | {"feedback": self._folded(readout, found)}

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:
        """Fold anew if the weights follow the readout."""
        if self.weights.follows:
            buffers["feedback"].copy_(self._folded(population.readout, buffers))

    def rate_signal(self, score: Tensor, population: Population, buffers: Buffers) -> Tensor:
        """Return ``score F_eff^T``."""
        return score @ buffers["feedback"].t()

    def _folded(self, readout: Tensor, buffers: Buffers) -> Tensor:
        medium, positions = self.medium(readout.shape[1]), self.positions(buffers)

        def spread(release: Tensor) -> Tensor:
            return medium.settle(_put(release, positions, medium.space.sites))[..., positions]

        return self.release.folded(self.weights.now(readout, buffers["released"]), buffers.get("sites"), spread)


@checked
@dataclass(frozen=True)
class Diffusion(_Diffusing, CausalSignal):
    """``C_t = Prop[C_{t-1}] + g P^T F err_t``, ``G_t = P C_t``: a field with memory, empty when a trial begins.

    A step of time spreads, releases, and reads, in this order. Steps of the field are steps of the network: k, or dt of
    the propagator, belongs to the network's step. Released is the error of the outputs as it is; where the readout is
    filtered, what a cell hears goes back through the filter. ``F`` is kept in the buffer ``feedback``.

    Args:
        propagator: How the field spreads and decays, default the published box rule with k = 3/4 per step of 1 ms.
        space: Where the cells lie; ``None`` (default) is the smallest periodic square that has a site for each.
        gain: ``"unit"`` (default), a constant release settles at its own mass, or ``"raw"``, as published.
        weights: Where the feedback weights come from, default a tenth of the readout's own at the start.
        release: One field for all errors (default) or one for each.
        scattered: Whether cells lie on different sites at random (default), or cell j on site j.
        shuffle: ``"none"`` (default), or a control: the field spreads in an order of the sites drawn ``"once"``, or
            drawn for ``"every step"`` and trial, which destroys what is consistent in time as well.

    Raises:
        ValueError: The parts do not fit, or the propagator has no steps.

    Paper: Barretto-Bittar et al. (2026), arXiv:2603.08949.

    >>> Diffusion(Box(k=0.9)).equation
    'G_t = P C_t, C_t = 0.9 Box[C_t-1] + s_t, s_t = P^T F score_t, F 10% of W_o^T at the start'
    """

    def __post_init__(self) -> None:
        """Check that the parts fit."""
        super().__post_init__()
        Field(self.space or Grid((3, 3)), self.propagator, self.gain).stepping()

    @property
    def equation(self) -> str:
        """The equation of the signal."""
        return f"G_t = P C_t, {self.propagator.equation}, s_t = P^T F score_t, {self.weights.equation}"

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw the feedback weights, the places of the cells, and where permutations start."""
        kept, found = self.drawn(self.weights.beside(population), generator)
        if self.shuffle == "every step":
            found["shuffle_seed"] = torch.randint(2**62, (1,), generator=generator, device="cpu")
        return {"feedback": kept, **found}

    def follow_weights_(self, population: Population, buffers: Buffers) -> None:
        """Go on to fresh permutations where every step has its own."""
        if "shuffle_seed" in buffers:
            buffers["shuffle_seed"].add_(1)

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from a window of steps to ``slope_t * G_t``; the field has run through the trial before."""
        course = _Course(self, self.weights.beside(tape.population), buffers)
        heard = course.heard(tape) if course.remembers else None

        def read(steps: slice) -> Tensor:
            told = course.hear(course.emit(tape.score[steps])) if heard is None else heard[steps].clone()
            return tape.lift(told, steps)

        return read

    def online_signal(self, population: Population, buffers: Buffers) -> OnlineFunction:
        """Return the concentration at the cells, which remembers the field."""
        course = _Course(self, self.weights.beside(population), buffers)
        before: Tensor | None = None

        def tell(score: Tensor) -> Tensor:
            nonlocal before
            now = course.emit(score)
            course.run.advance_(now, torch.zeros_like(now) if before is None else before)
            before = now
            return course.hear(now)

        return tell


class _Course:
    """A field in time with cells in it.

    A field that does not spread needs no places: every cell is a site of its own. One that keeps nothing needs no
    memory: every step is made when it is asked for.
    """

    def __init__(self, signal: Diffusion, readout: Tensor, buffers: Buffers) -> None:
        """Choose how the field is run.

        Args:
            signal: What kind of field.
            readout: Readout weights, shape ``(O, N)``; read anew at every emission.
            buffers: The signal's state.
        """
        self.signal, self.readout, self.buffers = signal, readout, buffers
        n_cells = readout.shape[1]
        self.medium = signal.medium(n_cells)
        self.spreads, self.remembers = self.medium.propagator.spreads, self.medium.stepping().kept > 0
        self.positions, self.sites = signal.positions(buffers), self.medium.space.sites
        self.run = self._run()

    def _run(self) -> Run:
        if not self.spreads:
            return AtSites(lambda concentration: concentration, self.medium.stepping().kept)
        if "shuffle_seed" in self.buffers:
            return Shuffled(self.medium.run(self.readout, at_sites=True), int(self.buffers["shuffle_seed"]))
        return self.medium.run(self.readout)

    def emit(self, score: Tensor) -> Tensor:
        """Return what the steps release, in the coordinates of the run."""
        weights = self.signal.weights.now(self.readout, self.buffers["feedback"])
        return self.signal.release.emit(score, weights, self.buffers.get("sites"), self._enter)

    def heard(self, tape: Tape) -> Tensor:
        """Return what the cells are told at all steps, shape ``(T + 1, B, N)``, back through the readout's filter.

        The trial is taken in windows that stay in the cache. The filter acts on what is heard and not on what is
        released: at the ends of a trial the two do not commute.

        Args:
            tape: The forward pass, scored.
        """
        window = next(tape.windows())
        length = window.stop - window.start
        told = torch.empty_like(tape.rate)
        before: Tensor | None = None
        for start in range(0, tape.steps + 1, length):
            steps = slice(start, start + length)
            inside = self.emit(tape.raw_score[steps])
            entries = inside.unbind(0)
            for earlier, now in pairwise(entries if before is None else (before, *entries)):
                self.run.advance_(now, earlier)
            told[steps] = self.hear(inside)
            before = entries[-1]
        if tape.readout_leak:
            if tape.over is not None:  # what a field still holds after the end of a trial must not come back
                told.masked_fill_(tape.over.unsqueeze(-1), 0.0)
            _filter_back_(told.unbind(0), tape.readout_leak)
        return told

    def hear(self, inside: Tensor) -> Tensor:
        """Return what the cells are told, a new tensor."""
        at_cells = self._at_cells(self.run.leave(inside)) if self.spreads else inside.clone()
        return self.signal.release.hear(at_cells, self.signal.weights.now(self.readout, self.buffers["feedback"]))

    def _at_cells(self, at_sites: Tensor) -> Tensor:
        """Return the concentrations at the cells; to select from rows is six times as fast as from more axes."""
        rows = at_sites.reshape(-1, at_sites.shape[-1])
        return rows.index_select(1, self.positions).view(*at_sites.shape[:-1], -1)

    def _enter(self, release: Tensor) -> Tensor:
        taken_up = release * self.medium.uptake
        return self.run.enter(_put(taken_up, self.positions, self.sites)) if self.spreads else taken_up


def _put(release: Tensor, positions: Tensor, n_sites: int) -> Tensor:
    """Return what the cells release, shape ``(..., N)``, at the sites, shape ``(..., S)``."""
    at_sites = release.new_zeros(*release.shape[:-1], n_sites)
    return at_sites.index_add_(-1, positions, release)


def _filter_back_(entries: tuple[Tensor, ...], leak: float) -> None:
    """Turn ``G_t`` into ``(1 - k) G_t + k G_{t+1}`` filtered, in place: back through the filter of the readout."""
    for entry in entries:
        entry.mul_(1 - leak)
    for now, later in zip(entries[-2:0:-1], entries[:1:-1], strict=True):
        now.add_(later, alpha=leak)
