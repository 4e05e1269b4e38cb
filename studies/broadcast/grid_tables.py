"""The tables of the grid, made from its file with a row a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from analysis.statistics.intervals import Estimate, paired_difference
from analysis.statistics.rank_correlation import rank_correlation
from studies.broadcast.grid import AT_ONCE, BY_ROWS
from studies.claims import Claim, claims
from studies.tables import COMPARED, Table, differences, mean_and_spread, rows_of

__all__ = [
    "Rows",
    "difference_of",
    "left_feedforward",
    "other_cells",
    "results",
    "tables",
    "with_gap",
    "with_trace",
]

Rows = Sequence[Mapping[str, str]]
Place = tuple[str, str, str]  # task, network, rule
ACCURACY = "test_accuracy"
LEAKY, VECTORS, STREAMS, SQUARED = "leaky RNN", "vector RNN", "dual-stream RNN", "squared error"
# The trace, and the same signal without.
TRACES = (("e-prop", "e-prop, no trace"), ("e-prop random", "DFA"), ("SBD", "SBD, no trace"),
          ("SBD filtered", "SBD, no trace"), ("SBD lagged", "SBD, no trace"), ("GEVB, trace", "GEVB"),
          ("GEVB, network", "GEVB"), ("ED", "ED, no trace"))  # fmt: skip
# A rule at once, and its counterpart by rows.
LEAVING = (
    (("MLP", "DFA"), (LEAKY, "e-prop random")),
    (("MLP", "SBD"), (LEAKY, "SBD")),
    ((f"MLP, {SQUARED}", "EBD"), (f"{LEAKY}, {SQUARED}", "EBD")),
    (("vector MLP", "GEVB"), (VECTORS, "GEVB, trace")),
    (("dual-stream MLP", "ED"), (STREAMS, "ED")),
)
# Rules of other cells, the random broadcast of conventional ones, and how the titles of the tasks end.
OTHERS = (
    (("vector MLP", "GEVB"), ("MLP", "DFA"), (AT_ONCE,)),
    (("vector CNN", "GEVB"), ("CNN", "DFA"), (AT_ONCE,)),
    (("dual-stream MLP", "ED"), ("MLP", "DFA"), (AT_ONCE,)),
    (("dual-stream CNN", "ED"), ("CNN", "DFA"), (AT_ONCE,)),
    ((VECTORS, "GEVB, trace"), (LEAKY, "e-prop random"), (BY_ROWS, "delayed match", "pattern generation")),
    ((STREAMS, "ED"), (LEAKY, "e-prop random"), (BY_ROWS, "delayed match", "pattern generation")),
)  # fmt: skip


def tables(path: Path) -> dict[str, Callable[[], Table]]:
    """Return what makes every table of the page, by name; none where there is no file yet.

    Args:
        path: The file of the grid.
    """
    if not path.exists():
        return {}
    rows = rows_of(path)
    made: dict[str, Callable[[], Table]] = {
        "broadcast_leaving": partial(left_feedforward, rows),
        "broadcast_trace": partial(with_trace, rows),
        "broadcast_other_cells": partial(other_cells, rows),
        "broadcast_flatness": partial(with_gap, rows),
    }
    return made | {f"broadcast_{_word(name)}": partial(results, rows, name) for name in _tasks(rows)}


def _tasks(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["task"] for row in rows))


def _word(name: str) -> str:
    return name.replace(",", "").replace(" ", "_")


def _number(row: Mapping[str, str], name: str) -> float:
    return float(row[name]) if row[name] else math.nan


def _by_seed(rows: Rows, place: Place, name: str = ACCURACY) -> dict[int, float]:
    return {int(float(row["seed"])): _number(row, name) for row in rows
            if (row["task"], row["network"], row["rule"]) == place}  # fmt: skip


def _control(rows: Rows, place: Place) -> Place:
    task, network, _ = place
    return task, network, next(row["control"] for row in rows if (row["task"], row["network"]) == (task, network))


def difference_of(rows: Rows, place: Place, name: str = ACCURACY) -> Estimate:
    """Return a number of a cell minus that of its control, paired by seed.

    Args:
        rows: The runs.
        place: Task, network and rule.
        name: The number, default the test accuracy at the end.
    """
    return paired_difference(_by_seed(rows, place, name), _by_seed(rows, _control(rows, place), name))


def _lost(rows: Rows, place: Place) -> dict[int, float]:
    """Return how far the accuracy of a cell is above that of its control, by seed."""
    own, exact = _by_seed(rows, place), _by_seed(rows, _control(rows, place))
    return {seed: value - exact[seed] for seed, value in own.items() if seed in exact}


def _there(rows: Rows, *places: Place) -> bool:
    known = {(row["task"], row["network"], row["rule"]) for row in rows}
    return set(places) <= known


def left_feedforward(rows: Rows) -> Table:
    """Return which rules come as near to the gradient by rows as at once, set by set: a difference of differences.

    Args:
        rows: The runs.
    """
    stated = []
    for name in (task.removesuffix(f" {AT_ONCE}") for task in _tasks(rows) if task.endswith(AT_ONCE)):
        for (network, rule), (recurrent, other) in LEAVING:
            first, second = (f"{name} {BY_ROWS}", recurrent, other), (f"{name} {AT_ONCE}", network, rule)
            if _there(rows, first, second):
                text = f"{name}: {other} minus BPTT in the {recurrent} above {rule} minus BP in the {network}"
                stated.append(Claim(text, _lost(rows, first), _lost(rows, second)))
    return claims(stated)


def with_trace(rows: Rows) -> Table:
    """Return whether every trace adds to the same signal without it.

    Args:
        rows: The runs.
    """
    stated = []
    for task, network in dict.fromkeys((row["task"], row["network"]) for row in rows):
        for first, second in TRACES:
            if _there(rows, (task, network, first), (task, network, second)):
                arms = [_by_seed(rows, (task, network, rule)) for rule in (first, second)]
                stated.append(Claim(f"{task}, {network}: {first} above {second}", *arms))
    return claims(stated)


def other_cells(rows: Rows) -> Table:
    """Return where vectors or two streams bring a broadcast nearer to the gradient than random feedback is.

    Args:
        rows: The runs.
    """
    stated = []
    for own, random, ends in OTHERS:
        for task in (each for each in _tasks(rows) if each.endswith(ends)):
            first, second = (task, *own), (task, *random)
            if _there(rows, first, second):
                texts = (f"{rule} minus its control in the {network}" for network, rule in (own, random))
                stated.append(Claim(f"{task}: {' above '.join(texts)}", _lost(rows, first), _lost(rows, second)))
    return claims(stated)


def with_gap(rows: Rows) -> Table:
    """Return rank correlations of the largest eigenvalue and the gaps at equal loss, rules of a network as arms.

    Args:
        rows: The runs.
    """
    found = []
    for task, network in dict.fromkeys((row["task"], row["network"]) for row in rows):
        here = [row for row in rows if (row["task"], row["network"]) == (task, network)]
        largest = [_number(row, "matched_largest") for row in here]
        seeds, arms = [row["seed"] for row in here], [row["rule"] for row in here]
        cells = []
        for gap in ("matched_accuracy_gap", "matched_noisy_accuracy_gap"):
            values = [_number(row, gap) for row in here]
            cells += [str(rank_correlation(largest, values, seeds, arms, within=within)) for within in (False, True)]
        found.append((f"{task}, {network}", *cells))
    head = ("task, network", *(f"{gap} gap{how}" for gap in ("clean", "noisy") for how in ("", ", within rules")))
    return Table(head, tuple(found))


def results(rows: Rows, task: str) -> Table:
    """Return every cell of a task: the end of the training, and where the training loss is that of the control.

    Args:
        rows: The runs.
        task: Name of the task.
    """
    places = list(dict.fromkeys((row["task"], row["network"], row["rule"]) for row in rows if row["task"] == task))
    asked = [None if place == _control(rows, place) else difference_of(rows, place) for place in places]
    found = []
    for place, text in zip(places, differences(asked), strict=True):
        here = [row for row in rows if (row["task"], row["network"], row["rule"]) == place]
        column = partial(_by_seed, rows, place)
        reached = [value for value in column("updates").values() if math.isfinite(value)]
        found.append((
            f"{place[1]}, {place[2]}", str(len(here)), f"{float(here[0]['rate']):g}",
            mean_and_spread(list(column().values())), text, f"{float(here[0]['loss']):g}",
            f"{len(reached)}/{len(here)}",
            mean_and_spread(reached, 0), mean_and_spread(list(column("seconds").values()), 1),
            *(mean_and_spread(list(column(f"matched_{name}").values()))
              for name in ("accuracy_gap", "noisy_accuracy_gap")),
            *(mean_and_spread(list(column(f"matched_{name}").values()), 2)
              for name in ("largest", "smallest", "trace")),
            mean_and_spread(list(column("cosine").values()), 2),
        ))  # fmt: skip
    head = ("network, rule", "seeds", "rate", "accuracy", f"minus BP or BPTT, {COMPARED}", "loss", "reached", "updates",
            "seconds", "clean gap", "noisy gap", "largest eigenvalue", "smallest", "trace", "cosine")  # fmt: skip
    return Table(head, tuple(found))
