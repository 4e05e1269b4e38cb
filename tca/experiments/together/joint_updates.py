"""The updates of several runs, whose optimizers take the steps of stacked parameters.

Shapes: S runs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tca.execution import Gradients
from tca.experiments.training.update import Updates
from tca.info import Info
from tca.utils.deferred_checks import DeferredChecks
from tca.utils.numerics import Lasting, lasting

__all__ = ["JointUpdates"]

# Optimizers whose steps of a number depend on its own gradients and on the count of steps alone.
ELEMENTWISE = {"Adadelta", "Adagrad", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSprop", "SGD"}


class JointUpdates(Lasting):
    """Updates of runs that have made as many, with one step of an optimizer for consecutive runs of equal settings.

    The state of the runs' own optimizers becomes views of stacked tensors.

    Args:
        updates: The updates of each run.
        parameters: The stacked parameters, by name; those of the runs are views of them.
    """

    def __init__(self, updates: Sequence[Updates], parameters: Mapping[str, Tensor]) -> None:
        self.updates, self.parameters = tuple(updates), parameters
        self._parts: list[Part] = []

    @lasting
    def take(
        self, gradients: Gradients, infos: Sequence[Info], witnesses: Tensor, checks: DeferredChecks, step: int
    ) -> list[str]:
        """Make the update of every run; return the reasons of those whose numbers are not finite, else ``""``.

        Args:
            gradients: Stacked gradients, by the name of the parameter.
            infos: Batch and outputs of each run.
            witnesses: Their witnesses, shape ``(S,)``.
            checks: Checks of the pass that have not been read.
            step: Number of the update, from 0.
        """
        norms = [torch.linalg.vector_norm(each.flatten(1), dim=1) for each in gradients.values()]
        rows = _read(torch.stack([witnesses, *norms], 1), checks)
        finite = all(math.isfinite(sum(sizes)) for sizes in rows)
        if not finite or not all(each.chosen.name in ELEMENTWISE for each in self.updates):
            return self._one_by_one(gradients, infos, rows, step)
        factors = [each.clipped(sizes) for each, sizes in zip(self.updates, rows, strict=True)]
        if any(each != 1.0 for each in factors):
            by_run = witnesses.new_tensor(factors)
            for each in gradients.values():
                each.mul_(by_run.view(-1, *[1] * (each.ndim - 1)))
        self._parts = self._parts or self._together()
        for own in self.updates:
            own.schedule_(step)
        for part in self._parts:
            part.step(gradients)
        for own in self.updates:
            own.settle_()
        return [""] * len(self.updates)

    def release(self) -> None:
        """Let every optimizer own its state again."""
        for part in self._parts:
            part.release()
        self._parts = []

    def _one_by_one(
        self, gradients: Gradients, infos: Sequence[Info], rows: Sequence[Sequence[float]], step: int
    ) -> list[str]:
        """Make the updates by the optimizers of the runs."""
        self.release()
        found = []
        for s, (each, info, sizes) in enumerate(zip(self.updates, infos, rows, strict=True)):
            for name, parameter in each.net.named_parameters():
                parameter.grad = gradients[name][s] if name in gradients else None
            found.append(each.take(info, sizes, step))
        return found

    def _together(self) -> list[Part]:
        """Return consecutive runs that may share an optimizer."""
        parts, first = [], 0
        for _, members in itertools.groupby(self.updates, key=_settings):
            part = Part(list(members), self.parameters, first)
            parts.append(part)
            first = part.rows.stop
        return parts


def _read(sizes: Tensor, checks: DeferredChecks) -> list[list[float]]:
    """Return the numbers of every run after acting on the checks; the only wait of an update."""
    flags = [each.to(sizes.dtype).view(1) for each in checks.flags]
    numbers, width = torch.cat([sizes.flatten(), *flags]).tolist(), sizes.shape[1]
    checks.act(numbers[sizes.numel() :])
    return [numbers[first : first + width] for first in range(0, sizes.numel(), width)]


class Part:
    """An optimizer of the stacked parameters of runs with equal settings and equal counts of steps.

    Args:
        updates: The updates of the runs.
        parameters: The stacked parameters of all runs, by name.
        first: Place of the first of these runs among all.
    """

    def __init__(self, updates: Sequence[Updates], parameters: Mapping[str, Tensor], first: int) -> None:
        self.updates, self.rows = updates, slice(first, first + len(updates))
        module = nn.Module()
        for name, each in parameters.items():  # in the order of the networks, hence the same groups of parameters
            module.register_parameter(name, nn.Parameter(each[self.rows]))
        self.parameters, self.optimizer = dict(module.named_parameters()), updates[0].chosen.build(module)
        self._linked = False
        for name, each in self.parameters.items():
            states = self._states(name)
            if states[0]:
                self.optimizer.state[each] = {key: _joined([its[key] for its in states]) for key in states[0]}

    def step(self, gradients: Gradients) -> None:
        """Make the step of the runs, at their learning rates.

        Args:
            gradients: Stacked gradients of all runs, by the name of the parameter.
        """
        for name, each in self.parameters.items():
            each.grad = gradients[name][self.rows] if name in gradients else None
        for group, own in zip(self.optimizer.param_groups, self.updates[0].optimizer.param_groups, strict=True):
            group["lr"] = own["lr"]
        self.optimizer.step()
        if not self._linked:  # in the first step it may have made its state
            self._hand_out(lambda value: value)
        self._linked = True

    def release(self) -> None:
        """Give every run a state of its own."""
        if self._linked:
            self._hand_out(torch.clone)
        self._linked = False

    def _hand_out(self, own: Callable[[Tensor], Tensor]) -> None:
        """Set the state of every run to its part of the state of all; counts of steps are those of all."""
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                for place, state in enumerate(self._states(name)):
                    mine = value[place] if isinstance(value, Tensor) and value.ndim else value
                    state[key] = own(mine) if isinstance(mine, Tensor) else mine

    def _states(self, name: str) -> list[Any]:
        """Return the state of a parameter in the optimizer of each run."""
        return [each.optimizer.state[each.net.get_parameter(name)] for each in self.updates]


def _joined(values: Sequence[Any]) -> Any:
    """Return values of the state of several optimizers as that of one."""
    first = values[0]
    if not isinstance(first, Tensor):
        return first
    return torch.stack(list(values)) if first.ndim else first.clone()


def _settings(updates: Updates) -> tuple[object, ...]:
    """Return settings and counts of steps, which runs that share an optimizer have in common."""
    states = updates.optimizer.state.values()
    counts = [(key, float(each)) for state in states for key, each in state.items() if _single(each)]
    return updates.chosen, [list(each) for each in states], counts


def _single(value: object) -> bool:
    return isinstance(value, Tensor) and not value.ndim
