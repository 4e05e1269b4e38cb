"""The oracle for rules that know cells by type, or that follow some of the recurrent paths, in its own words.

Two devices cut paths by autograd without touching any value. A *deviation* ``d - stop(d)`` is zero and carries credit
through a matrix of one's choice. *Copies* of the network count hops: copy k receives copy k - 1, copy 0 a net without
credit, so that what is read from copy r has passed at most r recurrent synapses.

Shapes: T time, B batch, N recurrent units (I post, J pre, L any). Signals have T + 1 entries, entry 0 for time zero.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.support import oracle, oracle_traces
from tests.support.oracle import Model, Problem, Weights


def existing(model: Model, cells: int) -> Tensor:
    """Which synapses there are."""
    return model.masks.get("w_rec", torch.ones(cells, cells, dtype=torch.float64))


def block_mean(model: Model, weights: Weights) -> Tensor:
    """Mean weight from type to type over all pairs of cells, spread over the pairs again; number by number."""
    w = model.weight(weights, "w_rec").detach()
    return _by_pair(model.types, lambda pairs: sum(float(w[i, j]) for i, j in pairs) / len(pairs))


def synapse_mean(model: Model, weights: Weights) -> Tensor:
    """Mean weight from type to type over the synapses that exist, where they exist; number by number."""
    w, there = model.weight(weights, "w_rec").detach(), existing(model, len(model.types))

    def mean(pairs: list[tuple[int, int]]) -> float:
        found = [float(w[i, j]) for i, j in pairs if there[i, j]]
        return sum(found) / len(found) if found else 0.0

    return _by_pair(model.types, mean) * there


def exact_weights(model: Model, weights: Weights) -> Tensor:
    """The weights themselves."""
    return model.weight(weights, "w_rec").detach()


def _by_pair(types: tuple[int, ...], mean: Callable[[list[tuple[int, int]]], float]) -> Tensor:
    cells = range(len(types))
    groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i in cells:
        for j in cells:
            groups.setdefault((types[i], types[j]), []).append((i, j))
    means = {pair: mean(members) for pair, members in groups.items()}
    return torch.tensor([[means[types[i], types[j]] for j in cells] for i in cells], dtype=torch.float64)


def _credit(value: Tensor) -> Tensor:
    """Zero, with the credit of a value."""
    return value - value.detach()


def _read(model: Model, weights: Weights, problem: Problem, states: list[Tensor], feedback: Tensor | None) -> Tensor:
    rates = [model.rate(state) for state in states[1:]]
    return problem.value(oracle.readout(model, weights, rates, feedback))


def at_most_hops(
    model: Model, weights: Weights, problem: Problem, estimate: Tensor, hops: int, feedback: Tensor | None = None
) -> Weights:
    """Gradient of the paths with at most some hops, those on the way back through an estimate of the weights."""
    leaves = oracle._leaves(weights)
    start = oracle.start(leaves, model, problem.inputs.shape[1])
    copies = [start] * (hops + 1)
    trail = [copies[-1]]
    for x in problem.inputs:
        received = [torch.zeros_like(start)] + [_credit(model.rate(each)) @ estimate.T for each in copies[:-1]]
        copies = [
            model.step(leaves | {"b": leaves["b"] + arriving}, each, x, sent=model.rate(each).detach())
            for each, arriving in zip(copies, received, strict=True)
        ]
        trail.append(copies[-1])
    return oracle._grad(_read(model, leaves, problem, trail, feedback), leaves)


def share_of_paths(
    model: Model, weights: Weights, problem: Problem, share: float, feedback: Tensor | None = None
) -> Weights:
    """Gradient with ``stop(z) + s (z - stop(z))`` in the recurrent product."""
    leaves = oracle._leaves(weights)
    trail = [oracle.start(leaves, model, problem.inputs.shape[1])]
    for x in problem.inputs:
        rate = model.rate(trail[-1])
        trail.append(model.step(leaves, trail[-1], x, sent=rate.detach() + share * _credit(rate)))
    return oracle._grad(_read(model, leaves, problem, trail, feedback), leaves)


def some_synapses(
    model: Model, weights: Weights, problem: Problem, kept: Tensor, feedback: Tensor | None = None
) -> Weights:
    """Gradient with ``W stop(z) + (stop(W) o M)(z - stop(z))`` in the recurrent product."""
    leaves, gain = oracle._leaves(weights), 1 - model.leak
    trail = [oracle.start(leaves, model, problem.inputs.shape[1])]
    for x in problem.inputs:
        rate, recurrent = model.rate(trail[-1]), model.weight(leaves, "w_rec")
        drive = rate.detach() @ recurrent.T + _credit(rate) @ (kept * recurrent.detach()).T
        drive = drive + x @ model.weight(leaves, "w_in").T + leaves["b"]
        drive = drive if model.form == "A" else oracle.ACTIVATIONS[model.activation](drive)
        trail.append(model.leak * trail[-1] + gain * drive)
    return oracle._grad(_read(model, leaves, problem, trail, feedback), leaves)


def spread_by_type(
    model: Model,
    weights: Weights,
    problem: Problem,
    mean: Tensor,
    slope: float,
    sender_exact: bool = False,
    feedback: Tensor | None = None,
) -> Weights:
    """E-prop, plus a deviation that starts at a cell's first recurrent synapse and spreads as ``leak + gain m W_ab``.

    ``sender_exact`` keeps the slope of the cell where it starts.
    """
    leaves, gain = oracle._leaves(weights), 1 - model.leak
    state = oracle.start(leaves, model, problem.inputs.shape[1])
    spread, trail = torch.zeros_like(state), [state]
    for x in problem.inputs:
        sent = _credit(model.rate(state)) if sender_exact and model.form == "A" else slope * _credit(state)
        spread = model.leak * spread + gain * ((slope * spread + sent) @ mean.T)
        state = model.step(leaves, state, x, sent=model.rate(state).detach())
        trail.append(state + spread)
    return oracle._grad(_read(model, leaves, problem, trail, feedback), leaves)


def published_mdgl(model: Model, weights: Weights, problem: Problem, estimate: Tensor) -> Weights:
    """E-prop with ``G_t = s_t + (1 - k) W~^T (psi_{t+1} s_{t+1})``; in form B psi is the slope at the drive."""
    leaves = oracle._leaves(weights)
    trail = oracle.states(model, leaves, problem.inputs, oracle.LEAK_ONLY)
    errors = oracle.direct_errors(model, weights, problem)
    learning_signal = torch.cat([torch.zeros_like(errors[:1]), errors])
    for t, x in enumerate(problem.inputs):
        pushed = torch.zeros_like(weights["b"]).expand_as(learning_signal[0]).clone().requires_grad_()
        later = model.step(weights | {"b": weights["b"] + pushed}, trail[t].detach(), x)
        learning_signal[t] += torch.autograd.grad((errors[t] * model.rate(later)).sum(), pushed)[0] @ estimate
    total = sum((signal * model.rate(state)).sum() for signal, state in zip(learning_signal, trail, strict=True))
    return oracle._grad(total, leaves) | _readout_gradient(model, weights, problem)


def online_mdgl(model: Model, weights: Weights, problem: Problem, estimate: Tensor) -> Weights:
    """E-prop, and ``(gain W~)^T (psibar_t W_o^T err_t)`` given to the filtered rates of the step before."""
    leaves, keep = oracle._leaves(weights), model.readout_leak
    trail = oracle.states(model, leaves, problem.inputs, oracle.LEAK_ONLY)
    errors = problem.errors(oracle.outputs(model, weights, problem.inputs)) @ model.weight(weights, "w_out")
    learning_signal = torch.cat([torch.zeros_like(errors[:1]), oracle.direct_errors(model, weights, problem)])
    total = sum((signal * model.rate(state)).sum() for signal, state in zip(learning_signal, trail, strict=True))
    received, slope = torch.zeros_like(trail[0]), torch.zeros_like(errors[0])
    for t, x in enumerate(problem.inputs):
        pushed = torch.zeros_like(errors[0]).requires_grad_()
        later = model.step(weights | {"b": weights["b"] + pushed}, trail[t].detach(), x)
        slope = keep * slope + (1 - keep) * torch.autograd.grad(model.rate(later).sum(), pushed)[0]
        received = keep * received + (1 - keep) * model.rate(trail[t])
        total = total + ((slope * errors[t]) @ estimate * received).sum()
    return oracle._grad(total, leaves) | _readout_gradient(model, weights, problem)


def _readout_gradient(model: Model, weights: Weights, problem: Problem) -> Weights:
    found = oracle.gradient(model, weights, problem, oracle.NOTHING)
    return {name: found[name] for name in ("w_out", "b_out")}


def reach(exists: Tensor, hops: int) -> Tensor:
    """Whether cell l is reached from cell i in at most some hops, at ``[i, l]``; a walk over the synapses."""
    cells = len(exists)
    found = torch.zeros(cells, cells, dtype=torch.float64)
    for i in range(cells):
        seen = {i}
        for _ in range(hops):
            seen |= {l for l in range(cells) for j in seen if exists[l, j]}  # noqa: E741
        found[i, list(seen)] = 1
    return found


def snap(model: Model, weights: Weights, problem: Problem, signal: Tensor, steps: int) -> Weights:
    """``sum_t L_t . P_t`` with the influence ``P[b, l, i, j]`` set to zero wherever l is not within reach of i."""
    jacobian, gain = oracle_traces.jacobians(model, weights, problem.inputs)
    cells = gain.shape[-1]
    kept = reach(existing(model, cells), steps - 1).T[None, :, :, None]
    found: Weights = {}
    pres = oracle_traces._presynaptic(model, weights, problem.inputs)
    impulse = torch.eye(cells, dtype=gain.dtype)[None, :, :, None].expand(gain.shape[1], -1, -1, -1)
    starts = {name: torch.zeros_like(impulse).expand(-1, -1, -1, pre.shape[-1]) for name, pre in pres.items()}
    if "s_0" in weights:
        pres, starts = pres | {"s_0": torch.zeros_like(pres["b"])}, starts | {"s_0": impulse}
    for name, pre in pres.items():
        trace = starts[name].clone()
        total = torch.einsum("bl,blij->ij", signal[0], trace)
        for t in range(len(gain)):
            trace = kept * torch.einsum("blm,bmij->blij", jacobian[t], trace)
            for i in range(cells):
                trace[:, i, i] += gain[t, :, i, None] * pre[t]
            total = total + torch.einsum("bl,blij->ij", signal[t + 1], trace)
        found[name] = total.squeeze(-1) if name in ("b", "s_0") else total
    found = {name: found[name] * model.masks[name] if name in model.masks else found[name] for name in found}
    return {name: (found | _readout_gradient(model, weights, problem))[name] for name in weights}


def told_within_reach(model: Model, weights: Weights, problem: Problem, wanted: Tensor, steps: int) -> Tensor:
    """The signal that leaves cell i with ``wanted_i`` when an adjoint of its own, within its reach, has filtered it."""
    jacobian, gain = oracle_traces.jacobians(model, weights, problem.inputs)
    kept = reach(existing(model, gain.shape[-1]), steps - 1)
    signal, adjoint = wanted.clone(), torch.zeros(gain.shape[1], *kept.shape, dtype=gain.dtype)
    for t in range(len(jacobian), -1, -1):
        back = kept * torch.einsum("blm,bil->bim", jacobian[t], adjoint) if t < len(jacobian) else adjoint
        signal[t] -= back.diagonal(dim1=-2, dim2=-1)
        adjoint = kept * signal[t][:, None] + back
    return signal


def transmissions(model: Model, weights: Weights, inputs: Tensor, estimate: Tensor) -> Tensor:
    """``J~ - leak`` ``(T, B, N, N)`` of every step: what a change of state does over the estimated weights alone."""
    trail = torch.stack(oracle.states(model, weights, inputs)[:-1])

    def step(state: Tensor, base: Tensor, x: Tensor) -> Tensor:
        arriving = (model.rate(state) - model.rate(base)) @ estimate.T
        return model.step(weights | {"b": weights["b"] + arriving}, base, x)

    each = torch.func.vmap(torch.func.vmap(lambda state, x: torch.func.jacrev(step)(state, state, x)))
    return each(trail, inputs)


def online_signal(model: Model, weights: Weights, problem: Problem, estimate: Tensor) -> Tensor:
    """The signal of ``online_mdgl`` for plain traces: its derivative by states that nothing follows."""
    errors = problem.errors(oracle.outputs(model, weights, problem.inputs)) @ model.weight(weights, "w_out")
    trail = torch.stack(oracle.states(model, weights, problem.inputs)).detach().requires_grad_()
    keep, rates = model.readout_leak, model.rate(trail)
    received, slope, total = torch.zeros_like(rates[0]), torch.zeros_like(rates[0]), torch.zeros(())
    for t, x in enumerate(problem.inputs):
        pushed = torch.zeros_like(errors[0]).requires_grad_()
        later = model.step(weights | {"b": weights["b"] + pushed}, trail[t].detach(), x)
        slope = keep * slope + (1 - keep) * torch.autograd.grad(model.rate(later).sum(), pushed)[0]
        received = keep * received + (1 - keep) * rates[t]
        total = total + ((slope * errors[t]) @ estimate * received).sum()
    return oracle_traces.direct_signal(model, weights, problem) + torch.autograd.grad(total, trail)[0]


def hop_signal(
    model: Model, weights: Weights, problem: Problem, estimate: Tensor, hops: int, receiver_leak: bool
) -> Tensor:
    """The signal of at most some hops, summed over every hop and every wait of an error, ``(T + 1, B, N)``."""
    through = transmissions(model, weights, problem.inputs, estimate)
    direct = oracle_traces.direct_signal(model, weights, problem)
    signal = direct.clone()
    for _ in range(hops):
        learning_signal = direct.clone()
        for t in range(len(through)):
            waits = range(len(through) - t) if receiver_leak else range(1)
            waiting = sum(model.leak**wait * signal[t + 1 + wait] for wait in waits)
            learning_signal[t] += torch.einsum("blm,bl->bm", through[t], waiting)
        signal = learning_signal
    return signal


def type_signal(
    model: Model,
    weights: Weights,
    problem: Problem,
    propagator: Tensor,
    mean: Tensor,
    slope: float,
    sender_exact: bool = False,
    taps: int | None = None,
) -> Tensor:
    """``n_t - D_{t+1}^T n_{t+1}`` with ``n`` a sum over errors, waits of the sender and matrix powers."""
    one = torch.eye(len(mean), dtype=mean.dtype)
    leak = (model.leak * torch.ones(len(mean), dtype=mean.dtype)).diag()
    hop = (one - leak) @ mean
    direct = oracle_traces.direct_signal(model, weights, problem)
    trail = torch.stack(oracle.states(model, weights, problem.inputs)).detach().requires_grad_()
    own = torch.autograd.grad(model.rate(trail).sum(), trail)[0]
    own = own if sender_exact and model.form == "A" else torch.full_like(own, slope)
    steps = len(direct) - 1
    most = steps if taps is None else taps

    def returned(t: int, terms: int) -> Tensor:
        """What the errors of some steps from t on bring back to t."""
        total = torch.zeros_like(direct[0])
        for q in range(min(terms, steps - t + 1)):
            total = total + direct[t + q] @ torch.linalg.matrix_power(leak, q)
            for wait in range(q):
                passed = direct[t + q] @ torch.linalg.matrix_power(leak + slope * hop, q - wait - 1) @ hop
                total = total + (own[t + wait] * passed) @ torch.linalg.matrix_power(leak, wait)
        return total

    signal = torch.stack([returned(t, most + 1) for t in range(steps + 1)])
    for t in range(steps):
        signal[t] -= torch.einsum("blm,bl->bm", propagator[t], returned(t + 1, most))
    return signal
