"""Properties of rules as numbers and facts: differences, horizon, locality, padding, order of cells.

Shapes: T time, B batch, N cells, O outputs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tca.batch import Batch
from tca.execution import EXECUTIONS
from tca.learner import Learner
from tca.nets import Network

__all__ = [
    "HorizonAt", "alone", "appended", "autograd_gradient", "horizons", "largest_difference", "permuted",
    "reads_other_synapses", "relative", "uneven",
]  # fmt: skip


def relative(found: Tensor, wanted: Tensor) -> float:
    """Return the relative difference of two tensors, infinity where zero is wanted and something else came.

    >>> relative(torch.tensor([1.1, 0.0]), torch.tensor([1.0, 0.0])) - 0.1 < 1e-6
    True
    """
    difference, scale = float((found - wanted).norm()), float(wanted.norm())
    return 0.0 if difference == 0 else difference / scale if scale else float("inf")


def largest_difference(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[float, str]:
    """Return the largest relative difference over parameters, and the parameter."""
    differences = {name: relative(found[name], each) for name, each in wanted.items()}
    worst = max(differences, key=lambda name: differences[name] if differences[name] >= 0 else float("inf"))
    return differences[worst], worst


def autograd_gradient(net: Network, batch: Batch) -> dict[str, Tensor]:
    """Return the gradient of the loss of a batch by autograd, by parameter."""
    parameters = {name: each.detach().requires_grad_() for name, each in net.named_parameters()}
    loss = batch.loss.mean(net.functional(parameters, batch.inputs), batch.targets, batch.weights)
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(parameters, found, strict=True))


@dataclass(frozen=True)
class HorizonAt:
    """How a learning signal of a step depends on targets.

    Args:
        step: The step t, from 1.
        beyond: Whether it changes with targets after the declared horizon.
        within: Whether it changes with the last target within.
    """

    step: int
    beyond: bool
    within: bool


def horizons(learner: Learner, batch: Batch, steps: Iterable[int] | None = None) -> Iterator[HorizonAt]:
    """Yield for some steps, default all, on which targets the learning signals depend, bit for bit."""

    def changed(t: int, moved: slice) -> bool:
        targets = batch.targets.clone()
        targets[moved] += 1
        after = learner.signals(replace(batch, targets=targets))
        return not all(torch.equal(after[name][t], each[t]) for name, each in before.items())

    before, horizon = learner.signals(batch), learner.rule.signal.horizon
    for t in range(1, batch.steps + 1) if steps is None else steps:
        last = batch.steps if horizon is None else min(t + horizon, batch.steps)
        yield HorizonAt(t, changed(t, slice(last, None)), changed(t, slice(last - 1, last)))


def reads_other_synapses(learner: Learner, batch: Batch, change: float = 0.5) -> list[bool]:
    """Return for each execution whether gradients change with synapses between other cells once activity is fixed."""
    tape, rule = learner.tape(batch), learner.rule
    recurrent = tape.recurrence.weights
    between = change * (1 - torch.eye(len(recurrent), dtype=recurrent.dtype, device=recurrent.device))
    other = tape.with_recurrent(recurrent + between)
    changed = []
    for execute in (EXECUTIONS[each] for each in rule.executions):
        one, two = (execute(rule.signal, rule.eligibility, each, learner.state_dict()) for each in (tape, other))
        changed.append(not all(torch.equal(one[name], two[name]) for name in one))
    return changed


def uneven(batch: Batch, *lengths: int) -> Batch:
    """Return the batch with as many steps in each trial; the second step, as in a delay, has no weight."""
    weights = batch.weights + 0.1
    weights[1] = 0
    ends = torch.tensor(lengths, dtype=torch.int64, device=weights.device)
    weights *= torch.arange(batch.steps, device=weights.device).unsqueeze(1) < ends
    return replace(batch, weights=weights)


def appended(batch: Batch, steps: int) -> Batch:
    """Return the batch with more steps without weight, and other inputs and targets after the end of each trial."""
    generator = torch.Generator().manual_seed(23)
    shape = (batch.steps + steps, *batch.inputs.shape[1:])
    inputs = 3 * torch.randn(shape, dtype=batch.inputs.dtype, generator=generator, device="cpu").to(batch.inputs.device)
    targets = torch.cat([batch.targets, batch.targets.flip(0), batch.targets])[: len(inputs)].roll(1, 1)
    inside = batch.inside
    inputs[: batch.steps][inside] = batch.inputs[inside]
    targets[: batch.steps][inside] = batch.targets[inside]

    def longer(part: Tensor) -> Tensor:
        return torch.cat([part, part.new_zeros(steps, batch.trials)])

    decisions = None if batch.decisions is None else longer(batch.decisions)
    return replace(batch, inputs=inputs, targets=targets, weights=longer(batch.weights), decisions=decisions)


def alone(batch: Batch, trial: int) -> Batch:
    """Return one trial by itself, without any padding."""
    steps = int(batch.trial_lengths[trial])
    one = batch.select(slice(trial, trial + 1))
    return replace(one, inputs=one.inputs[:steps], targets=one.targets[:steps], weights=one.weights[:steps])


def permuted(values: Mapping[str, Tensor], order: Tensor, single: Collection[str] = ()) -> dict[str, Tensor]:
    """Return tensors with every axis of N entries in another order.

    Args:
        values: Tensors by name, in which axes of cells have N entries.
        order: The order, shape ``(N,)``.
        single: Names of tensors of which only the first of these axes is one of cells, default none.

    >>> permuted({"w": torch.tensor([[1, 2], [3, 4]])}, torch.tensor([1, 0]))["w"].tolist()
    [[4, 3], [2, 1]]
    """
    moved = {}
    for name, value in values.items():
        axes = [axis for axis, size in enumerate(value.shape) if size == len(order)]
        for axis in axes[: 1 if name in single else None]:
            value = value.index_select(axis, order)
        moved[name] = value
    return moved
