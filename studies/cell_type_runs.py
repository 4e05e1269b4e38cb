"""A row a run of the study of cell types: when a run solved its task and what it reached, and the tables made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from studies.claims import Arms, Claim, by_arm, claims
from studies.solved import solved_after, solved_claims, solved_table
from studies.tables import Table, rows_of
from studies.workloads import Learned

__all__ = ["LAST", "PAIRS", "runs_of", "tables"]

LAST = 10  # measurements over which the end of training is averaged, as published
# The published orders: BPTT > MDGL > e-prop, and ModProp above both approximations.
PAIRS = (("bptt", "mdgl"), ("mdgl", "eprop"), ("modprop", "mdgl"), ("modprop", "eprop"))
END, TRAINING, LOSS, AFTER = "accuracy_at_the_end", "accuracy_over_training", "loss_at_the_end", "solved_after"


def runs_of(learned: Sequence[Learned], chance: float) -> Table:
    """Return a row a run: rule, rate, seed, updates until it solved the task (empty if never), and what it reached.

    Args:
        learned: The runs.
        chance: Score of the best constant answer.
    """
    made = []
    for one in learned:
        scores = [each.test_accuracy for each in one.metrics]
        after = solved_after([(each.step, each.test_accuracy) for each in one.metrics], chance)
        numbers = (fmean(scores[-LAST:]), fmean(scores), fmean(each.test_loss for each in one.metrics[-LAST:]))
        made.append((str(one.run.rule), f"{one.run.optimizer.lr:g}", str(one.run.seeds.net),
                     f"{after:g}" if math.isfinite(after) else "", *(repr(each) for each in numbers)))  # fmt: skip
    return Table(("rule", "rate", "seed", AFTER, END, TRAINING, LOSS), tuple(made))


def tables(name: str, path: Path, pairs: Sequence[tuple[str, str]] = PAIRS) -> dict[str, Callable[[], Table]]:
    """Return what makes the tables of a file with a row a run, by name; none where there is no file yet.

    Args:
        name: What the tables are called.
        path: The file.
        pairs: Rules compared, the one that should be above first; default those of the published orders.
    """
    if not path.exists():
        return {}
    found: dict[str, Arms] = {measure: {} for measure in (AFTER, END, TRAINING)}
    for row in rows_of(path):
        for measure, arms in found.items():
            arms.setdefault(row["rule"], {})[int(row["seed"])] = float(row[measure] or math.inf)
    training = found[TRAINING]
    stated = [Claim(f"{first} above {second}", training[first], training[second]) for first, second in pairs]
    return {
        name: partial(by_arm, {"accuracy, last ten measurements": found[END], "accuracy over training": training}, {}),
        f"{name}_claims": partial(claims, stated),
        f"{name}_solved": partial(solved_table, found[AFTER]),
        f"{name}_solved_claims": partial(solved_claims, found[AFTER], pairs),
    }
