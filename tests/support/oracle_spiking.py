"""What the right answer is for spiking networks, computed in ways that share no code with the library.

1. Autograd over an explicit loop in which chosen paths are detached, one ``Surgery`` per rule. A spike is written as
   ``hard + psi (x - x)``, the second ``x`` detached: its value is that of the step function, its derivative the number
   ``psi``, and no function of the library stands in for either.
2. The trace of every synapse, written out, with Jacobians of a single step taken by autograd.

Shapes: T time, B batch, N cells (I post, J pre), O outputs, M = 2 N states, potentials before adaptations. Parameters
are a dictionary of ``w_in (N, n_in)``, ``w_rec (N, N)``, ``b (N)`` if there is one, ``w_out (O, N)``, ``b_out (O)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from tests.support.oracle import Problem, Weights, _Feedback, _grad, _leaves

PSEUDO: dict[str, Callable[[Tensor], Tensor]] = {
    "triangular": lambda u: torch.clamp(1 - u.abs(), min=0),
    "fast_sigmoid": lambda u: (1 + u.abs()) ** -2,
    "gaussian": lambda u: torch.exp(-(u**2) / 2),
    "exponential": lambda u: torch.exp(-u.abs()),
    "boxcar": lambda u: (u.abs() < 1).double(),
}


class State(NamedTuple):
    """Potential, adaptation, spikes, and steps for which a cell is still silent, each ``(B, N)``."""

    v: Tensor
    a: Tensor
    z: Tensor
    wait: Tensor


@dataclass(frozen=True)
class Model:
    """A spiking network without its weights; every constant is one per cell."""

    kappa: Tensor
    gain: Tensor
    rho: Tensor
    gain_a: Tensor
    beta: Tensor
    thr: float
    refractory: int
    surrogate_gradient: str = "triangular"
    gamma: float = 0.3
    width: float = 1.0
    reset_in_trace: bool = False
    readout_leak: float = 0.0
    masks: dict[str, Tensor] = field(default_factory=dict)
    types: tuple[int, ...] = ()

    def weight(self, weights: Weights, name: str) -> Tensor:
        return weights[name] * self.masks[name] if name in self.masks else weights[name]

    def psi(self, v: Tensor, a: Tensor, wait: Tensor) -> Tensor:
        u = (v - (self.thr + self.beta * a)) / self.thr / self.width
        return torch.where(wait > 0, 0.0, PSEUDO[self.surrogate_gradient](u) * self.gamma / self.thr)

    def emit(self, v: Tensor, a: Tensor, wait: Tensor) -> Tensor:
        x = v - (self.thr + self.beta * a)
        hard = ((x > 0) & (wait == 0)).double()
        return hard + self.psi(v, a, wait).detach() * (x - x.detach())

    def step(
        self, weights: Weights, state: State, x: Tensor, arriving: Tensor | None = None, reset: Tensor | None = None
    ) -> State:
        """One step; ``arriving`` and ``reset`` stand in for what synapses deliver and for the spikes that reset."""
        arriving = state.z @ self.weight(weights, "w_rec").T if arriving is None else arriving
        reset = state.z if reset is None else reset
        drive = arriving + x @ self.weight(weights, "w_in").T + weights.get("b", 0.0)
        v = self.kappa * state.v + self.gain * drive - self.thr * reset
        a = self.rho * state.a + self.gain_a * state.z
        wait = torch.where(state.z.detach() > 0, self.refractory, (state.wait - 1).clamp(min=0))
        return State(v, a, self.emit(v, a, wait), wait)


@dataclass(frozen=True)
class Surgery:
    """Which paths from one step to the next a rule follows, for the step ``t`` (from 1) of ``T``."""

    leak: Callable[[int, int], bool] = lambda t, steps: True
    transmission: Callable[[int, int], bool] = lambda t, steps: True
    own: bool = False
    share: float = 1.0


def _never(t: int, steps: int) -> bool:
    return False


WHOLE = Surgery()
LEAK_ONLY = Surgery(transmission=_never)
LEAK_AND_OWN = Surgery(transmission=_never, own=True)
NOTHING = Surgery(leak=_never, transmission=_never)


def windows(length: int) -> Surgery:
    """Detach the whole state at the end of each window; the last ends with the trial."""
    return Surgery(*[lambda t, steps: (steps - t + 1) % length != 0] * 2)


def rate_windows(length: int) -> Surgery:
    """Detach what is transmitted at the end of each window; the leak crosses."""
    return Surgery(transmission=lambda t, steps: (steps - t + 1) % length != 0)


def share(size: float) -> Surgery:
    """Let synapses and reset pass on a share of what they could."""
    return Surgery(share=size)


def presynaptic(model: Model, weights: Weights, inputs: Tensor) -> list[State]:
    """The states of a run in which only potentials remember what synapses delivered: no adaptation, no reset."""
    w_rec = model.weight(weights, "w_rec")
    trail = [rest(model, inputs.shape[1])]
    for x in inputs:
        state, stopped = trail[-1], trail[-1].z.detach()
        reset = state.z if model.reset_in_trace else stopped
        after = model.step(weights, state._replace(a=state.a.detach(), z=stopped), x, stopped @ w_rec.T, reset)
        trail.append(after)
    return trail


def rest(model: Model, trials: int) -> State:
    """The state before the first step."""
    zero = torch.zeros(trials, len(model.kappa), dtype=torch.float64)
    return State(zero, zero, zero, zero.long())


def states(model: Model, weights: Weights, inputs: Tensor, surgery: Surgery = WHOLE) -> list[State]:
    """The T + 1 states of a run."""
    steps = len(inputs)
    w_rec = model.weight(weights, "w_rec")
    trail = [rest(model, inputs.shape[1])]
    for t in range(1, steps + 1):
        state = trail[-1]
        if not surgery.leak(t, steps):
            state = State(*(each.detach() for each in state))
        stopped = state.z.detach()
        sent = stopped + surgery.share * (state.z - stopped) if surgery.transmission(t, steps) else stopped
        arriving = sent @ w_rec.T
        if surgery.own:
            arriving = arriving + (state.z - stopped) * w_rec.diagonal()
        reset = state.z if surgery.own or model.reset_in_trace else sent
        trail.append(model.step(weights, state, inputs[t - 1], arriving, reset))
    return trail


def readout(model: Model, weights: Weights, rates: list[Tensor], feedback: Tensor | None = None) -> Tensor:
    """Outputs ``(T, B, O)`` of the spikes of steps 1 to T."""
    w_out, keep = model.weight(weights, "w_out"), model.readout_leak
    filtered, outputs = torch.zeros_like(rates[0]), []
    for rate in rates:
        filtered = keep * filtered + (1 - keep) * rate
        product = filtered @ w_out.T if feedback is None else _Feedback.apply(filtered, w_out, feedback)
        outputs.append(product + weights["b_out"])
    return torch.stack(outputs)


def outputs(model: Model, weights: Weights, inputs: Tensor) -> Tensor:
    """Outputs ``(T, B, O)`` of the network."""
    return readout(model, weights, [state.z for state in states(model, weights, inputs)[1:]])


def gradient(
    model: Model, weights: Weights, problem: Problem, surgery: Surgery = WHOLE, feedback: Tensor | None = None
) -> Weights:
    """Gradient by autograd after surgery; ``feedback (N, O)`` replaces the readout's weights on the way back."""
    leaves = _leaves(weights)
    rates = [state.z for state in states(model, leaves, problem.inputs, surgery)[1:]]
    return _grad(problem.value(readout(model, leaves, rates, feedback)), leaves)


def direct_errors(model: Model, weights: Weights, problem: Problem) -> Tensor:
    """Derivative of the loss by each spike through the readout alone, ``(T, B, N)``."""
    rates = [state.z.detach().requires_grad_() for state in states(model, weights, problem.inputs)[1:]]
    return torch.stack(torch.autograd.grad(problem.value(readout(model, weights, rates)), rates))


def learning_signal(
    model: Model, weights: Weights, problem: Problem, signal: Tensor, surgery: Surgery = LEAK_ONLY
) -> Weights:
    """The change where every spike receives ``signal (T, B, N)`` and paths are cut; the readout's gradient is exact."""
    leaves = _leaves(weights)
    rates = torch.stack([state.z for state in states(model, leaves, problem.inputs, surgery)[1:]])
    exact = gradient(model, weights, problem, NOTHING)
    return _grad((signal * rates).sum(), leaves) | {name: exact[name] for name in ("w_out", "b_out")}


def weight_means(model: Model, weights: Weights, existing: bool) -> Tensor:
    """Mean recurrent weight by types of the pair, over existing synapses and only there, or over all pairs."""
    w_rec = model.weight(weights, "w_rec")
    mask = model.masks.get("w_rec", torch.ones_like(w_rec))
    kinds = model.types or (0,) * len(w_rec)
    result = torch.zeros_like(w_rec)
    for i, to in enumerate(kinds):
        for j, of in enumerate(kinds):
            block = [(k, m) for k, a in enumerate(kinds) for m, b in enumerate(kinds) if (a, b) == (to, of)]
            counted = [pair for pair in block if mask[pair] or not existing]
            if mask[i, j] or not existing:
                result[i, j] = sum(w_rec[pair] for pair in counted) / len(counted)
    return result


def at_most_hops(model: Model, weights: Weights, problem: Problem, known: Tensor, count: int) -> Weights:
    """Gradient of the paths with at most so many transmissions: copies of the network, each read by the next.

    All copies do the same; paths into copy h come from copy h - 1 by synapses and reset, and from h by the leak.
    ``known (N, N)`` stands in for the recurrent weights on the way back.
    """
    leaves = _leaves(weights)
    w_rec = model.weight(leaves, "w_rec")
    copies = [rest(model, problem.inputs.shape[1])] * (count + 1)
    rates = []
    for x in problem.inputs:
        following = []
        for h, state in enumerate(copies):
            lower = copies[h - 1].z if h else state.z.detach()
            stopped = lower.detach()
            arriving = stopped @ w_rec.T + (lower - stopped) @ known.T
            following.append(model.step(leaves, state, x, arriving, state.z if model.reset_in_trace else lower))
        copies = following
        rates.append(copies[-1].z)
    return _grad(problem.value(readout(model, leaves, rates)), leaves)


def slopes(model: Model, weights: Weights, inputs: Tensor) -> Tensor:
    """Surrogate gradient of steps 1 to T, ``(T, B, N)``."""
    return torch.stack([model.psi(s.v, s.a, s.wait) for s in states(model, weights, inputs)[1:]]).detach()


def published_mdgl(model: Model, weights: Weights, problem: Problem, known: Tensor) -> Weights:
    """e-prop with ``G_t = s_t + gain W~^T (psi s)_{t+1}``; the reset is a synapse where the trace lacks it."""
    errors = direct_errors(model, weights, problem)
    later = (slopes(model, weights, problem.inputs) * errors)[1:]
    returned = torch.einsum("ij,tbi->tbj", model.gain[:, None] * known, later)
    signal = errors.clone()
    signal[:-1] += returned if model.reset_in_trace else returned - model.thr * later
    return learning_signal(model, weights, problem, signal)


def future_gradient(model: Model, weights: Weights, problem: Problem, horizon: int) -> Weights:
    """Each error reaches back ``horizon`` steps and no further: one truncated network for the error of every step."""
    errors = direct_errors(model, weights, problem)
    frozen = [State(*(each.detach() for each in state)) for state in states(model, weights, problem.inputs)]
    total = gradient(model, weights, problem, NOTHING)
    total = {name: value if name in ("w_out", "b_out") else torch.zeros_like(value) for name, value in total.items()}
    for q in range(1, len(frozen)):
        leaves = _leaves(weights)
        first = max(q - horizon, 1)
        state = frozen[first - 1]
        for t in range(first, q + 1):
            state = model.step(leaves, state, problem.inputs[t - 1])
        part = _grad((errors[q - 1] * state.z).sum(), leaves)
        total = {name: value + part[name] for name, value in total.items()}
    return total


def jacobians(model: Model, weights: Weights, inputs: Tensor, cut: bool = False) -> Tensor:
    """Derivative of every state ``(v, a)`` by the one before, ``(T, B, M, M)``; with ``cut`` that of the leak alone."""
    trail = states(model, weights, inputs)
    cells = len(model.kappa)

    def step(before: Tensor, wait: Tensor, x: Tensor) -> Tensor:
        v, a = before[:cells], before[cells:]
        z = model.emit(v, a, wait)
        stopped = z.detach() if cut else z
        arriving = stopped @ model.weight(weights, "w_rec").T
        after = model.step(weights, State(v, a, z, wait), x, arriving, z if model.reset_in_trace else stopped)
        return torch.cat([after.v, after.a])

    each = torch.func.vmap(torch.func.vmap(torch.func.jacrev(step)))
    before = torch.stack([torch.cat([s.v, s.a], -1) for s in trail[:-1]])
    return each(before, torch.stack([s.wait for s in trail[:-1]]), inputs)


def state_signal(model: Model, weights: Weights, problem: Problem, signal: Tensor) -> Tensor:
    """A signal to spikes, ``(T, B, N)``, as one to states, ``(T, B, M)``."""
    trail = states(model, weights, problem.inputs)[1:]
    both = torch.stack([torch.stack([s.v, s.a]) for s in trail]).detach().requires_grad_()
    rates = torch.stack([model.emit(v, a, s.wait) for (v, a), s in zip(both, trail, strict=True)])
    found = torch.autograd.grad((rates * signal).sum(), both)[0]
    return torch.cat([found[:, 0], found[:, 1]], -1)


def dense_traces(
    model: Model, weights: Weights, problem: Problem, propagator: Tensor, kept: Tensor | None = None
) -> dict[str, list[Tensor]]:
    """Influence of every synapse on every state at every step, ``(B, M, I, J)``, by the parameter's name.

    With ``kept (I, M)`` each postsynaptic cell forgets all states but some.
    """
    rates = torch.stack([state.z for state in states(model, weights, problem.inputs)[:-1]])
    pres = {"w_rec": rates, "w_in": problem.inputs}
    if "b" in weights:
        pres["b"] = torch.ones_like(problem.inputs[..., :1])
    cells, found = len(model.kappa), {}
    for name, pre in pres.items():
        trace = pre.new_zeros(pre.shape[1], 2 * cells, cells, pre.shape[-1])
        found[name] = []
        for t in range(len(pre)):
            trace = torch.einsum("blm,bmij->blij", propagator[t], trace)
            for i in range(cells):
                trace[:, i, i] += model.gain[i] * pre[t]
            if kept is not None:
                trace = trace * kept.T[:, :, None]
            found[name].append(trace)
    return found


def summed(
    model: Model, weights: Weights, problem: Problem, signal: Tensor, traces: dict[str, list[Tensor]]
) -> Weights:
    """``sum_t L_t . e_t`` for a state signal ``(T, B, M)``, the readout's exact gradient, missing synapses at zero."""
    exact = gradient(model, weights, problem, NOTHING)
    found = {name: exact[name] for name in ("w_out", "b_out")}
    for name, each in traces.items():
        found[name] = sum(torch.einsum("bl,blij->ij", now, e) for now, e in zip(signal, each, strict=True))
    if "b" in found:
        found["b"] = found["b"].squeeze(-1)
    return {name: model.weight(found, name) for name in weights}


def reach(model: Model, weights: Weights, problem: Problem, steps: int) -> Weights:
    """SnAp-n: influences on the states of cells within ``steps - 1`` synapses of the postsynaptic cell."""
    mask = model.masks.get("w_rec", torch.ones_like(weights["w_rec"]))
    reached = torch.eye(len(mask), dtype=torch.float64)  # [i, l]: l from i
    for _ in range(steps - 1):
        reached = ((reached + reached @ mask.T) > 0).double()
    traces = dense_traces(
        model, weights, problem, jacobians(model, weights, problem.inputs), torch.cat([reached, reached], 1)
    )
    signal = state_signal(model, weights, problem, direct_errors(model, weights, problem))
    return summed(model, weights, problem, signal, traces)


def online_mdgl(model: Model, weights: Weights, problem: Problem, known: Tensor) -> Weights:
    """The direct part of e-prop, and errors of the moment of the next cell, met by filtered slopes and traces."""
    keep = model.readout_leak
    leak = jacobians(model, weights, problem.inputs, cut=True)
    traces = dense_traces(model, weights, problem, leak)
    result = summed(
        model,
        weights,
        problem,
        state_signal(model, weights, problem, direct_errors(model, weights, problem)),
        traces,
    )
    psi = slopes(model, weights, problem.inputs)
    error = problem.errors(outputs(model, weights, problem.inputs)) @ model.weight(weights, "w_out")
    filtered = torch.zeros_like(psi[0])
    reported = []
    back = model.gain[:, None] * known
    if not model.reset_in_trace:
        back = back - model.thr * torch.eye(len(known), dtype=torch.float64)
    for t in range(len(psi)):
        filtered = keep * filtered + (1 - keep) * psi[t]
        reported.append((filtered * error[t]) @ back)
    cells = len(known)
    for name, each in traces.items():
        moved = torch.zeros_like(each[0][:, :cells].diagonal(dim1=1, dim2=2))
        total = torch.zeros_like(moved[0].T)
        for t in range(1, len(psi)):
            own = [each[t - 1][:, part].diagonal(dim1=1, dim2=2) for part in (slice(cells), slice(cells, None))]
            emitted = psi[t - 1][:, None] * (own[0] - model.beta * own[1])  # (B, J, I)
            moved = keep * moved + (1 - keep) * emitted
            total += torch.einsum("bi,bji->ij", reported[t], moved)
        result[name] = result[name] + model.weight({name: total.view_as(result[name])}, name)
    return result
