"""Learners of one rule on networks of one architecture, whose gradients are computed together.

Shapes: S networks, T time, B batch, N cells, O outputs, C consecutive steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tca.batch import Batch
from tca.eligibilities.eligibility import Eligibility
from tca.execution import reverse
from tca.info import Info
from tca.learner import Learner
from tca.nets.leaky.leaky_ensemble import LeakyEnsemble, shared
from tca.signals.direct import Direct
from tca.signals.exact import Exact
from tca.signals.feedback import Adaptive, Random
from tca.signals.signal import Buffers, CustomSignal, Signal, WindowFunction
from tca.tape.ensemble_tape import EnsembleTape
from tca.tape.tape import Tape
from tca.utils.numerics import Lasting, Workspace, lasting

__all__ = ["LearnerEnsemble"]

WHOLE = (Direct, Random, Adaptive, Exact)  # signals that take the tape of an ensemble


class LearnerEnsemble(Lasting):
    """Learners whose passes, filters and products with presynaptic activity are those of one ensemble.

    Parameters of their networks, and the feedback weights of their rules, become views of stacked tensors.

    Args:
        learners: The learners, of one rule, on leaky networks of one architecture; see
            `tca.experiments.together.compatibility`.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        self.learners = tuple(learners)
        self.rule, nets = learners[0].rule, [each.net for each in learners]
        self.nets = LeakyEnsemble(nets)  # type: ignore[arg-type]
        self.names = [[(name, each) for name, each in net.named_parameters() if each.requires_grad] for net in nets]
        whole = type(self.rule.signal) in WHOLE
        own = [each.buffers for each in learners]
        self.buffers: Buffers = {name: shared([each[name] for each in own]) for name in own[0]} if whole else {}
        self.signal = self.rule.signal if whole else ByNetwork(self.rule.signal, tuple(own))
        self.space = Workspace()

    @lasting
    def backward(self, batches: Sequence[Batch]) -> list[Info]:
        """Set ``.grad`` of all parameters as `Learner.backward` of each learner would; return what it returns.

        Args:
            batches: A batch for each learner, with as many trials as the others.

        Raises:
            ValueError: A batch does not fit its network, or holds values that are not allowed.
        """
        noises = []
        for learner, batch in zip(self.learners, batches, strict=True):
            learner._check(batch, None)
            noises.append(learner._drawn(batch))
            learner._follow_weights_()
        batches = [each.kept() for each in batches]
        steps = max(each.steps for each in batches)
        noise = None if noises[0] is None else _stacked(noises, steps)
        tape = self.nets.record(_stacked([each.inputs for each in batches], steps), noise, self.space)
        infos = [Info(each, tape.outputs[: each.steps, s]) for s, each in enumerate(batches)]
        for learner, info in zip(self.learners, infos, strict=True):
            learner.check_loss(info.batch, info.outputs)
        tape = _scored(tape, batches)
        for learner, one in zip(self.learners, tape.networks if self.learns else (), strict=False):
            self.rule.signal.update_statistics_(one, learner.buffers)
        gradients = reverse(self.signal, self.rule.eligibility, tape, self.buffers)
        for s, its in enumerate(self.names):
            for name, parameter in its:
                parameter.grad = gradients[name][s]
        return infos

    @property
    def learns(self) -> bool:
        """Whether the signal has statistics of its batches."""
        return type(self.rule.signal).update_statistics_ is not Signal.update_statistics_

    def release(self) -> None:
        """Let every learner and its network own their tensors again."""
        self.nets.release()
        for learner in self.learners:
            for each in learner.buffers.values():
                each.data = each.data.clone()


@dataclasses.dataclass(frozen=True)
class ByNetwork(CustomSignal):
    """A learning signal that takes the tape of one network, read for one network of an ensemble after the other.

    Args:
        signal: The signal.
        states: Its state in each network.
    """

    signal: Signal
    states: tuple[Buffers, ...]

    @property
    def horizon(self) -> int | None:
        return self.signal.horizon

    @property
    def equation(self) -> str:
        return self.signal.equation

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        assert isinstance(tape, EnsembleTape)
        readers = [
            self.signal.windowed_signal(each, state, eligibility)
            for each, state in zip(tape.networks, self.states, strict=True)
        ]
        return lambda steps: torch.stack([read(steps) for read in readers]).transpose(0, 1)

    def output_signal(self, tape: Tape, buffers: Buffers) -> tuple[Tensor, Tensor]:
        if not isinstance(self.signal, CustomSignal):
            return super().output_signal(tape, buffers)
        assert isinstance(tape, EnsembleTape)
        pairs = zip(tape.networks, self.states, strict=True)
        weights, biases = zip(*(self.signal.output_signal(each, state) for each, state in pairs), strict=True)
        return torch.stack(weights, 1), torch.stack(biases, 1)


def _scored(tape: EnsembleTape, batches: Sequence[Batch]) -> EnsembleTape:
    """Return the tape with its output errors."""
    steps, networks, trials, outputs = tape.outputs.shape
    joined = _joined(batches, steps)
    error = joined.loss.output_error(tape.outputs.flatten(1, 2), joined.targets)
    error.mul_(joined.weights.unsqueeze(-1) / trials)
    raw = functional.pad(error, (0, 0, 0, 0, 1, 0)).view(steps + 1, networks, trials, outputs)
    scored = tape.changed(batch=joined, output_error=raw)
    if scored.over is not None:
        raw.masked_fill_(scored.over.unsqueeze(-1), 0.0)
    return scored


def _joined(batches: Sequence[Batch], steps: int) -> Batch:
    """Return the trials of all batches side by side, without their information."""
    short = any(each.padded or each.steps < steps for each in batches)

    def together(parts: Iterator[Tensor]) -> Tensor:
        return torch.cat([_padded(each, steps) for each in parts], 1)

    return Batch(
        together(each.inputs for each in batches),
        together(each.targets for each in batches),
        together(each.weights for each in batches),
        batches[0].loss,
        lengths=torch.cat([each.trial_lengths for each in batches]) if short else None,
    )


def _stacked(parts: Sequence[Any], steps: int) -> Tensor:
    """Return values of all networks, padded by zeros to a number of steps, shape ``(S, T, B, N)``."""
    return torch.stack([_padded(each, steps) for each in parts])


def _padded(part: Tensor, steps: int) -> Tensor:
    missing = steps - len(part)
    return part if not missing else functional.pad(part, [*[0, 0] * (part.ndim - 1), 0, missing])
