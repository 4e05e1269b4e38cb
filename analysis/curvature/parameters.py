"""Chosen parameters of a network as one flat vector, missing synapses left out.

Shapes: P chosen parameters that exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

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


def choose(net: Network, names: str | Sequence[str]) -> Parameters:
    """Return the chosen parameters of a network at their present values.

    Args:
        net: The network.
        names: A name, several names, or ``"all"``. In a network of several populations the part of a name before or
            behind its last dot stands for all that have it: ``"w_rec"`` for the recurrent weights of every population.

    Raises:
        ValueError: A name is unknown or comes twice, none is given, or none of the synapses exists.

    >>> from tca.nets import LeakyRNN
    >>> net = LeakyRNN(2, 3, 1, autapses=False)
    >>> choose(net, ["w_rec", "b"]).flat().shape
    torch.Size([9])
    """
    connections = {each.name: each for each in net.connections()}
    groups = {name: [name] for name in connections}
    for name in (each for each in connections if "." in each):
        for part in name.rsplit(".", 1):
            groups.setdefault(part, []).append(name)
    given = list(connections) if names == "all" else [names] if isinstance(names, str) else list(names)
    if not given:
        raise ValueError("parameters must hold at least one name, got none")
    chosen = [each for name in given for each in lookup({**groups, "all": ["all"]}, name, "parameter")]
    if len(set(chosen)) < len(chosen) or "all" in chosen:
        raise ValueError(f"parameters must be different names, or 'all' by itself, got {given}")
    own = [connections[name] for name in chosen]
    existing = tuple(None if each.mask is None else each.mask.flatten().nonzero().squeeze(1) for each in own)
    parameters = Parameters(tuple(chosen), tuple(each.effective() for each in own), existing)
    if not parameters.flat().numel():
        raise ValueError(f"parameters {chosen} hold no existing synapse")
    return parameters
