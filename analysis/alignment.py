"""Alignment of a rule's weight changes with the true gradient, and the part of the signal it drops.

Shapes: T time, B batch, N cells.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.fixed_data import Trials, as_batch
from analysis.learners import Rules, named
from tca.batch import Batch
from tca.learner import Learner
from tca.nets import Network
from tca.rule import Rule
from tca.rules import RULES
from tca.signals import Exact
from tca.utils.checks import Seed, checked
from tca.utils.names import lookup
from tca.utils.tables import Tabular

__all__ = ["Alignment", "Match", "RuleAlignment", "alignment"]


@dataclass(frozen=True)
class Match:
    """A rule's gradient ``gh`` beside the true one ``g``.

    Attributes:
        cosine: ``<gh, g> / (|gh| |g|)``; NaN if one of them is zero.
        norm_ratio: ``|gh| / |g|``; NaN if the true gradient is zero.
        rho: ``<gh, g> / |g|^2``; NaN if the true gradient is zero. To first order the loss falls by ``rho`` times the
            fall by gradient descent with the same step.
    """

    cosine: float
    norm_ratio: float
    rho: float

    @classmethod
    def of(cls, approximate: Tensor, true: Tensor) -> Match:
        """Return how two gradients match.

        Args:
            approximate: The rule's gradient ``gh``.
            true: The true gradient ``g``, same shape.

        >>> Match.of(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 4.0]))
        Match(cosine=1.0, norm_ratio=0.5, rho=0.5)
        """
        gh, g = approximate.flatten().double(), true.flatten().double()
        inner, square, true_square = (gh @ g).item(), (gh @ gh).item(), (g @ g).item()
        cosine = _ratio(inner, math.sqrt(square * true_square))
        return cls(cosine, math.sqrt(_ratio(square, true_square)), _ratio(inner, true_square))


@dataclass(frozen=True)
class RuleAlignment:
    """One rule beside backpropagation through time.

    Attributes:
        name: Name of the rule.
        parameters: Match of every parameter by name.
        recurrent: Match of all parameters of the recurrent population taken as one vector; the readout, whose
            gradient is exact in every rule, is left out.
        dropped: ``|mu - L| / |mu|``, the part of the exact signal that the rule leaves out. ``mu`` is the signal that
            would make the rule's own eligibility exact, ``L`` the rule's signal; norms over time, trials and cells. NaN
            if ``mu`` is zero, or the rule has no propagator of states.
    """

    name: str
    parameters: Mapping[str, Match]
    recurrent: Match
    dropped: float


@dataclass(frozen=True)
class Alignment(Tabular):
    """Result of `alignment`; ``to_frame`` returns a table of pandas with a row for each rule.

    Attributes:
        rules: One entry per rule, in the order asked for.
        loss: Loss of the network on the batch.
        gradient_norm: Norm of the true gradient of the recurrent population.
    """

    rules: tuple[RuleAlignment, ...]
    loss: float
    gradient_norm: float

    def _columns(self) -> dict[str, list[object]]:
        """Return a row for each rule: the recurrent parameters together, then the cosine of each parameter."""
        found: dict[str, list[object]] = {"rule": [each.name for each in self.rules]}
        for name in ("cosine", "norm_ratio", "rho"):
            found[name] = [getattr(each.recurrent, name) for each in self.rules]
        found["dropped"] = [each.dropped for each in self.rules]
        for name in self.rules[0].parameters:
            found[f"cosine.{name}"] = [each.parameters[name].cosine for each in self.rules]
        return found

    def __getitem__(self, name: str) -> RuleAlignment:
        """Return the entry of a rule.

        Raises:
            ValueError: There is none.
        """
        return lookup({each.name: each for each in self.rules}, name, "rule")

    def __str__(self) -> str:
        """Return a table, one row a rule: the recurrent parameters together, then the cosine of each parameter."""
        names = list(self.rules[0].parameters)
        head = ["rule", "cosine", "norm ratio", "rho", "dropped", *(f"cos {name}" for name in names)]
        rows = [
            [
                each.name,
                *(f"{value:.4f}" for value in (each.recurrent.cosine, each.recurrent.norm_ratio, each.recurrent.rho)),
                f"{each.dropped:.4f}",
                *(f"{each.parameters[name].cosine:.4f}" for name in names),
            ]
            for each in self.rules
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
        return "\n".join(lines)


@checked
def alignment(
    net: Network,
    trials: Trials | Batch,
    rules: Rules,
    *,
    seed: Seed = 0,
) -> Alignment:
    """Return how well weight changes of rules match the true gradient.

    With the true gradient ``g`` (backpropagation through time) and a rule's ``gh``: ``cos = <gh, g> / (|gh| |g|)``,
    ``|gh| / |g|``, ``rho = <gh, g> / |g|^2``, and ``|mu - L| / |mu|`` for its signal. Private noise is left out.
    Network and learner stay unchanged: both are those of the next update, on a copy (see ``Learner.ahead``).

    Args:
        trials: A fixed set of trials, or a batch.
        rules: Rules by name, as ``Rule``, or as a ``Learner`` of this network, whose feedback is then used as it has
            become; one by itself is allowed, and a mapping from names for the result to rules.
        seed: Seed of the signals of names and rules, default 0: the feedback a fresh learner would start
            with.

    Raises:
        ValueError: No rule is given, a name is unknown, a learner belongs to another network, or the batch does not
            fit.
        TypeError: The trials are no fixed set.

    >>> import tca
    >>> from tca.losses import MSE
    >>> net = tca.nets.LeakyRNN(2, 4, 1, seed=0)
    >>> batch = Batch(torch.ones(6, 3, 2), torch.ones(6, 3, 1), torch.full((6, 3), 1 / 6), MSE())
    >>> result = alignment(net, batch, ["bptt", "eprop"])
    >>> result["bptt"].recurrent.rho, result["bptt"].dropped, result["eprop"].dropped > 0
    (1.0, 0.0, True)
    """
    learners, batch = named(net, rules, seed), as_batch(trials, like=net)
    exact, info = Learner(net, RULES["bptt"]).grads(batch)
    hidden = [each.name for each in net.hidden_connections()]
    entries = []
    for name, learner in learners.items():
        true = exact if _same_weights(net, learner.net) else Learner(learner.net, RULES["bptt"]).grads(batch)[0]
        found, _ = learner.grads(batch)
        entries.append(
            RuleAlignment(
                name=name,
                parameters={each: Match.of(found[each], true[each]) for each in true},
                recurrent=Match.of(_join(found, hidden), _join(true, hidden)),
                dropped=_dropped(learner, batch),
            )
        )
    return Alignment(tuple(entries), info.loss.item(), _join(exact, hidden).norm().item())


def _same_weights(net: Network, other: Network) -> bool:
    pairs = zip(net.parameters(), other.parameters(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def _dropped(learner: Learner, batch: Batch) -> float:
    """Return the size of the dropped term; NaN for a rule whose traces are drawn or tried, or pass through gates."""
    eligibility = learner.rule.eligibility
    if "reverse" not in learner.rule.executions or eligibility.perturbs or not eligibility.of_states:
        return float("nan")
    exact = _flat(Learner(learner.net, Rule(Exact(), eligibility)).signals(batch))
    return _ratio((exact - _flat(learner.signals(batch))).norm().item(), exact.norm().item())


def _flat(signals: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([each.double().flatten() for each in signals.values()])


def _join(gradients: Mapping[str, Tensor], names: list[str]) -> Tensor:
    return torch.cat([gradients[name].flatten().double() for name in names])


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
