"""Score (or error) broadcast and decorrelation: feedback by correlation with activity.

Shapes: T time, B batch, N cells, O outputs, K channels of the broadcast, C consecutive steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Real
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from tca.eligibilities.eligibility import Eligibility
from tca.signals.decorrelation.averages import Average, CorrelationStart, Decay, NormalStart, warn_if_fast
from tca.signals.decorrelation.observables import Identity, Observable
from tca.signals.decorrelation.score_sources import Score, Source
from tca.signals.decorrelation.time_lags import Reach, SameStep
from tca.signals.signal import Buffers, CustomSignal, WindowFunction
from tca.tape.population import Population
from tca.tape.tape import Tape
from tca.utils.checks import Made, NotNegative, checked

__all__ = ["Decorrelation"]


@checked
@dataclass(frozen=True)
class Decorrelation(CustomSignal):
    """``G_t = g'(z_t) R s_t`` with ``R <- lam R + (1 - lam) mean g(z_t) s_t^T``, averaged before it is used.

    At the best predictor the score ``s`` is uncorrelated with every function of the input. ``1/2 |R|^2`` measures the
    remaining correlation with activity: the signal is its derivative by the activity, up to the factor ``1 - lam``,
    with the previous ``R``, the score and the input held fixed. This is a three-factor rule whose feedback weights are
    learned from the correlation of both sides, without backpropagation. With a fixed ``R`` (``Decay(1.0)``) it is
    direct feedback alignment.

    ``R`` (N, K), one row a cell, also where cells form maps, is the buffer ``correlation``. At every weighted step it
    averages in the mean over trials, weighted as in the loss. The score is backpropagated through a readout filter. The
    readout gets its exact gradient, unless ``forward_broadcast`` is given.

    Fast averages make activity vanish instead of learning; see ``tca.signals.decorrelation.averages.warn_if_fast``.
    In single precision averages with ``1 - lam`` below 1e-6 are lost in rounding.

    Args:
        average: Averaging of R, default ``Decay(0.9999)``; a number stands for ``Decay(number)``.
        start: Initial values of R, default ``Normal(1e-2)``; 1e-3 is better for the squared error.
        observable: The function g, default ``Identity()``.
        source: The broadcast channels, default ``Score()``.
        reach: Steps whose activity a score is paired with, default ``SameStep()``.
        centred: Whether the mean of ``g(z)`` over running trials is subtracted in R, default ``False``. Output biases
            make the mean of the score vanish, and with it the difference.
        keep_norm: Whether R is rescaled to its previous norm after every update, default ``False``.
        forward_broadcast: Weight of the derivative of ``1/2 |R|^2`` by the readout, default 0; at 0.1 it was harmful.

    Raises:
        ValueError: ``forward_broadcast`` is negative, or given with a source or reach that has no such derivative.

    Papers: Erdogan et al. (2025), Error broadcast and decorrelation as a potential artificial and natural learning
    mechanism, arXiv:2504.11558 (squared error); score broadcast and decorrelation, arXiv:2605.30638 (other losses). The
    forms for recurrent networks were derived for this library.

    >>> Decorrelation(Decay(1.0)).equation
    "G_t = g'(z_t) R x_t, R <- 1 R + 0 mean g(z_t) x_t^T, x_t = s_t, s = s"
    """

    average: Annotated[Average, Made(Decay, Real)] = field(default_factory=Decay)
    start: CorrelationStart = field(default_factory=NormalStart)
    observable: Observable = field(default_factory=Identity)
    source: Source = field(default_factory=Score)
    reach: Reach = field(default_factory=SameStep)
    centred: bool = False
    keep_norm: bool = False
    forward_broadcast: NotNegative = 0.0

    local: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.forward_broadcast and not (self.source.plain and self.reach == SameStep()):
            raise ValueError(
                "forward_broadcast needs the score as it is and of the same step, "
                f"got source={self.source!r}, reach={self.reach!r}"
            )

    @property
    def horizon(self) -> None:
        """The rest of the trial, since R averages the whole batch."""

    @property
    def couples_trials(self) -> bool:
        return self.average.lam != 1

    @property
    def equation(self) -> str:
        lam = self.average.lam
        return (
            f"G_t = g'(z_t) R x_t, R <- {lam:.10g} R + {1 - lam:.3g} mean g(z_t) x_t^T, "
            f"{self.reach.equation}, {self.source.equation}"
        )

    def check_training(self, updates: int, readout_rate: float | None) -> None:
        """Warn of averages so fast that activity may vanish."""
        warn_if_fast(self.average.lam, updates, readout_rate)

    def buffers(self, population: Population, generator: torch.Generator) -> Buffers:
        """Draw the correlation and the buffers of the source."""
        channels = self.reach.channels(self.source.channels(population.n_out))
        drawn = self.start.draw(population.cells, channels, generator).to(population.like)
        return {"correlation": drawn, **self.source.buffers(population, generator)}

    def update_statistics_(self, tape: Tape, buffers: Buffers) -> None:
        """Average the correlation of a batch into R.

        Raises:
            ValueError: The mean of the score is not zero at the best predictor.
        """
        tape.trials_shown.loss.require_admissible()
        lam, correlation = self.average.lam, buffers["correlation"]
        if lam == 1:
            return
        norm = correlation.norm() if self.keep_norm else None
        kept, taken = _shares(tape, lam)
        correlation.mul_(kept)
        for steps, paired in self._paired(tape, self.source.weighted(tape, buffers) * taken):
            seen = self.observable(tape.rate[steps])
            if self.centred:
                seen = seen - _mean_of_trials(seen, None if tape.over is None else tape.over[steps])
            correlation.add_((paired.flatten(0, 1).t() @ seen.flatten(0, 1)).t())  # along its long side
        if norm is not None:
            correlation.mul_(norm / correlation.norm())

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function to ``slope_t * g'(z_t) * R x_t``."""
        broadcast = self.reach.over(self._broadcast(tape, buffers))
        feedback = buffers["correlation"].t()

        def read(steps: slice) -> Tensor:
            signal = broadcast(steps) @ feedback
            self.observable.times_slope_(signal, tape.rate[steps])
            return tape.lift(signal, steps)

        return read

    def output_signal(self, tape: Tape, buffers: Buffers) -> tuple[Tensor, Tensor]:
        """Return the score plus the forward broadcast.

        The latter is ``weight * Hess l (R^T g(z_t))``, summed over populations: the derivative of ``1/2 |R|^2`` by the
        outputs, up to the factor ``1 - lam``.

        Raises:
            ValueError: The readout is filtered.
        """
        if not self.forward_broadcast:
            return tape.filtered_error, tape.output_error
        if tape.readout.leak:
            raise ValueError("forward_broadcast needs a readout without a filter")
        towards = torch.zeros_like(tape.outputs)
        for level in tape.levels:
            name = f"{level.population.name}.correlation" if level.population.name else "correlation"
            towards.add_(self.observable(level.rate[1:]) @ buffers[name])
        batch = tape.trials_shown
        further = _hessian_product(tape, towards) * (self.forward_broadcast * batch.weights / batch.trials).unsqueeze(
            -1
        )
        broadcast = torch.cat([tape.filtered_error[:1], tape.filtered_error[1:] + further])
        return broadcast, broadcast

    def _broadcast(self, tape: Tape, buffers: Buffers) -> Tensor:
        """Return the broadcast, filtered back by the readout, ``(T + 1, B, K)``."""
        if self.source.plain:
            return tape.filtered_error
        return tape.through_readout(self.source.weighted(tape, buffers))

    def _paired(self, tape: Tape, weighted: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield windows of steps and the scores paired with their activity."""
        read = self.reach.over(tape.through_readout(weighted))
        for steps in tape.windows():
            if steps.start > 0:
                yield steps, read(steps)


def _shares(tape: Tape, lam: float) -> tuple[Tensor, Tensor]:
    """Return the decay of R and the channels' factors.

    The factors have shape ``(T + 1, 1, 1)``. R is averaged at every weighted step, in the order of time: the channels
    of a step decay by ``lam`` with every such later step. Their weights are normalised to mean one over trials.
    """
    weight = tape.trials_shown.weights.mean(1)
    counts = weight > 0
    later = (counts.sum() - counts.cumsum(0)).to(weight.dtype)
    taken = torch.where(counts, (1 - lam) * lam**later / weight, torch.zeros_like(weight))
    return lam ** counts.sum().to(weight.dtype), torch.cat([taken.new_zeros(1), taken]).view(-1, 1, 1)


def _mean_of_trials(seen: Tensor, over: Tensor | None) -> Tensor:
    """Return the mean over running trials, shape ``(C, 1, N)``."""
    if over is None:
        return seen.mean(1, keepdim=True)
    runs = ~over.unsqueeze(-1)
    return torch.where(runs, seen, 0.0).sum(1, keepdim=True) / runs.sum(1, keepdim=True).clamp(min=1)


def _hessian_product(tape: Tape, towards: Tensor) -> Tensor:
    """Return the Hessian-vector product ``Hess l towards``, ``(T, B, O)``."""
    batch = tape.trials_shown
    with torch.enable_grad():
        outputs = tape.outputs.detach().requires_grad_()
        value = batch.loss.value(outputs, batch.targets).sum()
        (score,) = torch.autograd.grad(value, outputs, create_graph=True)
        (moved,) = torch.autograd.grad((score * towards).sum(), outputs)
    return moved
