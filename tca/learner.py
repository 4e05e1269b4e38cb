"""A learner is a rule bound to a network.

Shapes: T time, B batch, N cells, O outputs.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

from torch import Tensor
from torch.nn import functional

from tca.batch import Batch
from tca.eligibilities.perturbations import Perturbation
from tca.execution import EXECUTIONS, Execution, Gradients, level_buffers, whole_signals
from tca.info import Info
from tca.losses import Loss
from tca.losses.loss import foreign
from tca.losses.loss_check import check_at
from tca.nets import Network
from tca.rule import Rule
from tca.rule_state import RuleState
from tca.signals.signal import Buffers, Signal
from tca.tape.tape import Tape
from tca.utils.checks import Seed, check, checked
from tca.utils.names import lookup
from tca.utils.numerics import Workspace, kept, lasting

if TYPE_CHECKING:
    from tca.online import Stream

__all__ = ["Learner"]


@checked
class Learner(RuleState):
    """A rule bound to a network; ``backward`` replaces ``loss.backward()``.

    Args:
        net: The network, already on its device, where the learner's buffers are created.
        rule: The rule.
        seed: Seed of the random numbers of signal and eligibility, default 0.

    Attributes:
        buffers: The state of the rule by name, for example ``feedback``.

    Warns:
        CellTypesWarning: The rule uses weights by cell type, and the mean weights of the network's types are chance.

    Raises:
        ValueError: A parameter of the network belongs to no connection, or to more than one; or the rule does not fit
            one of its populations; the reason is given.
        TypeError: ``rule`` is no ``Rule``, ``net`` no network, or ``seed`` no integer.

    >>> import tca, torch
    >>> net = tca.nets.LeakyRNN(2, 4, 1, seed=0)
    >>> learner = Learner(net, tca.RULES["eprop"])
    >>> batch = tca.Batch(torch.ones(3, 1, 2), torch.zeros(3, 1, 1), torch.full((3, 1), 1 / 3), tca.losses.MSE())
    >>> info = learner.backward(batch)
    >>> net.w_rec.grad.shape
    torch.Size([4, 4])
    """

    def __init__(self, net: Network, rule: Rule, seed: Seed = 0) -> None:
        super().__init__(net, rule, seed)
        self._by_default = EXECUTIONS[rule.executions[0]]
        self._learns = type(rule.signal).update_statistics_ is not Signal.update_statistics_
        self._workspace = Workspace()
        self._own: Loss | None = None  # the last loss of the library, and the last other one that was checked
        self._checked: Loss | None = None

    @lasting
    def backward(self, batch: Batch, noise: Tensor | None = None) -> Info:
        """Add the rule's gradient, to be descended, to ``.grad`` of every parameter.

        Parameters with ``requires_grad=False`` are left out.

        Args:
            noise: Private noise of the network, shape ``(T, B, N)``; drawn by default.

        Raises:
            ValueError: The batch does not fit the network, or holds values that are not allowed.
        """
        self._check(batch, noise)  # before anything is drawn or learned from the optimizer
        noise = self._drawn(batch) if noise is None else noise
        gradients, info = self._advance(batch, noise)
        for name, parameter in self.net.named_parameters():
            if parameter.requires_grad:
                parameter.grad = gradients[name] if parameter.grad is None else parameter.grad.add_(gradients[name])
        return info

    @lasting
    def advance_(self, batch: Batch, noise: Tensor | None = None) -> tuple[Gradients, Info]:
        """Return the gradients of the next update and update the rule's state.

        Equals ``backward``, except that ``.grad`` is not changed.

        Args:
            noise: Private noise of the network, shape ``(T, B, N)``; ``None`` (default) for none.

        Raises:
            ValueError: The batch does not fit the network, or holds values that are not allowed.
        """
        self._check(batch, noise)
        return self._advance(batch, noise)

    def _advance(self, batch: Batch, noise: Tensor | None) -> tuple[Gradients, Info]:
        self._follow_weights_()
        tape = self._taped(batch, noise, self._workspace)
        return self._execute(self._by_default, tape, self.buffers, noise), Info(batch, tape.outputs)

    @lasting
    def ahead(self) -> Learner:
        """Return a copy, network included, in the state at the next update.

        It is made for measurements: its signal follows the current weights, and random quantities are drawn anew. The
        learner itself does not change.

        >>> import tca, torch
        >>> learner = Learner(tca.nets.LeakyRNN(2, 4, 1), tca.RULES["eprop_adaptive"])
        >>> _ = torch.nn.init.ones_(learner.net.w_out)
        >>> [round(each.w_out[0, 0].item(), 6) for each in (learner.ahead().net, learner.net)]
        [0.999, 1.0]
        """
        found = Learner(copy.deepcopy(self.net), self.rule)
        found.load_state_dict(self.buffers)
        found.follow_weights_()
        return found

    @lasting
    def grads(
        self, batch: Batch, execution: Literal["reverse", "forward"] | None = None, noise: Tensor | None = None
    ) -> tuple[Gradients, Info]:
        """Return the rule's gradients, to be descended, by parameter name, without side effects.

        Args:
            execution: ``"reverse"`` filters signals backwards, ``"forward"`` carries eligibility traces; ``None``
                (default) is the first that the rule supports.
            noise: Private noise of the network, shape ``(T, B, N)``; ``None`` (default) for none.

        Raises:
            ValueError: The batch does not fit the network, or holds values that are not allowed; or the rule does not
                support this execution.
        """
        allowed = self.rule.executions
        chosen: str = allowed[0] if execution is None else execution
        execute = lookup(EXECUTIONS, chosen, "execution")
        if chosen not in allowed:
            why_not = self.rule.eligibility.why_not or "its gradient is no product of a signal and a trace"
            raise ValueError(
                f"execution of {self.rule!r} must be {' or '.join(map(repr, allowed))}, got {chosen!r}: {why_not}"
            )
        tape = self.tape(batch, noise, self._workspace)
        return self._execute(execute, tape, self.state_dict(), noise), Info(batch, tape.outputs)

    @lasting
    def signals(self, batch: Batch, noise: Tensor | None = None) -> dict[str, Tensor]:
        """Return the learning signal ``L_t`` to the states of every population, ``(T + 1, B, N)``.

        It is zero at time zero unless an initial state is learned. The output error of a filtered readout has been
        backpropagated through the filter.

        Args:
            noise: Private noise of the network, shape ``(T, B, N)``; ``None`` (default) for none.
        """
        buffers = self.state_dict()
        tape = self._shown(self.tape(batch, noise), buffers, noise)
        learning_signals = whole_signals(self.rule.signal, self.rule.eligibility, tape, buffers)
        return {level.population.name: each for level, each in zip(tape.levels, learning_signals, strict=True)}

    def signal(self, batch: Batch, noise: Tensor | None = None) -> Tensor:
        """Return the learning signal to the only population, ``(T + 1, B, N)``; see ``signals``.

        Args:
            noise: Private noise of the network, shape ``(T, B, N)``; ``None`` (default) for none.

        Raises:
            ValueError: There are several populations.
        """
        learning_signals = self.signals(batch, noise)
        if len(learning_signals) > 1:
            raise ValueError(f"the network has the populations {', '.join(learning_signals)}: use signals()")
        return next(iter(learning_signals.values()))

    @lasting
    @checked
    def tape(self, batch: Batch, noise: Tensor | None = None, workspace: Workspace | None = None) -> Tape:
        """Run the network on a batch and return the tape with its output errors.

        Args:
            noise: Private noise of the network, shape ``(T, B, N)``; ``None`` (default) for none.
            workspace: Memory to reuse; the next run with the same workspace overwrites the tape.

        Raises:
            ValueError: The batch does not fit the network, or holds values that are not allowed.
        """
        self._check(batch, noise)
        return self._taped(batch, noise, workspace)

    def _check(self, batch: Batch, noise: Tensor | None) -> None:
        """Raise unless batch, noise, network and state fit."""
        if type(batch) is not Batch:
            check("batch", batch, Batch)
        if batch.start is not None and self.rule.eligibility.perturbs:
            raise ValueError("start must be None with a perturbation eligibility, which runs trials again")
        self.net.check(batch.inputs, noise)
        batch.check(self.net.n_in, self.net.n_out)
        self._check_moved()

    def _taped(self, batch: Batch, noise: Tensor | None, workspace: Workspace | None) -> Tape:
        batch, noise = batch.kept(), None if noise is None else kept(noise)
        space = Workspace() if workspace is None else workspace
        if batch.start is None:
            tape = self.net.record(batch.inputs, noise, space)
        else:
            tape = self.net.record_from(batch.start, batch.inputs, noise, space)
        self.check_loss(batch, tape.outputs)
        return tape.scored(batch)

    @lasting
    def follow_weights_(self) -> None:
        """Update signals that follow the weights after an optimizer step; ``backward`` calls it."""
        self._follow_weights_()

    def _follow_weights_(self) -> None:
        for population in self.net.populations() if self.buffers else ():
            self.rule.signal.follow_weights_(population, level_buffers(population, self.buffers))
            self.rule.eligibility.follow_weights_(population, level_buffers(population, self.buffers))

    def _drawn(self, batch: Batch) -> Tensor | None:
        """Draw private noise, except for steps that are padding in all trials."""
        steps = max(1, int(batch.trial_lengths.max())) if batch.padded else batch.steps
        drawn = self.net.draw_noise(steps, batch.trials)
        if drawn is None or steps == batch.steps:
            return drawn
        return functional.pad(drawn, (0, 0, 0, 0, 0, batch.steps - steps))

    def check_loss(self, batch: Batch, outputs: Tensor) -> None:
        """Check a loss defined outside the library once; see `tca.check_loss`.

        Args:
            outputs: The network's outputs, shape ``(T, B, O)``.

        Raises:
            ValueError: Its ``output_error`` is not the derivative of its value.
        """
        if batch.loss is self._own or batch.loss is self._checked:
            return
        if not foreign(batch.loss):
            self._own = batch.loss
            return
        counted = batch.weights != 0
        if counted.any():
            check_at(batch.loss, outputs[counted], batch.targets[counted])
            self._checked = batch.loss

    def _check_moved(self) -> None:
        """Raise if the network was moved or converted after the learner was made."""
        for name, each in self.buffers.items():
            like = next(self.net.parameters())
            if each.is_floating_point() and (each.dtype, each.device) != (like.dtype, like.device):
                raise ValueError(
                    f"the network is {like.dtype} on {like.device}, and {name!r} of its rule {each.dtype} on "
                    f"{each.device}: move the network first and make the learner then"
                )

    def _shown(self, tape: Tape, buffers: Buffers, noise: Tensor | None) -> Tape:
        """Return the tape with its perturbed pass, if any, after the signal's statistics were updated."""
        eligibility = self.rule.eligibility
        if isinstance(eligibility, Perturbation):
            replay = self.net.replay(tape.trials_shown, None if noise is None else kept(noise))
            tape = tape.changed(perturbed_pass=eligibility.perturbed_pass(tape, replay, buffers))
        for level in tape.levels if self._learns else ():
            self.rule.signal.update_statistics_(level, level_buffers(level.population, buffers))
        return tape

    @lasting
    def _execute(self, execute: Execution, tape: Tape, buffers: Buffers, noise: Tensor | None) -> Gradients:
        return execute(self.rule.signal, self.rule.eligibility, self._shown(tape, buffers, noise), buffers)

    def stream(self, trials: int, steps: int | Tensor | None = None) -> Stream:
        """Return the rule running online, one step at a time, in constant memory.

        Args:
            trials: Number of trials B that run in parallel.
            steps: Number of steps of a trial, or of each trial, for the rules that require it; see `tca.online`.

        Raises:
            ValueError: The rule cannot run online; the reason is given.
        """
        from tca.online import Stream

        return Stream(self, trials, steps)
