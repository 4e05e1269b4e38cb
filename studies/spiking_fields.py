"""Which field points nearest to BPTT: the one that a network learns with, or another?

While a network learns with one of the three ways in which sparse feedback can reach its cells, the gradient of each is
compared with that of backpropagation through time, at the same feedback weights. Where a network learns without a field
spread in another order, that order is one drawn for all networks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure

from analysis.alignment import Match
from analysis.figures.plots import Series, curves, legend, level, panels, summary
from studies.claims import Arms, Claim, arms_of, at_end, claims
from studies.claims import curves as read
from studies.every_rule import FEEDBACK
from studies.spiking_settings import rule
from studies.tables import Table, mean_and_spread
from tca.batch import Batch
from tca.learner import Learner
from tca.rules import RULES
from tca.signals import Regularised

__all__ = ["ALIGNED", "FIELDS", "SHUFFLED", "cosines", "drawn", "fields_claims", "fields_table", "series_of", "tables"]

ALIGNED, SHUFFLED, NONE = "diffusion", "diffusion, shuffled once", "sparse e-prop"
FIELDS = (ALIGNED, SHUFFLED, NONE)
PREFIX = "cosine/"
LAST = 3  # measurements over which the end of training is averaged
COSINE = "cosine with the gradient of BPTT"


def cosines(learner: Learner, batch: Batch) -> dict[str, float]:
    """Return the cosine of the gradient of every field with that of BPTT; none for a learner without sparse feedback.

    Gradients are those of all parameters but the readout's, without the term of firing rates.

    Args:
        learner: The learner, whose feedback weights and order of sites are used.
        batch: The trials.
    """
    signal = learner.rule.signal
    signal = signal.signal if isinstance(signal, Regularised) else signal
    bare = {label: rule(label, 0.0) for label in FIELDS}
    if signal not in [each.signal for each in bare.values()]:
        return {}
    hidden = [each.name for each in learner.net.hidden_connections()]

    def gradient(one: Learner) -> torch.Tensor:
        found, _ = one.grads(batch)
        return torch.cat([found[name].flatten() for name in hidden])

    exact, found = gradient(Learner(learner.net, RULES["bptt"])), {}
    for label, each in bare.items():
        other = Learner(learner.net, each, seed=FEEDBACK)
        for name, buffer in other.buffers.items():
            own = learner.buffers.get("feedback" if name == "kept" else name)
            if own is not None:
                buffer.copy_(own)
        found[PREFIX + label] = Match.of(gradient(other), exact).cosine
    return found


def series_of(trained: str, seed: int, steps: Sequence[float], observed: Sequence[Mapping[str, float]]) -> list[Series]:
    """Return the cosines of a run over updates, a series a field; none for a run without them.

    Args:
        trained: What the network learned with.
        seed: Its seed.
        steps: Updates made at every measurement.
        observed: What was measured.
    """
    names = [name for name in observed[0] if name.startswith(PREFIX)]
    return [Series(f"trained with {trained}", name.removeprefix(PREFIX), seed, list(steps),
                   [each[name] for each in observed]) for name in names]  # fmt: skip


def drawn(series: Sequence[Series]) -> Figure:
    """Return the cosine of every field over training, a panel for what networks learned with.

    Args:
        series: What `series_of` has returned.
    """
    figure, axes = panels(series, "updates", COSINE)
    for panel, each in axes.items():
        curves(each, series, panel, bounded=True)
        level(each, 0.0)
    legend(figure, summary(series, bounded=True))
    return figure


def _ends(path: Path, trained: str) -> Arms:
    """Return the cosines at the end of training by field and seed."""
    return arms_of(read(path), f"trained with {trained}", at_end(LAST))


def tables(name: str, path: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes every table of the fields, by name; none where there is no file yet.

    Args:
        name: How names of tables begin.
        path: The file of the figure.
    """
    if not path.exists():
        return {}
    return {f"{name}_fields": partial(fields_table, path), f"{name}_fields_claims": partial(fields_claims, path)}


def fields_table(path: Path) -> Table:
    """Return the cosine of every field at the end of training, and in how many runs the own one is nearest.

    Args:
        path: The file of the figure.
    """
    made = []
    for trained in FIELDS:
        ends = _ends(path, trained)
        own = ends[trained]
        nearest = sum(own[seed] >= max(ends[field][seed] for field in FIELDS) for seed in own)
        made.append((trained, str(len(own)), *(mean_and_spread(list(ends[field].values())) for field in FIELDS),
                     f"{nearest}/{len(own)}"))  # fmt: skip
    return Table(("trained with", "seeds", *(f"cosine, {field}" for field in FIELDS), "own nearest"), tuple(made))


def fields_claims(path: Path) -> Table:
    """Return whether the field that a network learned with ends nearer to BPTT than the other one.

    Args:
        path: The file of the figure.
    """
    stated = []
    for own, other in ((ALIGNED, SHUFFLED), (SHUFFLED, ALIGNED)):
        ends = _ends(path, own)
        stated.append(Claim(f"trained with {own}: nearer to BPTT than {other}", ends[own], ends[other]))
    for field in (ALIGNED, SHUFFLED):
        first = arms_of(read(path), f"trained with {field}", lambda points: points[0][1])[field]
        stated.append(
            Claim(f"{field}: nearer to BPTT at the end than before training", _ends(path, field)[field], first)
        )
    return claims(stated)
