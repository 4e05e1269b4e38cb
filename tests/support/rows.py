"""What every rule, signal and eligibility of the library should be, in the words of the oracle.

The tables here are the other half of ``tca.RULES``, ``tca.signals`` and ``tca.eligibilities``: whatever is missing from
them makes a test fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor

import tca
from tca.conformance.properties import relative
from tca.eligibilities import (
    KFRTRL,
    UORO,
    Diagonal,
    Eligibility,
    Fluctuations,
    Full,
    Homotopy,
    Instant,
    Leak,
    LearnedKernel,
    NetworkKernel,
    NodeNoise,
    Paths,
    PopulationJacobian,
    PotentialLeak,
    ReverseKFRTRL,
    Sketch,
    SnAp,
    TypePropagation,
    WeightNoise,
    Windowed,
)
from tca.eligibilities.traces import InfluenceTrace, Trace
from tca.losses.expansions import PredictionGates
from tca.signals import (
    Adaptive,
    Broadcast,
    CausalHop,
    Decay,
    Decorrelation,
    Diffusion,
    Direct,
    ErrorDiffusion,
    Exact,
    FeedbackAlignment,
    Filtered,
    FilteredError,
    GlobalVector,
    Hops,
    Horizon,
    Lagged,
    LocalReadout,
    OutputError,
    Random,
    RecursiveLeastSquares,
    Regularised,
    RewardDifference,
    RewardPredictionError,
    Score,
    SharedRandom,
    Signal,
    SignSymmetric,
    Sparse,
    StationaryDiffusion,
    SyntheticGradient,
    TypeReturn,
    WeightMirror,
)
from tca.signals.decorrelation.observables import Polynomial, Square, TanhOf
from tca.signals.feedback_weights import Drawn, Frozen
from tca.signals.regularisers.activity_regularisers import ActivityL1, LayerEntropy, Power
from tca.tape.weight_estimates import BlockMean, ExactWeights, SynapseMean, WeightEstimate
from tests.support import oracle, oracle_decorrelation, oracle_fields, oracle_traces, oracle_types
from tests.support.cases import Case, weights_of
from tests.support.oracle import Model, Problem, Surgery, Weights

Answer = Callable[[Model, Weights, Problem, Tensor], Weights]
Cut = Surgery | Callable[[Model, Weights, Problem, Tensor | None], Weights]  # paths detached, or a gradient of its own
ESTIMATES: dict[WeightEstimate, Callable[[Model, Weights], Tensor]] = {
    ExactWeights(): oracle_types.exact_weights,
    SynapseMean(): oracle_types.synapse_mean,
    BlockMean(): oracle_types.block_mean,
}


def surgery(which: Cut, feedback: bool = False) -> Answer:
    """Return the gradient after surgery, with the feedback matrix in the place of the readout's weights or without."""

    def answer(model: Model, weights: Weights, problem: Problem, matrix: Tensor) -> Weights:
        through = matrix if feedback else None
        if isinstance(which, Surgery):
            return oracle.gradient(model, weights, problem, which, through)
        return which(model, weights, problem, through)

    return answer


def reachable(steps: int) -> Cut:
    """Return the gradient by influences within reach."""

    def gradient(model: Model, weights: Weights, problem: Problem, feedback: Tensor | None) -> Weights:
        signal = oracle_traces.direct_signal(model, weights, problem, feedback)
        return oracle_types.snap(model, weights, problem, signal, steps)

    return gradient


def share(size: float) -> Cut:
    """Return the gradient with a share of what recurrent synapses pass on."""
    return lambda model, weights, problem, feedback: oracle_types.share_of_paths(
        model, weights, problem, size, feedback
    )


def along(paths: Paths) -> Cut:
    """Return the gradient along some of the recurrent synapses."""
    return lambda model, weights, problem, feedback: oracle_types.some_synapses(
        model, weights, problem, paths.kept(existing(model, weights)), feedback
    )


def existing(model: Model, weights: Weights) -> Tensor:
    """Return which recurrent synapses exist."""
    return model.masks.get("w_rec", torch.ones_like(weights["w_rec"]))


def by_type(slope: float) -> Cut:
    """Return the gradient that spreads by type."""
    return lambda model, weights, problem, feedback: oracle_types.spread_by_type(
        model, weights, problem, oracle_types.block_mean(model, weights), slope, feedback=feedback
    )


def next_step(estimate: WeightEstimate) -> Cut:
    """Return e-prop with the error of the next step and synapse."""
    return lambda model, weights, problem, feedback: oracle_types.published_mdgl(
        model, weights, problem, ESTIMATES[estimate](model, weights)
    )


def online(estimate: WeightEstimate) -> Cut:
    """Return e-prop with errors of the moment from the next synapse, met by filtered slopes and traces."""
    return lambda model, weights, problem, feedback: oracle_types.online_mdgl(
        model, weights, problem, ESTIMATES[estimate](model, weights)
    )


def hops(count: int, estimate: WeightEstimate) -> Cut:
    """Return the gradient of paths with at most some recurrent synapses."""
    return lambda model, weights, problem, feedback: oracle_types.at_most_hops(
        model, weights, problem, ESTIMATES[estimate](model, weights), count, feedback
    )


def future(horizon: int) -> Answer:
    """Return the gradient of errors that reach back some steps."""
    return lambda model, weights, problem, matrix: oracle.future_gradient(model, weights, problem, horizon)


def decorrelated(name: str, which: Surgery) -> Answer:
    """Return the gradient by a correlation that has taken in the batch."""

    def answer(model: Model, weights: Weights, problem: Problem, matrix: Tensor) -> Weights:
        signal = tca.RULES[name].signal
        assert isinstance(signal, Decorrelation)
        return oracle_decorrelation.gradient(signal, model, weights, problem, matrix, which)

    return answer


def least_squares(which: Cut, ridge: float) -> Answer:
    """Return a gradient whose readout descends along the inverse correlation of its inputs."""

    def answer(model: Model, weights: Weights, problem: Problem, matrix: Tensor) -> Weights:
        wanted = surgery(which)(model, weights, problem, matrix)
        return wanted | oracle.by_inverse_correlation(model, weights, problem, ridge, wanted)

    return answer


def filtered_errors(which: Cut, rise: float, decay: float) -> Answer:
    """Return the gradient of errors filtered forwards and backwards by a double-exponential kernel."""
    return lambda model, weights, problem, matrix: surgery(which)(
        model, weights, oracle.with_filtered_errors(model, weights, problem, rise, decay), matrix
    )


def local_readout(which: Surgery) -> Answer:
    """Return the gradient of the loss of a fixed readout for the cells, and the readout's own."""

    def answer(model: Model, weights: Weights, problem: Problem, matrix: Tensor) -> Weights:
        exact = oracle.gradient(model, weights, problem, oracle.NOTHING)
        found = oracle.gradient(*oracle.read_locally(model, weights, matrix), problem, which)
        return found | {name: exact[name] for name in ("w_out", "b_out")}

    return answer


def bootstrapped(window: int, rate: float) -> Answer:
    """Return the gradient of windows that end in a synthetic gradient, which has learned from the batch."""
    return lambda model, weights, problem, matrix: oracle.bootstrapped(model, weights, problem, window, rate)[0]


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
    "dni": Row(bootstrapped(10, 0.01), horizon=None),
    "snap1": Row(surgery(oracle.LEAK_AND_OWN), local=True),
    "eprop": Row(surgery(oracle.LEAK_ONLY), local=True),
    "eprop_random": Row(surgery(oracle.LEAK_ONLY, feedback=True), local=True, form="A"),
    "eprop_adaptive": Row(surgery(oracle.LEAK_ONLY, feedback=True), local=True),
    "rflo": Row(surgery(oracle.LEAK_ONLY, feedback=True), local=True, form="B"),
    "weight_mirror": Row(surgery(oracle.LEAK_ONLY, feedback=True), local=True),
    "ottt": Row(surgery(oracle.LEAK_ONLY), local=True),
    "ostl": Row(surgery(oracle.WHOLE), true_gradient=True),
    "superspike": Row(filtered_errors(oracle.LEAK_ONLY, 0.8, 0.9), horizon=None, local=True),
    "decolle": Row(local_readout(oracle.LEAK_ONLY), local=True),
    "three_factor": Row(surgery(oracle.NOTHING), local=True),
    "snap2": Row(surgery(reachable(2))),
    "homotopy": Row(surgery(share(0.5))),
    "one_hop": Row(surgery(hops(1, ExactWeights())), horizon=None),
    "two_hops": Row(surgery(hops(2, ExactWeights())), horizon=None),
    "mdgl_exact": Row(surgery(next_step(ExactWeights())), horizon=1),
    "mdgl": Row(surgery(next_step(SynapseMean())), horizon=1),
    "nl_mdgl": Row(surgery(next_step(BlockMean())), horizon=1),
    "mdgl_online": Row(surgery(online(SynapseMean())), horizon=1),
    "mdgl_one_hop": Row(surgery(hops(1, SynapseMean())), horizon=None),
    "modprop": Row(surgery(by_type(0.25))),
    "eprop_sparse": Row(surgery(oracle.LEAK_ONLY, feedback=True), local=True),
    "global_broadcast": Row(surgery(oracle.LEAK_ONLY, feedback=True), local=True),
    "diffusion": Row(surgery(oracle.LEAK_ONLY, feedback=True), local=True),
    "backprop": Row(surgery(oracle.NOTHING), local=True),
    "feedback_alignment": Row(surgery(oracle.NOTHING, feedback=True), local=True),
    "sign_symmetric": Row(surgery(oracle.NOTHING, feedback=True), local=True),
    "dfa": Row(surgery(oracle.NOTHING, feedback=True), local=True),
    "dfa_sparse": Row(surgery(oracle.NOTHING, feedback=True), local=True),
    "dfa_shared": Row(surgery(oracle.NOTHING, feedback=True), local=True),
    "ebd": Row(decorrelated("ebd", oracle.NOTHING), horizon=None, local=True),
    "sbd": Row(decorrelated("sbd", oracle.LEAK_ONLY), horizon=None, local=True),
    "sbd_expansion": Row(decorrelated("sbd_expansion", oracle.LEAK_ONLY), horizon=None, local=True),
    "sbd_filtered": Row(decorrelated("sbd_filtered", oracle.LEAK_ONLY), horizon=None, local=True),
    "sbd_lagged": Row(decorrelated("sbd_lagged", oracle.NOTHING), horizon=None, local=True),
    "reward_eprop": Row(surgery(oracle.LEAK_ONLY), local=True),
    "force": Row(least_squares(oracle.LEAK_ONLY, 1.0), local=True),
}
# Rules and signals for other networks than a `LeakyRNN`, which refuses them with these words.
ELSEWHERE: dict[str, str] = {
    "error_diffusion": "needs the two streams",
    "error_diffusion_online": "needs the two streams",
    "kaneko": "needs the two streams",
    "gevb": "carry a vector",
    "gevb_local": "carry a vector",
    "gevb_network": "carry a vector",
}
# Rules that draw or try things out, which have no gradient of their own to compare with; see the tests of
# stochastic and perturbation eligibilities.
STOCHASTIC: set[str] = {
    "uoro",
    "kf_rtrl",
    "r_kf_rtrl",
    "kernl",
    "node_perturbation",
    "weight_perturbation",
    "miconi",
}
# Rules under which trials of a batch are coupled: by what is averaged over them, or by what is drawn for all.
COUPLED: set[str] = STOCHASTIC | {
    "ebd",
    "sbd",
    "sbd_expansion",
    "sbd_filtered",
    "sbd_lagged",
    "force",
    "dni",
    "error_diffusion",
    "error_diffusion_online",
}
SIGNALS_ELSEWHERE: set[type[Signal]] = {GlobalVector, ErrorDiffusion, RewardDifference, RewardPredictionError}
ELIGIBILITIES_ELSEWHERE: set[type[Eligibility]] = {
    NetworkKernel,
    UORO,
    KFRTRL,
    ReverseKFRTRL,
    Sketch,
    LearnedKernel,
    NodeNoise,
    WeightNoise,
    Fluctuations,
}
SAME_GRADIENT = [
    {"bptt", "rtrl", "ostl"},
    {"eprop_random", "rflo", "eprop_adaptive"},
    {"tbptt", "dni"},
    {"mdgl", "mdgl_online"},
    {"three_factor", "backprop"},
    {"eprop", "reward_eprop", "force", "ottt"},
]

SIGNALS: list[Signal] = [
    Direct(),
    Random(),
    Adaptive(),
    Exact(),
    Horizon(0),
    Horizon(3),
    Horizon(100),
    Hops(2),
    Hops(1, SynapseMean()),
    Hops(1, BlockMean(), receiver_leak=False),
    TypeReturn(0.25),
    CausalHop(),
    TypeReturn(0.2, "exact", taps=4),
    Sparse(Frozen(0.3)),
    Broadcast(),
    StationaryDiffusion(weights=Frozen(0.3)),
    Diffusion(weights=Frozen(0.3), scattered=False),
    FeedbackAlignment(),
    WeightMirror(),
    SignSymmetric(),
    SignSymmetric(2.0, uniform=True),
    Sparse(Drawn(0.4)),
    SharedRandom(0.5, nonnegative=True),
    Decorrelation(Decay(0.9), observable=Square()),
    Decorrelation(Decay(0.7), observable=TanhOf(), source=OutputError(), reach=Lagged(3)),
    Decorrelation(Decay(0.9), observable=Polynomial((1, 0, 1)), reach=Filtered((0.0, 0.7))),
    Decorrelation(Decay(0.8), source=Score(PredictionGates()), centred=True),
    RecursiveLeastSquares(Direct(), 0.3),
    FilteredError(Random(), 0.5, 0.8),
    LocalReadout(2.0),
    SyntheticGradient(4, 0.3),
    Regularised(Random(), (Power(0.1), ActivityL1(0.01), LayerEntropy(0.1, 0.9))),
]
ELIGIBILITIES: dict[Eligibility, Cut] = {
    Instant(): oracle.NOTHING,
    Leak(): oracle.LEAK_ONLY,
    PotentialLeak(): oracle.LEAK_ONLY,
    PopulationJacobian(): oracle.WHOLE,
    Diagonal(): oracle.LEAK_AND_OWN,
    Full(): oracle.WHOLE,
    Windowed(5): oracle.windows(5),
    Windowed(5, keep_leak=True): oracle.rate_windows(5),
    Homotopy(0.4): share(0.4),
    Paths(3, seed=1): along(Paths(3, seed=1)),
    TypePropagation(0.3): by_type(0.3),
    SnAp(2): reachable(2),
}


@dataclass(frozen=True, eq=False)
class Arbitrary(Eligibility):
    """Any propagator ``D (T, B, N, N)``, entry t - 1 for step t: no rule, but its own signal must be exact."""

    propagator: Tensor
    local = False
    equation = "D_t = whatever was given"

    def propagate_back_(self, tape: Any, t: int, into: Tensor, later: Tensor) -> None:
        """Add ``D_t^T later``."""
        into.add_(torch.einsum("blm,bl->bm", self.propagator[t - 1], later))

    def trace(self, connection: Any, step: Any, trials: int) -> Trace:
        """Return a dense influence trace."""
        return InfluenceTrace(connection, trials, lambda now: self.propagator[len(self.propagator) - now.to_go - 1])


def propagator_of(eligibility: Eligibility, model: Model, weights: Weights, jacobian: Tensor) -> Tensor:
    """Return ``D (T, B, N, N)`` of an eligibility, from the oracle's Jacobian."""
    leak, none = (oracle_traces.PROPAGATORS[name](model, jacobian) for name in ("leak", "instant"))
    if isinstance(eligibility, Arbitrary):
        return eligibility.propagator
    if isinstance(eligibility, Homotopy):
        return leak + eligibility.share * (jacobian - leak)
    if isinstance(eligibility, Paths):
        return leak + eligibility.kept(existing(model, weights)) * (jacobian - leak)
    if isinstance(eligibility, TypePropagation):
        gain = (1 - model.leak) * torch.ones(jacobian.shape[-1], dtype=jacobian.dtype)
        return leak + eligibility.slope * gain[:, None] * oracle_types.block_mean(model, weights)
    if isinstance(eligibility, Windowed):
        steps = len(jacobian)
        closed = [(steps - t + 1) % eligibility.steps == 0 for t in range(1, steps + 1)]
        at_cut = leak if eligibility.keep_leak else none
        return torch.stack([at_cut[t] if closed[t] else jacobian[t] for t in range(steps)])
    names = {Instant: "instant", Leak: "leak", PotentialLeak: "leak", Diagonal: "diagonal", Full: "full"}
    name = (names | {PopulationJacobian: "full"})[type(eligibility)]
    return oracle_traces.PROPAGATORS[name](model, jacobian)


def signal_of(
    signal: Signal, model: Model, weights: Weights, problem: Problem, propagator: Tensor, matrix: Tensor
) -> Tensor:
    """Return ``L_t (T + 1, B, N)`` of a signal from the oracle; at time zero the signal of a learned initial state.

    Signals that are made to fit an eligibility need its propagator.
    """
    if isinstance(signal, CausalHop):
        return oracle_types.online_signal(model, weights, problem, ESTIMATES[signal.weights](model, weights))
    if isinstance(signal, Regularised):
        losses = signal.regularisers
        of_activity = oracle_decorrelation.state_signal(
            model, weights, problem, lambda rates: oracle_decorrelation.regularisation(losses, rates)
        )
        return signal_of(signal.signal, model, weights, problem, propagator, matrix) + of_activity
    if isinstance(signal, Decorrelation):
        return oracle_decorrelation.state_signal(
            model,
            weights,
            problem,
            lambda rates: oracle_decorrelation.cost(signal, model, weights, problem, matrix, rates),
        )
    if isinstance(signal, SyntheticGradient):
        adjoint = oracle.bootstrapped(model, weights, problem, signal.window, signal.rate)[1]
        adjoint[:-1] -= torch.einsum("tblm,tbl->tbm", propagator, adjoint[1:])
        return adjoint
    if isinstance(signal, LocalReadout):
        return oracle_traces.direct_signal(*oracle.read_locally(model, weights, matrix), problem, None)
    if isinstance(signal, Hops):
        known = ESTIMATES[signal.weights](model, weights)
        return oracle_types.hop_signal(model, weights, problem, known, signal.hops, signal.receiver_leak)
    if isinstance(signal, Diffusion):
        learning_signal = oracle_fields.told_in_order(signal.medium(len(matrix)), model, weights, problem, matrix)
        return oracle_fields.state_signal(model, weights, problem, learning_signal)
    if not isinstance(signal, Exact | Horizon | TypeReturn):
        return oracle_traces.direct_signal(model, weights, problem, matrix)
    if isinstance(signal, TypeReturn):
        mean, own = oracle_types.block_mean(model, weights), signal.sender_slope == "exact"
        return oracle_types.type_signal(model, weights, problem, propagator, mean, signal.slope, own, signal.taps)
    return oracle_traces.exact_signal(model, weights, problem, propagator, getattr(signal, "steps", None))


def recombined(
    signal: Signal, eligibility: Eligibility, model: Model, weights: Weights, problem: Problem, matrix: Tensor
) -> tuple[Tensor, Weights]:
    """Return the signal of a recombination and ``sum_t L_t e_t``, both from the oracle."""
    if isinstance(signal, FilteredError):
        problem = oracle.with_filtered_errors(model, weights, problem, signal.rise, signal.decay)
        signal = signal.signal
    if isinstance(eligibility, SnAp):
        learning_signal = signal_of(
            signal, model, weights, problem, torch.zeros(problem.inputs.shape[0], 1, 1, 1), matrix
        )
        if isinstance(signal, Exact | TypeReturn | SyntheticGradient):
            learning_signal = oracle_types.told_within_reach(
                model, weights, problem, learning_signal, eligibility.steps
            )
        snapped = oracle_types.snap(model, weights, problem, learning_signal, eligibility.steps)
        return learning_signal, of_readout(signal, model, weights, problem, snapped)
    jacobian = oracle_traces.jacobians(model, weights, problem.inputs)[0]
    propagator = propagator_of(eligibility, model, weights, jacobian)
    learning_signal = signal_of(signal, model, weights, problem, propagator, matrix)
    return learning_signal, of_readout(
        signal,
        model,
        weights,
        problem,
        oracle_traces.dense_gradient(model, weights, problem, learning_signal, propagator),
    )


def of_readout(signal: Signal, model: Model, weights: Weights, problem: Problem, found: Weights) -> Weights:
    """Return a gradient with the readout as the signal changes it."""
    if not isinstance(signal, RecursiveLeastSquares):
        return found
    return found | oracle.by_inverse_correlation(model, weights, problem, signal.ridge, found)


def composed(case: Case, signal: Signal, eligibility: Eligibility) -> tca.Learner:
    """Return a recombination bound to the network of a case; skip the test where the library refuses it by design."""
    if signal.fitted and not eligibility.shared:
        with pytest.raises(ValueError, match="one for each postsynaptic cell"):
            tca.Rule(signal, eligibility)
        pytest.skip("a signal made to fit one propagator, and an eligibility with many")
    return learner(case, tca.Rule(signal, eligibility))


def learner(case: Case, rule: tca.Rule, **changes: Any) -> tca.Learner:
    """Return the parts of a rule bound to the network of a case, of either form."""
    return tca.Learner(case.net(**changes), tca.Rule(rule.signal, rule.eligibility), seed=17)


def matrix_of(bound: tca.Learner) -> Tensor:
    """Return the feedback matrix of a learner before any trial, or the transposed readout where it has none."""
    readout = bound.net.w_out.detach()
    if "backward" in bound.buffers:
        return bound.rule.signal.backward(readout, bound.buffers["backward"]).t()
    if "local_readout" in bound.buffers:
        return bound.buffers["local_readout"].t()
    return bound.buffers.get("feedback", bound.buffers.get("correlation", readout.t()))


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
