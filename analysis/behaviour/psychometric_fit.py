"""Psychometric functions fitted to counts of choices by maximum likelihood, with profile likelihood intervals.

Shapes: X levels of the stimulus, P parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from analysis.statistics.intervals import Estimate
from tca.utils.tables import Tabular, columns_of, row_of

__all__ = ["FORMS", "LARGEST_ASYMPTOTE", "Asymptotes", "Counts", "CurveForm", "Fit", "fit"]

Array = NDArray[np.float64]
LARGEST_ASYMPTOTE = 0.4  # of a free guess or lapse rate
STEEPEST = 1e4  # slope over the range of the levels, beyond which a curve is a step
FARTHEST = 1e4  # distance of a threshold from the levels, in their range, beyond which it is unbounded
FLAT = 1e-6  # difference in log likelihood below which two fits are equal
PRECISION = 1e-12  # gain in log likelihood at which the search ends
ITERATIONS = 200
STARTS = (1e-3, 0.1)  # asymptotes from which the search starts


class CurveForm(NamedTuple):
    """The scale on which levels are linear, its inverse, the function of ``eta`` and its derivative."""

    scale: Callable[[Array], Array]
    level: Callable[[float], float]
    rise: Callable[[Array], Array]
    density: Callable[[Array], Array]


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _log(levels: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(levels), np.float64)


def _gumbel_density(eta: Array) -> Array:
    return np.asarray(np.exp(np.minimum(eta, 700) - np.exp(np.minimum(eta, 700))), np.float64)


FORMS: dict[str, CurveForm] = {
    "logistic": CurveForm(
        lambda x: x, lambda u: u, scipy.special.expit, lambda eta: scipy.special.expit(eta) * scipy.special.expit(-eta)
    ),
    "weibull": CurveForm(_log, _exp, lambda eta: -np.expm1(-np.exp(np.minimum(eta, 700))), _gumbel_density),
}


class Counts(NamedTuple):
    """Choices at each level: the levels, how many trials had them, and in how many of these the answer was given."""

    levels: Array
    trials: Array
    chosen: Array


class Asymptotes(NamedTuple):
    """Guess and lapse rate as a function of those that are free: ``(guess, lapse) = offset + free @ rows``."""

    offset: Array
    rows: Array


@dataclass(frozen=True)
class Fit(Tabular):
    """Estimates with intervals, and the log likelihood with that of the saturated model.

    Attributes:
        threshold: Level at which the curve is half way between its asymptotes (logistic), or 63 % of the way (Weibull).
        slope: Factor of the levels (logistic), or of their logarithm (Weibull); infinite for a step.
        guess: Lower asymptote.
        lapse: One minus the upper asymptote.
        log_likelihood: That of the fit, without binomial coefficients.
        deviance: Twice the distance of it from one probability a level.
    """

    threshold: Estimate
    slope: Estimate
    guess: Estimate
    lapse: Estimate
    log_likelihood: float
    deviance: float

    def _columns(self) -> dict[str, Any]:
        """Return a row for each parameter, with its interval."""
        names = ("threshold", "slope", "guess", "lapse")
        return columns_of({"parameter": name, **row_of(getattr(self, name))} for name in names)


@dataclass(frozen=True)
class _Likelihood:
    """The negative log likelihood of ``(b0, b1, free asymptotes)``, ``eta = b0 + b1 u``, u between -1 and 1."""

    form: CurveForm
    counts: Counts
    asymptotes: Asymptotes
    middle: float
    half: float

    @property
    def free(self) -> int:
        """Number of free asymptotes."""
        return len(self.asymptotes.rows)

    def value(self, parameters_P: Array) -> tuple[float, Array, Array]:
        """Return the negative log likelihood, its gradient and the Fisher information."""
        _, trials_X, chosen_X = self.counts
        u_X = (self.form.scale(self.counts.levels) - self.middle) / self.half
        lowest_X = np.isneginf(u_X)  # level 0 of a Weibull function
        u_X = np.where(lowest_X, 0.0, u_X)
        eta_X = parameters_P[0] + parameters_P[1] * u_X
        rise_X = np.where(lowest_X, 0.0, self.form.rise(eta_X))
        density_X = np.where(lowest_X, 0.0, self.form.density(eta_X))
        guess, lapse = self.asymptotes.offset + parameters_P[2:] @ self.asymptotes.rows
        p_X = np.clip(guess + (1 - guess - lapse) * rise_X, 1e-12, 1 - 1e-12)
        by_eta_X = (1 - guess - lapse) * density_X
        by_asymptotes_FX = self.asymptotes.rows @ np.stack([1 - rise_X, -rise_X])
        by_PX = np.concatenate([[by_eta_X, by_eta_X * u_X], by_asymptotes_FX])  # derivatives of p
        weight_X = 1 / (p_X * (1 - p_X))
        log_X = scipy.special.xlogy(chosen_X, p_X) + scipy.special.xlog1py(trials_X - chosen_X, -p_X)
        gradient_P = by_PX @ (weight_X * (trials_X * p_X - chosen_X))
        return -float(log_X.sum()), gradient_P, (by_PX * (weight_X * trials_X)) @ by_PX.T

    def lowest(self, offset_P: Array, rows_QP: Array, starts: list[Array]) -> tuple[float, Array]:
        """Return the smallest value among ``offset + q @ rows`` within bounds, and its parameters.

        Fisher scoring, damped as by Levenberg and Marquardt, without the directions that lead out of the bounds.

        Args:
            starts: Parameters to start from, each projected on the rows.
        """
        if not len(rows_QP):
            return self.value(offset_P)[0], offset_P
        rates_Q = rows_QP[:, 2:].any(1)
        low_Q, high_Q = np.where(rates_Q, 0.0, -STEEPEST), np.where(rates_Q, LARGEST_ASYMPTOTE, STEEPEST)
        best = (math.inf, offset_P)
        for start_P in starts:
            q_Q = np.clip(np.linalg.lstsq(rows_QP.T, start_P - offset_P, rcond=None)[0], low_Q, high_Q)
            value, gradient_P, information_PP = self.value(offset_P + q_Q @ rows_QP)
            damping = 1e-3
            for _ in range(ITERATIONS):
                gradient_Q, information_QQ = rows_QP @ gradient_P, rows_QP @ information_PP @ rows_QP.T
                held_Q = ((q_Q <= low_Q) & (gradient_Q > 0)) | ((q_Q >= high_Q) & (gradient_Q < 0))
                damped_QQ = information_QQ + np.diag(damping * np.diag(information_QQ) + 1e-12)
                damped_QQ[held_Q] = damped_QQ[:, held_Q] = 0.0
                damped_QQ[held_Q, held_Q] = 1.0
                step_Q = np.linalg.solve(damped_QQ, np.where(held_Q, 0.0, -gradient_Q))
                step_Q *= min(
                    1.0, max(1.0, np.abs(q_Q).max() / 4) / max(1e-300, np.abs(step_Q).max())
                )  # no leap to a flat end
                next_Q = np.clip(q_Q + step_Q, low_Q, high_Q)
                lower, *derivatives = self.value(offset_P + next_Q @ rows_QP)
                if lower < value:
                    gain, damping = value - lower, max(damping / 10, 1e-12)
                    q_Q, value, (gradient_P, information_PP) = next_Q, lower, derivatives
                    if gain < PRECISION:
                        break
                elif damping > 1e8:
                    break
                else:
                    damping *= 10
            best = min(best, (value, offset_P + q_Q @ rows_QP), key=lambda each: each[0])
        return best


def fit(form: CurveForm, counts: Counts, asymptotes: Asymptotes, confidence: float, asked: int) -> Fit:
    """Return the curve of largest likelihood, with an interval for each parameter from its profile likelihood.

    An interval holds all values of a parameter at which twice the log likelihood, maximised over the others, is less
    than the quantile of the chi-squared distribution with one degree of freedom below its maximum. Its ends may be
    infinite: no slope is too steep for choices that change all at once.

    Args:
        counts: At two levels or more.
        confidence: Of the intervals.
        asked: Trials that there would be if none were missing.
    """
    scaled = form.scale(counts.levels)
    scaled = scaled[np.isfinite(scaled)]
    half = (scaled.max() - scaled.min()) / 2 or 1.0
    likelihood = _Likelihood(form, counts, asymptotes, float(scaled.max() + scaled.min()) / 2, float(half))
    free, size = likelihood.free, 2 + likelihood.free
    identity_PP = np.eye(size)
    starts = [np.array([0.0, sign * 0.5, *[each] * free]) for sign in (1, -1) for each in STARTS[: 1 + (free > 0)]]
    smallest, best_P = likelihood.lowest(np.zeros(size), identity_PP, starts)
    quantile = math.sqrt(scipy.stats.chi2.ppf(confidence, 1))
    count = int(counts.trials.sum())

    def profile(offset: Callable[[float], Array], rows: Callable[[float], Array]) -> Callable[[float], float]:
        """Return the signed root of the likelihood ratio where a parameter has a value, less that of the bound."""
        last = [best_P]

        def excess(value: float) -> float:
            found, last[0] = likelihood.lowest(offset(value), rows(value), [last[0], best_P])
            return math.sqrt(max(0.0, 2 * (found - smallest))) - quantile  # nearly linear in the value

        return excess

    def one(place: int) -> Callable[[float], float]:
        others_QP = np.delete(identity_PP, place, 0)
        return profile(lambda value: value * identity_PP[place], lambda value: others_QP)

    def through(value: float) -> Array:
        """Return the directions of all curves with this threshold: b0 = -b1 threshold."""
        return np.concatenate([[[-value, 1.0, *[0.0] * free]], identity_PP[2:]])

    at_threshold = profile(lambda value: np.zeros(size), through)
    threshold = -best_P[0] / best_P[1] if best_P[1] else math.nan
    step = 2 * (
        likelihood.lowest(STEEPEST * identity_PP[1], np.delete(identity_PP, 1, 0), [best_P, *starts])[0] - smallest
    )

    def made(value: float, ends: tuple[float, float]) -> Estimate:
        return Estimate(float(value), min(ends), max(ends), math.nan, count, asked, confidence)

    def to_level(value: float) -> float:
        return form.level(likelihood.middle + half * value)

    low, high = _ends(at_threshold, threshold if math.isfinite(threshold) else 0.0, -FARTHEST, FARTHEST, math.inf)
    slope = _ends(one(1), best_P[1], -STEEPEST, STEEPEST, math.inf)
    bounds_F2 = [_ends(one(2 + place), best_P[2 + place], 0.0, LARGEST_ASYMPTOTE) for place in range(free)]
    rates, ends = [], []
    for which in range(2):
        rate = float(asymptotes.offset[which] + best_P[2:] @ asymptotes.rows[:, which])
        own = [pair for pair, row in zip(bounds_F2, asymptotes.rows, strict=True) if row[which]]
        rates.append(rate)
        ends.append(own[0] if own else (rate, rate))
    share_X = counts.chosen / counts.trials
    saturated = scipy.special.xlogy(counts.chosen, share_X) + scipy.special.xlog1py(
        counts.trials - counts.chosen, -share_X
    )
    return Fit(
        made(to_level(threshold), (to_level(low), to_level(high))),
        made(math.inf if step < FLAT else best_P[1] / half, (slope[0] / half, slope[1] / half)),
        made(rates[0], ends[0]),
        made(rates[1], ends[1]),
        -smallest,
        max(0.0, 2 * (float(saturated.sum()) + smallest)),
    )


def _ends(
    excess: Callable[[float], float], value: float, lowest: float, highest: float, beyond: float | None = None
) -> tuple[float, float]:
    """Return the values to both sides at which the profile crosses its bound.

    Args:
        excess: Negative within the interval.
        value: The estimate.
        lowest: The smallest value to look at.
        highest: The largest value to look at.
        beyond: Size of an end that is not reached within them; by default the end is the limit.
    """
    found = []
    for sign, limit in ((-1.0, lowest), (1.0, highest)):
        inner, step = value, 0.1 * max(1.0, abs(value)) if beyond else 0.02
        end = limit if beyond is None else sign * beyond
        while sign * (limit - inner) > 0:
            outer = inner + sign * min(step, sign * (limit - inner))
            if excess(outer) > 0:
                crosses = excess(inner) < 0
                end = float(scipy.optimize.brentq(excess, inner, outer, xtol=1e-9, rtol=1e-9)) if crosses else inner
                break
            inner, step = outer, 2 * step
        found.append(end)
    return found[0], found[1]
