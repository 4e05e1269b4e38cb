"""Diagnostics of decorrelation rules: their correlations, the activity, and the true gradient.

Shapes: T time, B batch, N cells, K channels, M samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.alignment import Match
from analysis.fixed_data import Trials, as_batch
from tca.batch import Batch
from tca.execution import level_buffers
from tca.learner import Learner
from tca.rules import RULES
from tca.signals import CollapseWarning, Decorrelation, Regularised, Signal
from tca.signals.decorrelation.averages import warn_if_fast
from tca.tape.tape import Tape
from tca.utils.checks import Count, checked
from tca.utils.tables import Tabular, columns_of, row_of

__all__ = ["Broadcasting", "CollapseWarning", "PopulationDiagnostics", "broadcasting", "effective_rank"]


@dataclass(frozen=True)
class PopulationDiagnostics:
    """One population.

    Attributes:
        name: Its name.
        norm: Norm of its correlation ``|R|``.
        remaining: ``lam^m |R_0|``, the part of the initial norm that remains after m updates; NaN if unknown.
        rms: Root mean square of its rates.
        dead: Fraction of its cells whose rate is zero at every step of every trial.
        rank: Effective rank of its rates.
        match: The rule's change of the synapses onto its cells beside that of backpropagation.
    """

    name: str
    norm: float
    remaining: float
    rms: float
    dead: float
    rank: float
    match: Match


@dataclass(frozen=True)
class Broadcasting(Tabular):
    """Result of `broadcasting`.

    Attributes:
        layers: Populations from the inputs upwards.
        loss: Loss of the network on the batch.
    """

    layers: tuple[PopulationDiagnostics, ...]
    loss: float

    def _columns(self) -> dict[str, Any]:
        """Return a row for each population."""
        return columns_of(row_of(each) for each in self.layers)

    def __str__(self) -> str:
        head = ["population", "|R|", "left of |R_0|", "rms", "dead", "rank", "cosine", "norm ratio"]
        rows = [
            [
                each.name or "hidden",
                *(f"{value:.3g}" for value in (each.norm, each.remaining, each.rms, each.dead, each.rank)),
                f"{each.match.cosine:.4f}",
                f"{each.match.norm_ratio:.3g}",
            ]
            for each in self.layers
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
        return "\n".join(lines)


def effective_rank(values: Tensor) -> float:
    """Return the exponential of the entropy of the singular values, from 1 to the number of rows or columns.

    Args:
        values: A matrix, shape ``(M, N)``.

    Raises:
        ValueError: It is no matrix.

    Paper: Roy and Vetterli (2007), The effective rank, EUSIPCO. Zero for a matrix of zeros.

    >>> round(effective_rank(torch.eye(4)), 6), effective_rank(torch.ones(3, 5)) < 1.001
    (4.0, True)
    """
    if values.ndim != 2:
        raise ValueError(f"values must be a matrix, got shape {tuple(values.shape)}")
    sizes = torch.linalg.svdvals(values.detach().double())
    total = sizes.sum()
    if not total > 0:
        return 0.0
    shares = sizes / total
    return math.exp(torch.special.entr(shares).sum().item())


@checked
def broadcasting(
    learner: Learner,
    trials: Trials | Batch,
    *,
    start: Mapping[str, Tensor] | None = None,
    updates: Count | None = None,
    rate: float | None = None,
) -> Broadcasting:
    """Return diagnostics of a decorrelation rule for each population; learner and network stay unchanged.

    Args:
        learner: A learner whose signal is a ``Decorrelation``, regularised or not.
        trials: A fixed set of trials, or a batch.
        start: The learner's ``state_dict`` before the first update, for ``remaining``.
        updates: Number of updates m that R has had, one a scored step.

    Raises:
        ValueError: The signal has no correlation, or the batch does not fit.
        TypeError: The trials are no fixed set.

    Warns:
        CollapseWarning: ``updates (1 - lam)`` is above 4, or ``(1 - lam) / rate`` above 5: activity may vanish.

    >>> import tca
    >>> net = tca.nets.MLP(4, [6, 5], 3)
    >>> learner = Learner(net, RULES["ebd"])
    >>> batch = Batch(torch.ones(1, 2, 4), torch.ones(1, 2, 3), torch.ones(1, 2), tca.losses.MSE())
    >>> [each.name for each in broadcasting(learner, batch).layers]
    ['hidden_1', 'hidden_2']
    """
    lam = _decorrelation(learner.rule.signal).average.lam
    warn_if_fast(lam, updates, rate)
    batch = as_batch(trials, like=learner.net)
    learner = learner.ahead()
    found, info = learner.grads(batch)
    true, _ = Learner(learner.net, RULES["bptt"]).grads(batch)
    before = {} if start is None else dict(start)

    def layer(tape: Tape) -> PopulationDiagnostics:
        rates = tape.samples
        names = [link.connection.name for link in tape.links]
        first = level_buffers(tape.population, before).get("correlation")
        known = first is not None and updates is not None
        return PopulationDiagnostics(
            name=tape.population.name,
            norm=level_buffers(tape.population, learner.buffers)["correlation"].norm().item(),
            remaining=lam**updates * first.norm().item() if known else math.nan,  # type: ignore[operator,union-attr]
            rms=rates.square().mean().sqrt().item(),
            dead=(rates == 0).all(0).double().mean().item(),
            rank=effective_rank(rates),
            match=Match.of(*(torch.cat([each[name].flatten() for name in names]) for each in (found, true))),
        )

    levels = learner.tape(batch).levels
    return Broadcasting(tuple(layer(each) for each in reversed(levels)), info.loss.item())


def _decorrelation(signal: Signal) -> Decorrelation:
    inner = signal.signal if isinstance(signal, Regularised) else signal
    if not isinstance(inner, Decorrelation):
        raise ValueError(f"the learner's signal must be a Decorrelation, got {inner!r}")
    return inner
