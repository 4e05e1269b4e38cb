"""Learners of one rule on networks of one architecture, whose gradients are computed together.

Shapes: S networks, T time, B batch, N cells, O outputs, C consecutive steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tca.batch import Batch
from tca.eligibilities.eligibility import Eligibility
from tca.execution import Gradients, reverse
from tca.experiments.together.joint_trials import JointTrials, padded, stacked
from tca.info import Info, bounded
from tca.learner import Learner
from tca.nets.leaky.leaky_ensemble import LeakyEnsemble, shared
from tca.signals.direct import Direct
from tca.signals.exact import Exact
from tca.signals.feedback import Adaptive, Random
from tca.signals.signal import Buffers, CustomSignal, Signal, WindowFunction
from tca.tape.ensemble_tape import EnsembleTape
from tca.tape.tape import Tape
from tca.utils.checks import DivergenceError
from tca.utils.numerics import Lasting, Workspace, lasting

__all__ = ["LearnerEnsemble"]

WHOLE = (Direct, Random, Adaptive, Exact)  # signals that take the tape of an ensemble


class LearnerEnsemble(Lasting):
    """Learners whose passes, filters and products with presynaptic activity are those of one ensemble.

    Parameters of their networks, and the feedback weights of their rules, become views of stacked tensors.

    Args:
        learners: The learners, of one rule, on leaky networks of one architecture; see
            `tca.experiments.together.compatibility`.

    Attributes:
        parameters: The stacked parameters that learn, by name.
        checked: Whether networks and states are those that the last update checked; set it to ``False`` where others
            may have changed them.
        errors: Errors of signals in the last gradients, by the place of the network, whose gradient is then NaN.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        self.learners = tuple(learners)
        self.rule, nets = learners[0].rule, [each.net for each in learners]
        self.nets = LeakyEnsemble(nets)  # type: ignore[arg-type]
        learned = [name for name, each in nets[0].named_parameters() if each.requires_grad]
        self.parameters = {name: self.nets.parameters[name] for name in learned}
        whole = type(self.rule.signal) in WHOLE
        own = [each.buffers for each in learners]
        self.buffers: Buffers = {name: shared([each[name] for each in own]) for name in own[0]} if whole else {}
        self.errors: dict[int, DivergenceError] = {}
        self.signal = self.rule.signal if whole else ByNetwork(self.rule.signal, tuple(own), self.errors)
        self.learns = type(self.rule.signal).update_statistics_ is not Signal.update_statistics_
        self.noisy = self.nets.nets[0].noise_state is not None
        self.space = Workspace()
        self.checked = False

    @lasting
    def gradients(self, batches: Sequence[Batch]) -> tuple[Gradients, list[Info]]:
        """Return the gradients of all networks, stacked, and the result of `Learner.backward` of each learner.

        The next call overwrites the outputs.

        Args:
            batches: A batch for each learner, with as many trials as the others.

        Raises:
            ValueError: A batch does not fit its network, or holds values that are not allowed.
        """
        for learner, batch in zip(self.learners, batches, strict=True):
            self._check(learner, batch)
            if learner.buffers:
                learner._follow_weights_()
        self.checked = True
        self.errors.clear()
        trials = stacked([each.kept() for each in batches])
        tape = self.nets.record(trials.inputs, self._drawn(batches, trials), self.space)
        infos = [Info(each, tape.outputs[: each.steps, s]) for s, each in enumerate(batches)]
        for learner, info in zip(self.learners, infos, strict=True):
            learner.check_loss(info.batch, info.outputs)
        tape = self._scored(tape, trials)
        for learner, one in zip(self.learners, tape.networks if self.learns else (), strict=False):
            self.rule.signal.update_statistics_(one, learner.buffers)
        found = reverse(self.signal, self.rule.eligibility, tape, self.buffers)
        return {name: found[name] for name in self.parameters}, infos

    def _check(self, learner: Learner, batch: Batch) -> None:
        """Raise unless batch, network and state fit; networks and states are as they were at the last update."""
        inputs, like = batch.inputs, self.nets.parameters["w_in"]
        alike = inputs.shape[2] == learner.net.n_in and (inputs.dtype, inputs.device) == (like.dtype, like.device)
        if self.checked and alike and batch.start is None:
            batch.check(learner.net.n_in, learner.net.n_out)
        else:
            learner._check(batch, None)

    def _drawn(self, batches: Sequence[Batch], trials: JointTrials) -> Tensor | None:
        """Draw the private noise of every network, shape ``(S, T, B, N)``; ``None`` if they have none."""
        if not self.noisy:
            return None
        drawn = (learner._drawn(batch) for learner, batch in zip(self.learners, batches, strict=True))
        return torch.stack([padded(each, trials.inputs.shape[1]) for each in drawn if each is not None])

    def _scored(self, tape: EnsembleTape, trials: JointTrials) -> EnsembleTape:
        """Return the tape with its output errors; to a loss, networks are further steps."""
        outputs, shape = tape.outputs.transpose(0, 1), trials.inputs.shape[:3]
        error = trials.loss.output_error(outputs.flatten(0, 1), trials.targets.flatten(0, 1)).view(*shape, -1)
        networks, steps, count = shape
        raw = self.space.empty("error", (networks, steps + 1, count, outputs.shape[-1]), outputs)
        raw[:, 0] = 0.0
        torch.mul(error, (trials.weights / count).unsqueeze(-1), out=raw[:, 1:])
        scored = tape.changed(batches=trials.batches, output_error=raw.transpose(0, 1))
        if scored.over is not None:  # padding: the error of an infinite output may be infinite there
            raw.masked_fill_(scored.over.transpose(0, 1).unsqueeze(-1), 0.0)
        return scored

    def witnesses(self, infos: Sequence[Info]) -> Tensor:
        """Return `Info.witness` of every network, shape ``(S,)``.

        Args:
            infos: The last result of ``gradients``.
        """
        if bounded(infos[0].batch.loss):
            return torch.stack(torch._foreach_norm([each.outputs for each in infos]))
        return torch.stack([each.witness for each in infos])

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
        errors: Where to keep the error of a signal that diverges in one network; the signal is NaN there.
    """

    signal: Signal
    states: tuple[Buffers, ...]
    errors: dict[int, DivergenceError]

    @property
    def horizon(self) -> int | None:
        return self.signal.horizon

    @property
    def equation(self) -> str:
        return self.signal.equation

    def windowed_signal(self, tape: Tape, buffers: Buffers, eligibility: Eligibility) -> WindowFunction:
        assert isinstance(tape, EnsembleTape)
        readers = [
            self._reader(place, each, state, eligibility)
            for place, (each, state) in enumerate(zip(tape.networks, self.states, strict=True))
        ]
        return lambda steps: torch.stack([read(steps) for read in readers]).transpose(0, 1)

    def _reader(self, place: int, tape: Tape, state: Buffers, eligibility: Eligibility) -> WindowFunction:
        """Return a function from a window of steps to the signal in one network."""
        try:
            return self.signal.windowed_signal(tape, state, eligibility)
        except DivergenceError as error:
            self.errors[place] = error
            return lambda steps: torch.full_like(tape.rate[steps], math.nan)

    def output_signal(self, tape: Tape, buffers: Buffers) -> tuple[Tensor, Tensor]:
        if not isinstance(self.signal, CustomSignal):
            return super().output_signal(tape, buffers)
        assert isinstance(tape, EnsembleTape)
        pairs = zip(tape.networks, self.states, strict=True)
        weights, biases = zip(*(self.signal.output_signal(each, state) for each, state in pairs), strict=True)
        return torch.stack(weights, 1), torch.stack(biases, 1)
