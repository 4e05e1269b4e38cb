"""Psychometric functions: how choices depend on a graded variable of the trials.

Shapes: T time, B trials, O outputs, X levels of the variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import scipy.stats
import torch
from numpy.typing import ArrayLike, NDArray

from analysis.behaviour.psychometric_fit import FORMS, Asymptotes, Counts, Fit, fit
from analysis.statistics.intervals import Estimate
from tasks.trials import FixedTrials
from tca.batch import Batch
from tca.experiments.training.evaluation import outputs_of
from tca.utils.checks import Named, Probability, Whole, checked
from tca.utils.names import lookup
from tca.utils.tables import Tabular
from tca.utils.trial_info import missing

__all__ = ["Psychometric", "choices", "psychometric", "psychometric_by"]

Array = NDArray[np.float64]
Rate = float | Literal["free"]


@dataclass(frozen=True)
class Psychometric(Tabular):
    """A psychometric function, fitted to choices.

    Attributes:
        variable: Name of the graded variable.
        response: Class whose choice is counted, or ``"correct"``.
        form: ``"logistic"`` or ``"weibull"``.
        counts: Levels of the variable, trials and counted choices at each, shape ``(X,)``.
        fit: Threshold, slope, guess and lapse rate with intervals; log likelihood and deviance.
    """

    variable: str
    response: int | str
    form: str
    counts: Counts
    fit: Fit

    def __str__(self) -> str:
        counts = self.counts
        lines = [
            f"{self.form} function of {self.variable}, choices of {self.response}: {counts.trials.sum():.0f} trials at "
            f"{len(counts.levels)} levels"
        ]
        for name in ("threshold", "slope", "guess", "lapse"):
            found: Estimate = getattr(self.fit, name)
            lines.append(f"  {name:<10} {found.value:.4g} ({found.low:.4g} to {found.high:.4g})")
        return "\n".join(lines)

    def _columns(self) -> dict[str, Any]:
        """Return a row for each level: choices with Wilson's interval, and the fit; ``fit`` has a table of its own."""
        low, high = self.intervals().T
        counted = {**self.counts._asdict(), "proportion": self.proportions, "low": low, "high": high}
        return {**counted, "fitted": self(self.counts.levels)}

    @property
    def threshold(self) -> Estimate:
        """Level half way between the asymptotes (logistic) or 63 % of the way (Weibull)."""
        return self.fit.threshold

    @property
    def slope(self) -> Estimate:
        """Steepness; ``dp/dx = slope / 4`` at the threshold of a logistic function without guesses and lapses."""
        return self.fit.slope

    @property
    def proportions(self) -> Array:
        """Proportion of counted choices at each level, shape ``(X,)``."""
        return self.counts.chosen / self.counts.trials

    def intervals(self, confidence: float = 0.95) -> Array:
        """Return Wilson's interval of each proportion, shape ``(X, 2)``.

        Args:
            confidence: Of the intervals, default 0.95.
        """
        pairs = zip(self.counts.chosen, self.counts.trials, strict=True)
        tests = [scipy.stats.binomtest(int(chosen), int(trials)) for chosen, trials in pairs]
        return np.array([tuple(test.proportion_ci(confidence, "wilson")) for test in tests])

    def __call__(self, levels: ArrayLike) -> Array:
        """Return the fitted probability of the counted choice.

        Args:
            levels: Levels of the variable.
        """
        form, values = FORMS[self.form], np.asarray(levels, np.float64)
        with np.errstate(invalid="ignore"):
            eta = self.slope.value * (form.scale(values) - form.scale(np.asarray(self.threshold.value, np.float64)))
        rise = form.rise(np.where(np.isnan(eta), 0.0, eta))  # an infinite slope at the threshold
        return np.asarray(self.fit.guess.value + (1 - self.fit.guess.value - self.fit.lapse.value) * rise, np.float64)


@checked
def psychometric(
    net_or_choices: torch.nn.Module | ArrayLike,
    trials: FixedTrials | Batch,
    *,
    variable: str = "evidence",
    response: Whole | Literal["correct"] | None = None,
    form: Annotated[str, Named(FORMS)] | None = None,
    guess: Rate | Literal["lapse"] | None = None,
    lapse: Rate = "free",
    where: Mapping[str, Any] | None = None,
    confidence: Probability = 0.95,
) -> Psychometric:
    """Return the psychometric function of choices, fitted by maximum likelihood.

    ``p(x) = guess + (1 - guess - lapse) F(x)``, with ``F(x) = 1 / (1 + exp(-slope (x - threshold)))`` (logistic) or
    ``F(x) = 1 - exp(-(x / threshold)^slope)`` (Weibull). Choices are independent. Intervals are those of the profile
    likelihood; they may be unbounded, for example the threshold of choices that do not depend on the variable.

    Args:
        net_or_choices: A network, which chooses by `choices`, or the class chosen in each trial, shape ``(B,)``.
        trials: Trials whose ``info`` has the variable; classes are their targets.
        variable: Column of ``info``, default ``"evidence"``; trials without a value are left out.
        response: Class whose choice is counted, or ``"correct"``. By default, for a variable with negative values the
            class that is right most often above 0, else ``"correct"``.
        form: ``"logistic"`` or ``"weibull"``, which takes levels of at least 0; by default Weibull for ``"correct"``
            where levels allow it.
        guess: Lower asymptote: a number, ``"free"`` (0 to 0.4), or ``"lapse"`` for equal asymptotes. By default
            ``"lapse"`` for choices of a class, and one over the number of classes for ``"correct"``.
        lapse: One minus the upper asymptote: a number or ``"free"`` (default, 0 to 0.4).
        where: Values of other columns that trials must have, for example ``{"context": 1}``; default all trials.
        confidence: Of the intervals, default 0.95.

    Raises:
        ValueError: A column or its values do not fit, trials have fewer than two levels, or targets are no classes.
        TypeError: Choices are no integers.

    Paper: Wichmann and Hill (2001), The psychometric function: I. Fitting, sampling, and goodness of fit, Perception
    and Psychophysics 63:1293-1313.

    >>> from tca.losses import CrossEntropy
    >>> side = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    >>> info = {"evidence": [-1, 1] * 4}
    >>> batch = Batch(torch.zeros(1, 8, 1), side[None], torch.ones(1, 8), CrossEntropy(), info=info)
    >>> curve = psychometric([0, 1, 0, 1, 1, 1, 0, 0], batch, response=1, lapse=0.0)
    >>> abs(round(curve.threshold.value, 6)), round(curve.slope.value, 6), curve.proportions.tolist()
    (0.0, 1.098612, [0.25, 0.75])
    """
    batch = trials if isinstance(trials, Batch) else trials.batch()
    right_B, chosen_B = _answers(batch), _chosen(net_or_choices, batch)
    values_B, kept_B = _levels(batch, variable), _where(batch, where or {})
    asked = int(kept_B.sum())
    kept_B &= ~missing(values_B)
    values_B, right_B, chosen_B = values_B[kept_B], right_B[kept_B], chosen_B[kept_B]
    if response is None:
        above_B = right_B[values_B > 0]
        response = int(np.bincount(above_B).argmax()) if (values_B < 0).any() and len(above_B) else "correct"
    counted_B = chosen_B == (right_B if response == "correct" else response)
    counts = _counted(variable, values_B, counted_B)
    if form is None:
        form = "weibull" if response == "correct" and counts.levels[0] >= 0 else "logistic"
    if form == "weibull" and counts.levels[0] < 0:
        raise ValueError(
            f"{variable} must be at least 0 for form='weibull', got {counts.levels[0]:g}: take form='logistic'"
        )
    if guess is None:
        guess = 1 / max(2, len(np.unique(_answers(batch)))) if response == "correct" else "lapse"
    fitted = fit(FORMS[form], counts, _asymptotes(guess, lapse), confidence, asked)
    return Psychometric(variable, response, form, counts, fitted)


@checked
def psychometric_by(
    net_or_choices: torch.nn.Module | ArrayLike, trials: FixedTrials | Batch, by: str | Sequence[str], **options: Any
) -> dict[tuple[Any, ...], Psychometric]:
    """Return a psychometric function for each combination of values of some columns.

    Args:
        net_or_choices: As of `psychometric`.
        trials: As of `psychometric`.
        by: Columns of ``info``; a row with a missing value is left out.
        options: Further arguments of `psychometric`.
    """
    names = [by] if isinstance(by, str) else list(by)
    batch = trials if isinstance(trials, Batch) else trials.batch()
    columns = [lookup(batch.info, name, "column by which to group,") for name in names]
    present_B = ~np.any([missing(column) for column in columns], axis=0)
    rows = zip(*(column[present_B].tolist() for column in columns), strict=True)
    chosen = _chosen(net_or_choices, batch)
    conditions = [dict(zip(names, row, strict=True)) for row in sorted(set(rows))]
    return {tuple(each.values()): psychometric(chosen, batch, where=each, **options) for each in conditions}


@torch.no_grad()
def choices(net: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Return the class with the largest output, summed over the decision steps of a trial, shape ``(B,)``.

    Only classes that are targets of a decision step of the batch count, so fixation is no choice.

    Args:
        net: A network whose outputs are classes.
        batch: The trials.

    Raises:
        ValueError: Targets are no classes.
    """
    _answers(batch)
    decided_TB = batch.decision_steps
    sums_BO = (outputs_of(net, batch.inputs) * decided_TB[..., None]).sum(0)  # type: ignore[arg-type]
    classes = torch.from_numpy(np.unique(batch.targets[decided_TB].cpu().numpy()))
    return classes[sums_BO.cpu()[:, classes].argmax(1)]


def _answers(batch: Batch) -> NDArray[np.int64]:
    """Return the right class of each trial at its last decision step."""
    if batch.targets.is_floating_point() or batch.targets.ndim != 2:
        raise ValueError(f"trials must have classes as targets, got real targets of shape {tuple(batch.targets.shape)}")
    last_B = batch.decision_steps.int().cumsum(0).argmax(0)
    return batch.targets.gather(0, last_B[None]).squeeze(0).cpu().numpy()


def _chosen(net_or_choices: torch.nn.Module | ArrayLike, batch: Batch) -> NDArray[np.int64]:
    if isinstance(net_or_choices, torch.nn.Module):
        return choices(net_or_choices, batch).numpy()
    chosen_B = np.asarray(net_or_choices.cpu() if isinstance(net_or_choices, torch.Tensor) else net_or_choices)
    if chosen_B.dtype.kind not in "iu":
        raise TypeError(
            f"net_or_choices must be a network or integers, the class chosen in each trial, got {chosen_B.dtype}"
        )
    if chosen_B.shape != (batch.trials,):
        raise ValueError(f"net_or_choices must have shape (B,) = ({batch.trials},), got {chosen_B.shape}")
    return chosen_B.astype(np.int64)


def _levels(batch: Batch, variable: str) -> Array:
    column_B = lookup(batch.info, variable, "variable")
    if column_B.dtype.kind not in "if":
        raise ValueError(f"{variable} must be a column of numbers, got {column_B.dtype}")
    return np.asarray(column_B, np.float64)


def _where(batch: Batch, values: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return the trials that have these values, boolean, shape ``(B,)``."""
    kept_B = np.ones(batch.trials, np.bool_)
    for name, value in values.items():
        same_B = np.asarray(lookup(batch.info, name, "column of where,") == value, np.bool_)
        if not same_B.any():
            raise ValueError(f"where must name a value of {name}, got {value!r}")
        kept_B &= same_B
    return kept_B


def _counted(variable: str, values_B: Array, counted_B: NDArray[np.bool_]) -> Counts:
    levels_X, level_B = np.unique(values_B, return_inverse=True)
    if len(levels_X) < 2:
        raise ValueError(f"{variable} must have at least 2 levels to fit a curve to, got {levels_X.tolist()}")
    trials_X, chosen_X = (np.bincount(level_B, weights).astype(np.float64) for weights in (None, counted_B))
    return Counts(levels_X, trials_X, chosen_X)


def _asymptotes(guess: Any, lapse: Any) -> Asymptotes:
    """Return guess and lapse rates as a function of the free ones."""
    for name, value in (("guess", guess), ("lapse", lapse)):
        if not isinstance(value, str) and not 0 <= value < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, or 'free', got {value}")
    fixed = [0.0 if isinstance(value, str) else float(value) for value in (guess, lapse)]
    if guess == "lapse":
        return Asymptotes(np.array([fixed[1]] * 2), np.ones((int(lapse == "free"), 2)))
    if sum(fixed) >= 1:
        raise ValueError(f"guess and lapse must add up to less than 1, got {guess} and {lapse}")
    free = [row for row, value in zip(np.eye(2), (guess, lapse), strict=True) if value == "free"]
    return Asymptotes(np.array(fixed), np.array(free).reshape(-1, 2))
