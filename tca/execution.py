"""The two executions of a rule: filter the learning signal backwards or carry traces forwards.

Shapes: T time, B batch, N or I postsynaptic cells, J presynaptic.

    sum_t L_t e_t  =  sum_t nu_t (gain_t (x) pre_t),     e_t = D_t e_{t-1} + gain_t (x) pre_t,     nu_t = L_t +
    D_{t+1}^T nu_{t+1}

The left side is local to a synapse, the right side ends in one matrix product per connection. Both give the readout its
exact gradient, unless the signal defines an output signal of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from tca.connections.connection import ConnectionInput, Initial
from tca.eligibilities import Eligibility
from tca.eligibilities.perturbations import Gather, Perturbation
from tca.signals import Signal
from tca.signals.one_pass import gradients_in_one_pass
from tca.signals.signal import Buffers, CustomSignal, WindowFunction
from tca.tape.leaky_tape import LeakyTape
from tca.tape.population import Population
from tca.tape.tape import Tape

__all__ = ["EXECUTIONS", "Execution", "Gradients", "forward", "level_buffers", "reverse", "whole_signals"]

Gradients = dict[str, Tensor]
Execution = Callable[[Signal, Eligibility, Tape, Buffers], Gradients]


def reverse(signal: Signal, eligibility: Eligibility, tape: Tape, buffers: Buffers) -> Gradients:
    """Return the gradients of all parameters by filtering the learning signal backwards.

    The trial is processed in windows that fit into the cache, and within a window the populations from the last to the
    first; or as a whole by a compiled pass, see `tca.signals.one_pass`.

    Args:
        tape: The forward pass with its output errors.
    """
    if isinstance(tape, LeakyTape) and tape.in_one_pass:
        compiled = gradients_in_one_pass(signal, eligibility, tape, level_buffers(tape.population, buffers))
        if compiled is not None:
            return compiled
    gradients = _no_gradients(tape)
    output_signal, gather = _output_signal(signal, tape, buffers), _gather(signal)
    signals = _windowed_signals(signal, eligibility, tape, buffers)
    later: dict[int, Tensor] = {}
    for steps in tape.windows():
        for index, (level, learning_signal) in enumerate(signals):
            nu = learning_signal(steps)  # L_t
            later[index] = eligibility.filter_(level, nu, steps, later.get(index))  # nu_t = L_t + D_{t+1}^T nu_{t+1}
            if eligibility.joint:
                level.send_back(nu)
            _gather_population(eligibility, gather, level, nu, steps, gradients)  # sum_t nu_t (gain_t (x) pre_t)
        _gather_readout(gather, tape, output_signal, gradients, steps)
    for level, _ in signals:
        _scale(eligibility, level, gradients)
    return _finish(signal, tape, gradients, buffers)


def forward(signal: Signal, eligibility: Eligibility, tape: Tape, buffers: Buffers) -> Gradients:
    """Return the gradients of all parameters by carrying eligibility traces forwards.

    Args:
        tape: The forward pass with its output errors.

    Raises:
        ValueError: The propagator couples populations, which traces do not.
    """
    if eligibility.joint and tape.lower:
        raise ValueError(
            f"{type(eligibility).__name__} remembers across populations, which traces of one population cannot: "
            "use execution='reverse'"
        )
    gradients = _no_gradients(tape)
    for level, learning_signal in zip(tape.levels, whole_signals(signal, eligibility, tape, buffers), strict=True):
        _carry(eligibility, level, learning_signal, gradients, level_buffers(level.population, buffers))
    output_signal = _output_signal(signal, tape, buffers)
    _gather_readout(_gather(signal), tape, output_signal, gradients, slice(1, tape.steps + 1))
    return _finish(signal, tape, gradients, buffers)


def whole_signals(signal: Signal, eligibility: Eligibility, tape: Tape, buffers: Buffers) -> tuple[Tensor, ...]:
    """Return the learning signals of the whole trial, from the last population to the first.

    Each is a signal to the states, shape ``(T + 1, B, N)``, zero at time zero unless an initial state is learned.

    Args:
        eligibility: The eligibility, for signals that depend on its propagator.
        tape: The forward pass with its output errors.
    """
    signals = _windowed_signals(signal, eligibility, tape, buffers)
    windows: list[list[Tensor]] = [[] for _ in signals]
    later: dict[int, Tensor] = {}
    for steps in tape.windows():
        for index, (level, read) in enumerate(signals):
            learning_signal = read(steps)
            windows[index].append(learning_signal.clone())
            if eligibility.joint and tape.lower:
                later[index] = eligibility.filter_(level, learning_signal, steps, later.get(index))
                level.send_back(learning_signal)
    complete = []
    for found in windows:
        if not tape.learns_initial:
            found.append(torch.zeros_like(found[-1][:1]))
        complete.append(torch.cat(found[::-1]))
    return tuple(complete)


def level_buffers(population: Population, buffers: Buffers) -> Buffers:
    """Return the state of a signal in one population, without the prefix of its name.

    Args:
        buffers: The state of the signal in all populations.
    """
    if not population.name:
        return buffers
    prefix = f"{population.name}."
    return {name.removeprefix(prefix): each for name, each in buffers.items() if name.startswith(prefix)}


def _output_signal(signal: Signal, tape: Tape, buffers: Buffers) -> tuple[Tensor, Tensor]:
    """Return the signals to the readout's weights and biases, by default the output error."""
    if not isinstance(signal, CustomSignal):
        return tape.filtered_error, tape.output_error
    return signal.output_signal(tape, buffers | level_buffers(tape.population, buffers))


def _gather(signal: Signal) -> Gather:
    """Return the function that accumulates a connection's gradient, by default that of its tape."""
    if isinstance(signal, CustomSignal):
        return signal.gather_
    return lambda tape, link, gradient, driven, steps: tape.gather_(link, gradient, driven, steps)


def _windowed_signals(
    signal: Signal, eligibility: Eligibility, tape: Tape, buffers: Buffers
) -> tuple[tuple[Tape, WindowFunction], ...]:
    """Return every population, from the last to the first, with its windowed learning signal."""
    return tuple(
        (
            level,
            _until_the_end(level, signal.windowed_signal(level, level_buffers(level.population, buffers), eligibility)),
        )
        for level in tape.levels
    )


def _until_the_end(tape: Tape, read: WindowFunction) -> WindowFunction:
    """Return a windowed signal that is zero after the end of each trial."""
    over = tape.over
    if over is None:
        return read

    def within(steps: slice) -> Tensor:
        learning_signal = read(steps)
        ended = over[steps]
        return learning_signal.masked_fill(ended.view(*ended.shape, *[1] * (learning_signal.ndim - ended.ndim)), 0.0)

    return within


def _carry(
    eligibility: Eligibility, tape: Tape, learning_signal: Tensor, gradients: Gradients, buffers: Buffers
) -> None:
    """Add the gradients of one population's connections, step by step."""
    if tape.carry_(partial(eligibility.propagate_back_, tape), learning_signal, gradients):
        return
    trials = tape.rate.shape[1]
    first = tape.local_step(1)
    traces = eligibility.traces([link.connection for link in tape.links], first, trials, buffers)
    for t in range(tape.steps + 1):
        if t:
            step = tape.local_step(t)
            for trace, pre in zip(traces, step.pres, strict=True):
                trace.advance(step, pre)
        for trace, link in zip(traces, tape.links, strict=True):
            gradients[link.connection.name].add_(link.connection.fold(trace.gradient(learning_signal[t])))


EXECUTIONS: dict[str, Execution] = {
    "reverse": reverse,
    "forward": forward,
}


def _links(tape: Tape) -> list[ConnectionInput]:
    return [link for level in (tape, *tape.lower) for link in level.links] + list(tape.readout.links)


def _no_gradients(tape: Tape) -> Gradients:
    return {link.connection.name: link.connection.gradient() for link in _links(tape)}


def _gather_population(
    eligibility: Eligibility, gather: Gather, tape: Tape, filtered: Tensor, steps: slice, gradients: Gradients
) -> None:
    """Add ``sum_t nu_t (gain_t (x) pre_t)`` of a window, without constant gains; overwrites the filtered signal."""
    if isinstance(eligibility, Perturbation):
        eligibility.gather_(gather, tape, filtered, steps, gradients)
        return
    driven = tape.drive(filtered, steps) if steps.start > 0 else filtered
    for link in tape.links:
        if isinstance(link.connection, Initial) == (steps.start == 0):
            gather(tape, link, gradients[link.connection.name], driven, steps)


def _scale(eligibility: Eligibility, tape: Tape, gradients: Gradients) -> None:
    """Multiply the gradients of a population by its constant gains, which perturbations lack."""
    if isinstance(eligibility, Perturbation):
        eligibility.finish_(tape, gradients)
        return
    for link in tape.links:
        if not isinstance(link.connection, Initial):
            tape.scale_gain_(gradients[link.connection.name])


def _gather_readout(
    gather: Gather, tape: Tape, output_signals: tuple[Tensor, Tensor], gradients: Gradients, steps: slice
) -> None:
    """Add the gradient of the readout: output signal times rates, and for the bias unfiltered."""
    if steps.start == 0:
        return
    weights, bias = output_signals
    for link, each in zip(tape.readout.links, (weights, bias, bias), strict=False):  # the last from the inputs
        part = steps.stop - steps.start < tape.steps  # elsewhere than on a CPU the host would wait to save a product
        if part and each.is_cpu and not each[steps].any():
            continue
        gather(tape, link, gradients[link.connection.name], each[steps], steps)


def _finish(signal: Signal, tape: Tape, gradients: Gradients, buffers: Buffers) -> Gradients:
    """Return the gradients in the shapes of the weights, that of the readout as the signal changes it."""
    finished = {link.connection.name: link.connection.finish(gradients[link.connection.name]) for link in _links(tape)}
    if isinstance(signal, CustomSignal):
        weight, bias = (finished[link.connection.name] for link in tape.readout.links[:2])  # not those from inputs
        signal.condition_readout_(weight, bias, level_buffers(tape.population, buffers))
    return finished
