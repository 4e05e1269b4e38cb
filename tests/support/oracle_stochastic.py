"""Rules that draw, written out trial by trial and synapse by synapse, for one leaky population and given draws.

Shapes: T time, N cells, J presynaptic: the recurrent cells, the inputs, and the one of the bias. One trial at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.support import oracle, oracle_traces
from tests.support.oracle import Model, Problem, Weights

EPS = 1e-12


def one_trial(problem: Problem, b: int, trials: int) -> Problem:
    """A trial by itself, weighed as in its batch."""
    pick = slice(b, b + 1)
    weights = problem.weights[:, pick] / trials
    return Problem(problem.inputs[:, pick], problem.targets[:, pick], weights, problem.loss)


def local(model: Model, weights: Weights, problem: Problem) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Jacobians ``(N, N)``, gains ``(N,)`` and presynaptic activities ``(J,)`` of every step, by autograd."""
    trail = oracle.states(model, weights, problem.inputs)
    jacobians, gains, pres = [], [], []
    for t in range(1, len(trail)):
        before, x = trail[t - 1][0].detach(), problem.inputs[t - 1]

        def moved(state: Tensor, x: Tensor = x) -> Tensor:
            return model.step(weights, state.unsqueeze(0), x)[0]

        jacobians.append(torch.autograd.functional.jacobian(moved, before))

        def by_bias(bias: Tensor, state: Tensor = before, x: Tensor = x) -> Tensor:
            return model.step(weights | {"b": bias}, state.unsqueeze(0), x)[0]

        gains.append(torch.autograd.functional.jacobian(by_bias, weights["b"]).diagonal())
        pres.append(torch.cat([model.rate(before), x[0], torch.ones(1, dtype=x.dtype)]))
    return jacobians, gains, pres


def split(total: Tensor, n_rec: int) -> Weights:
    """The gradient of all synapses ``(N, J)`` by parameter."""
    return {"w_rec": total[:, :n_rec], "w_in": total[:, n_rec:-1], "b": total[:, -1]}


def uoro(model: Model, weights: Weights, problem: Problem, xi: Tensor) -> Weights:
    """The equations as published, a vector and a matrix, with ``xi (T, B, N)``."""
    trials, n_rec = problem.inputs.shape[1], len(weights["b"])
    total = 0
    for b in range(trials):
        alone = one_trial(problem, b, trials)
        jacobians, gains, pres = local(model, weights, alone)
        learning_signal = oracle_traces.direct_signal(model, weights, alone, None)[1:, 0]
        A, C = torch.zeros(n_rec).double(), torch.zeros(n_rec, len(pres[0])).double()
        for t in range(len(learning_signal)):
            passed, direct = jacobians[t] @ A, torch.outer(xi[t, b] * gains[t], pres[t])
            p0 = torch.sqrt((C.norm() + EPS) / (passed.norm() + EPS))
            p1 = torch.sqrt((direct.norm() + EPS) / (n_rec**0.5 + EPS))
            A, C = p0 * passed + p1 * xi[t, b], C / p0 + direct / p1
            total = total + (learning_signal[t] @ A) * C
    return split(total, n_rec)


def kf_rtrl(model: Model, weights: Weights, problem: Problem, signs: Tensor) -> Weights:
    """The equations as published, a vector over inputs and a matrix over cells, with ``signs (T, B, 2)``."""
    trials, n_rec = problem.inputs.shape[1], len(weights["b"])
    total = 0
    for b in range(trials):
        alone = one_trial(problem, b, trials)
        jacobians, gains, pres = local(model, weights, alone)
        learning_signal = oracle_traces.direct_signal(model, weights, alone, None)[1:, 0]
        A, C = torch.zeros(len(pres[0])).double(), torch.zeros(n_rec, n_rec).double()
        for t in range(len(learning_signal)):
            passed, direct = jacobians[t] @ C, torch.diag(gains[t])
            p0 = torch.sqrt((passed.norm() + EPS) / (A.norm() + EPS))
            p1 = torch.sqrt((direct.norm() + EPS) / (pres[t].norm() + EPS))
            old, new = signs[t, b]
            A, C = old * p0 * A + new * p1 * pres[t], old * passed / p0 + new * direct / p1
            total = total + torch.outer(C.t() @ learning_signal[t], A)
    return split(total, n_rec)


def kernl(
    model: Model, weights: Weights, problem: Problem, zeta: Tensor, decay: float, rates: tuple[float, float]
) -> tuple[Weights, Tensor, Tensor]:
    """Learned kernels with ``zeta (T, B, N)`` from a unit matrix and one decay; the gradient, and what was learned."""
    trials, n_rec = problem.inputs.shape[1], len(weights["b"])
    each = [one_trial(problem, b, trials) for b in range(trials)]
    steps = [local(model, weights, alone) for alone in each]
    learning_signal = [oracle_traces.direct_signal(model, weights, alone, None)[1:, 0] for alone in each]
    A, gamma = torch.eye(n_rec).double(), torch.full((n_rec,), decay, dtype=torch.float64)
    zero = [torch.zeros(n_rec).double() for _ in range(trials)]
    d, Om, Gam = list(zero), list(zero), list(zero)
    C = [torch.zeros(n_rec, len(steps[0][2][0])).double() for _ in range(trials)]
    total = torch.zeros_like(C[0])
    for t in range(len(learning_signal[0])):
        k = 1 - gamma
        change_A, change_gamma = torch.zeros_like(A), torch.zeros_like(gamma)
        for b in range(trials):
            d[b] = steps[b][0][t] @ d[b] + zeta[t, b]
            Gam[b] = k * Gam[b] - Om[b]
            Om[b] = k * Om[b] + zeta[t, b]
            wrong = A @ Om[b] - d[b]
            change_A += torch.outer(wrong, Om[b]) / trials
            change_gamma += (A.t() @ wrong) * Gam[b] / trials
        A, gamma = A - rates[0] / n_rec * change_A, (gamma - rates[1] / n_rec * change_gamma).clamp(0, 1)
        for b in range(trials):
            C[b] = (1 - gamma)[:, None] * C[b] + torch.outer(steps[b][1][t], steps[b][2][t])
            total += (A.t() @ learning_signal[b][t])[:, None] * C[b]
    return split(total, n_rec), A, gamma
