"""Choices of a network by a graded variable of the trials: the psychometric function of tasks that have one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import analysis
from tasks.trials import FixedTrials
from tca.nets import Network

__all__ = ["GRADED", "ChoiceCurve", "choice_curve"]

GRADED = ("evidence", "coherence", "coh")  # columns of `Batch.info`, the first that a task has
LEVELS = (3, 40)  # least and largest number of levels of a graded variable


@dataclass(frozen=True)
class ChoiceCurve:
    """Proportions of choices by levels of a graded variable.

    Args:
        variable: Column of ``Batch.info``.
        response: Class whose choice is counted, or ``"correct"``.
        levels: Levels of the variable.
        proportions: Proportion of counted choices at each level.
        threshold: Threshold of the fitted function.
        slope: Its slope.
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


def choice_curve(net: Network, trials: FixedTrials) -> ChoiceCurve | None:
    """Return the psychometric function of a network, ``None`` where trials have no graded variable.

    Args:
        net: The network.
        trials: Test trials.
    """
    batch = trials.batch()
    variable = next((name for name in GRADED if name in batch.info), None)
    if variable is None:
        return None
    try:
        found = analysis.psychometric(net, batch, variable=variable)
    except (ValueError, TypeError):  # targets are no classes, or values no levels
        return None
    levels = tuple(map(float, found.counts.levels))
    if not LEVELS[0] <= len(levels) <= LEVELS[1]:
        return None
    proportions = tuple(map(float, found.proportions))
    return ChoiceCurve(
        variable, str(found.response), levels, proportions, found.threshold.value, found.slope.value
    )  # fmt: skip
