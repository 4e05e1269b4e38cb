"""Choices of a network by a graded variable of the trials: the psychometric function of tasks that have one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import analysis
from tasks.trials import FixedTrials
from tca.nets import Network
from tca.utils.text import in_a_line
from tca.utils.trial_info import missing

__all__ = ["GRADED", "ChoiceCurve", "choice_curve"]

GRADED = ("evidence", "coherence", "coh")  # columns of `Batch.info`, the first that a task has
LEVELS = (3, 40)  # least and largest number of levels of a graded variable
LEAST_TRIALS = 20  # trials with a level, below which no function is fitted


@dataclass(frozen=True)
class ChoiceCurve:
    """Proportions of choices by levels of a graded variable.

    Args:
        variable: Column of ``Batch.info``.
        response: Class whose choice is counted, or ``"correct"``.
        levels: Levels of the variable.
        proportions: Proportion of counted choices at each level.
        threshold: Threshold of the fitted function; NaN if it is infinite or undefined.
        slope: Its slope, as the threshold.
    """

    variable: str
    response: str
    levels: tuple[float, ...]
    proportions: tuple[float, ...]
    threshold: float
    slope: float

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ChoiceCurve:
        """Return the curve of its fields as plain values, null for NaN."""
        numbers = {name: float("nan") if values[name] is None else values[name] for name in ("threshold", "slope")}
        levels, proportions = (tuple(map(float, values[name])) for name in ("levels", "proportions"))
        return cls(str(values["variable"]), str(values["response"]), levels, proportions, **numbers)


def choice_curve(net: Network, trials: FixedTrials) -> tuple[ChoiceCurve | None, str]:
    """Return the psychometric function of a network, and why it or a part of it could not be fitted.

    There is none, and no reason, without a graded variable; none with fewer than 20 trials that have a level, and with
    fewer than 3 or more than 40 levels. An infinite or undefined threshold or slope is NaN, and so is a
    threshold that is further from the levels than they are from each other: flat choices have none.

    Args:
        trials: Test trials.
    """
    batch = trials.batch()
    variable = next((name for name in GRADED if name in batch.info), None)
    if variable is None:
        return None, ""
    values = batch.info[variable]
    values = values[~missing(values)]
    if len(values) < LEAST_TRIALS:
        return None, f"{len(values)} test trials have a level of {variable}, at least {LEAST_TRIALS} are required"
    if not LEVELS[0] <= (count := len(set(values.tolist()))) <= LEVELS[1]:
        return None, f"{variable} has {count} levels in the test trials, {LEVELS[0]} to {LEVELS[1]} are required"
    try:
        found = analysis.psychometric(net, batch, variable=variable)
    except (ValueError, TypeError) as error:  # targets are no classes, or values no levels
        return None, in_a_line(error)
    levels, proportions = (tuple(map(float, each)) for each in (found.counts.levels, found.proportions))
    slope = found.slope.value if math.isfinite(found.slope.value) else math.nan
    span = levels[-1] - levels[0]
    near = levels[0] - span <= found.threshold.value <= levels[-1] + span
    threshold = found.threshold.value if near else math.nan
    reason = "" if near else f"the fitted function of {variable} has no threshold near the levels, its choices are flat"
    return ChoiceCurve(variable, str(found.response), levels, proportions, threshold, slope), reason
