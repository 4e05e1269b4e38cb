"""Which runs are trained together: those that differ in seeds and optimizer, of networks that an ensemble can hold."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

from tca.eligibilities import Diagonal, Full, Instant, Leak, PotentialLeak
from tca.experiments.config.run import Run
from tca.signals.signal import CustomSignal

__all__ = ["difference", "groups", "refusal"]

FILTERS = (Instant, Leak, PotentialLeak, Diagonal, Full)  # eligibilities that take the tape of an ensemble
FREE = ("seeds", "optimizer")  # settings in which runs of a group may differ
OWN_PRODUCTS = ("gather_", "observe_readout_", "condition_readout_")


def refusal(run: Run) -> str:
    """Return the reason why a run cannot be trained together with others, empty if it can.

    >>> refusal(Run("delayed_xor", "eprop")), refusal(Run("delayed_xor", "uoro"))
    ('', 'the eligibility UORO is computed for one network at a time')
    >>> refusal(Run("delayed_xor", net={"kind": "spiking_rnn", "size": 8}))
    'its network is a spiking_rnn, no leaky_rnn'
    """
    rule, net, optimizer = run.the_rule, run.net, run.optimizer
    if run.agent is not None:
        return "it learns from rewards"
    if net.kind != "leaky_rnn":
        return f"its network is a {net.kind}, no leaky_rnn"
    if net.options.get("learn"):
        return "its network learns constants of its cells"
    if net.options.get("rewiring") is not None:
        return "its network is rewired"
    if type(rule.eligibility) not in FILTERS:
        return f"the eligibility {type(rule.eligibility).__name__} is computed for one network at a time"
    if rule.executions[0] != "reverse":
        return "its rule runs forwards only"
    if isinstance(rule.signal, CustomSignal) and any(
        getattr(type(rule.signal), name) is not getattr(CustomSignal, name) for name in OWN_PRODUCTS
    ):
        return f"the learning signal {type(rule.signal).__name__} has gradient products of its own"
    if optimizer.matched is not None or optimizer.sam is not None:
        return "its optimizer takes further gradients (matched, sam)"
    return ""


def difference(one: Run, other: Run) -> str:
    """Return the first setting, other than seeds and optimizer, in which runs differ, empty if there is none.

    >>> difference(Run("delayed_xor"), Run("delayed_xor", steps=10)), difference(Run("delayed_xor"), Run("delayed_xor"))
    ('steps', '')
    """
    names = (each.name for each in dataclasses.fields(Run) if each.name not in FREE)
    return next((name for name in names if getattr(one, name) != getattr(other, name)), "")


def groups(runs: Sequence[Run], size: int) -> list[list[Run]]:
    """Return runs in groups that can be trained together, in the order of their first runs.

    Runs that cannot be trained together with any others are groups by themselves.

    Args:
        size: Most runs of a group.

    >>> from tca import Seeds
    >>> runs = [Run("delayed_xor", rule, seeds=Seeds(net=seed)) for seed in range(3) for rule in ("eprop", "bptt")]
    >>> [[(each.rule, each.seeds.net) for each in group] for group in groups(runs, 2)]
    [[('eprop', 0), ('eprop', 1)], [('bptt', 0), ('bptt', 1)], [('eprop', 2)], [('bptt', 2)]]
    """
    found: list[list[Run]] = []
    opened: defaultdict[object, list[list[Run]]] = defaultdict(list)  # with room, by task and rule
    for run in runs:
        alike = opened[str(run.task), run.rule_title]
        group = next((each for each in alike if not difference(each[0], run)), None)
        if group is None:
            group = []
            found.append(group)
            if not refusal(run):
                alike.append(group)
        group.append(run)
        if len(group) == size and group in alike:
            alike.remove(group)
    return found
