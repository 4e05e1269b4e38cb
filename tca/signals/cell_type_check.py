"""Check of cell-type-specific rules: mean weights by type must not vanish."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from tca.eligibilities import TypePropagation
from tca.signals import TypeReturn
from tca.tape.weight_estimates import BlockMean, SynapseMean

__all__ = ["CellTypesWarning", "TypedWeights", "by_type", "typeless", "warn_if_typeless"]

BY_TYPE = (SynapseMean, BlockMean, TypePropagation, TypeReturn)
ERRORS = 4.0  # standard errors within which a mean weight counts as zero
TypedWeights = tuple[Tensor, Tensor | None, Tensor]  # recurrent weights, mask and cell types of a population


class CellTypesWarning(UserWarning):
    """A cell-type-specific rule meets mean weights indistinguishable from zero."""


def by_type(part: Any) -> bool:
    """Return whether a rule reads recurrent weights by cell-type means.

    >>> from tca.rules import RULES
    >>> [name for name, rule in RULES.items() if by_type(rule)]
    ['mdgl', 'nl_mdgl', 'mdgl_online', 'mdgl_one_hop', 'modprop']
    """
    if isinstance(part, BY_TYPE):
        return True
    if not dataclasses.is_dataclass(part):
        return isinstance(part, tuple) and any(map(by_type, part))
    return any(by_type(getattr(part, each.name)) for each in dataclasses.fields(part))


def typeless(populations: Iterable[TypedWeights]) -> bool:
    """Return whether all mean recurrent weights by type are zero within chance.

    The means over the existing synapses from one type to another are compared with four standard errors of each.

    Args:
        populations: Recurrent weights, mask and cell types of each population; ``False`` without any.

    >>> from tca.nets import LeakyRNN
    >>> nets = LeakyRNN(2, 64, 1), LeakyRNN(2, 64, 1, cell_types=(0.8, 0.2), dale=(1, -1))
    >>> tuple(typeless(net.typed_weights()) for net in nets)
    (True, False)
    """
    found = [_chance(*each) for each in populations]
    return bool(found) and all(found)


def warn_if_typeless(rule: Any, populations: Iterable[TypedWeights]) -> None:
    """Warn if a cell-type-specific rule meets a network without effective types.

    Warns:
        CellTypesWarning: All mean recurrent weights by type are zero within chance.
    """
    if by_type(rule) and typeless(populations):
        warnings.warn(
            "this rule sees recurrent weights by their mean for each pair of cell types, and here these are zero but "
            "for chance, so that it is e-prop to a percent or two: give the network types that differ in sign, such as "
            "cell_types=(0.8, 0.2), dale=(1, -1)",
            CellTypesWarning,
            stacklevel=3,
        )


def _chance(weights: Tensor, mask: Tensor | None, types: Tensor) -> bool:
    exists = torch.ones_like(weights) if mask is None else mask.to(weights)
    members = torch.nn.functional.one_hot(types).to(weights)
    count, total, squares = (
        members.mT @ each @ members for each in (exists, weights * exists, weights.square() * exists)
    )
    mean = total / count.clamp(min=1)
    error = ((squares / count.clamp(min=1) - mean.square()).clamp(min=0) / count.clamp(min=1)).sqrt()
    return bool((mean.abs() <= ERRORS * error).all())
