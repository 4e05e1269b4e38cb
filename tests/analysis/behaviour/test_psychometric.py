"""Psychometric functions: closed forms, an independent optimiser, and coverage on simulated observers."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
import torch

import analysis
import tasks
import tca
from analysis.behaviour.psychometric import choices
from analysis.figures import psychometric_curves
from tests.support.same import assert_same

LEVELS = np.array([-50.0, -25.0, -12.0, -6.0, 0.0, 6.0, 12.0, 25.0, 50.0])


def trials_at(values: np.ndarray, right: np.ndarray, **info: object) -> tca.Batch:
    count = len(values)
    targets = torch.as_tensor(right, dtype=torch.int64)[None]
    columns = {"evidence": values, **info}
    return tca.Batch(torch.zeros(1, count, 1), targets, torch.ones(1, count), tca.losses.CrossEntropy(), info=columns)


def observer(p: np.ndarray, values: np.ndarray, seed: int) -> tuple[np.ndarray, tca.Batch]:
    chosen = (np.random.default_rng(seed).random(len(values)) < p).astype(np.int64)
    return chosen, trials_at(values, (values > 0).astype(np.int64))


def counted(chosen: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    levels = np.unique(values)
    return (
        levels,
        np.array([(values == x).sum() for x in levels]),
        np.array([chosen[values == x].sum() for x in levels]),
    )


@pytest.mark.parametrize("share", [(2, 7), (4, 5), (7, 2)])
def test_a_line_through_two_levels_in_closed_form(share: tuple[int, int]) -> None:
    values = np.repeat([3.0, 8.0], 10)
    chosen = np.concatenate([np.arange(10) < each for each in share]).astype(np.int64)
    curve = analysis.psychometric(
        chosen, trials_at(values, np.ones(20)), response=1, form="logistic", lapse=0.0, guess=0.0
    )
    logit = [math.log(k / (10 - k)) for k in share]
    slope = (logit[1] - logit[0]) / 5
    assert curve.slope.value == pytest.approx(slope, rel=1e-6)
    assert curve.threshold.value == pytest.approx(3.0 - logit[0] / slope, rel=1e-6)
    np.testing.assert_allclose(curve([3.0, 8.0]), np.array(share) / 10, rtol=1e-6)
    assert curve.fit.deviance == pytest.approx(0, abs=1e-8)
    first, *lines = str(curve).splitlines()
    assert first == "logistic function of evidence, choices of 1: 20 trials at 2 levels"
    assert [line.split()[0] for line in lines] == ["threshold", "slope", "guess", "lapse"]
    assert lines[1].split()[1] == f"{slope:.4g}"


def test_weibull_through_two_levels_in_closed_form() -> None:
    values, k = np.repeat([3.0, 8.0], 20), (14, 18)
    right = np.zeros(40)
    right[::2] = 1
    hit = np.concatenate([np.arange(20) < each for each in k])
    chosen = np.where(hit, right, 1 - right).astype(np.int64)
    curve = analysis.psychometric(chosen, trials_at(values, right), lapse=0.0)
    assert (curve.form, curve.response, curve.fit.guess.value) == ("weibull", "correct", 0.5)
    line = [math.log(-math.log(1 - (each / 20 - 0.5) / 0.5)) for each in k]
    slope = (line[1] - line[0]) / math.log(8 / 3)
    assert curve.slope.value == pytest.approx(slope, rel=1e-6)
    assert curve.threshold.value == pytest.approx(3.0 * math.exp(-line[0] / slope), rel=1e-6)
    np.testing.assert_allclose(curve([3.0, 8.0]), np.array(k) / 20, rtol=1e-6)


def test_level_zero_of_a_weibull_function_is_guessing() -> None:
    values = np.repeat([0.0, 5.0, 10.0, 20.0], 200)
    right = np.tile([0, 1], 400)
    p = 0.5 + 0.5 * (1 - np.exp(-((values / 9.0) ** 1.5)))
    hit = np.random.default_rng(0).random(800) < p
    curve = analysis.psychometric(np.where(hit, right, 1 - right), trials_at(values, right), confidence=0.999)
    assert curve([0.0])[0] == 0.5
    assert curve.threshold.low < 9.0 < curve.threshold.high
    assert curve.slope.low < 1.5 < curve.slope.high


@pytest.mark.thirds
@pytest.mark.parametrize(("lapse", "guess"), [("free", "lapse"), ("free", "free"), (0.02, 0.05), ("free", 0.0)])
def test_fit_against_an_independent_optimiser(lapse: object, guess: object) -> None:
    """Differential evolution on the likelihood as written here, without gradients, reaches no higher likelihood."""
    values = np.repeat(LEVELS, 40)
    p = 0.05 + 0.88 / (1 + np.exp(-0.2 * (values - 3.0)))
    chosen, batch = observer(p, values, 5)
    curve = analysis.psychometric(chosen, batch, lapse=lapse, guess=guess)
    levels, n, k = counted(chosen, values)

    def negative(theta: np.ndarray) -> float:
        high = theta[2] if lapse == "free" else lapse
        low = theta[3] if guess == "free" else high if guess == "lapse" else guess
        each = low + (1 - low - high) / (1 + np.exp(-theta[1] * (levels - theta[0])))
        return -float((k * np.log(each) + (n - k) * np.log(1 - each)).sum())

    bounds = [(-50, 50), (1e-3, 3), (1e-9, 0.4), (1e-9, 0.4)]
    found = scipy.optimize.differential_evolution(negative, bounds, seed=0, tol=1e-12, maxiter=600, polish=True)
    assert curve.fit.log_likelihood >= -found.fun - 1e-7
    assert curve.threshold.value == pytest.approx(found.x[0], abs=2e-3)
    assert curve.slope.value == pytest.approx(found.x[1], rel=2e-3)
    own = [curve.threshold.value, curve.slope.value, curve.fit.lapse.value, curve.fit.guess.value]
    assert negative(np.array(own)) == pytest.approx(-curve.fit.log_likelihood, abs=1e-7)


def test_interval_ends_are_where_the_profile_crosses_the_quantile() -> None:
    values = np.repeat(LEVELS, 20)
    chosen, batch = observer(1 / (1 + np.exp(-0.1 * (values + 4.0))), values, 2)
    curve = analysis.psychometric(chosen, batch, lapse=0.0, confidence=0.9)
    levels, n, k = counted(chosen, values)

    def log_likelihood(threshold: float, slope: float) -> float:
        p = 1 / (1 + np.exp(-slope * (levels - threshold)))
        return float((k * np.log(p) + (n - k) * np.log(1 - p)).sum())

    best = curve.fit.log_likelihood - scipy.stats.chi2.ppf(0.9, 1) / 2
    for end in (curve.threshold.low, curve.threshold.high):
        top = scipy.optimize.minimize_scalar(
            lambda b, end=end: -log_likelihood(end, b), bounds=(0, 1), options={"xatol": 1e-10}
        )
        assert -top.fun == pytest.approx(best, abs=1e-6)
    for end in (curve.slope.low, curve.slope.high):
        top = scipy.optimize.minimize_scalar(
            lambda t, end=end: -log_likelihood(t, end), bounds=(-50, 50), options={"xatol": 1e-10}
        )
        assert -top.fun == pytest.approx(best, abs=1e-6)


def covered(seeds: range, repeats: int, **options: object) -> np.ndarray:
    """Whether intervals of threshold and slope hold the truth of a simulated observer, shape (seeds, 2)."""
    values = np.repeat(LEVELS, repeats)
    p = 0.03 + 0.94 / (1 + np.exp(-0.15 * (values - 2.0)))
    curves = [analysis.psychometric(*observer(p, values, seed), **options) for seed in seeds]
    return np.array([(c.threshold.low <= 2.0 <= c.threshold.high, c.slope.low <= 0.15 <= c.slope.high) for c in curves])


def test_intervals_cover_the_truth_of_simulated_observers() -> None:
    hits = covered(range(16), 30, guess=0.03, lapse=0.03).sum(0)
    low, high = scipy.stats.binom.ppf([0.0005, 0.9995], 16, 0.95)
    assert (hits >= low).all()
    assert (hits <= high).all()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"guess": 0.03, "lapse": 0.03}])
def test_intervals_cover_the_truth_of_many_simulated_observers(options: dict) -> None:
    assert np.abs(covered(range(600), 30, **options).mean(0) - 0.95).max() < 0.04


def test_choices_that_change_at_once_have_a_step() -> None:
    values = np.repeat([-2.0, -1.0, 1.0, 2.0], 10)
    curve = analysis.psychometric((values > 0).astype(np.int64), trials_at(values, values > 0))
    assert curve.slope.value == math.inf
    assert curve.slope.high == math.inf
    assert math.isfinite(curve.slope.low)
    assert -1 <= curve.threshold.value <= 1
    assert -2 <= curve.threshold.low <= curve.threshold.high <= 2
    np.testing.assert_array_equal(curve([-2.0, -1.0, 1.0, 2.0]).round(3), [0, 0, 1, 1])


def test_choices_that_do_not_depend_on_the_variable_have_no_threshold() -> None:
    values = np.repeat(LEVELS, 20)
    chosen = np.tile([0, 1], len(values) // 2)
    curve = analysis.psychometric(chosen, trials_at(values, values > 0))
    assert curve.slope.low < 0 < curve.slope.high
    assert (curve.threshold.low, curve.threshold.high) == (-math.inf, math.inf)


def test_choices_of_a_network_are_those_of_its_outputs_in_the_decision() -> None:
    task = tasks.make("context_decision")
    batch = task.split(50, 1, seed=0)[0].batch()
    batch = tca.Batch(
        torch.randn(batch.inputs.shape, generator=torch.Generator().manual_seed(0)),
        *(getattr(batch, name) for name in ("targets", "weights", "loss", "decisions")),
    )

    class Noisy(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs[..., :3]

    net = Noisy()
    chosen = choices(net, batch)
    with torch.no_grad():
        outputs = net(batch.inputs)
    for trial in range(50):
        total = sum(outputs[t, trial] for t in range(batch.steps) if batch.decision_steps[t, trial])
        assert int(chosen[trial]) == 1 + int(total[1:].argmax())


def test_conditions_by_any_column() -> None:
    values = np.tile(LEVELS, 80)
    context = np.repeat([0, 1], len(values) // 2)
    p = 1 / (1 + np.exp(-np.where(context == 0, 0.2, 0.02) * values))
    chosen = (np.random.default_rng(1).random(len(values)) < p).astype(np.int64)
    batch = trials_at(values, values > 0, context=context)
    both = analysis.psychometric_by(chosen, batch, "context", lapse=0.0)
    assert list(both) == [(0,), (1,)]
    assert both[(0,)].slope.low > both[(1,)].slope.high
    alone = analysis.psychometric(chosen, batch, where={"context": 1}, lapse=0.0)
    assert_same(alone.slope, both[(1,)].slope)
    figure = psychometric_curves({str(name): each for name, each in both.items()}, "contexts")
    np.testing.assert_allclose(figure.axes[0].lines[-1].get_ydata()[[0, -1]], both[(1,)]([-50.0, 50.0]))


def test_missing_values_are_left_out_and_counted() -> None:
    values = np.repeat(LEVELS, 20)
    chosen, batch = observer(1 / (1 + np.exp(-0.1 * values)), values, 0)
    gaps = trials_at(np.concatenate([values, [np.nan] * 7]), np.concatenate([values > 0, [False] * 7]))
    curve = analysis.psychometric(np.concatenate([chosen, [1] * 7]), gaps)
    assert (curve.threshold.count, curve.threshold.asked) == (len(values), len(values) + 7)
    assert curve.threshold.value == analysis.psychometric(chosen, batch).threshold.value


REAL = tca.Batch(
    torch.zeros(1, 9, 1), torch.zeros(1, 9, 1), torch.ones(1, 9), tca.losses.MSE(), info={"evidence": LEVELS}
)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"variable": "evdence"}, ValueError, "unknown variable 'evdence', did you mean 'evidence'"),
        ({"variable": "name"}, ValueError, "name must be a column of numbers"),
        ({"form": "weibull"}, ValueError, "evidence must be at least 0 for form='weibull', got -50"),
        ({"form": "probit"}, ValueError, "form must be one of|unknown form|form"),
        ({"lapse": 1.0}, ValueError, "lapse must be at least 0 and below 1, or 'free', got 1.0"),
        ({"guess": 0.6, "lapse": 0.5}, ValueError, "guess and lapse must add up to less than 1"),
        ({"where": {"name": "b"}}, ValueError, "where must name a value of name, got 'b'"),
        ({"where": {"evidence": 0.0}}, ValueError, "evidence must have at least 2 levels"),
        ({"net_or_choices": [0.5] * 9}, TypeError, "net_or_choices must be a network or integers"),
        ({"net_or_choices": [0] * 8}, ValueError, r"net_or_choices must have shape \(B,\) = \(9,\)"),
        ({"trials": REAL}, ValueError, "trials must have classes as targets"),
    ],
)
def test_bad_arguments_are_refused(options: dict, error: type, message: str) -> None:
    given = {"net_or_choices": [0, 1] * 4 + [0], "trials": trials_at(LEVELS, LEVELS > 0, name=["a"] * 9), **options}
    with pytest.raises(error, match=message):
        analysis.psychometric(given.pop("net_or_choices"), given.pop("trials"), **given)


def test_figures_of_different_variables_are_refused() -> None:
    with pytest.raises(ValueError, match="curves must be of one variable, got none"):
        psychometric_curves({})
