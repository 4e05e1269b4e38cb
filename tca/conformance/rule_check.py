"""A check of a rule, of the library or a user's own, with a line for each property."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from tca.batch import Batch
from tca.conformance.properties import (
    alone,
    appended,
    autograd_gradient,
    horizons,
    largest_difference,
    permuted,
    reads_other_synapses,
    uneven,
)
from tca.eligibilities.factors import StochasticEligibility
from tca.learner import Learner
from tca.losses import MSE, CrossEntropy, Logistic, Loss
from tca.nets import LeakyRNN, Network
from tca.rule import Rule
from tca.rules import RULES
from tca.signals import Exact
from tca.signals.signal import CustomSignal
from tca.utils.check_report import CheckLine, CheckReport, SkippedCheckError, checked_line
from tca.utils.checks import checked

__all__ = ["check_rule"]

STEPS, TRIALS, CELLS = 12, 3, 11
LENGTHS = (12, 9, 5)
CLOSE, CLOSE_IN_SINGLE = 1e-10, 1e-3  # relative differences of parameters
READOUTS = (None, 30.0)  # time constants in ms of the readouts of the two default networks
# Losses that are tried in turn, and their targets from normal numbers.
LOSSES: dict[Loss, Callable[[Tensor], Tensor]] = {
    MSE(): lambda drawn: drawn,
    CrossEntropy(): lambda drawn: drawn.argmax(-1),
    Logistic(): torch.sigmoid,
}


@dataclass(frozen=True, eq=False)
class Setting:
    """A rule bound to a network in float64, with trials.

    Args:
        rule: The rule.
        net: The network.
        batch: Trials of equal length.
        reordered: The same network with its cells in another order, and the order; ``None`` if not available.
    """

    rule: Rule
    net: Network
    batch: Batch
    reordered: tuple[Network, torch.Tensor] | None = None

    def learner(self, rule: Rule | None = None, net: Network | None = None) -> Learner:
        """Return the rule, or another one, bound to the network, or to another one."""
        return Learner(self.net if net is None else net, self.rule if rule is None else rule, seed=17)


@checked
def check_rule(rule: Rule | str, net: Network | None = None) -> CheckReport:
    """Check the properties that every rule has, and those that a rule declares.

    Forward and reverse execution give the same gradients; with the signal that makes its eligibility exact, the
    gradient is that of autograd; the readout learns by the gradient of autograd; the learning signal needs no later
    error than ``horizon`` declares; a rule that declares ``local`` reads no synapses between other cells; another order
    of the cells gives the same weight changes in this order; float32 is close to float64; padding changes no gradient;
    equal seeds give equal bits; ``grads`` leaves the state unchanged. Relative differences may be 1e-10 in float64.
    Lines are skipped, with the reason, where a property does not apply.

    Args:
        rule: The rule, or the name of one in ``tca.RULES``.
        net: Network to check it in, which stays as it is; default two leaky networks of 11 cells, with leak on
            potential and rate, or the one that the rule needs.

    Raises:
        ValueError: The name is unknown.
        TypeError: ``rule`` is no rule, or ``net`` no network.

    >>> from tca.signals import Random
    >>> from tca.eligibilities import Diagonal
    >>> report = check_rule(Rule(Random(), Diagonal()))
    >>> bool(report), len(report.lines)
    (True, 10)
    """
    found = RULES[rule] if isinstance(rule, str) else rule
    forms = ("A", "B") if found.form is None else (found.form,) * 2
    try:
        settings = [_given(found, net)] if net is not None else list(map(partial(_leaky, found), forms, READOUTS))
    except Exception as error:  # a user's part may raise anything
        reason = f"{error}" if net is not None else f"{error}: give a network that the rule fits"
        return CheckReport(found.title, (CheckLine("network", "failed", reason),))
    return CheckReport(found.title, tuple(checked_line(name, partial(each, settings)) for name, each in CHECKS.items()))


def _in_every_setting(made: Callable[[Setting], str]) -> Callable[[Sequence[Setting]], str]:
    """Return a check of several settings, with the detail of the last to which it applies."""

    def every(settings: Sequence[Setting]) -> str:
        details, reason = [], ""
        for each in settings:
            try:
                details.append(made(each))
            except SkippedCheckError as error:
                reason = str(error)
        if not details:
            raise SkippedCheckError(reason)
        return details[-1]

    return every


def _leaky(rule: Rule, form: Literal["A", "B"], readout_tau: float | None) -> Setting:
    """Return a setting with a leaky network of several time constants, types and absent synapses."""
    source = torch.Generator().manual_seed(3)
    order = torch.randperm(CELLS, generator=source, device="cpu")
    mask = (torch.rand(CELLS, CELLS, generator=source, dtype=torch.float32, device="cpu") < 0.7).double()
    cells_in_order, tau = (
        torch.arange(CELLS, device="cpu"),
        torch.linspace(20, 150, CELLS, dtype=torch.float64, device="cpu"),
    )
    types = cells_in_order % 2
    net, reordered = (
        LeakyRNN(
            3, CELLS, 2, form=form, tau=tau[cells].tolist(), dt=10.0, readout_tau=readout_tau, learn_initial=True,
            mask_rec=mask[cells][:, cells], cell_types=types[cells], dale=(1, -1), seed=1, dtype=torch.float64,
        )
        for cells in (cells_in_order, order)
    )  # fmt: skip
    with torch.no_grad():
        assert net.s_0 is not None
        net.s_0.normal_(0, 0.3, generator=source)
    reordered.load_state_dict({**reordered.state_dict(), **permuted(dict(net.named_parameters()), order)})
    return replace(_given(rule, net), reordered=(reordered, order))


def _given(rule: Rule, net: Network) -> Setting:
    """Return a setting with a copy of a network in float64 and trials of the first loss that it accepts."""
    own = copy.deepcopy(net).double()
    source, device = torch.Generator().manual_seed(5), next(own.parameters()).device
    shape = (STEPS, TRIALS)
    inputs, targets = (
        torch.randn(*shape, size, generator=source, dtype=torch.float64, device="cpu") for size in (own.n_in, own.n_out)
    )
    weights = torch.rand(*shape, generator=source, dtype=torch.float64, device="cpu") + 0.1
    refused: Exception | None = None
    for loss, make in LOSSES.items():
        setting = Setting(rule, own, Batch(inputs, make(targets), weights, loss).to(device))
        try:
            setting.learner().grads(setting.batch)
            return setting
        except ValueError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def _close(found: tuple[float, str], bound: float = CLOSE) -> str:
    difference, name = found
    assert difference <= bound, f"relative difference {difference:.1e} in {name}, allowed {bound:g}"
    return f"largest relative difference {difference:.1e}"


def _forward_reverse(it: Setting) -> str:
    if len(it.rule.executions) < 2:
        raise SkippedCheckError(f"{it.rule.executions[0]} only: {it.rule.eligibility.why_not or 'of its signal'}")
    learner = it.learner()
    reverse, forward = (learner.grads(it.batch, execution=each)[0] for each in ("reverse", "forward"))
    return _close(largest_difference(forward, reverse))


def _exact(it: Setting) -> str:
    eligibility = it.rule.eligibility
    try:
        exact = Rule(Exact(), eligibility)
    except ValueError as error:
        raise SkippedCheckError(str(error)) from error
    if "reverse" not in exact.executions or not eligibility.of_states:
        raise SkippedCheckError(f"{type(eligibility).__name__} has no propagator that acts on states backwards")
    found, _ = it.learner(exact).grads(it.batch)
    return _close(largest_difference(found, autograd_gradient(it.net, it.batch)))


def _readout(it: Setting) -> str:
    if isinstance(it.rule.signal, CustomSignal):
        raise SkippedCheckError(f"{type(it.rule.signal).__name__} may send outputs a signal of its own")
    names = [each.name for each in it.net.readout_connections()]
    found, wanted = it.learner().grads(it.batch)[0], autograd_gradient(it.net, it.batch)
    return _close(largest_difference(found, {name: wanted[name] for name in names}))


def _horizon(it: Setting) -> str:
    declared = it.rule.signal.horizon
    if it.rule.signal.needs_reward:
        raise SkippedCheckError("a reward signal is one number per trial")
    if not it.batch.targets.is_floating_point():
        raise SkippedCheckError("targets of the network are classes")
    if it.learner().tape(it.batch).readout.leak:
        raise SkippedCheckError("the readout is filtered, so that every step needs later errors")
    for each in horizons(it.learner(), it.batch, (1, STEPS // 2, STEPS - 1)):
        assert not each.beyond, f"{declared} declared, and the signal of step {each.step} needs errors after that"
    return "the rest of the trial" if declared is None else f"errors of {declared} later steps at most"


def _locality(it: Setting) -> str:
    if it.rule.signal.needs_reward:
        raise SkippedCheckError("no recurrent synapses are read from a tape here")
    reads = any(reads_other_synapses(it.learner(), it.batch, change=0.05))
    assert not (it.rule.local and reads), "local is declared, and weight changes depend on synapses of other cells"
    return "reads synapses of other cells" if reads else "reads no synapses of other cells"


def _order(it: Setting) -> str:
    if it.reordered is None:
        raise SkippedCheckError("checked in leaky networks only: leave out net")
    if isinstance(it.rule.eligibility, StochasticEligibility) or it.rule.eligibility.perturbs:
        raise SkippedCheckError("the rule draws random numbers cell by cell")
    net, order = it.reordered
    learner, other = it.learner(), it.learner(net=net)
    other.load_state_dict(permuted(learner.state_dict(), order))
    return _close(largest_difference(other.grads(it.batch)[0], permuted(learner.grads(it.batch)[0], order)))


def _single(it: Setting) -> str:
    found, _ = it.learner(net=copy.deepcopy(it.net).float()).grads(it.batch.to(dtype=torch.float32))
    wanted, _ = it.learner().grads(it.batch)
    return _close(largest_difference({name: each.double() for name, each in found.items()}, wanted), CLOSE_IN_SINGLE)


def _padding(it: Setting) -> str:
    batch, learner = uneven(it.batch.to("cpu"), *LENGTHS).to(it.batch.inputs.device), it.learner()
    whole, _ = learner.grads(batch)
    worst = max(largest_difference(learner.grads(appended(batch, steps))[0], whole) for steps in (1, 5))
    if not it.rule.couples_trials and not it.rule.eligibility.couples_trials:
        parts = [learner.grads(alone(batch, trial))[0] for trial in range(batch.trials)]
        mean = {name: torch.stack([part[name] for part in parts]).mean(0) for name in whole}
        worst = max(worst, largest_difference(mean, whole))
    return _close(worst)


def _seed(it: Setting) -> str:
    one, other = (it.learner().grads(it.batch)[0] for _ in range(2))
    differing = [name for name in one if not torch.equal(one[name], other[name])]
    assert not differing, f"two learners of the same seed differ in {', '.join(differing)}"
    return ""


def _state(it: Setting) -> str:
    learner = it.learner()
    before = learner.state_dict() | {name: each.detach().clone() for name, each in it.net.named_parameters()}
    learner.grads(it.batch)
    after = learner.state_dict() | dict(it.net.named_parameters())
    changed = [name for name, each in before.items() if not torch.equal(each, after[name])]
    assert not changed, f"grads changes {', '.join(changed)}"
    return ""


CHECKS: dict[str, Callable[[Sequence[Setting]], str]] = {
    "forward equals reverse": _in_every_setting(_forward_reverse),
    "exact with the signal that fits its eligibility": _in_every_setting(_exact),
    "readout equals autograd": _in_every_setting(_readout),
    "horizon": _in_every_setting(_horizon),
    "locality": _in_every_setting(_locality),
    "order of cells": _in_every_setting(_order),
    "single precision": _in_every_setting(_single),
    "padding": _in_every_setting(_padding),
    "equal seeds, equal bits": _in_every_setting(_seed),
    "grads changes no state": _in_every_setting(_state),
}
