"""The oracle of fields: neighbours written out site by site, dense matrices, powers of them.

Shapes: T time, B batch, N cells, O outputs, S sites. Everything is float64.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

from tca.signals.diffusion.fields import Box, Explicit, Exponential, Field, Implicit, Quasistatic
from tests.support import oracle
from tests.support.oracle import Model, Problem, Surgery, Weights


def neighbours(shape: tuple[int, ...], boundary: str) -> np.ndarray:
    """Laplacian of a grid, site by site and neighbour by neighbour."""
    sites = list(itertools.product(*(range(n) for n in shape)))
    index = {site: i for i, site in enumerate(sites)}
    matrix = np.zeros((len(sites), len(sites)))
    for site in sites:
        for axis, step in itertools.product(range(len(shape)), (-1, 1)):
            beside = list(site)
            beside[axis] += step
            outside = not 0 <= beside[axis] < shape[axis]
            if outside and boundary == "no-flux":
                continue
            matrix[index[site], index[site]] -= 1
            if outside and boundary == "absorbing":
                continue
            beside[axis] %= shape[axis]
            matrix[index[site], index[tuple(beside)]] += 1
    return matrix


def boxes(shape: tuple[int, ...], boundary: str) -> np.ndarray:
    """Mean over a site and all that touch it; a site that is missing counts as the nearest one, or as zero."""
    sites = list(itertools.product(*(range(n) for n in shape)))
    index = {site: i for i, site in enumerate(sites)}
    matrix = np.zeros((len(sites), len(sites)))
    for site in sites:
        for step in itertools.product((-1, 0, 1), repeat=len(shape)):
            beside = [a + b for a, b in zip(site, step, strict=True)]
            if boundary == "absorbing" and any(not 0 <= b < n for b, n in zip(beside, shape, strict=True)):
                continue
            if boundary == "no-flux":
                beside = [min(max(b, 0), n - 1) for b, n in zip(beside, shape, strict=True)]
            beside = [b % n for b, n in zip(beside, shape, strict=True)]
            matrix[index[site], index[tuple(beside)]] += 1 / 3 ** len(shape)
    return matrix


def step_of(propagator: Any, laplacian: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    """One step of a propagator as a dense matrix."""
    if isinstance(propagator, Box):
        assert box is not None
        return propagator.k * box
    one = np.eye(len(laplacian))
    rate = propagator.dt * (propagator.diffusion * laplacian - propagator.decay * one)
    return {Explicit: one + rate, Implicit: np.linalg.inv(one - rate), Exponential: linalg.expm(rate)}[type(propagator)]


def settled(field: Field, laplacian: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    """Where a constant release settles, as a dense matrix, with a raw gain."""
    one = np.eye(len(laplacian))
    if isinstance(field.propagator, Quasistatic):
        return np.linalg.inv(field.propagator.decay * one - field.propagator.diffusion * laplacian)
    return np.linalg.inv(one - step_of(field.propagator, laplacian, box))


def dense_step(field: Field) -> Tensor:
    """One step of a field on a grid."""
    shape, boundary = field.space.shape, field.space.boundary
    return torch.as_tensor(step_of(field.propagator, neighbours(shape, boundary), boxes(shape, boundary)))


def dense_settled(field: Field) -> Tensor:
    """The settled field of a constant release on a grid, with a raw gain."""
    shape, boundary = field.space.shape, field.space.boundary
    return torch.as_tensor(settled(field, neighbours(shape, boundary), boxes(shape, boundary)))


def placing(places: Tensor, sites: int) -> Tensor:
    """Which cell lies where, ``(N, S)``."""
    return torch.stack([(places == site).double() for site in range(sites)], 1)


def taps(step: Tensor, where: Tensor, feedback: Tensor, count: int, sites: Tensor | None = None) -> Tensor:
    """``A_q = P Prop^q P^T F`` of the first lags, ``(count, N, O)``.

    With one field per error and release at ``sites``, ``A_q,jm = F_jm (P Prop^q P^T q)_j``.
    """
    found, power = [], torch.eye(len(step), dtype=step.dtype)
    for _ in range(count):
        kernel = where @ power @ where.T
        found.append(kernel @ feedback if sites is None else feedback * (kernel @ sites)[:, None])
        power = step @ power
    return torch.stack(found)


def rates_told(lags: Tensor, errors: Tensor) -> Tensor:
    """``G_t = sum_q A_q err_{t-q}``, ``(T, B, N)``, from the errors ``(T, B, O)``."""
    return torch.stack([sum(errors[t - q] @ lags[q].T for q in range(t + 1)) for t in range(len(errors))])


def told_in_order(field: Field, model: Model, weights: Weights, problem: Problem, feedback: Tensor) -> Tensor:
    """``G_t`` of one field for all errors in which cell j lies on site j, ``(T, B, N)``."""
    where = placing(torch.arange(len(feedback)), field.space.sites)
    errors = errors_of(model, weights, problem)
    return rates_told(field.uptake * taps(dense_step(field), where, feedback, len(errors)), errors)


def errors_of(model: Model, weights: Weights, problem: Problem) -> Tensor:
    """Derivative of the loss by the outputs, ``(T, B, O)``."""
    return problem.errors(oracle.outputs(model, weights, problem.inputs))


def gradient_of(model: Model, weights: Weights, problem: Problem, learning_signal: Tensor, surgery: Surgery) -> Weights:
    """Gradient of ``sum_t G_t . zbar_t`` after surgery: ``G`` is the learning signals, ``zbar`` what the readout sees.

    The readout's own gradient, which no signal touches, is that of the loss.
    """
    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    rates = [model.rate(state) for state in oracle.states(model, leaves, problem.inputs, surgery)[1:]]
    seen, total = torch.zeros_like(rates[0]), torch.zeros((), dtype=torch.float64)
    for rate, each in zip(rates, learning_signal, strict=True):
        seen = model.readout_leak * seen + (1 - model.readout_leak) * rate
        total = total + (seen * each).sum()
    hidden = [name for name in leaves if name not in ("w_out", "b_out")]
    found = dict(zip(hidden, torch.autograd.grad(total, [leaves[name] for name in hidden]), strict=True))
    whole = oracle.gradient(model, weights, problem)
    return {name: found.get(name, whole[name]) for name in weights}


def state_signal(model: Model, weights: Weights, problem: Problem, learning_signal: Tensor) -> Tensor:
    """``L_t`` from the rates' ``G_t``: back through the readout's filter, then through the slope; ``(T + 1, B, N)``."""
    trail = torch.stack(oracle.states(model, weights, problem.inputs)).detach().requires_grad_()
    rates = model.rate(trail)[1:]
    seen, total = torch.zeros_like(rates[0]), torch.zeros((), dtype=torch.float64)
    for rate, each in zip(rates, learning_signal, strict=True):
        seen = model.readout_leak * seen + (1 - model.readout_leak) * rate
        total = total + (seen * each).sum()
    return torch.autograd.grad(total, trail)[0]
