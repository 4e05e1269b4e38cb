"""The theorem of update maps at minima without error: against the oracle's matrices, and by running the map.

The fixture is a network of form A with eight tanh cells, kappa = .5, and one number to learn, the output of the last
step. Facts follow Liu et al. (2022), arXiv:2206.00823.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

import tca
from analysis import check_stability, iterate, minimum, operator, stability, update_jacobian
from analysis.alignment import Match
from analysis.curvature.problem import problem_of
from analysis.stability.critical_rate import critical_rate, critical_rates
from analysis.stability.jacobians import output_jacobian, root_metric, rule_jacobian, scores
from tca.eligibilities import Leak
from tca.losses import MSE
from tca.signals import InstantSignal
from tca.signals.signal import Buffers
from tca.tape.population import Population
from tests.support import oracle
from tests.support.cases import CASES, F1, Case, tau, weights_of
from tests.support.dense import jacobian, output_hessian, outputs

RATE = 0.7
MODEL = oracle.Model("A", "tanh", torch.full((8,), 0.5).double())
STEPS = 60


def fixture(seed: int, last: int = 1, trials: int = 1) -> tuple[tca.nets.LeakyRNN, tca.Batch]:
    """A network that makes no error and its trials, with ``last * trials`` numbers to learn."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    net = tca.nets.LeakyRNN(3, 8, 1, tau=tau(0.5), dt=10.0, dtype=torch.float64)
    with torch.no_grad():
        net.w_out.copy_(normal(1, 8) / math.sqrt(8))
        net.w_in.copy_(normal(8, 3) / math.sqrt(3))
        net.w_rec.copy_(normal(8, 8) / math.sqrt(8))
    targets, weights = torch.zeros(8, trials, 1).double(), torch.zeros(8, trials).double()
    inputs = normal(8, trials, 3)
    targets[-last:], weights[-last:] = 0.3 * normal(last, trials, 1), float(trials)
    batch = tca.Batch(inputs, targets, weights, MSE())
    return minimum(net, batch, tolerance=1e-16 if last * trials == 1 else 3e-16), batch


def rows(net: tca.nets.LeakyRNN, batch: tca.Batch, surgery: oracle.Surgery = oracle.WHOLE) -> Tensor:
    """Derivative of every weighted output in ``w_rec``, with paths cut, from the oracle: one unit error at a time."""
    weights = weights_of(net)
    y = oracle.outputs(MODEL, weights, batch.inputs)
    found = []
    for step, trial in (batch.weights > 0).nonzero().tolist():
        targets, alone = y.clone(), torch.zeros_like(batch.weights)
        targets[step, trial] -= 1
        alone[step, trial] = batch.trials
        problem = oracle.Problem(batch.inputs, targets, alone, "mse")
        found.append(oracle.gradient(MODEL, weights, problem, surgery)["w_rec"].flatten())
    return torch.stack(found)


def farthest_from_one(matrix: Tensor) -> complex:
    values = torch.linalg.eigvals(matrix)
    return complex(values[(values - 1).abs().argmax()])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_with_one_number_the_maps_have_the_eigenvalues_of_the_theorem(seed: int) -> None:
    net, batch = fixture(seed)
    found = stability(net, batch, ["bptt", "eprop"])
    assert found.error < 1e-16
    g, gh = (rows(net, batch, surgery)[0] for surgery in (oracle.WHOLE, oracle.LEAK_ONLY))
    assert found.largest == pytest.approx(g.square().sum().item(), rel=1e-12)
    rho = (gh @ g / g.square().sum()).item()
    assert found["eprop"].rho == pytest.approx(rho, rel=1e-12)
    assert found["bptt"].rho == pytest.approx(1.0, abs=1e-12)
    identity = torch.eye(64).double()
    for name, back, bound in (("bptt", g, 1.0), ("eprop", gh, rho)):
        dense = farthest_from_one(identity - RATE * torch.outer(back, g))
        assert dense == pytest.approx(1 - RATE * bound * found.largest, abs=1e-12)
        assert complex(found[name].map_eigenvalues(RATE)[0]) == pytest.approx(dense, abs=1e-12)
        assert found[name].critical_rate == pytest.approx(2 / (bound * found.largest), rel=1e-12)
        assert found.bound(name, RATE) == pytest.approx(2 / (RATE * bound), rel=1e-12)
    match = Match.of(gh, g)
    assert rho == pytest.approx(match.norm_ratio * match.cosine)
    assert abs(rho - 1) > 0.1


@pytest.mark.thirds
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_below_the_critical_rate_it_rests_and_above_it_does_not(seed: int) -> None:
    net, batch = fixture(seed)
    checks = check_stability(net, batch, ["bptt", "eprop"], steps=STEPS)
    for check in checks.values():
        assert check.holds
        assert check.lower.ratio == pytest.approx(0.9**STEPS, rel=2e-3)
        assert check.upper.ratio == pytest.approx(1.1**STEPS, rel=2e-3)
        assert check.lower.predicted == pytest.approx(0.9**STEPS, rel=1e-10)
        assert check.upper.predicted == pytest.approx(1.1**STEPS, rel=1e-10)
    found = stability(net, batch, ["bptt", "eprop"])
    assert 0 < found["eprop"].rho < 0.95
    beyond = 1.05 * found["bptt"].critical_rate  # where backpropagation leaves, e-prop still comes to rest
    assert iterate(net, batch, "bptt", beyond).ratio > 100
    assert iterate(net, batch, "eprop", beyond).ratio < 0.1
    assert beyond < found["eprop"].critical_rate
    shorter = beyond * found["eprop"].rho  # backpropagation with a shorter step comes to rest in the same way
    one, other = iterate(net, batch, "bptt", shorter, steps=3), iterate(net, batch, "eprop", beyond, steps=3)
    assert one.predicted == pytest.approx(other.predicted, rel=1e-9)
    assert one.ratio == pytest.approx(other.ratio, rel=1e-3)


@pytest.mark.thirds
@pytest.mark.parametrize(
    ("seed", "last", "trials", "within"), [(0, 4, 1, 0.03), (0, 1, 4, 0.03), (2, 4, 1, 0.05), (1, 2, 2, 0.35)]
)
def test_with_more_numbers_the_spectrum_is_that_of_the_small_matrix(
    seed: int, last: int, trials: int, within: float
) -> None:
    net, batch = fixture(seed, last, trials)
    j, jh = (rows(net, batch, surgery) for surgery in (oracle.WHOLE, oracle.LEAK_ONLY))
    found = stability(net, batch, ["eprop", "bptt"])
    assert found.eigenvalues.tolist() == pytest.approx(torch.linalg.eigvalsh(j @ j.T).flip(0).tolist(), rel=1e-10)
    for name, back in (("bptt", j), ("eprop", jh)):
        large = torch.linalg.eigvals(back.T @ j)
        large = large[large.abs().argsort(descending=True)[:4]]
        small = found[name].eigenvalues
        assert torch.allclose(large[large.real.argsort(descending=True)].real, small.real, atol=1e-10)
        assert large.abs().sum().item() == pytest.approx(small.abs().sum().item(), rel=1e-8)
    v = torch.linalg.eigh(j.T @ j)[1][:, -1]
    assert found["eprop"].rho == pytest.approx((v @ jh.T @ (j @ v) / found.largest).item(), rel=1e-9)
    assert found["eprop"].eigenvalues.real.max().item() / found.largest == pytest.approx(found["eprop"].rho, rel=within)
    rates = [found[name].critical_rate for name in ("bptt", "eprop")]
    assert rates[0] < rates[1] < math.inf
    for check, rate in zip(check_stability(net, batch, ["bptt", "eprop"]).values(), rates, strict=True):
        assert check.critical_rate == pytest.approx(rate, rel=1e-10)
        assert check.holds
        for run in (check.lower, check.upper):
            assert run.ratio == pytest.approx(run.predicted, rel=1e-3)


@pytest.mark.parametrize(("seed", "rule"), [(17, "eprop"), (22, "three_factor")])
def test_with_complex_eigenvalues_the_error_turns_as_it_shrinks_or_grows(seed: int, rule: str) -> None:
    net, batch = fixture(seed, last=4)
    (found,) = stability(net, batch, rule).rules
    leading = complex(found.eigenvalues[critical_rates(found.eigenvalues).argmin()])
    assert abs(leading.imag) > 0.1 * abs(leading)
    assert found.critical_rate == pytest.approx(2 * leading.real / abs(leading) ** 2)
    dense = torch.linalg.eigvals(
        torch.eye(64).double() - found.critical_rate * update_jacobian(net, batch, rule).matrix()
    )
    assert dense.abs().max().item() == pytest.approx(1.0, abs=1e-9)
    moduli = (1 - found.critical_rate * found.eigenvalues).abs()
    assert moduli.max().item() == pytest.approx(1.0, abs=1e-12)
    check = check_stability(net, batch, rule)[rule]
    assert check.holds
    for run in (check.lower, check.upper):
        assert 1 / 3 < run.ratio / run.predicted < 3
    assert run.errors.shape == (61,)


@pytest.mark.thirds
@pytest.mark.parametrize("rule", ["bptt", "eprop", "three_factor", "eprop_random", "tbptt", "snap1", "mdgl"])
def test_at_a_minimum_the_update_jacobian_is_the_product_of_jacobians(rule: str) -> None:
    net, batch = fixture(3, last=3)
    problem = problem_of(net, batch)
    (j, jh) = output_jacobian(problem), rule_jacobian(problem, tca.Learner(net, tca.RULES[rule]))
    share = 1 / batch.trials * batch.weights[batch.weights > 0]
    exact = jh.T @ (share[:, None] * j)
    found = update_jacobian(net, batch, rule).matrix()
    assert (found - exact).norm() < 1e-9 * exact.norm()


def test_a_rule_that_climbs_is_never_attracted() -> None:
    net, batch = fixture(0)
    learner = tca.Learner(net, tca.RULES["eprop_random"])
    learner.buffers["feedback"].copy_(-net.w_out.detach().T)
    found = stability(net, batch, learner)
    (entry,) = found.rules
    assert entry.rho < 0
    assert entry.critical_rate == 0.0
    assert found.bound(entry.name, 0.1) == math.inf
    assert iterate(net, batch, learner, 0.01 / found.largest).ratio > 1
    with pytest.raises(ValueError, match="has no critical rate here, as it is 0"):
        check_stability(net, batch, learner)


@pytest.mark.thirds
@pytest.mark.parametrize("case", [*CASES[:9:2], *CASES[7:]], ids=str)
def test_jacobians_and_metric_of_any_network(case: Case) -> None:
    net, batch = case.net(), case.batch()
    counted = (batch.weights > 0).unsqueeze(-1).expand(-1, -1, net.n_out).flatten()
    problem, chunked = problem_of(net, batch), problem_of(net, batch, chunk=2)
    exact = jacobian(case, weights_of(net))[counted]
    assert torch.allclose(output_jacobian(problem), exact, atol=1e-12)
    assert torch.allclose(rule_jacobian(problem, tca.Learner(net, tca.RULES["bptt"])), exact, atol=1e-12)
    metric = output_hessian(case, outputs(case))[counted][:, counted]
    root = root_metric(problem)
    assert torch.allclose(root.T @ root, metric, atol=1e-12)
    learning_signal = (scores(each, each.theta).sort().values for each in (chunked, problem))
    assert torch.allclose(*learning_signal, atol=1e-12)
    learner = tca.Learner(net, tca.RULES["eprop"])
    gradients, _ = learner.grads(batch)
    back = scores(problem, problem.theta) @ rule_jacobian(problem, learner)
    assert torch.allclose(back, problem.parameters.gather(gradients), atol=1e-12)
    whole = stability(net, batch, ("bptt", "eprop"))
    in_parts = root_metric(chunked) @ output_jacobian(chunked)
    values = torch.linalg.eigvalsh(in_parts @ in_parts.T).flip(0)
    assert torch.allclose(whole.eigenvalues, values, atol=1e-10)
    if "tiny" not in case.name:
        top = torch.linalg.eigvalsh(operator(net, batch, kind="gauss_newton").matrix())[-1]
        assert whole.largest == pytest.approx(top.item(), rel=1e-10)
        true, approximate = (
            oracle.gradient(case.model(), weights_of(net), case.problem(), each)["w_rec"]
            for each in (oracle.WHOLE, oracle.LEAK_ONLY)
        )
        mask = case.model().masks.get("w_rec", 1.0)
        assert whole["eprop"].gradient_rho == pytest.approx(Match.of(approximate * mask, true * mask).rho, rel=1e-9)
        assert whole["bptt"].gradient_rho == pytest.approx(1.0, rel=1e-12)


@dataclass(frozen=True)
class Cubed(InstantSignal):
    """Feedback that is not linear in the error."""

    equation: ClassVar[str] = "G_t = W_o^T score_t^3"

    def rate_signal(self, score: Tensor, population: Population, buffers: Buffers) -> Tensor:
        return score**3 @ population.readout


def test_a_minimum_is_one_and_the_network_is_left_alone() -> None:
    case = replace(F1, steps=3)
    net, batch = case.net(dtype=torch.float32), case.batch().to(dtype=torch.float32)
    before = weights_of(net)
    found = minimum(net, batch, "all", tolerance=1e-14)
    assert all(torch.equal(before[name], value) for name, value in net.named_parameters())
    assert found.w_rec.dtype == torch.float64
    double = batch.to(dtype=torch.float64)
    assert double.loss.mean(found(double.inputs), double.targets, double.weights).item() < 1e-25
    hessian, newton = (operator(found, double, kind=kind).matrix() for kind in ("hessian", "gauss_newton"))
    assert torch.allclose(hessian, newton, atol=1e-12)
    one = minimum(net, batch, "w_out", tolerance=1e-14)
    assert torch.equal(one.w_rec, net.w_rec.double())


def test_weights_do_not_change_the_way_to_a_minimum() -> None:
    net, batch = fixture(0, last=3)
    with torch.no_grad():
        net.w_rec.mul_(1.2)
    found = [minimum(net, replace(batch, weights=batch.weights * scale), tolerance=1e-13) for scale in (0.1, 1.0, 10.0)]
    for other in found[1:]:
        assert torch.allclose(other.w_rec, found[0].w_rec, atol=1e-10)


def test_round_off_of_zero_has_no_critical_rate() -> None:
    assert critical_rate(torch.tensor([2.0, -1e-14]).double()) == 1.0
    assert critical_rate(torch.tensor([2.0, -1e-3]).double()) == 0.0
    assert critical_rate(torch.zeros(3)) == math.inf


def test_the_result_reads_well() -> None:
    net, batch = fixture(0)
    text = str(stability(net, batch, ["bptt", "eprop"])).splitlines()
    assert [line.split()[0] for line in text] == ["rule", "bptt", "eprop", "lambda_1"]
    assert text[1].split()[1] == "1.0000"


def test_mistakes_are_named() -> None:
    net, batch = F1.net(), F1.batch()
    with pytest.raises(ValueError, match="must be linear in the error"):
        stability(net, batch, tca.Rule(Cubed(), Leak()))
    with pytest.raises(ValueError, match="got 2002: choose a subset"):
        stability(net, replace(F1, steps=13, trials=77).batch(), "bptt")
    with pytest.raises(ValueError, match=r"got 0: choose a subset"):
        stability(net, replace(batch, weights=torch.zeros_like(batch.weights)), "bptt")
    with pytest.raises(ValueError, match=r"unknown rule 'bpt', did you mean 'bptt'\?"):
        stability(net, batch, "bptt")["bpt"]
    with pytest.raises(ValueError, match="the loss must be MSE"):
        minimum(replace(F1, loss="cross_entropy").net(), replace(F1, loss="cross_entropy").batch())
    with pytest.raises(ValueError, match="no minimum without error was found: the largest error after 20 steps"):
        minimum(net, batch, "b", steps=20)
    for factor in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"factor must be (above 0 and at most 1|finite)"):
            minimum(net, batch, factor=factor)
    with pytest.raises(ValueError, match="rate must be 0 or greater"):
        iterate(net, batch, "bptt", -0.1)
    with pytest.raises(ValueError, match=r"margin must be (at least 0 and )?below 1"):
        check_stability(net, batch, "bptt", margin=1.0)
