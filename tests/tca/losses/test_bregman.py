"""Bregman divergences, links and exponential families: definitions by autograd of F and A, and known special cases."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from tca.losses import LOSSES, Bregman, ExponentialFamily, Loss, families, generators, links
from tca.losses.links import LINKS, Link, PositiveLink, UnitLink
from tests.support import oracle
from tests.support.draws import expected, short
from tests.support.rows import relative

GENERATORS: list[generators.Generator[Any]] = [
    generators.SquaredNorm(),
    generators.ExponentialSum(),
    generators.NegativeEntropy(),
    generators.ItakuraSaito(),
    generators.BinaryEntropy(),
]
PAIRS = [(each, link) for each, link in itertools.product(GENERATORS, LINKS) if isinstance(link, each.links)]
REFUSED = [(each, link) for each, link in itertools.product(GENERATORS, LINKS) if not isinstance(link, each.links)]
CHANCES = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
INVERSE = {
    links.IdentityLink(): lambda r: r,
    links.ExponentialLink(): torch.log,
    links.SoftplusLink(): lambda r: torch.expm1(r).log(),
    links.SigmoidLink(): torch.logit,
    links.SoftmaxLink(): torch.log,
}
each_pair = pytest.mark.parametrize(("generator", "link"), PAIRS, ids=repr)
each_link = pytest.mark.parametrize("link", LINKS, ids=repr)


def example(link: Link) -> tuple[Tensor, Tensor]:
    """Return outputs and targets ``(3, 1, 4)``, targets where the link's predictions lie."""
    generator = torch.Generator().manual_seed(1)
    outputs, drawn = torch.randn(2, 3, 1, 4, dtype=torch.float64, generator=generator)
    return outputs, link(drawn)


def divergence(generator: generators.Generator[Any], targets: Tensor, predictions: Tensor) -> Tensor:
    """``F(y) - F(r) - grad F(r).(y - r)``, the gradient by autograd, differentiable in r."""
    if not predictions.requires_grad:
        predictions = predictions.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(generator(predictions).sum(), predictions, create_graph=True)
    return generator(targets) - generator(predictions) - (gradient * (targets - predictions)).sum(-1)


@each_pair
def test_divergences_are_what_f_exceeds_its_tangent_by(generator: generators.Generator[Any], link: Link) -> None:
    """Value and score equal the definition, with F's gradient, its Hessian and the link's derivative by autograd."""
    loss, (outputs, targets) = Bregman(generator, link), example(link)
    loss.check(tuple(outputs.shape), targets)
    leaf = outputs.clone().requires_grad_()
    wanted = divergence(generator, targets, link(leaf))
    assert (wanted > 1e-3).all()
    assert relative(loss.value(outputs, targets), wanted.detach()) < 1e-12
    (slope,) = torch.autograd.grad(wanted.sum(), leaf, retain_graph=True)
    (own,) = torch.autograd.grad(loss.value(leaf, targets).sum(), leaf)
    assert relative(loss.output_error(outputs, targets), slope) < 1e-12
    assert relative(own, slope) < 1e-12
    assert loss.value(leaf, link(outputs)).abs().max() < 1e-14, "nothing is nearer than the target itself"
    assert torch.autograd.gradgradcheck(lambda y: loss.value(y, targets), leaf)


@each_pair
def test_scores_are_the_hessian_times_the_error(generator: generators.Generator[Any], link: Link) -> None:
    """``J^T Hess F(r) (r - y)`` written out with dense matrices."""
    loss, (outputs, targets) = Bregman(generator, link), example(link)
    for z, y in zip(outputs[:, 0], targets[:, 0], strict=True):
        r = link(z)
        curvature = torch.autograd.functional.hessian(generator, r)
        jacobian = torch.autograd.functional.jacobian(link, z)
        wanted = jacobian.T @ curvature @ (r - y)
        assert relative(loss.output_error(z.view(1, 1, -1), y.view(1, 1, -1))[0, 0], wanted) < 1e-12


@each_pair
def test_the_mean_target_is_the_best_prediction(generator: generators.Generator[Any], link: Link) -> None:
    """Whatever F: there the mean score is zero; elsewhere it is not."""
    loss, (_, targets) = Bregman(generator, link), example(link)
    best = INVERSE[link](expected(targets, CHANCES))
    assert loss.admissibility
    assert expected(loss.output_error(best.expand_as(targets), targets), CHANCES).abs().max() < 1e-12
    moved = best + torch.linspace(0.1, 0.4, len(best))
    assert expected(loss.output_error(moved.expand_as(targets), targets), CHANCES).abs().max() > 1e-2


@pytest.mark.parametrize("generator", [each for each in GENERATORS if each.matched], ids=repr)
def test_matched_links_invert_the_gradient(generator: generators.Generator[Any]) -> None:
    """They come by default, ``grad F(r(z)) = z``, and the score is the bare error of the prediction."""
    loss = Bregman(generator)
    assert loss == Bregman(generator, generator.matched)
    outputs, targets = example(generator.matched)
    predictions = generator.matched(outputs).requires_grad_()
    (gradient,) = torch.autograd.grad(generator(predictions).sum(), predictions)
    assert relative(gradient, outputs) < 1e-12
    assert torch.equal(loss.output_error(outputs, targets), generator.matched(outputs) - targets)


def test_the_softmax_matches_the_entropy_of_distributions() -> None:
    """Among targets that sum to one the score is the bare error as well."""
    outputs, targets = example(links.SoftmaxLink())
    score = LOSSES["kullback_leibler"].output_error(outputs, targets)
    assert (score - (outputs.softmax(-1) - targets)).abs().max() < 1e-15


ONE_HOT = torch.eye(4, dtype=torch.float64)[[2, 0, 3]].unsqueeze(1)


def _offset(loss: Loss, other: Any, link: Link) -> Tensor:
    """By how much two losses differ at every step, at the outputs of the example less at zero."""
    outputs, targets = example(link)
    differ = loss.value(outputs, targets) - other(outputs, targets)
    return differ - (loss.value(0 * outputs, targets) - other(0 * outputs, targets))


@pytest.mark.parametrize(
    ("loss", "other", "link"),
    [
        (Bregman(generators.SquaredNorm()), oracle.LOSSES["mse"], links.IdentityLink()),
        (Bregman(generators.BinaryEntropy()), oracle.LOSSES["logistic"], links.SigmoidLink()),
        (Bregman(generators.NegativeEntropy()), oracle.LOSSES["poisson"], links.ExponentialLink()),
        (Bregman(generators.ItakuraSaito(), links.ExponentialLink()), oracle.LOSSES["gamma"], links.ExponentialLink()),
        (ExponentialFamily(families.BernoulliFamily()), oracle.LOSSES["logistic"], links.SigmoidLink()),
        (ExponentialFamily(families.PoissonFamily()), oracle.LOSSES["poisson"], links.ExponentialLink()),
        (ExponentialFamily(families.GaussianFamily()), oracle.LOSSES["mse"], links.IdentityLink()),
    ],
    ids=short,
)
def test_special_cases(loss: Loss, other: Any, link: Link) -> None:
    """Each differs from a loss with a name of its own by what no output changes."""
    assert _offset(loss, other, link).abs().max() < 1e-13
    assert _offset(loss, oracle.LOSSES["absolute_error"], link).abs().max() > 1e-2


def test_special_cases_of_classes() -> None:
    """With one-hot targets the Kullback-Leibler divergence is cross-entropy, the squared norm half a Brier score."""
    (outputs, _), classes = example(links.SoftmaxLink()), ONE_HOT.argmax(-1)
    value = LOSSES["kullback_leibler"].value(outputs, ONE_HOT)
    assert relative(value, oracle.LOSSES["cross_entropy"](outputs, classes)) < 1e-14
    half = Bregman(generators.SquaredNorm(), links.SoftmaxLink())
    assert relative(2 * half.value(outputs, ONE_HOT), oracle.LOSSES["brier"](outputs, classes)) < 1e-14
    assert relative(2 * half.output_error(outputs, ONE_HOT), LOSSES["brier"].output_error(outputs, classes)) < 1e-14


@each_pair
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [-1, 1])
def test_extreme_outputs_give_finite_numbers(
    generator: generators.Generator[Any], link: Link, dtype: torch.dtype, sign: int
) -> None:
    """Predictions that underflow or saturate leave values, scores and derivatives finite, and equal to one another."""
    grows = isinstance(link, links.ExponentialLink) or isinstance(generator, generators.ExponentialSum)
    ratio = isinstance(generator, generators.ItakuraSaito)  # of target and prediction, which may be as large
    most = 1e4 if not (grows or ratio) else 40.0 if dtype == torch.float32 else 300.0
    _, targets = example(link)
    outputs = (sign * torch.linspace(-most, most, targets.numel(), dtype=dtype)).view(targets.shape).requires_grad_()
    loss, targets = Bregman(generator, link), targets.to(dtype)
    value, score = loss.value(outputs, targets), loss.output_error(outputs.detach(), targets)
    (slope,) = torch.autograd.grad(value.sum(), outputs)
    for found in (value, score, slope):
        assert found.dtype == dtype
        assert torch.isfinite(found).all()
    assert torch.allclose(score, slope, rtol=1e-4 if dtype == torch.float32 else 1e-11, atol=1e-5)


@each_link
def test_derivatives_of_links(link: Link) -> None:
    """All that a link takes back equals autograd through its definition."""
    outputs, cotangent = example(links.IdentityLink())
    leaf = outputs.clone().requires_grad_()

    def taken_back(value: Tensor) -> Tensor:
        return torch.autograd.grad(value, leaf, cotangent)[0]

    assert relative(link.pull(outputs, cotangent), taken_back(link(leaf))) < 1e-13
    if isinstance(link, PositiveLink):
        assert relative(link.log(outputs), link(outputs).log()) < 1e-14
        assert relative(link.pull_log(outputs, cotangent), taken_back(link(leaf).log())) < 1e-13
    if isinstance(link, UnitLink):
        assert relative(link.log_complement(outputs), (1 - link(outputs)).log()) < 1e-14
        assert relative(link.pull_log_odds(outputs, cotangent), taken_back(link(leaf).logit())) < 1e-13


def test_logarithms_of_links_are_right_where_predictions_underflow() -> None:
    """Against their leading terms: the softplus and the sigmoid are exponentials far below zero."""
    far = torch.tensor([-39.9, -40.1, -100.0, -1000.0]).double()
    assert relative(links.SoftplusLink().log(far), far) < 1e-16
    assert relative(links.SigmoidLink().log(far), far) < 1e-16
    assert relative(links.SoftplusLink()(-far), -far) < 1e-16
    assert links.SoftmaxLink().log(torch.tensor([[1000.0, 0.0]]).double()).tolist() == [[0.0, -1000.0]]


@pytest.mark.parametrize(
    "family",
    [
        families.BernoulliFamily(),
        families.CategoricalFamily(),
        families.PoissonFamily(),
        families.GaussianFamily(2.5),
        families.GammaFamily(3.0),
    ],
    ids=repr,
)
def test_scores_of_families_match_moments(family: families.Family) -> None:
    """``J^T (grad A(eta) - T(y))`` with A as a function of the natural parameter, by autograd."""
    z = torch.tensor([0.3, -1.2, 0.8]).double()
    partition = {
        families.BernoulliFamily: lambda eta: torch.log1p(eta.exp()).sum(),
        families.CategoricalFamily: lambda eta: eta.exp().sum().log(),
        families.PoissonFamily: lambda eta: eta.exp().sum(),
        families.GaussianFamily: lambda eta: 2.5 * eta.square().sum() / 2,
        families.GammaFamily: lambda eta: -3.0 * (-eta).log().sum(),
    }[type(family)]
    numbers, one = torch.tensor([0.2, 0.9, 0.4]).double(), torch.tensor([0.0, 0.0, 1.0]).double()
    drawn_class = isinstance(family, families.CategoricalFamily)
    targets, statistic = (torch.tensor([[2]]), one) if drawn_class else (numbers.view(1, 1, 3), numbers)
    eta = family.natural(z).clone().requires_grad_()
    (mean,) = torch.autograd.grad(partition(eta), eta)
    wanted = torch.autograd.functional.jacobian(family.natural, z).T @ (mean - statistic)
    assert relative(family.output_error(z.view(1, 1, -1), targets)[0, 0], wanted) < 1e-13
    assert relative(family.log_partition(z), partition(eta).detach()) < 1e-14
    assert torch.equal(family.statistic(z.view(1, 1, -1), targets)[0, 0], statistic)


@pytest.mark.parametrize(("generator", "link"), REFUSED, ids=repr)
def test_links_must_lead_where_f_is_defined(generator: generators.Generator[Any], link: Link) -> None:
    """The message names the links that do."""
    name = type(generator).__name__
    with pytest.raises(TypeError, match=rf"link must be one of \w+\(\).* for {name} to be defined, got \w+\(\)"):
        Bregman(generator, link)


@pytest.mark.parametrize("generator", [each for each in GENERATORS if not each.matched], ids=repr)
def test_no_matched_link_for_all_outputs(generator: generators.Generator[Any]) -> None:
    """Where the inverse of the gradient takes positive or negative numbers only, a link must be chosen."""
    with pytest.raises(
        ValueError, match=f"{type(generator).__name__} has no matched link defined for all real outputs"
    ):
        Bregman(generator)


@pytest.mark.parametrize(
    ("loss", "value", "message"),
    [
        (
            Bregman(generators.SquaredNorm(), links.SigmoidLink()),
            1.5,
            r"targets must lie in \[0, 1\] for Bregman with ",
        ),
        (
            Bregman(generators.SquaredNorm(), links.SoftplusLink()),
            -0.5,
            "targets must be at least 0 for Bregman with Squar",
        ),
        (Bregman(generators.SquaredNorm(), links.SoftmaxLink()), 0.5, "targets must sum to 1 over the last axis"),
        (Bregman(generators.BinaryEntropy()), -0.5, r"targets must lie in \[0, 1\] for Bregman with BinaryEntropy"),
        (ExponentialFamily(families.BernoulliFamily()), 1.5, r"targets must lie in \[0, 1\] for BernoulliFamily"),
        (ExponentialFamily(families.PoissonFamily()), -1.0, "targets must be at least 0 for PoissonFamily"),
        (ExponentialFamily(families.GaussianFamily()), float("inf"), "targets must be finite"),
    ],
    ids=short,
)
def test_targets_whose_mean_no_output_predicts(loss: Loss, value: float, message: str) -> None:
    """Such a loss would be smallest on a boundary, where the mean score is not zero."""
    with pytest.raises(ValueError, match=message):
        loss.check((2, 1, 4), torch.full((2, 1, 4), value))
