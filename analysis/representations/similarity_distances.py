"""Every measure of similarity as a distance, by name, and the distances of many networks from each other.

Shapes: A activities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from analysis.representations.activity import Activity
from analysis.representations.similarity import cca, cka, cka_distance, procrustes_distance, svcca
from analysis.representations.similarity_rsa import rsa
from tca.utils.checks import checked
from tca.utils.names import Table, lookup

__all__ = ["DISTANCES", "Distance", "distances"]

Distance = Callable[..., float]

DISTANCES: dict[str, Distance] = Table(
    "distance",
    {
        "procrustes": procrustes_distance,
        "cca": lambda x, y: 1.0 - cca(x, y),
        "svcca": lambda x, y: 1.0 - svcca(x, y),
        "cka": lambda x, y: 1.0 - cka(x, y),
        "cka_debiased": lambda x, y: 1.0 - cka(x, y, debiased=True),
        "cka_angle": cka_distance,
        "rsa": lambda x, y: 1.0 - rsa(x, y),
    },
)
"""Distances of two activities at the same samples: 0 for the same, larger for less alike."""


@checked
def distances(
    activities: Mapping[str, Activity | Sequence[Activity]], distance: str | Distance = "procrustes"
) -> Tensor:
    """Return the distance of every activity from every other, float64, shape ``(A, A)``, in the order given.

    Args:
        activities: Activities at the same samples by name, each ``(samples, units)`` or ``(time, trials, units)``.
        distance: A name from ``DISTANCES``, default the angular Procrustes distance; or a function of two activities.

    Raises:
        ValueError: The name is unknown, or two of them do not have the same samples.

    >>> x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    >>> distances({"a": x, "b": torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])}, "cka").tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    measure = lookup(DISTANCES, distance, "distance") if isinstance(distance, str) else distance
    names = list(activities)
    table = torch.zeros(len(names), len(names), dtype=torch.float64, device="cpu")
    for row, name in enumerate(names):
        for column, other in enumerate(names[:row]):
            table[row, column] = table[column, row] = measure(activities[name], activities[other])
    return table
