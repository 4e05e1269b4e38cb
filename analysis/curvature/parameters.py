"""Chosen parameters of a network or module as one flat vector, missing synapses left out.

Shapes: P chosen parameters that exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from tca.nets import Network
from tca.utils.names import lookup

__all__ = ["Parameters", "choose"]


@dataclass(frozen=True, eq=False)
class Parameters:
    """Some parameters of a network, and the way to and from a flat vector.

    A synapse that a mask rules out is no parameter: it would add an eigenvalue of zero to every Hessian.

    Attributes:
        names: Their names.
        values: Their values at the point in question.
        existing: Flat indices of the synapses that exist, ``None`` where all do.
    """

    names: tuple[str, ...]
    values: tuple[Tensor, ...]
    existing: tuple[Tensor | None, ...]

    def flat(self) -> Tensor:
        """Return the existing parameters as a vector, shape ``(P,)``."""
        return self.gather(dict(zip(self.names, self.values, strict=True)))

    def gather(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the entries of existing parameters as a vector, shape ``(P,)``.

        Args:
            tensors: Tensors in the shapes of the parameters by name, such as gradients; others are passed over.
        """
        flat = [tensors[name].flatten() for name in self.names]
        return torch.cat(
            [each if index is None else each[index] for each, index in zip(flat, self.existing, strict=True)]
        )

    def slices(self) -> dict[str, slice]:
        """Return where each parameter lies in the vector."""
        ends = list(accumulate(self._counts()))
        return {name: slice(end - n, end) for name, n, end in zip(self.names, self._counts(), ends, strict=True)}

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the parameters that a vector stands for, differentiable in the vector.

        Args:
            flat: The vector, shape ``(P,)``.
        """
        parts = torch.split(flat, self._counts())
        return {
            name: (part if index is None else value.flatten().index_copy(0, index, part)).view_as(value)
            for name, part, (value, index) in zip(self.names, parts, self._pairs(), strict=True)
        }

    def _counts(self) -> list[int]:
        return [value.numel() if index is None else len(index) for value, index in self._pairs()]

    def _pairs(self) -> list[tuple[Tensor, Tensor | None]]:
        return list(zip(self.values, self.existing, strict=True))


def choose(net: nn.Module, names: str | Sequence[str] | None = None) -> Parameters:
    """Return the chosen parameters of a network or module at their present values.

    Args:
        net: The network, or any module.
        names: A name, several names, or ``"all"``. A prefix, such as ``"encoder"`` or ``"layers.0"``, stands for all
            parameters below it, and the last part of a name for all that have it: ``"w_rec"`` for the recurrent weights
            of every population. ``None`` (default) for the recurrent weights, ``w_rec`` of a network and ``weight_hh``
            of the recurrent layers of PyTorch; where there are none, for all that are trained, or for all.

    Raises:
        ValueError: A name is unknown or comes twice, none is given, or none of the synapses exists.
        TypeError: A chosen parameter holds complex numbers or integers.

    >>> from tca.nets import LeakyRNN
    >>> choose(LeakyRNN(2, 3, 1, autapses=False), ["w_rec", "b"]).flat().shape
    torch.Size([9])
    >>> choose(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), "2").names
    ('2.weight', '2.bias')
    """
    synapses = {each.name: each for each in net.connections()} if isinstance(net, Network) else {}
    own = {name: each.detach() for name, each in net.named_parameters()}
    own = {name: each.effective() for name, each in synapses.items()} | {
        name: each for name, each in own.items() if name not in synapses
    }
    chosen = _named(net, tuple(own), names)
    wrong = [name for name in chosen if not own[name].is_floating_point()]
    if wrong:
        raise TypeError(f"parameters must be real numbers, got {own[wrong[0]].dtype} of {wrong[0]!r}: see view_as_real")
    masks = [synapses[name].mask if name in synapses else None for name in chosen]
    existing = tuple(None if each is None else each.flatten().nonzero().squeeze(1) for each in masks)
    parameters = Parameters(chosen, tuple(own[name] for name in chosen), existing)
    if not parameters.flat().numel():
        raise ValueError(f"parameters {list(chosen)} hold no existing synapse")
    return parameters


def _named(net: nn.Module, own: Sequence[str], names: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of parameters that names, prefixes and last parts stand for."""
    if not own:
        raise ValueError(f"net must have parameters, got none in {type(net).__name__}")
    if names is None:
        return _default(net, own)
    if names == "all":
        return tuple(own)
    given = [names] if isinstance(names, str) else list(names)
    if not given:
        raise ValueError("parameters must hold at least one name, got none")
    alike = {id(each): name for name, each in net.named_parameters()}
    first = {name: alike[id(each)] for name, each in net.named_parameters(remove_duplicate=False)}  # of tied weights
    first |= {name: name for name in own}
    groups: dict[str, list[str]] = {}
    for name in (each for each in first if "." in each):
        parts = name.split(".")
        for part in (*accumulate(parts[:-1], "{}.{}".format), parts[-1]):
            groups.setdefault(part, []).append(name)
    known = groups | {name: [name] for name in first} | {"all": ["all"]}
    chosen = [each for name in given for each in lookup(known, name, "parameter")]
    if len(set(chosen)) < len(chosen) or "all" in chosen:
        raise ValueError(f"parameters must be different names, or 'all' by itself, got {given}")
    return tuple(dict.fromkeys(first[name] for name in chosen))


def _default(net: nn.Module, own: Sequence[str]) -> tuple[str, ...]:
    if isinstance(net, Network):
        return net.default_parameters()
    named = dict(net.named_parameters())
    recurrent = tuple(
        f"{name}.{each}".lstrip(".")
        for name, module in net.named_modules()
        if isinstance(module, nn.RNNBase | nn.RNNCellBase)
        for each, _ in module.named_parameters(recurse=False)
        if each.startswith("weight_hh")
    )
    return recurrent or tuple(name for name in own if named[name].requires_grad) or tuple(own)
