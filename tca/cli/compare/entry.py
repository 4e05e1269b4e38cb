"""An entry of a comparison: a rule, with a network, optimizer, tasks and seeds of its own if given."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from tca.experiments.config.components import Optimizer, plain
from tca.experiments.config.loss_config import loss_of, loss_values
from tca.experiments.config.network_config import NetworkConfig
from tca.experiments.config.network_kinds import SIZE
from tca.experiments.config.own_parts import import_parts
from tca.experiments.config.part_notation import network_values, optimizer_values
from tca.experiments.config.rule_config import rule_of, rule_values
from tca.utils.checks import Count, Made, Positive, checked, settle
from tca.utils.names import lookup

__all__ = ["RuleEntry", "entries_of"]


def _net(given: str | Mapping[str, Any]) -> NetworkConfig:
    """Return a network from its kind, or from its options with its kind among them."""
    if not isinstance(given, str):
        return NetworkConfig(**network_values(given))
    try:
        return NetworkConfig(given)
    except ValueError:  # it needs a size
        return NetworkConfig(given, size=SIZE)


def _optimizer(given: str | Mapping[str, Any]) -> Optimizer:
    return Optimizer(**optimizer_values(given))


@checked
@dataclass(frozen=True)
class RuleEntry:
    """A rule in a comparison, with settings of its own.

    Args:
        rule: The rule: a name, see ``tca list rules``, an import path, or its parts, see
            `tca.experiments.config.rule_config.rule_of`.
        name: Name in tables and figures; default the rule, with the kind of its network if it has its own.
        net: Network, as its kind (128 cells where it has no size of its own) or as a mapping of kind and options;
            default that of the comparison.
        optimizer: Optimizer, also as its name or a mapping, see
            `tca.experiments.config.part_notation.optimizer_values`; default that of the comparison, which is by default
            the one recommended for the rule.
        lr: Learning rate of the optimizer, default its own.
        seeds: Number of seeds, the first of the comparison's, default all of them.
        tasks: Names of tasks, default all of the comparison's.
        task_options: Options of these tasks in addition to those of the comparison, default none.
        loss: Loss, as of `tca.Run`; default that of the task.

    Raises:
        ValueError: A name is unknown or a number is not allowed.
        TypeError: A value is of the wrong type.

    >>> RuleEntry("ebd", net={"kind": "mlp", "sizes": [32]}, lr=0.003).name
    'ebd, mlp'
    """

    rule: Any
    name: str = ""
    net: Annotated[NetworkConfig, Made(_net, str | Mapping)] | None = None
    optimizer: Annotated[Optimizer, Made(_optimizer, str | Mapping)] | None = None
    lr: Positive | None = None
    seeds: Count | None = None
    tasks: tuple[str, ...] | None = None
    task_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    loss: Any = None

    def __post_init__(self) -> None:
        """Fill in the name."""
        settle(self, rule=rule_of(self.rule), task_options=plain("task_options of an entry", self.task_options))
        settle(self, loss=None if self.loss is None else loss_of(self.loss))
        if not self.name:
            title = self.rule if isinstance(self.rule, str) else self.rule.title
            settle(self, name=title if self.net is None else f"{title}, {self.net.kind}")

    def to_json(self) -> str | dict[str, Any]:
        """Return the entry as `entries_of` takes it; a rule without settings of its own as its name."""
        if self == RuleEntry(self.rule):
            return rule_values(self.rule) if isinstance(self.rule, str) else {"rule": rule_values(self.rule)}
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        values["rule"] = rule_values(self.rule)
        values["net"] = self.net and self.net.to_json()
        values["loss"] = None if self.loss is None else loss_values(self.loss)
        values["optimizer"] = self.optimizer and dataclasses.asdict(self.optimizer)
        values = {name: value for name, value in values.items() if value not in (None, {})}
        return plain("entry", values)


def entries_of(
    given: str | Sequence[str | Mapping[str, Any] | RuleEntry], *, trusted: bool = True
) -> tuple[RuleEntry, ...]:
    """Return the entries of a comparison.

    Args:
        given: Names of rules separated by commas, or a sequence of names and mappings, see `RuleEntry`.
        trusted: Whether modules outside of the library that entries name may be imported, default yes.

    Raises:
        ValueError: A name is unknown or comes twice, or a value is not allowed.
        TypeError: A value is of the wrong type.

    >>> [each.name for each in entries_of(["bptt", {"rule": "ebd", "lr": 0.01, "name": "EBD, fast"}])]
    ['bptt', 'EBD, fast']
    """
    listed = given.replace(",", " ").split() if isinstance(given, str) else list(given)
    entries = tuple(dict.fromkeys(_entry(each, trusted) for each in listed))
    names = [each.name for each in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"entries of rules must have different names, got {name!r} twice: give one another name")
    if not entries:
        raise ValueError(f"rules must hold at least one name, got {given!r}")
    return entries


def _entry(given: str | Mapping[str, Any] | RuleEntry, trusted: bool) -> RuleEntry:
    if isinstance(given, RuleEntry):
        return given
    if not isinstance(given, str | Mapping):
        raise ValueError(f"an entry of rules must be a name or a mapping with a rule, got {given!r}")
    if isinstance(given, str):
        return RuleEntry(rule_of(given, trusted=trusted))
    fields = dict.fromkeys(each.name for each in dataclasses.fields(RuleEntry))
    for name in given:
        lookup(fields, name, "key of an entry of rules")
    if "rule" not in given:
        raise ValueError(f"an entry of rules must have the key 'rule', got {sorted(given)}")
    given = dict(given)
    if isinstance(given.get("net"), Mapping):
        given["net"] = network_values(given["net"])
    if isinstance(given.get("optimizer"), str | Mapping):
        given["optimizer"] = optimizer_values(given["optimizer"])
    import_parts(given, trusted=trusted)
    return RuleEntry(**{**given, "rule": rule_of(given["rule"], trusted=trusted)})
