"""Steps after the end of a trial change no measure of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import analysis
import tasks
import tca
from analysis.broadcast_measures import broadcasting
from analysis.curvature.problem import problem_of
from analysis.dynamics.dsa import linear_dynamics
from analysis.figures import state_space
from analysis.generalization.conditions import InputNoise, PixelNoise
from analysis.stability.jacobians import rule_jacobian, scores
from studies.published_spiking import observe
from tca.eligibilities import Windowed
from tca.nets import LeakyRNN, SpikingRNN
from tca.signals import Direct
from tests.support.padding import F64, alone, appended, uneven
from tests.tca.test_stacks import batch_of

LENGTHS = (14, 9, 0, 4)


def net_and_trials(seed: int = 1) -> tuple[LeakyRNN, tca.Batch]:
    net = LeakyRNN(3, 4, 2, seed=seed, tau=30.0, dtype=F64)
    return net, uneven(batch_of(net, 14), *LENGTHS)


def sampled(net: Any, batch: tca.Batch) -> np.ndarray[Any, Any]:
    """Rates of all steps of all trials, each trial run by itself and cut at its end, sorted by row."""
    parts = [net.run(alone(batch, trial).inputs).rate[1:, 0] for trial in (0, 1, 3)]
    return np.array(sorted(torch.cat(parts).tolist()))


def numbers_in(found: Any) -> Iterator[float]:
    """Every number of a result, in order."""
    if isinstance(found, Tensor):
        yield from torch.view_as_real(found).flatten().tolist() if found.is_complex() else found.flatten().tolist()
    elif is_dataclass(found) and not isinstance(found, type):
        for each in fields(found):
            yield from numbers_in(getattr(found, each.name))
    elif isinstance(found, Mapping):
        for each in found.values():
            yield from numbers_in(each)
    elif isinstance(found, (list, tuple)):
        for each in found:
            yield from numbers_in(each)
    elif isinstance(found, (int, float)):
        yield float(found)


MEASURES: dict[str, Callable[[LeakyRNN, tca.Batch], Any]] = {
    "alignment": lambda net, batch: analysis.alignment(net, batch, ["eprop", "tbptt", "mdgl"]),
    "broadcasting": lambda net, batch: broadcasting(tca.Learner(net, tca.RULES["sbd"]), batch),
    "cka": lambda net, batch: analysis.cka(analysis.rates(net, batch), analysis.rates(net_and_trials(2)[0], batch)),
    "curvature": lambda net, batch: analysis.curvature(net, batch),
    "gap": lambda net, batch: analysis.generalization_gap(
        net, tasks.make("flip_flop", bits=2), batch, batch.select(torch.tensor([3, 1, 0])), input_noise=0.1
    ),
    "match": lambda net, batch: analysis.match_cells(net, net_and_trials(2)[0], batch),
    "operators": lambda net, batch: [
        analysis.operator(net, batch, kind=each).matrix() for each in ("hessian", "gauss_newton", "empirical_fisher")
    ],
    "participation": lambda net, batch: analysis.participation_ratio(analysis.rates(net, batch)),
    "procrustes": lambda net, batch: analysis.procrustes_distance(
        analysis.rates(net, batch), analysis.rates(net_and_trials(2)[0], batch)
    ),
    "rates": analysis.rates,
    "rates of trials": analysis.rates_of_trials,
    "rsa": lambda net, batch: analysis.rsa(analysis.rates(net, batch), analysis.rates(net_and_trials(2)[0], batch)),
    "sharpness": lambda net, batch: analysis.sharpness(net, batch, steps=2),
    "update_jacobian": lambda net, batch: [
        analysis.update_jacobian(net, batch, each).matrix() for each in ("tbptt", "sbd")
    ],
}


@pytest.mark.parametrize("name", MEASURES)
def test_padding_changes_no_measure(name: str) -> None:
    """Further steps without weight give the same numbers."""
    net, batch = net_and_trials()
    wanted, found = (list(numbers_in(MEASURES[name](net, each))) for each in (batch, appended(batch, 7)))
    assert wanted
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12, nan_ok=True)


def test_rates_are_those_of_the_steps_of_trials() -> None:
    """Samples are those of each trial run by itself; trials that end together keep their shape."""
    net, batch = net_and_trials()
    found = analysis.rates(net, batch)
    assert np.allclose(np.array(sorted(found.tolist())), sampled(net, batch), rtol=1e-12, atol=1e-14)
    for trial, each in enumerate(analysis.rates_of_trials(net, batch)):
        assert len(each) == LENGTHS[trial]
        if len(each):
            assert torch.allclose(each, net.run(alone(batch, trial).inputs).rate[1:, 0], rtol=1e-12, atol=1e-14)
    together = uneven(batch_of(net, 14), 9, 9, 9, 9)
    assert torch.equal(analysis.rates(net, together), net.run(together.inputs).rate[1:10])
    assert analysis.rates(net, batch.inputs).shape == (14, 4, 4)
    with pytest.raises(ValueError, match="trials must have a step with a weight, got none"):
        analysis.rates(net, batch.select(torch.tensor([2])))


def test_numbers_of_activity_are_those_of_the_steps_of_trials() -> None:
    """Size, silence and rank of activity, the rate of spikes, and dimension, from each trial by itself."""
    net, batch = net_and_trials()
    samples = sampled(net, batch)
    layer = broadcasting(tca.Learner(net, tca.RULES["sbd"]), batch).layers[0]
    assert layer.rms == pytest.approx(float(np.sqrt((samples**2).mean())), rel=1e-12)
    shares = np.linalg.svd(samples, compute_uv=False)
    shares /= shares.sum()
    assert layer.rank == pytest.approx(float(np.exp(-(shares * np.log(shares)).sum())), rel=1e-9)
    values = np.linalg.eigvalsh(np.cov(samples.T))
    dimension = values.sum() ** 2 / (values**2).sum()
    assert analysis.participation_ratio(analysis.rates(net, batch)) == pytest.approx(dimension, rel=1e-9)
    spiking = SpikingRNN(3, 5, 2, seed=2, dtype=F64)
    loud = replace(batch, inputs=10 * batch.inputs)
    hertz = 1000 * float(sampled(spiking, loud).mean()) / float(spiking.dt)
    assert hertz > 0
    assert observe(tca.Learner(spiking, tca.RULES["eprop"]), loud)["rate"] == pytest.approx(hertz, rel=1e-12)


def test_silent_cells_are_silent_in_trials() -> None:
    """A cell that wakes after the end of a trial is dead; one that rests there is not alive for it."""
    net = LeakyRNN(3, 4, 2, activation="relu", dtype=F64)
    with torch.no_grad():
        net.b.fill_(-1.0)
        net.w_in.fill_(1.0)
        net.w_rec.zero_()
    batch = replace(uneven(batch_of(net, 14), 4, 4, 4, 4), inputs=torch.full((14, 4, 3), -1.0, dtype=F64))
    batch.inputs[4:] = 5.0
    assert broadcasting(tca.Learner(net, tca.RULES["sbd"]), batch).layers[0].dead == 1.0


@pytest.mark.parametrize("delays", [1, 3])
def test_dynamics_of_trials_of_different_lengths(delays: int) -> None:
    """Least squares over all pairs of consecutive samples of a trial; a list of equal trials is the array of them."""
    generator = torch.Generator().manual_seed(5)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=F64, generator=generator))[0] * 0.9
    trials = []
    for steps in (12, 7, 1, 20):
        state, path = torch.randn(3, dtype=F64, generator=generator), []
        for _ in range(steps):
            path.append(state)
            state = turn @ state
        trials.append(torch.stack(path))
    found = linear_dynamics(trials, delays=delays, rank=3)
    wanted = torch.linalg.eigvals(turn)
    if delays == 1:  # the mean is no fixed point, so that a constant is needed: plain least squares with one
        mean = torch.cat(trials).mean(0)
        before, after = (
            torch.cat([each[part] - mean for each in trials]) for part in (slice(None, -1), slice(1, None))
        )
        rows = torch.cat([before, torch.ones(len(before), 1, dtype=F64)], 1)
        wanted = torch.linalg.eigvals(torch.linalg.lstsq(rows, after).solution[:3].mT)
    assert torch.allclose(_sorted(found.eigenvalues), _sorted(wanted), rtol=1e-8, atol=1e-10)
    assert found.explained == pytest.approx(1, abs=1e-9)
    equal = torch.stack([each[:7] for each in trials if len(each) >= 7], 1)
    one, other = linear_dynamics(equal, delays=delays), linear_dynamics(list(equal.unbind(1)), delays=delays)
    assert torch.allclose(_sorted(one.eigenvalues), _sorted(other.eigenvalues), rtol=1e-9, atol=1e-12)
    assert analysis.dsa(trials, [5 * each + 1 for each in trials], rank=3) < 1e-6
    with pytest.raises(ValueError, match="activity of trials must have shapes"):
        linear_dynamics([trials[0], trials[1][:, :2]])
    with pytest.raises(ValueError, match="or be a list of trials"):
        linear_dynamics(trials[0])


def _sorted(values: Tensor) -> Tensor:
    return torch.stack(sorted(values, key=lambda each: (round(float(each.real), 9), float(each.imag))))


def test_noise_of_a_step_depends_on_no_later_step() -> None:
    """Noisy inputs are the same whether padding follows or not."""
    _, batch = net_and_trials()
    longer = appended(batch, 7)
    task = tasks.make("flip_flop")
    for condition in (InputNoise(0.3), PixelNoise(0.3)):
        noisy = condition.batch(task, longer).inputs[:14]
        assert torch.equal(noisy[batch.inside], condition.batch(task, batch).inputs[batch.inside])


def test_the_jacobian_of_a_rule_ends_with_each_trial() -> None:
    """Times the derivative of the loss by the outputs it is what the rule changes, windows of each trial and all."""
    net, batch = net_and_trials()
    rule = tca.Rule(Direct(), Windowed(5))
    found = problem_of(net, batch, "w_rec")
    wanted = tca.Learner(net, rule).grads(batch)[0]["w_rec"].flatten()
    product = rule_jacobian(found, tca.Learner(net, rule)).mT @ scores(found, found.theta)
    assert torch.allclose(product, wanted, rtol=1e-10, atol=1e-14)


def test_states_of_a_window_are_states_of_trials() -> None:
    """Steps that are asked for and lie after the end of a trial are not drawn."""
    _, batch = net_and_trials()
    assert state_space._window(batch, 3, 12).sum(0).tolist() == [9, 6, 0, 1]


def test_an_evaluation_keeps_lengths_and_a_stream_is_cut_where_all_are_over() -> None:
    """Batches that are put together or trimmed have the trials of their parts."""
    net, batch = net_and_trials()
    lengths = torch.tensor([14, 9, 0, 12])
    longer = appended(replace(batch, lengths=lengths), 5)
    seen: list[tca.Batch] = []

    class Measure:
        def accuracy(self, outputs: Tensor, batch: tca.Batch) -> float:
            seen.append(batch)
            return 0.0

    tca.experiments.training.evaluation.evaluate(net, Measure(), longer)
    assert seen[0].trial_lengths.tolist() == lengths.tolist()
    assert tasks.task._trimmed(longer).steps == 14
    assert tasks.task._trimmed(longer).trial_lengths.tolist() == lengths.tolist()
