"""Networks at given training losses between two measurements, by replay and bisection of updates."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tca.experiments.records.result import Metrics

if TYPE_CHECKING:
    from tca.experiments.training.training_loop import TrainingLoop

__all__ = ["TOLERANCE", "Crossed", "cross"]

TOLERANCE = 0.01  # relative, of the loss
HALVINGS = 40  # of the last update, whose loss may jump


@dataclasses.dataclass(frozen=True)
class Crossed:
    """A network at a loss.

    Attributes:
        metrics: Measurement of the network; ``metrics.step`` counts the update that crossed the loss.
        net: State of the network.
        learner: State of the learner.
    """

    metrics: Metrics
    net: Mapping[str, Tensor]
    learner: Mapping[str, Tensor]


def cross(loop: TrainingLoop, before: Mapping[str, Any], last: Metrics, loss: float) -> Crossed:
    """Return the network at a training loss, within 1 %.

    The updates since the last measurement are replayed in a copy of the loop, and bisected until one ends within 1 % of
    the loss; each replay begins at the last state known to be above it. If a single update jumps over it, the update is
    shortened to ``theta + a (theta' - theta)``, with ``a`` by bisection, and the state of the learner is that of the
    whole update. If the loss jumps along the update, as it may with spiking cells, the first weights below it are
    returned. The loop itself does not change.

    Args:
        before: Its state at the previous measurement, at a training loss above.
        last: Last measurement, at a training loss of at most the loss.
    """
    if _close(last.train_loss, loss):
        return Crossed(last, _copied(loop.net.state_dict()), _copied(loop.learner.state_dict()))
    search = _Search(loop, before)
    low, high = int(before["step"]), loop.step
    while high - low > 1:
        middle = (low + high) // 2
        found = search.loss_after(middle)
        if _close(found, loss):
            return search.found()
        if found <= loss:
            high = middle
        else:
            low = middle
            search.begin_here()
    search.shorten(low, high, loss)
    return search.found()


class _Search:
    """Replay of updates in a copy of a training loop."""

    def __init__(self, loop: TrainingLoop, before: Mapping[str, Any]) -> None:
        self.copy, self.before = loop.copied(), before

    def loss_after(self, step: int) -> float:
        """Return the training loss after the updates up to a step."""
        self._replay(step)
        return self.copy.train_loss()

    def begin_here(self) -> None:
        """Begin later replays at the present state."""
        self.before = copy.deepcopy(self.copy.state())

    def _replay(self, step: int) -> None:
        """Make the updates up to a step again."""
        self.copy.restore(copy.deepcopy(self.before))  # since optimizers update the tensors that they load
        if step > self.copy.step:
            self.copy.block(step - self.copy.step, lambda: None)

    def shorten(self, low: int, high: int, loss: float) -> None:
        """Shorten the update from one step to the next so that it ends at the loss."""
        self._replay(low)
        start = _copied(dict(self.copy.net.named_parameters()))
        self._replay(high)
        end = _copied(dict(self.copy.net.named_parameters()))
        above, below = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = (above + below) / 2
            found = self._at(start, end, middle)
            if _close(found, loss):
                return
            above, below = (above, middle) if found <= loss else (middle, below)
        self._at(start, end, below)

    @torch.no_grad()
    def _at(self, start: Mapping[str, Tensor], end: Mapping[str, Tensor], part: float) -> float:
        """Return the training loss at an interpolation of the weights."""
        for name, each in self.copy.net.named_parameters():
            each.copy_(torch.lerp(start[name], end[name], part))
        self.copy.net.project_()
        return self.copy.train_loss()

    def found(self) -> Crossed:
        """Return the network of the copy."""
        net, learner = (_copied(each.state_dict()) for each in (self.copy.net, self.copy.learner))
        return Crossed(dataclasses.replace(self.copy.measured({}), elapsed=math.nan), net, learner)


def _close(found: float, loss: float) -> bool:
    return abs(found - loss) <= TOLERANCE * abs(loss)


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in state.items()}
