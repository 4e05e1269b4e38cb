"""One update of a network: the rule's gradient, clipped, and the optimizer's step, at the run's rate and length."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from tca.batch import Batch
from tca.experiments.config.components import Optimizer
from tca.experiments.config.step_controls import SAM, MatchedStepSize
from tca.learner import Learner
from tca.nets.constraints import project_
from tca.rules import RULES

__all__ = ["Updates"]


class Updates:
    """What makes the updates of a run.

    Args:
        learner: The learner.
        chosen: The optimizer, described.
        steps: Number of all updates of the run.
        seed: Seed of what rules draw that are measured beside the learner's.
    """

    def __init__(self, learner: Learner, chosen: Optimizer, steps: int, seed: int) -> None:
        """Build the optimizer."""
        self.learner, self.net, self.chosen, self.steps = learner, learner.net, chosen, steps
        self.optimizer = chosen.build(self.net)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.hidden = [each.name for each in self.net.hidden_connections()]
        self.length = None if chosen.matched is None else Length(chosen.matched, learner, seed)

    def make(self, batch: Batch, step: int) -> str:
        """Make one update; return what was not finite, then without an update, or nothing.

        Args:
            batch: The trials.
            step: Number of the update, from 0.
        """
        if self.length is not None:
            self.length.look(batch)
        self.optimizer.zero_grad()
        with self._uphill(batch):
            info = self.learner.backward(batch)
        gradients = [each.grad for each in self.net.parameters() if each.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.chosen.clip is not None:
            torch.nn.utils.clip_grads_with_norm_(self.net.parameters(), self.chosen.clip, norm)
        for what, value in (("loss", info.loss), ("gradient norm", norm)):
            if not math.isfinite(value.item()):
                return f"{what} became {value.item()} in step {step + 1}"
        if self.chosen.schedule is not None:
            for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
                group["lr"] = rate * self.chosen.schedule.at(step, self.steps)
        with self._scaled():
            self.optimizer.step()
        if self.chosen.reset_momentum_on_projection:
            project_(self.net, self.optimizer)
        else:
            self.net.project_()
        self.learner.sync_()
        return ""

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on, but for the network and the learner."""
        length = {} if self.length is None else {"length": self.length.state()}
        return {"optimizer": self.optimizer.state_dict(), **length}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned.

        Args:
            state: What it returned.
        """
        self.optimizer.load_state_dict(state["optimizer"])
        if self.length is not None:
            self.length.restore(state["length"])

    @contextlib.contextmanager
    def _uphill(self, batch: Batch) -> Iterator[None]:
        """Have the recurrent population displaced along the rule's own gradient within, if the run asks for it."""
        if self.chosen.ascent is None:
            yield
            return
        parameters = {name: self.net.get_parameter(name) for name in self.hidden}
        before = {name: each.detach().clone() for name, each in parameters.items()}
        _displace(parameters, self.learner.grads(batch)[0], self.chosen.ascent)
        try:
            yield
        finally:
            _assign(parameters, before)

    @contextlib.contextmanager
    def _scaled(self) -> Iterator[None]:
        """Scale the step that the recurrent population makes within, if the run asks for it."""
        if self.length is None:
            yield
            return
        factor = self.length.factor
        parameters = {name: self.net.get_parameter(name) for name in self.hidden}
        before = {name: each.detach().clone() for name, each in parameters.items()}
        yield
        _assign(parameters, {name: torch.lerp(before[name], each, factor) for name, each in parameters.items()})


class Length:
    """A rule's rho in the course of training, taken on a copy of the network before every update.

    The rule that trains is measured in the state in which the update will find it. Another rule takes in every batch
    once, as if it were the one that trained, and changes the copy alone.

    Args:
        chosen: Whose rho, and how it is averaged.
        learner: The learner that trains.
        seed: Seed of what the rule draws, if it is another.
    """

    def __init__(self, chosen: MatchedStepSize, learner: Learner, seed: int) -> None:
        """Start without a past."""
        self.chosen, self.learner = chosen, learner
        net, rule = copy.deepcopy(learner.net), learner.rule if chosen.rule is None else RULES[chosen.rule]
        self.measured, self.true = Learner(net, rule, seed=seed), Learner(net, RULES["bptt"])
        self.hidden = [each.name for each in net.hidden_connections()]
        self.inner, self.square = 0.0, 0.0

    def look(self, batch: Batch) -> None:
        """Take in the gradients of a batch before its update.

        Args:
            batch: The trials.
        """
        self.measured.net.load_state_dict(self.learner.net.state_dict())
        if self.chosen.rule is None:
            self.measured.load_state_dict(self.learner.buffers)
        gh = self._joined(self.measured.advance_(batch)[0])
        g = self._joined(self.true.grads(batch)[0])
        past = self.chosen.smoothing
        self.inner = past * self.inner + (1 - past) * float(gh @ g)
        self.square = past * self.square + (1 - past) * float(g @ g)

    @property
    def factor(self) -> float:
        """The factor of the next step."""
        return self.chosen.factor(self.inner, self.square)

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on."""
        other = {} if self.chosen.rule is None else dict(self.measured.state_dict())
        return {"inner": self.inner, "square": self.square, "rule": other}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` returned.

        Args:
            state: What it returned.
        """
        self.inner, self.square = state["inner"], state["square"]
        if self.chosen.rule is not None:
            self.measured.load_state_dict(state["rule"])

    def _joined(self, gradients: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([gradients[name].flatten().double() for name in self.hidden])


@torch.no_grad()
def _displace(parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor], ascent: SAM) -> None:
    norm = torch.stack([gradients[name].norm() for name in parameters]).norm()
    if norm > 0:
        for name, each in parameters.items():
            each.add_(gradients[name] * (ascent.radius / norm))


@torch.no_grad()
def _assign(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, each in parameters.items():
        each.copy_(values[name])
