"""Online learning: one step at a time, with weight changes between steps, in constant memory.

Shapes: B batch, I inputs, N cells, O outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tca.batch import Batch
from tca.connections.connection import Initial
from tca.eligibilities.filtered_traces import LeakyFilters, ReadoutFilteredTrace
from tca.eligibilities.traces import Trace
from tca.losses import Loss
from tca.signals.signal import CustomSignal, DelayedSignal, StateSignal
from tca.tape.local_step import LocalStep
from tca.utils.checks import Count, check, quick_instance, whole
from tca.utils.numerics import Lasting, kept, lasting

if TYPE_CHECKING:
    from tca.learner import Learner

__all__ = ["Stream"]


class Stream(Lasting):
    """Trials that run in parallel, with their eligibility traces.

    Each ``step`` advances the network and adds the rule's gradient of that step to ``.grad``. The caller decides when
    the optimizer steps: after every step of time, or at the end of the trial. With frozen weights the sum over a trial
    equals ``Learner.grads``. ``reset`` starts new trials.

    Args:
        learner: A rule bound to a network; its signal must not depend on later errors.
        trials: Number of trials B.
        steps: Number of steps of a trial, or of each trial, integers of shape ``(B,)``, for the rules that require it;
            ``None`` (default) if unknown. After its last step a trial adds no gradient, and its weights must be zero.

    Raises:
        ValueError: The network or the signal cannot run online, ``trials`` is less than one, or ``steps`` is zero.

    >>> import tca, torch
    >>> net = tca.nets.LeakyRNN(2, 4, 1, seed=0)
    >>> stream = tca.Learner(net, tca.RULES["eprop"]).stream(trials=1)
    >>> for _ in range(3):
    ...     outputs = stream.step(torch.ones(1, 2), torch.zeros(1, 1), torch.full((1,), 1 / 3), tca.losses.MSE())
    >>> net.w_rec.grad.shape
    torch.Size([4, 4])
    """

    def __init__(self, learner: Learner, trials: int, steps: int | Tensor | None = None) -> None:
        self.trials = check("trials", trials, Count)
        learner.net.stepper(self.trials)  # raises for networks that run whole trials only
        rule_signal = learner.rule.signal
        signal = rule_signal.online()
        if signal is None:
            why = "is made from whole trials only" if rule_signal.horizon == 0 else "needs later errors"
            raise ValueError(f"{type(rule_signal).__name__} {why} and cannot run online; use Learner.backward")
        self.learner, self.net, self.signal = learner, learner.net, signal
        self.steps = _numbers_of_steps(steps, trials)
        self.longest = int(self.steps.max()) if isinstance(self.steps, Tensor) else self.steps
        self.reset()

    @lasting
    def reset(self) -> None:
        """Start new trials from the initial state, without traces."""
        self.time = 0
        self.cells = self.net.stepper(self.trials)
        self.read = torch.zeros_like(self.cells.rate)  # the input of the readout: the rate, filtered or not
        self.traces: tuple[Trace | ReadoutFilteredTrace, ...] = ()
        population = self.net.populations()[0]
        leak, kernel = self.net.readout_leak, self.learner.rule.signal.kernel()
        self.leaks = (*[leak] * (leak > 0), *kernel)  # of the filters that traces pass
        self.seen, self.ones, self.missed, self.skipped = (LeakyFilters(kernel) for _ in range(4))
        self.output_signal, self.state_signal = None, None
        if isinstance(self.signal, StateSignal):
            self.leaks, self.state_signal = (), self.signal.state_signal(population, self.learner.buffers, leak)
        else:
            self.output_signal = self.signal.online_signal(population, self.learner.buffers)
        self.report = None
        if isinstance(self.signal, DelayedSignal):
            if any(isinstance(each, Initial) for each in self.net.hidden_connections()):
                raise ValueError(f"{type(self.signal).__name__} cannot teach a learned initial state online")
            self.report = self.signal.delayed_signal(population, leak)

    @lasting
    def step(self, inputs: Tensor, targets: Tensor, weights: Tensor, loss: Loss, noise: Tensor | None = None) -> Tensor:
        """Advance every trial by one step, add the gradient to ``.grad``, return outputs ``(B, O)``.

        Args:
            inputs: Inputs of the step, shape ``(B, I)``.
            targets: Targets of the step, without the time axis.
            weights: Weight of the step in the loss, shape ``(B,)``; the loss is averaged over trials.
            noise: Private noise of the step, shape ``(B, N)``; drawn by default.

        Raises:
            ValueError: A shape does not fit, a value is not allowed, or the trial is over.
        """
        for name, part in (("inputs", inputs), ("targets", targets), ("weights", weights)):
            quick_instance(name, part, Tensor, Tensor)
        quick_instance("noise", noise, Tensor | None, Tensor, type(None))
        if tuple(inputs.shape) != (self.trials, self.net.n_in):
            raise ValueError(
                f"inputs must have shape (B, I) = {(self.trials, self.net.n_in)}, got {tuple(inputs.shape)}"
            )
        batch = Batch(inputs.unsqueeze(0), targets.unsqueeze(0), weights.unsqueeze(0), loss).kept()
        inputs, weights = batch.inputs[0], batch.weights[0]
        self.net.check(batch.inputs, None if noise is None else noise.unsqueeze(0))
        batch.check(self.net.n_in, self.net.n_out)
        if self.longest is not None and self.time >= self.longest:
            raise ValueError(f"the trial is over after {self.longest} steps; reset() starts a new one")
        if isinstance(self.steps, Tensor) and weights[self.time >= self.steps].any():
            raise ValueError(f"weights must be zero after the end of a trial, got {weights.tolist()}")
        self.learner.follow_weights_()
        if noise is None:
            drawn = self.net.draw_noise(1, self.trials)
            noise = None if drawn is None else drawn[0]
        step = self._advance(inputs, None if noise is None else kept(noise))
        outputs = self.net.read_out(self.read, inputs)
        self.learner.check_loss(batch, outputs.unsqueeze(0))
        weights = weights / self.trials
        error = loss.output_error(outputs.unsqueeze(0), batch.targets)[0] * weights.unsqueeze(-1)
        error, inputs = self.missed.advance(error), self.skipped.advance(inputs)
        if isinstance(self.steps, Tensor):
            error = error.masked_fill((self.time > self.steps).unsqueeze(-1), 0.0)
        self._learn(step, error, weights, batch)
        for each in self.net.skip_connections:
            _accumulate(each.weight, each.fold(error.t() @ inputs))
        return outputs

    def _advance(self, inputs: Tensor, noise: Tensor | None) -> LocalStep:
        self.time += 1
        step = self.cells.advance(inputs, noise, None if self.steps is None else self.steps - self.time)
        rate, keep = self.cells.rate, self.net.readout_leak
        self.read = torch.lerp(rate, self.read, keep) if keep else rate
        return step

    def _learn(self, step: LocalStep, error: Tensor, weights: Tensor, batch: Batch) -> None:
        seen, bias = self.seen.advance(self.read), error.sum(0)
        if self.ones.leaks:
            bias = bias * self.ones.advance(torch.ones_like(bias))
        filtered = len(self.leaks) > 0
        if self.state_signal is not None:
            learning_signal = self.state_signal(step, self.cells.rate, error, batch)
        elif self.output_signal is not None:
            learning_signal = self.output_signal(error)
        if isinstance(self.steps, Tensor):
            over = (self.time > self.steps).view(-1, *[1] * (learning_signal.ndim - 1))
            learning_signal = learning_signal.masked_fill(over, 0.0)
        if self.state_signal is None and not filtered:
            learning_signal = step.lifted(learning_signal)
        hidden = self.net.hidden_connections()
        if not self.traces:
            eligibility = self.learner.rule.eligibility
            if isinstance(self.signal, StateSignal):
                eligibility = self.signal.online_eligibility(eligibility)
            fresh = eligibility.traces(hidden, step, self.trials, self.learner.buffers)
            self.traces = tuple(ReadoutFilteredTrace(each, step, *self.leaks) if filtered else each for each in fresh)
        late = None if self.report is None else self.report(step, error)
        if late is not None and not filtered:
            late = step.emitted_back(late)
        for connection, trace, pre in zip(hidden, self.traces, step.pres, strict=True):
            if late is not None and self.time > 1:
                _accumulate(connection.weight, connection.fold(trace.gradient(late)))
            trace.advance(step, pre)
            _accumulate(connection.weight, connection.fold(trace.gradient(learning_signal)))
        w_out, *b_out = self.net.readout_connections()
        weight = w_out.fold(error.t() @ seen)
        if isinstance(rule_signal := self.learner.rule.signal, CustomSignal):
            rule_signal.observe_readout_(w_out, self.read, weights, self.learner.buffers)
            rule_signal.condition_readout_(weight, bias, self.learner.buffers)
        _accumulate(w_out.weight, weight)
        for each in b_out:
            _accumulate(each.weight, bias)


def _numbers_of_steps(steps: int | Tensor | None, trials: int) -> int | Tensor | None:
    """Return the number of steps of the trials, or raise.

    Args:
        steps: One number, one for each trial, or ``None``.
    """
    if not isinstance(steps, Tensor):
        return None if steps is None else whole("steps", steps, 1)
    if steps.dtype.is_floating_point or steps.dtype.is_complex or steps.dtype == torch.bool:
        raise TypeError(f"steps must be integers, got dtype {steps.dtype}")
    if tuple(steps.shape) != (trials,) or (steps < 0).any() or not steps.any():
        raise ValueError(f"steps must be {trials} integers of at least 0, not all of them 0, got {steps.tolist()}")
    return steps


def _accumulate(parameter: Tensor, change: Tensor) -> None:
    if parameter.requires_grad:
        parameter.grad = change if parameter.grad is None else parameter.grad.add_(change)
