"""Updates on a CUDA device as two graphs: from a batch to its gradients, and from there to the weights.

A replay runs no Python. All that an update needs from there enters by tensors that the graphs take: trials and private
noise, and after the host has read losses and norms, once as in every update, the factor that clips and the learning
rates. Every shape of batches has graphs of its own.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tca.batch import Batch
from tca.experiments.config.components import Optimizer
from tca.experiments.training.update import Updates
from tca.info import Info
from tca.learner import Learner
from tca.losses.loss import foreign
from tca.nets.deep_r import RewiredPopulation
from tca.utils.cuda_graphs import EAGER, SHAPES, Captured, CudaGraphs, graphs_on, warn_refused
from tca.utils.deferred_checks import DeferredChecks, deferred
from tca.utils.numerics import lasting

__all__ = ["CapturedUpdates", "capturable", "of_library", "updates_of"]

IN_TENSORS = {"Adam", "AdamW", "SGD"}  # fused optimizers that take the learning rate from a tensor
PARTS = ("inputs", "targets", "weights", "decisions", "lengths")

Shape = tuple[object, ...]


def updates_of(learner: Learner, chosen: Optimizer, steps: int, seed: int) -> Updates:
    """Return the updates of a run, captured in CUDA graphs where they can be and `TCA_GRAPHS` does not forbid it.

    Args:
        learner: The learner.
        chosen: Optimizer, with its controls of the step.
        steps: Number of all updates of the run.
        seed: Seed of another rule whose step size is matched.
    """
    graphs = graphs_on(next(learner.net.parameters()).device)
    if graphs is None or not capturable(learner, chosen):
        return Updates(learner, chosen, steps, seed)
    return CapturedUpdates(learner, chosen, steps, seed, graphs)


def capturable(learner: Learner, chosen: Optimizer) -> bool:
    """Return whether updates keep nothing outside of tensors of the device that changes from one to the next.

    Rules state it (`tca.Rule.capturable`). Rewiring, and control of the step by another rule or by ascent, do. Of parts
    that are not the library's it is not known.
    """
    rewired = any(isinstance(each, RewiredPopulation) and each.rewiring for each in learner.net.modules())
    own = not any(map(foreign, (learner.rule.signal, learner.rule.eligibility)))
    own = own and of_library(learner.net)
    return learner.rule.capturable and own and not rewired and chosen.matched is None and chosen.sam is None


def of_library(net: nn.Module) -> bool:
    """Return whether the modules and cells of a network are those of the library, of which it is known what they keep.

    >>> import tca
    >>> of_library(tca.nets.LeakyRNN(1, 4, 2)), of_library(nn.Linear(1, 2))
    (True, False)
    """

    def own(module: nn.Module) -> bool:
        library = type(module).__module__.startswith("tca.") or isinstance(module, nn.ModuleList)
        return library and not any(map(foreign, vars(module).values()))

    return all(map(own, net.modules()))


class CapturedUpdates(Updates):
    """The updates of a run, which graphs replay after the first ones of a shape of batches.

    Args:
        graphs: The means to capture work on the device.

    Warns:
        CaptureWarning: They cannot be captured; they go on without graphs.
    """

    def __init__(self, learner: Learner, chosen: Optimizer, steps: int, seed: int, graphs: CudaGraphs) -> None:
        super().__init__(learner, chosen, steps, seed)
        self.graphs, self.passes = graphs, "updates in CUDA graphs"
        self._made: Counter[Shape] = Counter()
        self._captured: dict[Shape, CapturedUpdate] = {}

    @lasting
    def make(self, batch: Batch, step: int) -> str:
        shape = _shape(batch)
        if shape not in self._captured and self._may_capture(batch):
            self._made[shape] += 1
            if self._made[shape] <= EAGER:
                return self.graphs.aside(lambda: super(CapturedUpdates, self).make(batch, step))
            try:
                self._captured[shape] = CapturedUpdate(self, batch)
            except RuntimeError as error:
                self.passes, self.refused = "", True
                warn_refused("updates", error)
        found = self._captured.get(shape)
        return super().make(batch, step) if found is None or not found.fits(batch) else found.make(batch, step)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state, whose tensors are in no graph.

        Args:
            state: Value of ``state``.
        """
        super().restore(state)
        self._captured.clear()

    def _may_capture(self, batch: Batch) -> bool:
        room = len(self._captured) < SHAPES and not self.refused
        return room and batch.start is None and not foreign(batch.loss)


class CapturedUpdate:
    """The two graphs of an update with batches of one shape.

    Args:
        updates: The updates of the run.
        batch: A batch of that shape.

    Raises:
        RuntimeError: The update cannot be captured.
    """

    def __init__(self, updates: CapturedUpdates, batch: Batch) -> None:
        self.updates, self.learner, net = updates, updates.learner, updates.net
        self.training = net.training
        copies: dict[str, Any] = {name: _copied(getattr(batch, name)) for name in PARTS}
        self.batch = dataclasses.replace(batch, info={}, **copies)
        self.noise = _copied(copy.deepcopy(net).draw_noise(batch.steps, batch.trials))  # the run draws none for it
        held = [*net.parameters(), *net.buffers(), *self.learner.buffers.values()]
        _ = self.batch.padded  # read here: within a capture the host reads no value
        self.pass_ = Captured(updates.graphs, self._to_gradients, held)
        self.outputs, self.checks, self.gradients, self.numbers = self.pass_.result
        self._hand_over()
        groups = updates.optimizer.param_groups
        self.factor = self.gradients[0].new_ones(())
        self.rates = [torch.ones_like(self.factor, dtype=torch.float32) for _ in groups]
        self.step_: Captured[None] | None = None
        if updates.chosen.name in IN_TENSORS and all(group["fused"] for group in groups):
            moments = [each for its in updates.optimizer.state.values() for each in its.values()]
            state = [*held, *self.gradients, *(each for each in moments if isinstance(each, Tensor))]
            with _in_tensors(groups, self.rates):
                self.step_ = Captured(updates.graphs, self._to_weights, state)

    def fits(self, batch: Batch) -> bool:
        """Return whether a batch of the shape has the captured loss, and the network draws noise as it did."""
        same = batch.loss is self.batch.loss or batch.loss == self.batch.loss
        return same and batch.start is None and self.updates.net.training == self.training

    def make(self, batch: Batch, step: int) -> str:
        """Make one update, see `Updates.make`.

        Args:
            step: Number of the update, from 0.
        """
        self.learner._check(batch, None)
        self._fill_(batch, self.learner._drawn(batch))
        self.pass_.replay()
        numbers = self.numbers.tolist()  # the only wait
        count = len(numbers) - len(self.checks.flags)
        self.checks.act(numbers[count:])
        self._hand_over()
        updates, sizes, info = self.updates, numbers[:count], Info(self.batch, self.outputs)
        if self.step_ is None:
            return updates.take(info, sizes, step)
        if trouble := updates.trouble(info, sizes, step):
            return trouble
        self.factor.fill_(updates.clipped(sizes))
        updates.schedule_(step)
        for rate, group in zip(self.rates, updates.optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        self.step_.replay()
        return ""

    def _fill_(self, batch: Batch, noise: Tensor | None) -> None:
        """Copy trials and noise to where the graph takes them."""
        for name in PARTS:
            if (part := getattr(self.batch, name)) is not None:
                part.copy_(getattr(batch, name))
        if self.noise is not None and noise is not None:
            self.noise.copy_(noise)

    def _to_gradients(self) -> tuple[Tensor, DeferredChecks, list[Tensor], Tensor]:
        """Return outputs, checks, gradients, and the numbers that the host reads: witness, norms and flags."""
        with deferred() as checks:
            found, info = self.learner._advance(self.batch, self.noise)
        gradients = [found[name] for name, each in self.updates.net.named_parameters() if each.requires_grad]
        scalars = [info.witness, *torch._foreach_norm(gradients), *checks.flags]
        return info.outputs, checks, gradients, torch.stack([each.double() for each in scalars])

    def _hand_over(self) -> None:
        """Make the gradients of the graph those of the parameters."""
        learning = [each for each in self.updates.parameters if each.requires_grad]
        for parameter, gradient in zip(learning, self.gradients, strict=True):
            parameter.grad = gradient

    def _to_weights(self) -> None:
        """Clip the gradients, take the step of the optimizer and project."""
        if self.updates.chosen.clip is not None:
            torch._foreach_mul_(self.gradients, self.factor)
        self.updates.optimizer.step()
        self.updates.settle_()


@contextlib.contextmanager
def _in_tensors(groups: list[dict[str, Any]], rates: list[Tensor]) -> Iterator[None]:
    """Let an optimizer take its learning rates from tensors within."""
    before = [dict(group) for group in groups]
    for group, rate in zip(groups, rates, strict=True):
        group.update(lr=rate, capturable=True)
    try:
        yield
    finally:
        for group, its in zip(groups, before, strict=True):
            group.clear()
            group.update(its)


def _shape(batch: Batch) -> Shape:
    """Return the properties that batches of one capture have in common."""
    parts = (getattr(batch, name) for name in PARTS)
    return batch.padded, *(None if each is None else (each.shape, each.dtype) for each in parts)


def _copied(part: Tensor | None) -> Tensor | None:
    return None if part is None else part.clone()
