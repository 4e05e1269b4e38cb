"""One update: the gradient of the rule, clipped, and the step of the optimizer, at the scheduled rate."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tca.batch import Batch
from tca.experiments.config.components import Optimizer
from tca.experiments.config.step_controls import MatchedStepSize
from tca.info import Info
from tca.learner import Learner
from tca.nets.constraints import project_and_reset_
from tca.rules import RULES
from tca.utils.deferred_checks import deferred
from tca.utils.host_values import host_numbers
from tca.utils.numerics import lasting

__all__ = ["Updates"]

SMALL = 1e-6  # added to the norm of a clipped gradient, as `torch.nn.utils.clip_grad_norm_` does


class Updates:
    """The updates of a run.

    Args:
        learner: The learner.
        chosen: Optimizer, with its controls of the step.
        steps: Number of all updates of the run.
        seed: Seed of another rule whose step size is matched.

    Attributes:
        passes: A note on them for the record of the run, default empty.
        refused: Whether PyTorch refused to make them so.
    """

    passes = ""
    refused = False

    def __init__(self, learner: Learner, chosen: Optimizer, steps: int, seed: int) -> None:
        self.learner, self.net, self.chosen, self.steps = learner, learner.net, chosen, steps
        self.parameters = list(self.net.parameters())
        self.optimizer = chosen.build(self.net)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.recurrent = [self.net.get_parameter(each.name) for each in self.net.hidden_connections()]
        self.length = None if chosen.matched is None else Length(chosen.matched, learner, seed)

    @lasting
    def make(self, batch: Batch, step: int) -> str:
        """Make one update; return the reason if a number is not finite, then without an update, else ``""``.

        Args:
            step: Number of the update, from 0.
        """
        with deferred() as checks:
            products = [] if self.length is None else self.length.look(batch)
            for each in self.parameters:
                each.grad = None
            with self._ascended(batch):
                info = self.learner.backward(batch)
        sizes = [info.witness, *torch._foreach_norm(self.gradients)]
        read = host_numbers(sizes, checks.flags, products)  # the only wait
        checks.act(read[1])
        if self.length is not None:
            self.length.follow(*read[2])
        return self.take(info, read[0], step)

    @property
    def gradients(self) -> list[Tensor]:
        """Gradients of the parameters that have one."""
        return [each.grad for each in self.parameters if each.grad is not None]

    @lasting
    def take(self, info: Info, sizes: Sequence[float], step: int) -> str:
        """Make the update of gradients that are there, or return the reason why not, see ``make``.

        Args:
            info: Batch and outputs.
            sizes: The witness of ``info`` and the norm of each gradient.
            step: Number of the update, from 0.
        """
        if trouble := self.trouble(info, sizes, step):
            return trouble
        if (factor := self.clipped(sizes)) != 1.0:
            torch._foreach_mul_(self.gradients, factor)
        self.schedule_(step)
        before = None if self.length is None else self._copied()
        self.optimizer.step()
        if before is not None and self.length is not None:
            scaled = zip(before, self.recurrent, strict=True)
            self._assign([torch.lerp(old, new.detach(), self.length.factor) for old, new in scaled])
        self.net.walk_weights_()
        self.settle_()
        return ""

    def trouble(self, info: Info, sizes: Sequence[float], step: int) -> str:
        """Return the reason why gradients cannot be followed, ``""`` if they can.

        Args:
            info: Batch and outputs.
            sizes: The witness of ``info`` and the norm of each gradient.
            step: Number of the update, from 0.
        """
        norm = _norm(sizes)
        if not math.isfinite(sizes[0] + norm):
            for name, value in (("loss", info.loss.item()), ("gradient norm", norm)):
                if not math.isfinite(value):
                    return f"{name} became {value} in step {step + 1}"
        return ""

    def clipped(self, sizes: Sequence[float]) -> float:
        """Return the factor that clips the gradients, 1 if they are short enough.

        Args:
            sizes: The witness, which is not used, and the norm of each gradient.
        """
        norm, most = _norm(sizes), self.chosen.clip
        return 1.0 if most is None or norm <= most else most / (norm + SMALL)

    def schedule_(self, step: int) -> None:
        """Set the learning rates of an update.

        Args:
            step: Its number, from 0.
        """
        if self.chosen.schedule is not None:
            for rate, group in zip(self.rates, self.optimizer.param_groups, strict=True):
                group["lr"] = rate * self.chosen.schedule.at(step, self.steps)

    def settle_(self) -> None:
        """Project the changed parameters onto their constraints, and let the rule follow them."""
        if self.chosen.reset_momentum_on_projection:
            project_and_reset_(self.net, self.optimizer)
        else:
            self.net.project_()
        self.learner.follow_weights_()

    def state(self) -> dict[str, Any]:
        """Return the state to resume from, without those of network and learner."""
        length = {} if self.length is None else {"length": self.length.state()}
        return {"optimizer": self.optimizer.state_dict(), **length}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state.

        Args:
            state: Value of ``state``.
        """
        self._restore_optimizer(state["optimizer"])
        if self.length is not None:
            self.length.restore(state["length"])

    def _restore_optimizer(self, state: Mapping[str, Any]) -> None:
        """Resume the optimizer; unlike in torch, tensors of its state keep their type."""
        self.optimizer.load_state_dict(dict(state))
        places = itertools.count()
        parameters = {next(places): each for group in self.optimizer.param_groups for each in group["params"]}
        for place, values in state["state"].items():
            its = self.optimizer.state[parameters[place]]
            for name, value in values.items():
                if isinstance(value, Tensor) and isinstance(its.get(name), Tensor) and value.dtype != its[name].dtype:
                    its[name] = value.to(its[name].device, copy=True)

    @contextlib.contextmanager
    def _ascended(self, batch: Batch) -> Iterator[None]:
        """Displace the recurrent population along the rule's own gradient within, for sharpness-aware minimisation."""
        sam = self.chosen.sam
        if sam is None:
            yield
            return
        before, found = self._copied(), self.learner.grads(batch)[0]
        gradients = [found[each.name] for each in self.net.hidden_connections()]
        norm = torch.stack([each.norm() for each in gradients]).norm()
        both = zip(before, gradients, strict=True)
        self._assign([torch.where(norm > 0, old + each * (sam.radius / norm), old) for old, each in both])
        try:
            yield
        finally:
            self._assign(before)

    def _copied(self) -> list[Tensor]:
        """Return a copy of the parameters of the recurrent population."""
        return [each.detach().clone() for each in self.recurrent]

    @torch.no_grad()
    def _assign(self, values: list[Tensor]) -> None:
        """Set the parameters of the recurrent population."""
        for each, value in zip(self.recurrent, values, strict=True):
            each.copy_(value)


def _norm(sizes: Sequence[float]) -> float:
    """Return the norm of a gradient from the norms of its parts, which follow the first number."""
    return math.hypot(*sizes[1:])


class Length:
    """Running estimate of a rule's ``rho = <gh, g> / |g|^2``, on a copy of the network before every update.

    The rule that trains is measured in the state of the learner before the update. Another rule advances its own state
    with every batch, as if it trained, on the copy alone.

    Args:
        chosen: Rule and averaging of rho.
        learner: The learner that trains.
        seed: Seed of another rule.
    """

    def __init__(self, chosen: MatchedStepSize, learner: Learner, seed: int) -> None:
        self.chosen, self.learner = chosen, learner
        net, rule = copy.deepcopy(learner.net), learner.rule if chosen.rule is None else RULES[chosen.rule]
        self.measured, self.true = Learner(net, rule, seed=seed), Learner(net, RULES["bptt"])
        self.hidden = [each.name for each in net.hidden_connections()]
        self.inner, self.square = 0.0, 0.0

    def look(self, batch: Batch) -> list[Tensor]:
        """Return ``<gh, g>`` and ``|g|^2`` on a batch before its update, scalars that have not been read."""
        self.measured.net.load_state_dict(self.learner.net.state_dict())
        if self.chosen.rule is None:
            self.measured.load_state_dict(self.learner.buffers)
        gh = self._joined(self.measured.advance_(batch)[0])
        g = self._joined(self.true.grads(batch)[0])
        return [gh @ g, g @ g]

    def follow(self, inner: float, square: float) -> None:
        """Add the products of a batch to the running means.

        Args:
            inner: Product ``<gh, g>``.
            square: Product ``|g|^2``.
        """
        past = self.chosen.smoothing
        self.inner = past * self.inner + (1 - past) * inner
        self.square = past * self.square + (1 - past) * square

    @property
    def factor(self) -> float:
        """Factor of the next step."""
        return self.chosen.factor(self.inner, self.square)

    def state(self) -> dict[str, Any]:
        """Return the state to resume from."""
        other = {} if self.chosen.rule is None else dict(self.measured.state_dict())
        return {"inner": self.inner, "square": self.square, "rule": other}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a state.

        Args:
            state: Value of ``state``.
        """
        self.inner, self.square = state["inner"], state["square"]
        if self.chosen.rule is not None:
            self.measured.load_state_dict(state["rule"])

    def _joined(self, gradients: Mapping[str, Tensor]) -> Tensor:
        return torch.cat([gradients[name].flatten().double() for name in self.hidden])
