"""What every rule, signal and eligibility of the library should be, in the words of the oracle.

The tables here are the other half of ``tca.RULES``, ``tca.signals`` and ``tca.eligibilities``: whatever is missing from
them makes a test fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

import tca
from tca.eligibilities import Diagonal, Eligibility, Full, Instant, Leak, Windowed
from tca.eligibilities.traces import InfluenceTrace, Trace
from tca.signals import Adaptive, Direct, Exact, Horizon, Random, Signal
from tests import oracle, oracle_traces
from tests.cases import Case, weights_of
from tests.oracle import Model, Problem, Surgery, Weights

Answer = Callable[[Model, Weights, Problem, Tensor], Weights]


def surgery(which: Surgery, feedback: bool = False) -> Answer:
    """Return the gradient after surgery, with the feedback matrix in the place of the readout's weights or without."""
    return lambda model, weights, problem, matrix: oracle.gradient(
        model, weights, problem, which, matrix if feedback else None
    )


def future(horizon: int) -> Answer:
    """Return the gradient of errors that reach back some steps."""
    return lambda model, weights, problem, matrix: oracle.future_gradient(model, weights, problem, horizon)


@dataclass(frozen=True)
class Row:
    """What a named rule should be: its gradient, whether that is the true one, horizon, locality, form of its paper."""

    answer: Answer
    true_gradient: bool = False
    horizon: int | None = 0
    local: bool = False
    form: str | None = None


ROWS: dict[str, Row] = {
    "bptt": Row(surgery(oracle.WHOLE), true_gradient=True, horizon=None),
    "rtrl": Row(surgery(oracle.WHOLE), true_gradient=True),
    "tbptt": Row(surgery(oracle.windows(10))),
    "tbptt_rate_cut": Row(surgery(oracle.rate_windows(10))),
    "tbptt_future": Row(future(10), horizon=10),
    "snap1": Row(surgery(oracle.LEAK_AND_OWN), local=True),
    "eprop": Row(surgery(oracle.LEAK_ONLY), local=True),
    "eprop_random": Row(surgery(oracle.LEAK_ONLY, feedback=True), local=True),
    "eprop_adaptive": Row(surgery(oracle.LEAK_ONLY, feedback=True), local=True),
    "rflo": Row(surgery(oracle.LEAK_ONLY, feedback=True), local=True, form="B"),
    "three_factor": Row(surgery(oracle.NOTHING), local=True),
}
SAME_GRADIENT = [{"bptt", "rtrl"}, {"eprop_random", "rflo", "eprop_adaptive"}]

SIGNALS: list[Signal] = [Direct(), Random(), Adaptive(), Exact(), Horizon(0), Horizon(3), Horizon(100)]
ELIGIBILITIES: dict[Eligibility, Surgery] = {
    Instant(): oracle.NOTHING,
    Leak(): oracle.LEAK_ONLY,
    Diagonal(): oracle.LEAK_AND_OWN,
    Full(): oracle.WHOLE,
    Windowed(5): oracle.windows(5),
    Windowed(5, keep_leak=True): oracle.rate_windows(5),
}


@dataclass(frozen=True, eq=False)
class Arbitrary(Eligibility):
    """Any propagator ``D (T, B, N, N)``, entry t - 1 for step t: no rule, but its own signal must be exact."""

    propagator: Tensor
    local = False
    equation = "D_t = whatever was given"

    def fade_(self, tape: Any, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``D_t^T later``."""
        into.add_(torch.einsum("blm,bl->bm", self.propagator[t - 1], later))

    def trace(self, connection: Any, moment: Any, trials: int) -> Trace:
        """Return a dense influence trace."""
        return InfluenceTrace(connection, trials, lambda now: self.propagator[len(self.propagator) - now.to_go - 1])


def propagator_of(eligibility: Eligibility, model: Model, jacobian: Tensor) -> Tensor:
    """Return ``D (T, B, N, N)`` of an eligibility, from the oracle's Jacobian."""
    if isinstance(eligibility, Arbitrary):
        return eligibility.propagator
    if not isinstance(eligibility, Windowed):
        name = {Instant: "instant", Leak: "leak", Diagonal: "diagonal", Full: "full"}[type(eligibility)]
        return oracle_traces.PROPAGATORS[name](model, jacobian)
    steps = len(jacobian)
    closed = [(steps - t + 1) % eligibility.steps == 0 for t in range(1, steps + 1)]
    at_cut = oracle_traces.PROPAGATORS["leak" if eligibility.keep_leak else "instant"](model, jacobian)
    return torch.stack([at_cut[t] if closed[t] else jacobian[t] for t in range(steps)])


def signal_of(
    signal: Signal, model: Model, weights: Weights, problem: Problem, propagator: Tensor, matrix: Tensor
) -> Tensor:
    """Return ``L_t (T + 1, B, N)`` of a signal from the oracle; at time zero what a learned initial state is told."""
    if isinstance(signal, Exact):
        return oracle_traces.exact_signal(model, weights, problem, propagator)
    if isinstance(signal, Horizon):
        return oracle_traces.exact_signal(model, weights, problem, propagator, signal.steps)
    return oracle_traces.direct_signal(model, weights, problem, matrix if isinstance(signal, Random) else None)


def learner(case: Case, rule: tca.Rule, **changes: Any) -> tca.Learner:
    """Return a rule bound to the network of a case."""
    return tca.Learner(case.net(**changes), rule, seed=17)


def matrix_of(bound: tca.Learner) -> Tensor:
    """Return the feedback matrix of a learner, or the transposed readout where it has none."""
    return bound.buffers.get("feedback", bound.net.w_out.detach().t())


def put(net: torch.nn.Module, values: Mapping[str, Tensor]) -> None:
    """Replace parameters of a network."""
    with torch.no_grad():
        for name, value in values.items():
            net.get_parameter(name).copy_(value)


def changes(case: Case, rule: str | tca.Rule, replaced: Mapping[str, Tensor] | None = None, **options: Any) -> Weights:
    """Return what a rule gives on a case, with some of the weights replaced."""
    bound = learner(case, tca.RULES[rule] if isinstance(rule, str) else rule, **options)
    put(bound.net, replaced or {})
    return bound.grads(case.batch())[0]


@lru_cache(maxsize=512)
def true_gradient(case: Case) -> Weights:
    """Return the gradient of the whole network by autograd."""
    return oracle.gradient(case.model(), weights_of(case.net()), case.problem())


def relative(found: Tensor, wanted: Tensor) -> float:
    """Return the relative difference of two tensors; where zero is wanted, zero must be found."""
    difference, scale = float((found - wanted).norm()), float(wanted.norm())
    return 0.0 if difference == 0 else difference / scale if scale else float("inf")


def cosine(one: Tensor, other: Tensor) -> float:
    """Return the cosine of the angle between two tensors."""
    return float((one * other).sum() / (one.norm() * other.norm()))


def assert_same(found: Weights, wanted: Weights, tolerance: float = 1e-12) -> None:
    """Demand that two gradients agree, parameter by parameter."""
    assert found.keys() == wanted.keys()
    errors = {name: relative(found[name], wanted[name]) for name in wanted}
    shapes = {name: found[name].shape == wanted[name].shape for name in wanted}
    assert all(shapes.values()), shapes
    assert all(error <= tolerance for error in errors.values()), errors
