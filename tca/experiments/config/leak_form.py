"""The form of leak of a network's configuration, as its rule needs it: on the potential (A) or on the rate (B)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tca.experiments.config.components import Leaky
from tca.experiments.config.network_config import Net
from tca.nets import NETWORKS
from tca.nets.accepted_options import options_of
from tca.rule import Rule

__all__ = ["in_form", "settled"]


def settled(net: Leaky | Net, rule: Rule) -> Leaky | Net:
    """Return a network in the form of its rule if its own is not given.

    Args:
        net: The network.
        rule: The rule.

    Raises:
        ValueError: Network and rule differ in form.

    >>> from tca.rules import RULES
    >>> settled(Leaky(), RULES["rflo"]).form, settled(Leaky(), RULES["bptt"]).form
    ('B', 'A')
    """
    found = _with_form(net, rule.form or "A", anew=False) if rule.form or isinstance(net, Leaky) else net
    for form in _forms(found):
        rule.check_form(form, "the network")
    return found


def in_form(net: Leaky | Net, form: str | None) -> Leaky | Net:
    """Return the same network in another form, unchanged for ``None``.

    Args:
        net: The network.
        form: The form.

    >>> in_form(Net("leaky_rnn", {"n_rec": 4, "form": "A"}), "B").form
    'B'
    """
    return net if form is None else _with_form(net, form, anew=True)


def _with_form(net: Leaky | Net, form: str, anew: bool) -> Leaky | Net:
    if isinstance(net, Leaky):
        return dataclasses.replace(net, form=form) if anew or net.form is None else net
    given = {} if anew else {"form": form}
    put = {"form": form} if anew else {}
    if _has_form(net):
        return dataclasses.replace(net, options={**given, **net.options, **put})
    if net.kind == "stacked_rnn":
        layers = [{**given, **each, **put} if _leaky(each) else each for each in net.options["layers"]]
        return dataclasses.replace(net, options={**net.options, "layers": layers})
    return net


def _forms(net: Leaky | Net) -> list[str]:
    """Return the forms of a network's leaky cells, given or default."""
    if isinstance(net, Leaky):
        return [net.form or "A"]
    if net.kind == "stacked_rnn":
        return [each.get("form", "A") for each in net.options["layers"] if _leaky(each)]
    return [net.options.get("form", "A")] if _has_form(net) else []


def _has_form(net: Net) -> bool:
    return net.kind in NETWORKS and "form" in options_of(NETWORKS[net.kind])


def _leaky(layer: Mapping[str, Any]) -> bool:
    return bool(layer.get("cells", "leaky") == "leaky")
