"""The third route of the oracle: the trace of every synapse, written out.

A rule is a signal ``L_t`` and a propagator ``D_t``: ``e_t = D_t e_{t-1} + gain_t (x) pre_t``, ``g = sum_t L_t . e_t``.
Here ``J_t`` and ``gain_t`` are Jacobians of a single step taken by autograd, so that no formula of a derivative is
written down twice, and the trace is the dense tensor of the influence of every synapse on every cell.

Shapes: T time, B batch, N recurrent units (I post, J pre, L any). Signals have T + 1 entries, entry 0 for the initial
state; Jacobians, gains and propagators have T, entry t - 1 for step t.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.support.oracle import Model, Problem, Weights, direct_errors, outputs, states
from tests.support.remembered import remembered

Propagator = Callable[[Model, Tensor], Tensor]

PROPAGATORS: dict[str, Propagator] = {
    "instant": lambda model, jacobian: torch.zeros_like(jacobian),
    "leak": lambda model, jacobian: (
        (model.leak * torch.ones(jacobian.shape[-1], dtype=jacobian.dtype)).diag().expand_as(jacobian)
    ),
    "diagonal": lambda model, jacobian: jacobian.diagonal(dim1=-2, dim2=-1).diag_embed(),
    "full": lambda model, jacobian: jacobian,
}


@remembered
def jacobians(model: Model, weights: Weights, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """``J (T, B, N, N)`` and ``gain (T, B, N)``: derivatives of each step by the state before it and by the bias."""
    trail = torch.stack(states(model, weights, inputs)[:-1])

    def step(state: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        return model.step(weights | {"b": bias}, state, x)

    by_state, by_bias = torch.func.jacrev(step, argnums=(0, 1)), weights["b"]
    each = torch.func.vmap(torch.func.vmap(lambda state, x: by_state(state, by_bias, x)))
    jacobian, drive = each(trail, inputs)
    gain = drive.diagonal(dim1=-2, dim2=-1)
    assert torch.equal(gain.diag_embed(), drive), "a drive moves its own cell only"
    return jacobian, gain


@remembered
def direct_signal(model: Model, weights: Weights, problem: Problem, feedback: Tensor | None = None) -> Tensor:
    """``l_t``: the errors that reach each state through the readout alone, ``(T + 1, B, N)``."""
    trail = torch.stack(states(model, weights, problem.inputs)).detach().requires_grad_()
    errors = torch.cat([torch.zeros_like(trail[:1]), direct_errors(model, weights, problem, feedback)])
    return torch.autograd.grad((model.rate(trail) * errors).sum(), trail)[0]


def reverse_filter(signal: Tensor, propagator: Tensor) -> Tensor:
    """``nu_t = L_t + D_{t+1}^T nu_{t+1}``; with ``D = J`` and the direct signal this is the adjoint."""
    filtered = signal.clone()
    for t in range(len(propagator) - 1, -1, -1):
        filtered[t] += torch.einsum("blm,bl->bm", propagator[t], filtered[t + 1])
    return filtered


@remembered
def exact_signal(
    model: Model, weights: Weights, problem: Problem, propagator: Tensor, horizon: int | None = None
) -> Tensor:
    """``mu_t = l_t + (J - D)_{t+1}^T lambda_{t+1}``: the signal with which the propagator's traces give the gradient.

    With a horizon, ``L_t`` contains the errors of the steps t to t + horizon only.
    """
    jacobian, _ = jacobians(model, weights, problem.inputs)
    direct = direct_signal(model, weights, problem)
    steps = len(jacobian)
    signal = direct.clone()
    for t in range(steps):
        last = steps if horizon is None else min(steps, t + horizon)
        for q in range(t + 1, last + 1):
            returning = direct[q]
            for s in range(q, t + 1, -1):
                returning = torch.einsum("blm,bl->bm", jacobian[s - 1], returning)
            signal[t] += torch.einsum("blm,bl->bm", jacobian[t] - propagator[t], returning)
    return signal


def _presynaptic(model: Model, weights: Weights, inputs: Tensor) -> dict[str, Tensor]:
    """What each parameter multiplies in the drive, ``(T, B, J)``."""
    rates = model.rate(torch.stack(states(model, weights, inputs)[:-1]))
    return {"w_rec": rates, "w_in": inputs, "b": torch.ones_like(inputs[..., :1])}


@remembered
def _readout_gradient(model: Model, weights: Weights, problem: Problem) -> Weights:
    leaves = {name: weights[name].clone().requires_grad_() for name in ("w_out", "b_out")}
    loss = problem.value(outputs(model, weights | leaves, problem.inputs))
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def _finish(model: Model, weights: Weights, problem: Problem, found: Weights) -> Weights:
    """Add the readout's gradient, which is exact under every rule, and close masked synapses."""
    found |= _readout_gradient(model, weights, problem)
    found["b"] = found["b"].squeeze(-1)
    return {name: model.weight(found, name) for name in weights}


@remembered
def dense_traces(model: Model, weights: Weights, inputs: Tensor, propagator: Tensor) -> dict[str, Tensor]:
    """The traces of every step for any propagator: ``e[b, l, i, j]`` is the influence of synapse ij on cell l."""
    _, gain = jacobians(model, weights, inputs)
    steps, trials, cells = gain.shape
    found: dict[str, list[Tensor]] = {}
    for name, pre in _presynaptic(model, weights, inputs).items():
        trace = gain.new_zeros(trials, cells, cells, pre.shape[-1])
        found[name] = []
        for t in range(steps):
            trace = torch.einsum("blm,bmij->blij", propagator[t], trace)
            for i in range(cells):
                trace[:, i, i] += gain[t, :, i, None] * pre[t]
            found[name].append(trace)
    if "s_0" in weights:
        found["s_0"] = [torch.eye(cells, dtype=gain.dtype).expand(trials, -1, -1)]
        for t in range(steps):
            found["s_0"].append(propagator[t] @ found["s_0"][-1])
    return {name: torch.stack(traces) for name, traces in found.items()}


def dense_gradient(model: Model, weights: Weights, problem: Problem, signal: Tensor, propagator: Tensor) -> Weights:
    """``sum_t L_t . e_t``; the trace of the initial state has one entry more, at time zero."""
    found: Weights = {}
    for name, traces in dense_traces(model, weights, problem.inputs, propagator).items():
        first = len(signal) - len(traces)
        found[name] = torch.einsum("tbl,tbl...->...", signal[first:], traces)
    return _finish(model, weights, problem, found)


def synapse_gradient(model: Model, weights: Weights, problem: Problem, signal: Tensor, propagator: Tensor) -> Weights:
    """The same for a diagonal propagator with one number of memory a synapse and nothing but loops over numbers."""
    _, gain = jacobians(model, weights, problem.inputs)
    decay = propagator.diagonal(dim1=-2, dim2=-1).tolist()
    gain_list, signal_list = gain.tolist(), signal.tolist()
    steps, trials, cells = gain.shape
    found: Weights = {}
    for name, pre in _presynaptic(model, weights, problem.inputs).items():
        pre_list = pre.tolist()
        total = gain.new_zeros(cells, pre.shape[-1])
        for b in range(trials):
            for i in range(cells):
                for j in range(pre.shape[-1]):
                    trace, change = 0.0, 0.0
                    for t in range(steps):
                        trace = decay[t][b][i] * trace + gain_list[t][b][i] * pre_list[t][b][j]
                        change += signal_list[t + 1][b][i] * trace
                    total[i, j] += change
        found[name] = total
    if "s_0" in weights:
        found["s_0"] = gain.new_zeros(cells)
        for b in range(trials):
            for i in range(cells):
                trace = 1.0
                for t in range(steps + 1):
                    found["s_0"][i] += signal_list[t][b][i] * trace
                    trace *= decay[t][b][i] if t < steps else 0.0
    return _finish(model, weights, problem, found)
