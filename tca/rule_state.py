"""The state of a rule on a network: its buffers, made, checked, saved and loaded."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from tca.nets import Network
from tca.rule import Rule
from tca.signals.cell_type_check import warn_if_typeless
from tca.signals.module_check import check_module
from tca.signals.signal import Buffers
from tca.utils.checks import Seed, checked, whole
from tca.utils.numerics import Lasting, lasting

__all__ = ["RuleState"]

APART = 0x9E3779B97F4A7C15  # separates the random numbers of a rule from those of the weights


class RuleState(Lasting):
    """A rule that fits a network, with its buffers; see `tca.Learner`.

    Attributes:
        net: The network.
        rule: The rule.
        buffers: The state of the rule by name.
    """

    def __init__(self, net: Network, rule: Rule, seed: Seed = 0) -> None:
        """Check that the rule fits the network and draw its buffers."""
        if not isinstance(rule, Rule):
            raise TypeError(f"rule must be a Rule, for example tca.RULES['eprop'], got {rule!r}")
        if not isinstance(net, Network):
            raise TypeError(f"net must be a network of tca.nets, got {type(net).__name__}")
        _check_ownership(net)
        net.check_numbers()
        self.net, self.rule = net, rule
        generator = torch.Generator().manual_seed((whole("seed", seed, 0) + APART) % 2**63)
        self.buffers: Buffers = {}
        for population in net.populations():
            check_module(rule.signal, rule.eligibility, population)
            rule.check_form(population.form, population.title)
            rule.signal.check(population)
            rule.eligibility.check(population)
            prefix = f"{population.name}." if population.name else ""
            with torch.no_grad():
                own = rule.signal.buffers(population, generator) | rule.eligibility.buffers(population, generator)
            self.buffers |= {prefix + name: each for name, each in own.items()}
        warn_if_typeless(rule, net.typed_weights())

    @lasting
    def state_dict(self) -> dict[str, Tensor]:
        """Return the state of the rule; together with the network's it resumes learning exactly."""
        return {name: buffer.clone() for name, buffer in self.buffers.items()}

    @lasting
    @checked
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the state of the rule.

        Args:
            state: A result of ``state_dict``.

        Raises:
            ValueError: The names or shapes are not those of this learner.
        """
        if {name: each.shape for name, each in state.items()} != {
            name: each.shape for name, each in self.buffers.items()
        }:
            raise ValueError(f"state must hold {_shapes(self.buffers)}, got {_shapes(state)}")
        for name, buffer in self.buffers.items():
            buffer.copy_(state[name])


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(each.shape) for name, each in state.items()}


def _check_ownership(net: Network) -> None:
    owned = [id(connection.weight) for connection in net.connections()]
    for name, parameter in net.named_parameters():
        if owned.count(id(parameter)) != 1:
            raise ValueError(
                f"parameter {name!r} belongs to {owned.count(id(parameter))} connections; "
                "each must belong to exactly one"
            )
