"""What the right answer is, computed in ways that share no code with the library.

Three independent routes to the gradient of a leaky recurrent network, none of them fast:

1. autograd over an explicit loop in which chosen paths are detached (*graph surgery*, one ``Surgery`` per rule),
2. central finite differences of the loss,
3. the trace of every synapse, written out: ``e_t = D_t e_{t-1} + gain_t (x) pre_t`` and ``g = sum_t L_t . e_t``,
   with ``D_t`` and ``gain_t`` taken from Jacobians of a single step.

Shapes: T time, B batch, N recurrent units (I post, J pre, L any), O outputs. Parameters are a dictionary of
``w_in (N, n_in)``, ``w_rec (N, N)``, ``b (N)``, ``w_out (O, N)``, ``b_out (O)`` and, if learned, ``s_0 (N)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": functional.softplus,
    "rectified_tanh": lambda v: torch.tanh(torch.relu(v)),
    "linear": lambda v: v,
}


def _focal(surprise: Tensor) -> Tensor:
    """The focal loss of exponent 2 of minus the log probability of what happened."""
    return (1 - (-surprise).exp()).square() * surprise


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda y, target: functional.mse_loss(y, target, reduction="none").sum(-1) / 2,
    "cross_entropy": lambda y, target: (
        -functional.one_hot(target, y.shape[-1]).mul(functional.log_softmax(y, -1)).sum(-1)
    ),
    "logistic": lambda y, target: (
        -(target * functional.logsigmoid(y) + (1 - target) * functional.logsigmoid(-y)).sum(-1)
    ),
    "smoothed_cross_entropy": lambda y, target: functional.cross_entropy(
        y.movedim(-1, 1), target, label_smoothing=0.1, reduction="none"
    ),
    "focal": lambda y, target: _focal(functional.cross_entropy(y.movedim(-1, 1), target, reduction="none")),
    "brier": lambda y, target: (
        torch.softmax(y, -1).square().sum(-1) - 2 * torch.softmax(y, -1).gather(-1, target[..., None])[..., 0] + 1
    ),
    "kullback_leibler": lambda y, target: functional.kl_div(torch.log_softmax(y, -1), target, reduction="none").sum(-1),
    "itakura_saito": lambda y, target: (target / y.exp() - (target / y.exp()).log() - 1).sum(-1),
    "poisson": lambda y, target: functional.poisson_nll_loss(y, target, reduction="none").sum(-1),
    "gamma": lambda y, target: -torch.distributions.Exponential((-y).exp()).log_prob(target).sum(-1),
    "gaussian_nll": lambda y, target: (
        -torch.distributions.Normal(y[..., : target.shape[-1]], (y[..., target.shape[-1] :] / 2).exp())
        .log_prob(target)
        .add(math.log(2 * math.pi) / 2)
        .sum(-1)
    ),
    "hinge": lambda y, target: (
        y.shape[-1]
        * functional.multi_margin_loss(y.flatten(0, -2), target.flatten(), reduction="none").view(target.shape)
    ),
    "absolute_error": lambda y, target: functional.l1_loss(y, target, reduction="none").sum(-1),
}


@dataclass(frozen=True)
class Model:
    """A leaky network without its weights.

    Form A keeps the leak on the potential, ``v = k v + (1 - k)(W f(v) + U x + b)`` with rate ``f(v)``; form B on the
    rate, ``r = k r + (1 - k) f(W r + U x + b)`` with rate ``r``. Readout ``y = W_o zbar + b_o``,
    ``zbar = k_o zbar + (1 - k_o) z`` from zero. ``types`` are those of the cells.
    """

    form: str
    activation: str
    leak: Tensor
    readout_leak: float = 0.0
    masks: dict[str, Tensor] = field(default_factory=dict)
    types: tuple[int, ...] = ()

    def rate(self, state: Tensor) -> Tensor:
        return ACTIVATIONS[self.activation](state) if self.form == "A" else state

    def weight(self, weights: Weights, name: str) -> Tensor:
        return weights[name] * self.masks[name] if name in self.masks else weights[name]

    def step(
        self,
        weights: Weights,
        state: Tensor,
        x: Tensor,
        keep: Tensor | None = None,
        own: bool = False,
        sent: Tensor | None = None,
    ) -> Tensor:
        """One step; ``keep`` and ``sent`` stand in for the state that leaks and the rate that is transmitted."""
        keep = state if keep is None else keep
        rate = self.rate(state)
        sent = rate if sent is None else sent
        w_rec = self.weight(weights, "w_rec")
        drive = sent @ w_rec.T + x @ self.weight(weights, "w_in").T + weights["b"]
        if own:
            drive = drive + (rate - rate.detach()) * w_rec.diagonal()
        drive = drive if self.form == "A" else ACTIVATIONS[self.activation](drive)
        return self.leak * keep + (1 - self.leak) * drive


@dataclass(frozen=True)
class Surgery:
    """Which paths from one step to the next a rule follows, for the step ``t`` (from 1) of ``T``."""

    leak: Callable[[int, int], bool] = lambda t, steps: True
    transmission: Callable[[int, int], bool] = lambda t, steps: True
    own: bool = False


def _always(t: int, steps: int) -> bool:
    return True


def _never(t: int, steps: int) -> bool:
    return False


def _inside(window: int) -> Callable[[int, int], bool]:
    """Windows of equal length, the last of which ends with the trial."""
    return lambda t, steps: (steps - t + 1) % window != 0


WHOLE = Surgery()
LEAK_ONLY = Surgery(transmission=_never)
LEAK_AND_OWN = Surgery(transmission=_never, own=True)
NOTHING = Surgery(leak=_never, transmission=_never)


def windows(length: int) -> Surgery:
    """Detach the whole state at the end of each window."""
    return Surgery(leak=_inside(length), transmission=_inside(length))


def rate_windows(length: int) -> Surgery:
    """Detach the transmitted rate at the end of each window; the leak crosses."""
    return Surgery(leak=_always, transmission=_inside(length))


class _Feedback(torch.autograd.Function):
    """A product with the readout's weights that carries errors back through another matrix."""

    @staticmethod
    def forward(ctx: Any, rates: Tensor, w_out: Tensor, feedback: Tensor) -> Tensor:
        ctx.save_for_backward(rates, feedback)
        return rates @ w_out.T

    @staticmethod
    def backward(ctx: Any, *errors: Tensor) -> tuple[Tensor, Tensor, None]:
        (error,) = errors
        rates, feedback = ctx.saved_tensors
        return error @ feedback.T, error.T @ rates, None


def start(weights: Weights, model: Model, trials: int) -> Tensor:
    """State before the first step: the learned one, or zero."""
    return weights.get("s_0", torch.zeros_like(weights["b"])).expand(trials, -1)


def states(model: Model, weights: Weights, inputs: Tensor, surgery: Surgery = WHOLE) -> list[Tensor]:
    """The T + 1 states of a run."""
    steps = inputs.shape[0]
    trail = [start(weights, model, inputs.shape[1])]
    for t in range(1, steps + 1):
        state = trail[-1]
        keep = state if surgery.leak(t, steps) else state.detach()
        rate = model.rate(state)
        sent = rate if surgery.transmission(t, steps) else rate.detach()
        trail.append(model.step(weights, state, inputs[t - 1], keep, surgery.own, sent))
    return trail


def readout(model: Model, weights: Weights, rates: list[Tensor], feedback: Tensor | None = None) -> Tensor:
    """Outputs ``(T, B, O)`` of the rates of steps 1 to T."""
    w_out = model.weight(weights, "w_out")
    filtered = torch.zeros_like(rates[0])
    outputs = []
    for rate in rates:
        filtered = model.readout_leak * filtered + (1 - model.readout_leak) * rate
        product = filtered @ w_out.T if feedback is None else _Feedback.apply(filtered, w_out, feedback)
        outputs.append(product + weights["b_out"])
    return torch.stack(outputs)


def outputs(model: Model, weights: Weights, inputs: Tensor) -> Tensor:
    """Outputs ``(T, B, O)`` of the network."""
    return readout(model, weights, [model.rate(s) for s in states(model, weights, inputs)[1:]])


@dataclass(frozen=True)
class Problem:
    """Targets, weights of steps and trials, and the name of the loss; ``1/B sum_b sum_t w_tb l_tb``."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor
    loss: str

    def value(self, y: Tensor) -> Tensor:
        return (LOSSES[self.loss](y, self.targets) * self.weights).sum() / self.inputs.shape[1]

    def errors(self, y: Tensor) -> Tensor:
        """Derivative of the loss by the outputs, ``(T, B, O)``."""
        leaf = y.detach().requires_grad_()
        return torch.autograd.grad(self.value(leaf), leaf)[0]


@dataclass(frozen=True)
class Linear(Problem):
    """A problem whose loss is linear in the outputs: errors that are given."""

    given: Tensor = field(default_factory=lambda: torch.zeros(()))

    def value(self, y: Tensor) -> Tensor:
        return (self.given * y).sum()


def with_filtered_errors(model: Model, weights: Weights, problem: Problem, rise: float, decay: float) -> Linear:
    """The problem with errors ``K^T K err``, ``K`` the matrix of a double-exponential kernel."""
    errors = problem.errors(outputs(model, weights, problem.inputs).detach())
    lag = torch.arange(len(errors)).unsqueeze(1) - torch.arange(len(errors))
    first, second = ((1 - each) * each ** lag.clamp(min=0).double() * (lag >= 0) for each in (rise, decay))
    kernel = second @ first
    given = torch.einsum("st,su,ubo->tbo", kernel, kernel, errors)
    return Linear(problem.inputs, problem.targets, problem.weights, problem.loss, given)


def read_locally(model: Model, weights: Weights, matrix: Tensor) -> tuple[Model, Weights]:
    """The network with a readout ``matrix (N, O)`` that is not filtered and has neither mask nor bias."""
    masks = {name: each for name, each in model.masks.items() if name != "w_out"}
    return replace(model, readout_leak=0.0, masks=masks), weights | {
        "w_out": matrix.t(),
        "b_out": torch.zeros_like(weights["b_out"]),
    }


def _leaves(weights: Weights) -> Weights:
    return {name: value.detach().clone().requires_grad_() for name, value in weights.items()}


def _grad(value: Tensor, leaves: Weights) -> Weights:
    found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), found, strict=True)
    }


def gradient(
    model: Model, weights: Weights, problem: Problem, surgery: Surgery = WHOLE, feedback: Tensor | None = None
) -> Weights:
    """Gradient by autograd after surgery; ``feedback (N, O)`` replaces the readout's weights on the way back."""
    leaves = _leaves(weights)
    rates = [model.rate(s) for s in states(model, leaves, problem.inputs, surgery)[1:]]
    return _grad(problem.value(readout(model, leaves, rates, feedback)), leaves)


def by_inverse_correlation(model: Model, weights: Weights, problem: Problem, ridge: float, plain: Weights) -> Weights:
    """The readout's gradient times ``(ridge I + sum w x x^T)^-1``, for every output over the synapses that it has."""
    filtered, inputs = torch.zeros(()), []
    for state in states(model, weights, problem.inputs)[1:]:
        filtered = model.readout_leak * filtered + (1 - model.readout_leak) * model.rate(state)
        inputs.append(torch.cat([filtered, torch.ones_like(filtered[:, :1])], 1))
    x = torch.stack(inputs)
    correlation = torch.einsum("tb,tbi,tbj->ij", problem.weights / x.shape[1], x, x)
    correlation = correlation + ridge * torch.eye(x.shape[2], dtype=x.dtype)
    exists = model.masks.get("w_out", torch.ones_like(weights["w_out"]))
    found = {name: torch.zeros_like(weights[name]) for name in ("w_out", "b_out")}
    for k, row in enumerate(exists):
        here = torch.cat([row.nonzero()[:, 0], torch.tensor([len(row)])])
        gradient = torch.cat([plain["w_out"][k], plain["b_out"][k : k + 1]])[here]
        step = torch.linalg.solve(correlation[here][:, here], gradient)
        found["w_out"][k, here[:-1]], found["b_out"][k] = step[:-1], step[-1]
    return found


def direct_errors(model: Model, weights: Weights, problem: Problem, feedback: Tensor | None = None) -> Tensor:
    """Derivative of the loss by each rate through the readout alone, ``(T, B, N)``."""
    rates = [model.rate(s).detach().requires_grad_() for s in states(model, weights, problem.inputs)[1:]]
    return torch.stack(torch.autograd.grad(problem.value(readout(model, weights, rates, feedback)), rates))


def future_gradient(
    model: Model, weights: Weights, problem: Problem, horizon: int, feedback: Tensor | None = None
) -> Weights:
    """Each error reaches back ``horizon`` steps and no further: one truncated network for the error of every step."""
    errors = direct_errors(model, weights, problem, feedback)
    frozen = [s.detach() for s in states(model, weights, problem.inputs)]
    total = gradient(model, weights, problem, NOTHING)
    total = {name: value if name in ("w_out", "b_out") else torch.zeros_like(value) for name, value in total.items()}
    for q in range(1, len(frozen)):
        leaves = _leaves(weights)
        first = max(q - horizon, 1)
        state = frozen[first - 1] if q - horizon >= 1 else start(leaves, model, problem.inputs.shape[1])
        for t in range(first, q + 1):
            state = model.step(leaves, state, problem.inputs[t - 1])
        part = _grad((errors[q - 1] * model.rate(state)).sum(), leaves)
        total = {name: value + part[name] for name, value in total.items()}
    return total


def bootstrapped(model: Model, weights: Weights, problem: Problem, window: int, rate: float) -> tuple[Weights, Tensor]:
    """Windows that end in ``(A z + c) / B``: gradient, and derivative of what follows by every state.

    ``A`` and ``c`` take one step from zero towards what the next windows return.
    """
    errors, trials = direct_errors(model, weights, problem), problem.inputs.shape[1]
    frozen = [s.detach() for s in states(model, weights, problem.inputs)]
    steps = len(errors)
    ends = list(range(window, steps, window))
    synthetic = {t: torch.zeros_like(frozen[0]) for t in ends}

    def rest(use: Weights, first: int, state: Tensor) -> Tensor:
        """Loss of the window that starts after step ``first``, with what is estimated after it."""
        total, last = torch.zeros((), dtype=state.dtype), min(first - first % window + window, steps)
        for t in range(first + 1, last + 1):
            state = model.step(use, state, problem.inputs[t - 1])
            total = total + (errors[t - 1] * model.rate(state)).sum()
        return total + (synthetic[last] * state).sum() / trials if last in synthetic else total

    def by_state(t: int) -> Tensor:
        leaf = frozen[t].clone().requires_grad_()
        value = rest(weights, t, leaf)
        return torch.autograd.grad(value, leaf)[0] if value.requires_grad else torch.zeros_like(leaf)

    if ends:
        targets = torch.cat([trials * by_state(t) for t in ends])
        rates = torch.cat([model.rate(frozen[t]) for t in ends])
        matrix, bias = rate * targets.T @ rates / len(rates), rate * targets.mean(0)
        synthetic = {t: model.rate(frozen[t]) @ matrix.T + bias for t in ends}
    direct = torch.cat([torch.zeros_like(frozen[0])[None], errors])
    adjoint = []
    for t in range(steps + 1):
        leaf = frozen[t].clone().requires_grad_()
        adjoint.append(torch.autograd.grad((direct[t] * model.rate(leaf)).sum(), leaf)[0])
        if t < steps:
            adjoint[-1] = adjoint[-1] + (synthetic[t] / trials if t in synthetic else by_state(t))
    leaves = _leaves(weights)
    total = sum(rest(leaves, t, frozen[t] if t else start(leaves, model, trials)) for t in range(0, steps, window))
    exact = gradient(model, weights, problem, NOTHING)
    found = _grad(total, leaves)  # type: ignore[arg-type]
    return found | {name: exact[name] for name in ("w_out", "b_out")}, torch.stack(adjoint)


def finite_differences(model: Model, weights: Weights, problem: Problem, step: float = 1e-6) -> Weights:
    """Central differences of the loss by every number of every parameter."""

    def loss(name: str, index: int, change: float) -> float:
        moved = weights[name].clone()
        moved.view(-1)[index] += change
        return float(problem.value(outputs(model, weights | {name: moved}, problem.inputs)))

    return {
        name: torch.tensor(
            [(loss(name, k, step) - loss(name, k, -step)) / (2 * step) for k in range(value.numel())], dtype=value.dtype
        ).view_as(value)
        for name, value in weights.items()
    }
