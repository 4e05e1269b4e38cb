"""Rules bound to the network that is measured, and copies of them that may be moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from tca.learner import Learner
from tca.nets import Network
from tca.rule import Rule
from tca.rules import RULES
from tca.utils.names import lookup

__all__ = ["Rules", "moved", "named"]


Bound = str | Rule | Learner
Rules = Bound | Iterable[Bound] | Mapping[str, Bound]
"""A rule, several, or several by names of one's own."""


def named(net: Network, rules: Rules, seed: int) -> dict[str, Learner]:
    """Return a learner for each rule, under a name of its own: a rule asked for twice is numbered.

    Each is bound to a copy of the network and in the state in which the next update would find it: measuring it has no
    effect on network or rule.

    Args:
        rules: Rules by name, as ``Rule``, or as a ``Learner`` of this network; one by itself is allowed, and a mapping
            from names for the result to rules.
        seed: Seed of the signals of names and rules.

    Raises:
        ValueError: No rule is given, a name is unknown, or a learner belongs to another network.

    >>> from tca.nets import LeakyRNN
    >>> list(named(LeakyRNN(1, 2, 1), ["eprop", RULES["bptt"], "eprop"], 0))
    ['eprop', 'bptt', 'eprop #2']
    >>> list(named(LeakyRNN(1, 2, 1), {"mine": RULES["eprop"]}, 0))
    ['mine']
    """
    asked = [rules] if isinstance(rules, (str, Rule, Learner)) else rules
    pairs = list(asked.items()) if isinstance(asked, Mapping) else [(_name_of(each), each) for each in asked]
    if not pairs:
        raise ValueError("rules must hold at least one rule, got none")
    return dict(_unique((name, _bound(net, each, seed).ahead()) for name, each in pairs))


def moved(learner: Learner, net: Network) -> Learner:
    """Return the same rule, in its present state, bound to a copy of its network.

    Args:
        net: The copy, of any floating-point type.

    >>> from copy import deepcopy
    >>> from tca.nets import LeakyRNN
    >>> net = LeakyRNN(1, 2, 1)
    >>> learner = Learner(net, RULES["eprop_random"], seed=5)
    >>> moved(learner, deepcopy(net).double()).buffers["feedback"].equal(learner.buffers["feedback"].double())
    True
    """
    copy = Learner(net, learner.rule)
    copy.load_state_dict({name: each.to(copy.buffers[name]) for name, each in learner.state_dict().items()})
    return copy


def _bound(net: Network, rule: Bound, seed: int) -> Learner:
    if isinstance(rule, Learner):
        if rule.net is not net:
            raise ValueError("rules must be learners of the network that is measured, got one of another network")
        return rule
    return Learner(net, lookup(RULES, rule, "rule") if isinstance(rule, str) else rule, seed=seed)


def _name_of(rule: Bound) -> str:
    if isinstance(rule, str):
        return rule
    if isinstance(rule, Learner):
        rule = rule.rule
    alike = [name for name, known in RULES.items() if (known, known.form) == (rule, rule.form)]
    same = [name for name, known in RULES.items() if known is rule]
    return next(iter(same + alike), f"{rule.signal!r} x {rule.eligibility!r}")


def _unique(learners: Iterable[tuple[str, Learner]]) -> Iterator[tuple[str, Learner]]:
    taken: set[str] = set()
    for name, learner in learners:
        unique = next(option for n in count(1) if (option := name if n == 1 else f"{name} #{n}") not in taken)
        taken.add(unique)
        yield unique, learner
