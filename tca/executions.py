"""The two executions of a rule on a tape: filter the signal backwards, or carry traces forwards.

Shapes: T time, B batch, N or I postsynaptic cells, J presynaptic.

    sum_t L_t e_t  =  sum_t nu_t (gain_t (x) pre_t),     e_t = D_t e_{t-1} + gain_t (x) pre_t,     nu_t = L_t +
    D_{t+1}^T nu_{t+1}

The left side is what a synapse could compute, the right side ends in one matrix product per connection. Both give the
readout its exact gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tca.connections import Initial
from tca.eligibilities import Eligibility
from tca.signals import Signal
from tca.signals.base import Buffers
from tca.tape import Tape

__all__ = ["EXECUTIONS", "Gradients", "forward", "reverse", "whole_signal"]

Gradients = dict[str, Tensor]


def reverse(signal: Signal, eligibility: Eligibility, tape: Tape, buffers: Buffers) -> Gradients:
    """Return the gradients of all parameters by filtering the signal backwards.

    The trial is taken in windows that stay in the cache, so that a signal is made, filtered and spent before it leaves
    it.

    Args:
        signal: What every cell is told.
        eligibility: What every synapse remembers.
        tape: The forward pass, scored.
        buffers: The signal's state.
    """
    gradients = _no_gradients(tape)
    read = signal.reader(tape, buffers, eligibility)
    later: Tensor | None = None
    for steps in tape.windows():
        filtered = read(steps)
        later = eligibility.filter_(tape, filtered, steps, later)
        if steps.start > 0:
            tape.drive_(filtered, steps)
        for link in tape.links:
            if isinstance(link.connection, Initial) == (steps.start == 0):
                link.connection.outer_(gradients[link.connection.name], filtered, link.at(steps))
        _gather_readout(tape, gradients, steps)
    for link in tape.links:
        if not isinstance(link.connection, Initial):
            tape.scale_gain_(gradients[link.connection.name])
    return _finish(tape, gradients)


def forward(signal: Signal, eligibility: Eligibility, tape: Tape, buffers: Buffers) -> Gradients:
    """Return the gradients of all parameters by carrying traces forwards.

    Args:
        signal: What every cell is told.
        eligibility: What every synapse remembers.
        tape: The forward pass, scored.
        buffers: The signal's state.
    """
    gradients = _no_gradients(tape)
    told = whole_signal(signal, eligibility, tape, buffers)
    trials = tape.rate.shape[1]
    first = tape.moment(1)
    traces = [eligibility.trace(link.connection, first, trials) for link in tape.links]
    for t in range(tape.steps + 1):
        if t:
            moment = tape.moment(t)
            for trace, pre in zip(traces, moment.pres, strict=True):
                trace.advance(moment, pre)
        for trace, link in zip(traces, tape.links, strict=True):
            gradients[link.connection.name].add_(link.connection.fold(trace.gradient(told[t])))
    _gather_readout(tape, gradients, slice(1, tape.steps + 1))
    return _finish(tape, gradients)


def whole_signal(signal: Signal, eligibility: Eligibility, tape: Tape, buffers: Buffers) -> Tensor:
    """Return the state signal of the whole trial, shape ``(T + 1, B, N)``.

    It is zero at time zero unless the initial state is learned.

    Args:
        signal: What every cell is told.
        eligibility: What every synapse remembers, for signals made to fit it.
        tape: The forward pass, scored.
        buffers: The signal's state.
    """
    read = signal.reader(tape, buffers, eligibility)
    told = torch.zeros_like(tape.rate)
    for steps in tape.windows():
        told[steps] = read(steps)
    return told


EXECUTIONS: dict[str, Callable[[Signal, Eligibility, Tape, Buffers], Gradients]] = {
    "reverse": reverse,
    "forward": forward,
}


def _no_gradients(tape: Tape) -> Gradients:
    return {link.connection.name: link.connection.gradient() for link in (*tape.links, *tape.readout_links)}


def _gather_readout(tape: Tape, gradients: Gradients, steps: slice) -> None:
    """Add the exact gradient of the readout: the score times the rates, and the unfiltered score for the bias."""
    if steps.start == 0:
        return
    for link, score in zip(tape.readout_links, (tape.score, tape.raw_score), strict=True):
        link.connection.outer_(gradients[link.connection.name], score[steps], link.at(steps))


def _finish(tape: Tape, gradients: Gradients) -> Gradients:
    return {
        link.connection.name: link.connection.finish(gradients[link.connection.name])
        for link in (*tape.links, *tape.readout_links)
    }
