"""Measurements have no side effect, and see the state that the next update would see: every rule, every measure."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import analysis
import tca
from analysis.alignment import Match
from analysis.broadcast_measures import broadcasting
from analysis.curvature.problem import problem_of
from analysis.learners import named
from analysis.run_measurements import AlignmentWatcher, BroadcastWatcher, CurvatureWatcher
from tasks.trials import TrialSet
from tca.experiments.config.components import Optimizer
from tca.experiments.config.step_controls import MatchedStepSize
from tca.experiments.training.evaluation import evaluate
from tca.experiments.training.update import Length, Updates
from tca.signals import Decay, Decorrelation, Direct, Regularised
from tca.signals.regularisers.activity_regularisers import ActivityL1, LayerEntropy, Power
from tca.signals.regularisers.firing_rate import FiringRate
from tests.support.every_rule import batch, kind_for, network, normal, trained, update

RULES = list(tca.RULES)


def frozen(value: Any) -> Any:
    """Copy whatever holds tensors, so that it can be compared bit by bit."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {name: frozen(each) for name, each in value.items()}
    return [frozen(each) for each in value] if isinstance(value, list | tuple) else copy.deepcopy(value)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(each, other[name]) for name, each in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else one == other


def everything(learner: tca.Learner, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What a measurement could change: network, gradients, rule, optimizer, generators, defaults, versions."""
    net = learner.net
    return frozen(
        {
            "network": net.state_dict(),
            "gradients": {name: each.grad for name, each in net.named_parameters()},
            "flags": {name: each.requires_grad for name, each in net.named_parameters()},
            "versions": {name: each._version for name, each in net.named_parameters()},
            "modes": [each.training for each in net.modules()],
            "rule": learner.buffers,
            "optimizer": optimizer.state_dict(),
            "generators": [torch.get_rng_state(), random.getstate(), np.random.get_state()],  # noqa: NPY002
            "defaults": [torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()],
        }
    )


def tolerant(call: Callable[[], Any], *words: str) -> None:
    """Call; a refusal with one of these words is as good."""
    try:
        call()
    except ValueError as error:
        if not any(word in str(error) for word in words):
            raise


LEARNERS: dict[str, Callable[[tca.Learner, tca.Batch], Any]] = {
    "alignment": lambda learner, trials: analysis.alignment(learner.net, trials, learner),
    "alignment by name": lambda learner, trials: analysis.alignment(learner.net, trials, [learner.rule, "bptt"]),
    "update_jacobian": lambda learner, trials: analysis.update_jacobian(learner.net, trials, learner, "b_out").matrix(),
    "stability": lambda learner, trials: tolerant(
        lambda: analysis.stability(learner.net, batch(2, 2), learner, "b_out"), "linear", "one by one"
    ),
    "check_stability": lambda learner, trials: tolerant(
        lambda: analysis.check_stability(learner.net, batch(2, 2), learner, "b_out", steps=2),
        "linear",
        "one by one",
        "no critical rate",
    ),
    "broadcasting": lambda learner, trials: tolerant(lambda: broadcasting(learner, trials), "must be a Decorrelation"),
    "watchers": lambda learner, trials: (
        AlignmentWatcher(parameter=learner.net.hidden_connections()[0].name)(learner, trials),
        tolerant(lambda: BroadcastWatcher()(learner, trials), "must be a Decorrelation"),
    ),
    "matched step": lambda learner, trials: (
        Length(MatchedStepSize(), learner, 0).look(trials),
        [Length(MatchedStepSize(rule), learner, 0).look(trials) for rule in ("bptt", _name(learner))],
    ),
    "grads": lambda learner, trials: (learner.grads(trials), learner.signals(trials) if _shown(learner) else None),
    "ahead": lambda learner, trials: learner.ahead().backward(trials),
}


def _name(learner: tca.Learner) -> str:
    return next(name for name, rule in tca.RULES.items() if rule is learner.rule)


def _shown(learner: tca.Learner) -> bool:
    return "reverse" in learner.rule.executions and not learner.rule.eligibility.perturbs


@pytest.mark.thirds
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.filterwarnings("ignore::tca.signals.error_diffusion.SingleClassWarning")
def test_measures_of_rules_change_nothing(rule: str) -> None:
    """Training goes on to the same bits as without any of them."""
    (learner, optimizer), (other, beside) = trained(rule), trained(rule)
    for name, measure in LEARNERS.items():
        before = everything(learner, optimizer)
        measure(learner, batch())
        after = everything(learner, optimizer)
        assert [what for what in before if not same(before[what], after[what])] == [], name
    for _ in range(2):
        update(learner, optimizer), update(other, beside)
    assert same(frozen(learner.net.state_dict()), frozen(other.net.state_dict()))
    assert same(frozen(learner.buffers), frozen(other.buffers))


class Near:
    """A task that knows accuracy alone."""

    def accuracy(self, outputs: Tensor, given: tca.Batch) -> float:
        return float((outputs - given.targets).abs().lt(0.5).double().mean())


def _fixed(net: tca.nets.Network) -> Any:
    return analysis.fixed_points(net, [0.0] * 3, analysis.sampled_states(net, batch().inputs, 3), iterations=5)


NETWORKS: dict[str, Callable[[tca.nets.Network, str], Any]] = {
    "rates": lambda net, name: analysis.participation_ratio(analysis.rates(net, batch())),
    "curvature": lambda net, name: analysis.curvature(net, batch(), name, probes=2, tolerance=0.1),
    "curvature watcher": lambda net, name: CurvatureWatcher(parameters=name, products=2, first=2)(
        tca.Learner(net, tca.RULES["bptt"]), batch()
    ),
    "operators": lambda net, name: [
        analysis.operator(net, batch(), "b_out", kind).matrix()
        for kind in ("hessian", "gauss_newton", "fisher", "empirical_fisher", "trial_fisher")
    ],
    "spectra": lambda net, name: [
        call(analysis.operator(net, batch(), name)) for call in (analysis.spectrum, analysis.trace, analysis.density)
    ],
    "sharpness": lambda net, name: analysis.sharpness(net, batch(), name, steps=2, group=2),
    "random sharpness": lambda net, name: analysis.random_sharpness(net, batch(), name, pairs=2, probes=2),
    "landscape": lambda net, name: analysis.landscape(net, batch(), name, directions="random", points=3),
    "generalization": lambda net, name: analysis.generalization_gap(
        net, Near(), batch(), TrialSet(batch()), input_noise=0.1
    ),
    "evaluation": lambda net, name: evaluate(net, Near(), TrialSet(batch())),
    "minimum": lambda net, name: tolerant(
        lambda: analysis.minimum(net, batch(), name, steps=1), "no minimum", "does not", "svd"
    ),
}
RECURRENT: dict[str, Callable[[tca.nets.Network, str], Any]] = {
    "barrier": lambda net, name: analysis.barrier(net, copy.deepcopy(net), batch(), points=3, match="weights"),
    "matching": lambda net, name: analysis.permuted(net, analysis.match_cells(net, net, batch())),
    "fixed points": lambda net, name: _fixed(net),
}


@pytest.mark.thirds
@pytest.mark.parametrize("kind", ["recurrent", "two streams", "vectors", "feedforward"])
def test_measures_of_networks_change_nothing(kind: str) -> None:
    learner = tca.Learner(
        network(kind), tca.RULES[{"recurrent": "sbd", "two streams": "error_diffusion"}.get(kind, "bptt")]
    )
    optimizer = torch.optim.Adam(learner.net.parameters(), 0.01)
    update(learner, optimizer)
    name = learner.net.hidden_connections()[0].name
    for what, measure in (NETWORKS | (RECURRENT if kind == "recurrent" else {})).items():
        before = everything(learner, optimizer)
        measure(learner.net, name)
        after = everything(learner, optimizer)
        assert [each for each in before if not same(before[each], after[each])] == [], what


@pytest.mark.parametrize("rule", RULES)
def test_measures_see_what_the_next_update_sees(rule: str) -> None:
    """The gradient measured is the one that ``backward`` adds next, with what follows the optimizer having followed."""
    learner, _ = trained(rule, noise=0.0)
    twin = copy.deepcopy(learner)
    twin.net.zero_grad()
    twin.backward(batch())
    found = named(learner.net, learner, 0)[_name(learner)].grads(batch())[0]
    for name, parameter in twin.net.named_parameters():
        assert torch.equal(found[name], parameter.grad), name  # type: ignore[arg-type]
    true = tca.Learner(twin.net, tca.RULES["bptt"]).grads(batch())[0]
    match = analysis.alignment(learner.net, batch(), learner).rules[0].parameters
    assert str(match) == str({name: Match.of(found[name], true[name]) for name in match})  # some are NaN


@pytest.mark.thirds
@pytest.mark.parametrize("rule", RULES)
def test_rho_of_a_step_is_that_of_an_update_and_another_rule_follows(rule: str) -> None:
    """Against updates of deep copies by hand: a rule's state takes in each batch once, whosever training it is."""
    if kind_for(rule) != "recurrent":
        return
    net, matched = network("recurrent", noise=0.0), MatchedStepSize(rule, smoothing=0.5, most=1e6)
    own = tca.Learner(network("recurrent", noise=0.0), tca.RULES[rule], seed=4)
    runs = {
        "own": Updates(own, Optimizer("Adam", 0.01, matched=replace(matched, rule=None)), 3, seed=4),
        "other": Updates(tca.Learner(net, tca.RULES["eprop"]), Optimizer("Adam", 0.01, matched=matched), 3, seed=4),
    }
    for name, updates in runs.items():
        shadow = copy.deepcopy(own) if name == "own" else tca.Learner(copy.deepcopy(net), tca.RULES[rule], seed=4)
        inner, square = 0.0, 0.0
        for step in range(3):
            given = replace(batch(), inputs=normal(20 + step, *batch().inputs.shape))
            shadow.net.load_state_dict(updates.net.state_dict())
            shadow.net.zero_grad()
            shadow.backward(given)
            hidden = [each.name for each in net.hidden_connections()]
            gh = torch.cat([shadow.net.get_parameter(each).grad.flatten() for each in hidden])  # type: ignore[union-attr]
            true = tca.Learner(shadow.net, tca.RULES["bptt"]).grads(given)[0]
            g = torch.cat([true[each].flatten() for each in hidden])
            inner, square = 0.5 * inner + 0.5 * float(gh @ g), 0.5 * square + 0.5 * float(g @ g)
            assert not updates.make(given, step)
            assert updates.length is not None
            assert (updates.length.inner, updates.length.square) == (inner, square), name
            if name == "own":
                shadow.load_state_dict(updates.learner.buffers)


def split(learner: tca.Learner, given: tca.Batch, size: int) -> dict[str, Tensor]:
    """The mean of the gradients of parts of a batch."""
    starts = range(0, given.trials, size)
    parts = [learner.grads(given.select(slice(start, start + size)))[0] for start in starts]
    return {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}  # type: ignore[misc]


def depends_on_the_split(learner: tca.Learner) -> bool:
    given = batch(steps=12)  # longer than any window
    whole = learner.grads(given)[0]
    return any(
        (found[name] - each).norm() > 1e-12 * each.norm()
        for found in (split(learner, given, 2),)
        for name, each in whole.items()
    )


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_says_whether_it_couples_the_trials_of_a_batch(rule: str) -> None:
    learner, _ = trained(rule)
    assert learner.rule.couples_trials == depends_on_the_split(learner)


@pytest.mark.parametrize(
    "signal",
    [
        Regularised(Direct(), (Power(0.1),)),
        Regularised(Direct(), (ActivityL1(0.1),)),
        Regularised(Direct(), (LayerEntropy(0.1, kept=0.9),)),
        Regularised(Direct(), (FiringRate(1.0, 0.1, dt=1000.0),)),
        Regularised(Direct(), (FiringRate(1.0, 0.1, dt=1000.0, per_trial=True),)),
        Regularised(Direct(), (ActivityL1(0.1), Power(0.1))),
        Decorrelation(Decay(1.0)),
        Regularised(Decorrelation(Decay(1.0)), (ActivityL1(0.1),)),
        Regularised(Decorrelation(Decay(0.9)), (ActivityL1(0.1),)),
    ],
)
def test_a_recombined_rule_says_whether_it_couples_trials(signal: tca.signals.Signal) -> None:
    learner = tca.Learner(network("recurrent"), tca.Rule(signal, tca.eligibilities.Leak()))
    learner.backward(batch())
    assert learner.rule.couples_trials == depends_on_the_split(learner)


@pytest.mark.thirds
@pytest.mark.parametrize("rule", RULES)
def test_the_update_jacobian_does_not_depend_on_how_trials_are_taken(rule: str) -> None:
    """Rules that couple trials are run on all of them, or refused with what they need."""
    learner, _ = trained(rule)
    name = next(each.name for each in learner.net.hidden_connections())
    whole = analysis.update_jacobian(learner.net, batch(), learner, name)
    vector = normal(5, whole.size)

    def gradient(theta: Tensor) -> Tensor:
        twin = learner.ahead()
        with torch.no_grad():
            own = twin.net.get_parameter(name)
            own.copy_(problem.parameters.unflatten(theta)[name])
        return problem.parameters.gather(twin.grads(batch())[0])

    problem = problem_of(learner.net, batch(), name)
    step = 1e-3 / vector.norm() * vector
    ends = [gradient(problem.theta + each * step) - gradient(problem.theta - each * step) for each in (1, 2)]
    exact = (8 * ends[0] - ends[1]) / 12e-3 * vector.norm()
    if rule != "eprop_adaptive":  # whose feedback is held while its readout would shrink by a thousandth
        assert (whole @ vector - exact).norm() <= 1e-8 * (1 + exact.norm())
    if not learner.rule.couples_trials:
        parts = analysis.update_jacobian(learner.net, batch(), learner, name, chunk=1)
        assert (parts @ vector - whole @ vector).norm() <= 1e-9 * (1 + exact.norm())
        return
    for options in ({"chunk": 1}, {"chunk": 5}, {"memory": 1e-9}):
        with pytest.raises(ValueError, match=r"couples the trials of a batch, so that all 6 .* memory of at least"):
            analysis.update_jacobian(learner.net, batch(), learner, name, **options)
    with pytest.raises(ValueError, match="must take trials one by one"):
        analysis.stability(learner.net, batch(), learner, name)


def test_a_rule_that_reads_targets_has_no_matrix_that_takes_errors_back() -> None:
    with pytest.raises(ValueError, match=r"must be linear in the error of the outputs, and .* reads more of the loss"):
        analysis.stability(network("two streams"), batch(), "kaneko", "b_out")


def test_the_update_jacobian_of_a_correlation_that_learns_contains_its_derivative() -> None:
    """``gh = R'(theta) s``: with R' held at what it is, the derivative is another one, by the order of ``1 - lam``."""
    net = network("recurrent", noise=0.0)
    learner = tca.Learner(net, tca.Rule(Decorrelation(Decay(0.5)), tca.eligibilities.Leak()))
    held = tca.Learner(net, tca.Rule(Decorrelation(Decay(1.0)), tca.eligibilities.Leak()))
    twin = learner.ahead()
    twin.backward(batch())
    held.load_state_dict(twin.buffers)
    assert torch.allclose(held.grads(batch())[0]["w_rec"], learner.grads(batch())[0]["w_rec"], rtol=1e-12, atol=0)
    with_it, without = (analysis.update_jacobian(net, batch(), each).matrix() for each in (learner, held))
    assert (with_it - without).norm() > 0.1 * without.norm()
