"""The tape of an ensemble of leaky networks: one forward pass of several networks, each through its own trials.

Shapes: S networks, T time, B batch, N cells, O outputs, C consecutive steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tca.batch import Batch
from tca.tape.leaky_tape import LeakyTape

__all__ = ["EnsembleTape"]


@dataclass(frozen=True, eq=False, kw_only=True)
class EnsembleTape(LeakyTape):
    """One forward pass of S leaky networks with the same constants.

    Tensors have an axis of networks before that of trials: rates ``(T + 1, S, B, N)``, output errors
    ``(T + 1, S, B, O)``, weights ``(S, N, N)``. In memory networks come first, so that each has a
    contiguous tape of its own, and products and compiled passes take all of them without copies.

    Attributes:
        network: Returns the tape of one network, a view, by its number.
        batches: The trials of every network, of as many steps as the tape; none before the errors.
    """

    network: Callable[[EnsembleTape, int], LeakyTape]
    batches: tuple[Batch, ...] = ()

    @cached_property
    def networks(self) -> tuple[LeakyTape, ...]:
        """The tapes of the networks."""
        return tuple(self.network(self, index) for index in range(self.rate.shape[1]))

    @cached_property
    def lengths(self) -> Tensor | None:
        """Steps of every trial without padding, shape ``(S, B)``; ``None`` if no trial is padded."""
        if not any(each.padded for each in self.batches):
            return None
        return torch.stack([each.trial_lengths for each in self.batches])

    @cached_property
    def over(self) -> Tensor | None:
        """Steps after the end of their trial, boolean, shape ``(T + 1, S, B)``; ``None`` if no trial is padded."""
        if self.lengths is None:
            return None
        return torch.arange(self.steps + 1, device=self.lengths.device).view(-1, 1, 1) > self.lengths

    def windows(self) -> Iterator[slice]:
        """Yield windows in which the steps of one network fit the cache, since products go network by network."""
        return self.network(self, 0).windows()

    def transmit_(self, t: int, into: Tensor, later: Tensor) -> None:
        before, now = self._activities[t - 1], self._activities[t]
        self._return_(before, now, into, later, torch.bmm, self.transmission, self._scratch)

    def scale_gain_(self, gradient: Tensor) -> None:
        gain = self.gain
        gradient.mul_(gain.view(-1, *[1] * (gradient.ndim - 2)) if isinstance(gain, Tensor) else gain)

    def _networks_first(self, values: Tensor) -> Tensor:
        return values.transpose(0, 1)

    @cached_property
    def _own_transmission(self) -> Tensor:
        return self.transmission.diagonal(dim1=1, dim2=2).unsqueeze(1)
