"""Decorrelation of score and activity, as it would run in time: memories of activity met by the score of the moment.

The library exchanges the sums and filters scores backwards; here activity is carried forwards, the correlation is
averaged step by step, and autograd takes the derivative of the learning signals.

Shapes: T time, B batch, N cells, O outputs, K channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tca.losses.expansions import Plain, PredictionGates
from tca.signals.decorrelation.decorrelation import Decorrelation
from tca.signals.decorrelation.observables import Identity, Polynomial, Square, TanhOf
from tca.signals.decorrelation.score_sources import Score
from tca.signals.decorrelation.time_lags import Filtered, Lagged, SameStep
from tca.signals.regularisers.activity_regularisers import ActivityL1, LayerEntropy, Power
from tests.support import oracle
from tests.support.oracle import Model, Problem, Surgery, Weights

OBSERVABLES: dict[type, Callable[[Any, Tensor], Tensor]] = {
    Identity: lambda g, z: z,
    Square: lambda g, z: z * z,
    TanhOf: lambda g, z: torch.tanh(z),
    Polynomial: lambda g, z: sum((a * z**k for k, a in enumerate(g.coefficients, 1)), start=torch.zeros_like(z)),
}


def scores(model: Model, weights: Weights, problem: Problem) -> tuple[Tensor, Tensor]:
    """Scores of single steps and trials, and the outputs, both ``(T, B, O)``."""
    outputs = oracle.outputs(model, weights, problem.inputs).detach().requires_grad_()
    value = oracle.LOSSES[problem.loss](outputs, problem.targets).sum()
    return torch.autograd.grad(value, outputs)[0], outputs.detach()


def channels(signal: Decorrelation, score: Tensor, outputs: Tensor) -> Tensor:
    """What is broadcast, ``(T, B, K)``; errors of outputs equal scores under the losses of the cases."""
    expansion = signal.source.expansion if isinstance(signal.source, Score) else Plain()
    if expansion == Plain():
        return score
    assert isinstance(expansion, PredictionGates)
    assert expansion == PredictionGates(top=expansion.top)
    predicted = torch.softmax(outputs, -1)
    gates = predicted if expansion.top is None else predicted.sort(-1, descending=True).values[..., : expansion.top]
    gated = torch.einsum("tbi,tbj->tbij", gates, score)
    return torch.cat([score, gated.flatten(-2)], -1)


def memories(signal: Decorrelation, readout_leak: float, rates: list[Tensor]) -> list[list[Tensor]]:
    """What is remembered of activity at every step, ``(B, N)`` each, once for every correlation."""
    reach, g = signal.reach, OBSERVABLES[type(signal.observable)]
    seen, found = torch.zeros_like(rates[0]), []
    for rate in rates:
        seen = readout_leak * seen + (1 - readout_leak) * g(signal.observable, rate)
        found.append(seen)
    none = torch.zeros_like(rates[0])
    if isinstance(reach, SameStep):
        return [[each] for each in found]
    if isinstance(reach, Lagged):
        return [[found[t - lag] if t >= lag else none for lag in range(reach.lags + 1)] for t in range(len(found))]
    assert isinstance(reach, Filtered)
    kept: list[list[Tensor]] = [[none] * len(reach.kappas)]
    for each in found:
        kept.append([kappa * before + each for kappa, before in zip(reach.kappas, kept[-1], strict=True)])
    return kept[1:]


def average(
    signal: Decorrelation, memory: list[list[Tensor]], learning_signal: Tensor, weights: Tensor, before: Tensor
) -> Tensor:
    """The correlation ``(N, K)`` after the steps of a batch, one after another."""
    lam, correlation = signal.average.lam, before.clone()
    for t, seen in enumerate(memory):
        if not weights[t].sum() > 0:
            continue
        share = weights[t] / weights[t].sum()
        centre = [each - each.mean(0) if signal.centred else each for each in seen]
        found = [torch.einsum("b,bn,bk->nk", share, each, learning_signal[t]) for each in centre]
        correlation = lam * correlation + (1 - lam) * torch.cat(found, 1)
    return correlation


def received(memory: list[list[Tensor]], learning_signal: Tensor, weights: Tensor, correlation: Tensor) -> Tensor:
    """A number whose derivative by what is remembered is the learning signals."""
    total = torch.zeros((), dtype=torch.float64)
    for t, seen in enumerate(memory):
        for part, each in zip(correlation.chunk(len(seen), 1), seen, strict=True):
            total = total + ((learning_signal[t] @ part.T) * weights[t].unsqueeze(-1) / weights.shape[1] * each).sum()
    return total


def cost(
    signal: Decorrelation, model: Model, weights: Weights, problem: Problem, matrix: Tensor, rates: list[Tensor]
) -> Tensor:
    """A number whose derivative by the rates of steps 1 to T is the learning signals."""
    learning_signal = channels(signal, *scores(model, weights, problem))
    memory = memories(signal, model.readout_leak, rates)
    frozen = [[each.detach() for each in seen] for seen in memory]
    return received(
        memory, learning_signal, problem.weights, average(signal, frozen, learning_signal, problem.weights, matrix)
    )


def regularisation(parts: tuple[Any, ...], rates: list[Tensor]) -> Tensor:
    """The losses of activity."""
    z = torch.stack(rates).flatten(0, 1)
    total = torch.zeros((), dtype=torch.float64)
    for each in parts:
        if isinstance(each, Power):
            total = total + each.weight * (z.square().mean(0) - each.target).square().sum()
        elif isinstance(each, ActivityL1):
            total = total + each.weight * z.abs().mean(0).sum()
        else:
            assert isinstance(each, LayerEntropy)
            unit = torch.eye(z.shape[1], dtype=z.dtype)
            moment = each.kept * unit + (1 - each.kept) * z.T @ z / len(z)
            total = total - each.weight / 2 * torch.logdet(moment + (each.floor or 1e-8) * unit)  # published
    return total


def state_signal(
    model: Model, weights: Weights, problem: Problem, of_rates: Callable[[list[Tensor]], Tensor]
) -> Tensor:
    """``L_t (T + 1, B, N)``: the derivative of a function of the rates by the states."""
    trail = torch.stack(oracle.states(model, weights, problem.inputs)).detach().requires_grad_()
    return torch.autograd.grad(of_rates(list(model.rate(trail)[1:].unbind(0))), trail)[0]


def gradient(
    signal: Decorrelation, model: Model, weights: Weights, problem: Problem, matrix: Tensor, surgery: Surgery
) -> Weights:
    """What the rule gives: the derivative of ``cost`` after surgery, and the exact gradient of the readout."""
    found = oracle.gradient(model, weights, problem)
    leaves = {name: each.clone().requires_grad_() for name, each in weights.items() if name not in ("w_out", "b_out")}
    used = weights | leaves
    rates = [model.rate(s) for s in oracle.states(model, used, problem.inputs, surgery)[1:]]
    learning_signal = torch.autograd.grad(
        cost(signal, model, weights, problem, matrix, rates), list(leaves.values()), allow_unused=True
    )
    for (name, leaf), each in zip(leaves.items(), learning_signal, strict=True):
        found[name] = torch.zeros_like(leaf) if each is None else each
    return found
